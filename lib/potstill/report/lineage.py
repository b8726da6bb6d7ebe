"""Where the student comes from: teacher, data and what was cut, as pairs for a table."""

from collections.abc import Mapping

from potstill.report import text
from potstill.report.record import Record

Fact = tuple[str, str]


def facts(
    *,
    teacher: Record,
    dataset: Record,
    vocabulary: Record,
    adapted: Record,
    start: Record,
    cached: Mapping[str, Record],
) -> list[Fact]:
    """Return what each step took and gave, in the order of the pipeline."""
    whole, percent = text.whole, text.percent
    splits = ("train", "validation", "test")
    rows = ", ".join(f"{whole(dataset.number(f'{name}_rows'))} {name}" for name in splits)
    ids = f"{whole(vocabulary.number('vocab_before'))} ids"
    kept = f"cut to {whole(vocabulary.number('vocab_after'))}"
    covered = percent(vocabulary.number("test_kept_share"), digits=2)
    steps = f"{whole(adapted.number('steps'))} steps on labels"
    seen = f"{whole(adapted.number('num_tokens'))} answer tokens"
    layers = [whole(start.number(f"num_layers_{when}")) for when in ("before", "after")]
    return [
        ("Teacher", teacher.text("source")),
        ("Revision", teacher.text("revision")),
        ("Licence", teacher.text("licence")),
        ("SHA-256 of its source", teacher.text("sha256").replace(",", " ")),
        ("Parameters of the teacher", whole(teacher.number("num_parameters"))),
        ("Rows", f"{rows}; no family or module in two"),
        ("Vocabulary", f"{ids} {kept}; they cover {covered} of test tokens"),
        ("Teacher's adaptation", f"{steps}, {seen}"),
        ("Student begins as", start.text("source")),
        ("Layers", " cut to ".join(layers) if layers[0] != layers[1] else layers[0]),
        ("Parameters of the student", whole(start.number("num_parameters"))),
        *((f"Teacher's distributions ({name})", _signal(one)) for name, one in cached.items()),
    ]


def _signal(cached: Record) -> str:
    """Say how many tokens a signal has and what was kept of each; a live teacher keeps nothing."""
    if cached.optional("num_tokens") is None:
        return "computed beside the student"
    tokens = f"{text.whole(cached.number('num_tokens'))} tokens"
    return f"{tokens}, {_kept(cached)}, {cached.number('bytes_per_token'):.0f} bytes a token"


def _kept(cached: Record) -> str:
    """Say how much of the distributions was kept; drawn ids stand for all of it."""
    mass = cached.optional("kept_mass_mean")
    if mass is None:
        return f"{cached.number('distinct_ids_mean'):.1f} ids drawn"
    return f"{text.percent(mass, digits=2)} of the probability kept"
