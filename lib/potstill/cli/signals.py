"""What students, signals and ensembles say of each other in params.yaml: held before any work.

A student that follows a teacher needs a signal of its very rows, from a teacher that was not
trained on them, of a kind that its objective can be computed from.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from potstill.distill.objectives import OBJECTIVES
from potstill.params import closest, section
from potstill.tokens.folds import FOLDS

Tree = dict[str, Any]


def check(tree: Tree) -> Iterator[str]:
    """Yield a line for every signal that cannot do what it is named for."""
    signals = _signals(tree)
    yield from _ensembles(tree, signals)
    for name, signal in signals.items():
        if set(_seen(tree, signal["teacher"])) >= set(FOLDS) and not signal["allow_seen"]:
            yield (
                f"params.yaml: signals.{name}: models/{signal['teacher']} is trained on rows of "
                "all folds, so none is left that it may score: give it one, or state allow_seen"
            )
    for name, stated in section(tree, "students").items():
        student = {**section(tree, "training"), **stated}
        asks = student.get("alpha", 1) != 1 or student.get("hidden")
        if not asks or not student.get("steps", 1):
            continue
        members = _members(tree, str(student["signal"]))
        if all(member in signals for member in members):  # others have their line already
            used = [signals[member] for member in members]
            yield from _student(tree, f"params.yaml: students.{name}", student, used)
    for name, stated in section(tree, "on_policy").items():
        student = {**section(tree, "training"), **section(tree, "rollouts"), **stated}
        members = _members(tree, str(student["signal"])) if not student.get("served") else []
        if all(member in signals for member in members):
            used = [signals[member] for member in members]
            yield from _on_policy(tree, f"params.yaml: on_policy.{name}", student, used)


def _signals(tree: Tree) -> dict[str, Tree]:
    shared = section(tree, "cache_logits")
    return {name: {**shared, **own} for name, own in section(tree, "signals").items()}


def _members(tree: Tree, signal: str) -> list[str]:
    """Return the signals that a student's signal is made of."""
    kind, _, name = signal.partition("/")
    if kind == "ensembles":
        return list(section(tree, "ensembles").get(name, {}).get("weights", {}))
    return [name]


def _ensembles(tree: Tree, signals: Mapping[str, Tree]) -> Iterator[str]:
    for name, ensemble in section(tree, "ensembles").items():
        where = f"params.yaml: ensembles.{name}"
        weights = ensemble["weights"]
        for member in weights:
            if member not in signals:
                yield f"{where}.weights: no signal is called {member!r}; {closest(member, signals)}"
            elif (codec := signals[member]["codec"]) != "topk" and not _all_run(weights, signals):
                yield (
                    f"{where}.weights: signals.{member} has codec {codec}, and only stored top "
                    "tokens have a mean in log-probability: take codec topk"
                )
        for language, given in ensemble.get("by_language", {}).items():
            for member in given:
                if member not in weights:
                    yield f"{where}.by_language.{language}: {member}; {closest(member, weights)}"


def _all_run(names: Mapping[str, Any], signals: Mapping[str, Tree]) -> bool:
    """Say whether signals are of teachers that run, which an ensemble asks in turns."""
    return all(signals.get(name, {}).get("codec") == "live" for name in names)


def _student(tree: Tree, where: str, student: Tree, used: list[Tree]) -> Iterator[str]:
    if student.get("hidden"):
        yield from _layers(tree, where, student, used)
    if any(signal["codec"] == "sampled" for signal in used):
        yield from _drawn(where, student)
    yield from _unseen(tree, where, student, used)
    stored = [signal["max_rows"] for signal in used if signal["codec"] != "live"]
    if stored and student["max_rows"] > min(stored):
        yield (
            f"{where}: max_rows is {student['max_rows']}, {student['signal']} has "
            f"{min(stored)}: cache at least as many (cache_logits.max_rows)"
        )


