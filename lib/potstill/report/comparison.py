"""What is compared with what: results seen through the settings, each difference taken once."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from potstill.errors import InputError
from potstill.report.claims import Claim, corrected
from potstill.report.differences import (
    between,
    perplexity_ratio,
    pooled_perplexity,
    pooled_rate,
)
from potstill.report.results import PAIRED, PERPLEXITY, Estimate, Likelihood, Results, Run, Variant
from potstill.report.settings import Comparison

TEACHER = "teacher"


@dataclass(frozen=True)
class Student:
    """A student or control: what its training seeds made, and the export of each."""

    name: str
    runs: list[Run]
    variants: list[Variant]

    @property
    def is_trained(self) -> bool:
        """Say whether a seed had any say: a student of no steps is its start."""
        return any(run.steps for run in self.runs)

    @property
    def seeds(self) -> list[int]:
        """Return its training seeds, in order."""
        return sorted(run.seed for run in self.runs)

    @property
    def by_seed(self) -> list[tuple[Run, Variant]]:
        """Return its runs with their exports, in the order of their seeds."""
        pairs = zip(self.runs, self.variants, strict=True)
        return sorted(pairs, key=lambda pair: pair[0].seed)


class View:
    """The results with the roles that params.yaml gives them."""

    def __init__(self, results: Results, settings: Comparison) -> None:
        """Raise InputError for an export whose checkpoint has no role, or two."""
        self.results = results
        self.settings = settings
        self.students = {
            name: Student(
                name,
                [results.runs[results.variants[export].owner] for export in exports],
                [results.variants[export] for export in exports],
            )
            for name, exports in settings.students.items()
        }
        self._roles = {self.teacher.checkpoint: TEACHER}
        for name, student in self.students.items():
            for item in student.variants:
                if item.checkpoint in self._roles:
                    raise InputError(
                        f"params.yaml: compare: {self._roles[item.checkpoint]} and {name} are both "
                        f"scored through {item.checkpoint}: give each an export of its own"
                    )
                self._roles[item.checkpoint] = name
            if student.is_trained and len(set(student.seeds)) < len(student.seeds):
                raise InputError(
                    f"params.yaml: compare.students.{name}: its runs have the seeds "
                    f"{', '.join(map(str, student.seeds))}: give each a seed of its own"
                )
        for item in results.variants.values():
            if item.checkpoint not in self._roles:
                raise InputError(
                    f"params.yaml: export.{item.name} is made of {item.checkpoint}, which is "
                    "neither the teacher nor a student of compare.students: add it there; of an "
                    f"export that is no more, remove models/artefacts/{item.name}"
                )

        if self.baseline.checkpoint != self.item.checkpoint:
            raise InputError(
                f"params.yaml: compare.baseline: {self.baseline.name} is made of "
                f"{self.baseline.checkpoint}, {self.item.name} of {self.item.checkpoint}: take an "
                "export of the delivered checkpoint"
            )

    @property
    def student(self) -> Student:
        """Return the student that is delivered."""
        return self.students[self.settings.student]

    @property
    def item(self) -> Variant:
        """Return the delivered export: the first through which the student is scored."""
        return self.student.variants[0]

    @property
    def teacher(self) -> Variant:
        """Return the teacher's export."""
        return self.results.variants[self.settings.teacher]

    @property
    def baseline(self) -> Variant:
        """Return the export that the others of its checkpoint are measured against."""
        return self.results.variants[self.settings.baseline]

    def role(self, variant: Variant) -> str:
        """Return student, teacher or the control's name; the plots' colours go by it."""
        role = self._roles[variant.checkpoint]
        return "student" if role == self.settings.student else role

    @cached_property
    def tasks(self) -> list[str]:
        """The primary endpoint's task, then all others that were asked for."""
        found = {task for item in self.results.variants.values() for task in item.scores}
        first = self.settings.primary.task
        return [first, *sorted(found - {first})]

    def measure(self, task: str) -> str | None:
        """Return what artefacts are compared in on a task, None where they cannot be paired in it.

        It is the primary endpoint's measure where the task has that, else the task's own.
        """
        measure = self.settings.primary.measure
        scores = [
            item.scores[task] for item in self.results.variants.values() if task in item.scores
        ]
        own = {score.measure for score in scores} - {""}
        if task == self.settings.primary.task or not own:
            return measure
        if any(measure in score.measures for score in scores):
            return measure
        return next((name for name in sorted(own) if name in PAIRED), None)

    @cached_property
    def variants(self) -> list[Variant]:
        """All exports: the teacher, the student's from large to small, the controls."""
        order = [TEACHER, "student", *self.settings.controls]
        key = {name: place for place, name in enumerate(order)}
        return sorted(
            self.results.variants.values(),
            key=lambda item: (key[self.role(item)], item.owner, -item.size_bytes, item.name),
        )

    @cached_property
    def drawn(self) -> list[Variant]:
        """All exports without those of further training seeds, which would cover each other."""
        first = {student.variants[0].checkpoint for student in self.students.values()}
        return [v for v in self.variants if v.checkpoint in first | {self.teacher.checkpoint}]

    @cached_property
    def delivered(self) -> list[Variant]:
        """The exports of the delivered checkpoint, from large to small."""
        return [item for item in self.variants if item.checkpoint == self.item.checkpoint]

    @cached_property
    def claims(self) -> list[Claim]:
        """Every difference of the report, the primary endpoint first."""
        found = [*self._over_students(), *self._over_baseline()]
        return sorted(corrected(found), key=lambda claim: not claim.is_primary)

    def claim(self, task: str, second: str) -> Claim:
        """Return the comparison of the delivered student with another, in the report's measure."""
        names = (task, self.settings.student, second)
        return next(c for c in self.claims if (c.task, c.first, c.second) == names)

    def over(self, task: str, measure: str, other: str) -> Claim:
        """Return the student minus another student or the teacher, uncorrected."""
        sides = self.exports(self.settings.student), self.exports(other)
        found = between(*sides, task, measure, by_seed=self._shares_seeds(other))
        primary = self.settings.primary
        is_primary = (task, measure, other) == (primary.task, primary.measure, primary.against)
        return Claim(
            task, measure, self.settings.student, other, found, self._seeds(other), is_primary
        )

    def _over_students(self) -> Iterator[Claim]:
        """The student against each control and the teacher: on every task, and in perplexity."""
        primary, mine = self.settings.primary, self.student
        for other in [*self.settings.controls, TEACHER]:
            sides = self._test_rows(mine.name), self._test_rows(other)
            ratio = perplexity_ratio(*sides, by_seed=self._shares_seeds(other))
            seeds = self._seeds(other)
            yield Claim(PERPLEXITY, PERPLEXITY, mine.name, other, ratio, seeds, is_primary=False)
            both = [*mine.variants, *self.exports(other)]
            for task in self.tasks:
                # of other tasks than the primary's only those that both sides were asked for
                measure = self.measure(task)
                tried = task == primary.task or all(task in item.scores for item in both)
                if tried and measure is not None:
                    yield self.over(task, measure, other)

    def _over_baseline(self) -> Iterator[Claim]:
        """Each other export of the baseline's checkpoint: no training lies between them."""
        primary, base = self.settings.primary, self.baseline
        for item in self.variants:
            if item.checkpoint == base.checkpoint and item.name != base.name:
                found = between([item], [base], primary.task, primary.measure)
                named = (primary.task, primary.measure, item.name, base.name)
                yield Claim(*named, found, None, is_primary=False)

    def perplexity(self, name: str) -> Estimate | None:
        """Return the test perplexity of a student, over its seeds, or of the teacher."""
        if name == TEACHER:
            return self.results.teacher.perplexity
        runs = self.students[name].runs
        return runs[0].perplexity if len(runs) == 1 else pooled_perplexity(self._test_rows(name))

    def rate(self, name: str, task: str, measure: str) -> Estimate | None:
        """Return a rate of a student, over its seeds, or of the teacher."""
        items = self.exports(name)
        if len(items) == 1:
            return items[0].rate(task, measure)
        return pooled_rate(items, task, measure)

    def exports(self, name: str) -> list[Variant]:
        """Return the exports through which a student, by its seeds, or the teacher is scored."""
        if name == TEACHER:
            return [self.teacher]
        return [item for _, item in self.students[name].by_seed]

    def _test_rows(self, name: str) -> list[list[Likelihood]]:
        if name == TEACHER:
            return [self.results.teacher.test_rows]
        return [run.test_rows for run, _ in self.students[name].by_seed]

    def _shares_seeds(self, other: str) -> bool:
        """Say whether the other's runs have the student's seeds: they are then compared in pairs.

        Two runs of one seed see the rows in one order, so a lucky one is lucky on both sides.
        """
        return other != TEACHER and self.students[other].seeds == self.student.seeds

    def _seeds(self, other: str) -> int | None:
        """Return the seeds of the side with fewer; the teacher and an untrained start are given."""
        sides = [self.student, *([self.students[other]] if other != TEACHER else [])]
        return min((len(side.runs) for side in sides if side.is_trained), default=None)
