"""What is compared with what: results seen through the settings, each difference taken once."""

from functools import cached_property

from potstill.errors import InputError
from potstill.params import closest
from potstill.report.differences import Difference, between, perplexity_ratio
from potstill.report.results import Results, Student, Variant
from potstill.report.settings import Comparison


class View:
    """The results with the roles that params.yaml gives them."""

    def __init__(self, results: Results, settings: Comparison) -> None:
        """Raise InputError where a role names a variant that was not exported."""
        self.results = results
        self.settings = settings
        roles = {f"students.{name}": variant for name, variant in settings.students.items()}
        roles |= {"teacher": settings.teacher, "baseline": settings.baseline}
        for role, variant in roles.items():
            if variant not in results.variants:
                known = closest(variant, results.variants)
                raise InputError(f"params.yaml: compare.{role}: no variant {variant!r}; {known}")

    @property
    def student(self) -> Student:
        """Return the student that is delivered."""
        return self.results.students[self.settings.student]

    def scored(self, student: str) -> Variant:
        """Return the variant through which a student is scored."""
        return self.results.variants[self.settings.students[student]]

    @property
    def teacher(self) -> Variant:
        """Return the teacher's variant."""
        return self.results.variants[self.settings.teacher]

    @property
    def baseline(self) -> Variant:
        """Return the variant that the student's other variants are measured against."""
        return self.results.variants[self.settings.baseline]

    def role(self, variant: Variant) -> str:
        """Return student, teacher or the control's name; the plots' colours go by it."""
        if variant.owner == self.settings.student:
            return "student"
        return variant.owner if variant.owner in self.settings.students else "teacher"

    @cached_property
    def variants(self) -> list[Variant]:
        """All variants: the teacher, the student's from large to small, the controls."""
        order = ["teacher", "student", *self.settings.controls]
        key = {name: place for place, name in enumerate(order)}
        return sorted(
            self.results.variants.values(),
            key=lambda item: (key[self.role(item)], -item.size_bytes, item.name),
        )

    @cached_property
    def delivered(self) -> list[Variant]:
        """The student's variants, from large to small."""
        return [item for item in self.variants if self.role(item) == "student"]

    @cached_property
    def over_students(self) -> dict[str, Difference]:
        """Student minus each control, and minus the teacher, on the katas."""
        mine = self.scored(self.settings.student)
        others = {name: self.scored(name) for name in self.settings.controls}
        return {
            name: between(mine, other)
            for name, other in {**others, "teacher": self.teacher}.items()
        }

    @cached_property
    def over_baseline(self) -> dict[str, Difference]:
        """Each of the student's variants minus the baseline, on the katas."""
        return {
            item.name: between(item, self.baseline)
            for item in self.delivered
            if item.name != self.baseline.name
        }

    @cached_property
    def perplexity_over(self) -> dict[str, Difference]:
        """The student's test perplexity over each control's, and over the teacher's."""
        others = {name: self.results.students[name].test_rows for name in self.settings.controls}
        return {
            name: perplexity_ratio(self.student.test_rows, rows)
            for name, rows in {**others, "teacher": self.results.teacher_test_rows}.items()
        }