def _unseen(tree: Tree, where: str, student: Tree, used: list[Tree]) -> Iterator[str]:
    """Some teacher may score each of the student's rows."""
    may_score = [set(FOLDS) - set(_seen(tree, s["teacher"])) for s in used if not s["allow_seen"]]
    wanted = set(student.get("folds", FOLDS))
    if len(may_score) == len(used) and used and (lost := wanted - set().union(*may_score)):
        yield (
            f"{where}: folds are {sorted(wanted)}, and the teachers of {student['signal']} were "
            f"trained on {sorted(lost)}: train the student on other folds, add a teacher of "
            "another fold (presets/cross-fit.yaml), or state allow_seen"
        )


def _on_policy(tree: Tree, where: str, student: Tree, used: list[Tree]) -> Iterator[str]:
    """A student's own answers are scored by teachers that run."""
    for signal in used:
        if signal["codec"] != "live":
            yield (
                f"{where}: {student['signal']} has codec {signal['codec']}, and a text that the "
                "student has yet to write is in no store: take codec live, or served"
            )
    yield from _unseen(tree, where, student, used)


def _layers(tree: Tree, where: str, student: Tree, used: list[Tree]) -> Iterator[str]:
    """A teacher's layers are asked of one that runs; a start's are known where it states them."""
    for signal in used:
        if signal["codec"] != "live":
            yield (
                f"{where}: hidden asks the teacher's layers, and {student['signal']} has codec "
                f"{signal['codec']}: take codec live, or leave hidden out"
            )
    start = _entry(tree, "starts", str(student.get("start")))
    count = start.get("num_layers") or (start.get("fresh") or {}).get("num_hidden_layers")
    for mine, _ in student["hidden"].get("pairs") or ():
        if count is not None and mine > count:
            yield f"{where}: hidden.pairs has layer {mine} of a start with {count} layers"


def _drawn(where: str, student: Tree) -> Iterator[str]:
    """Ids drawn from a teacher do not serve everything; `Objective.check` says why."""
    objective = student.get("objective", "forward_kl")
    if objective in OBJECTIVES and "samples" not in OBJECTIVES.constant(objective, "SIGNALS"):
        able = [n for n in OBJECTIVES if "samples" in OBJECTIVES.constant(n, "SIGNALS")]
        yield (
            f"{where}: objective is {objective}, the codec of {student['signal']} is sampled: take "
            f"{' or '.join(able)}, or codec topk"
        )
    if student.get("temperature", 1) != 1 or student.get("margin") is not None:
        yield (
            f"{where}: the codec of {student['signal']} is sampled, which serves temperature 1 "
            "without a margin: state both so, or take codec topk"
        )


def _seen(tree: Tree, checkpoint: str, above: tuple[str, ...] = ()) -> set[int]:
    """Return the folds that a checkpoint will have been trained on: lineage.json, foreseen."""
    kind, _, name = checkpoint.partition("/")
    if checkpoint in above:  # a circle, which has its own line
        return set()
    before = (*above, checkpoint)
    if checkpoint.startswith("teacher_"):
        name = checkpoint.removeprefix("teacher_")
        return _trained({**section(tree, "adapt_teacher"), **_entry(tree, "teachers", name)}, tree)
    if kind == "starts":
        start = _entry(tree, "starts", name)
        return set() if start.get("fresh") else _seen(tree, str(start.get("from")), before)
    for several, origin in (("on_policy", "model"), ("compressed", "checkpoint")):
        if kind == "students" and (student := _entry(tree, several, name)):
            return _trained(student, tree) | _seen(tree, str(student.get(origin)), before)
    if kind == "students":
        student = _entry(tree, "students", name)
        return _trained(student, tree) | _seen(tree, f"starts/{student.get('start')}", before)
    return set()


def _entry(tree: Tree, name: str, variant: str) -> Tree:
    found: Tree = section(tree, name).get(variant, {})
    return found


def _trained(own: Tree, tree: Tree) -> set[int]:
    settings = {**section(tree, "training"), **own}
    return set(settings.get("folds", FOLDS)) if settings.get("steps") else set()
