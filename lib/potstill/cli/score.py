"""`potstill score`: what an artefact can do, outside the pipeline, by the pipeline's instrument.

The project's own tasks are made by the package, so no run's files are needed: the same problems,
with the same ids, as those of the default run. A killed scoring goes on where it was: what is
graded lies in `.NAME.scratch` beside `--out`, by a hash of artefact, settings, problems and code.
"""

import argparse
import hashlib
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

import potstill
from potstill import files, katas, sandbox, splits, subset, tasks
from potstill.errors import InputError
from potstill.evaluate import rates, scoring
from potstill.evaluate.methods import METHODS
from potstill.evaluate.scoring import Scores
from potstill.models.chat import Message, template_of
from potstill.runtime import artifact
from potstill.scratch import Lock, keyed
from potstill.tasks import TASKS, Problem, Where, asking

ROWS, METRICS, ABOUT = "rows.jsonl", "metrics.json", "about.json"
SETTINGS: dict[str, Any] = {  # those of the default run
    "split": "test",
    "samples": 1,
    "temperature": 0.0,
    "context": 4608,
    "policy": "edgecoder",
    "cpu_s": 4.0,
    "sandbox": "minimum",
    "seed": 0,
}
PER_FAMILY = (6, 3, 1, 1)  # katas of a family in each language, by level, as in params.yaml
ALL = 1_000_000  # more problems than any task has
NO_TEMPLATE = "the artefact has no chat template, and the task asks in messages"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("artefact", type=Path, help="a folder that the pipeline or adopt made")
    parser.add_argument("--tasks", required=True, metavar="A,B", help=f"of {', '.join(TASKS)}")
    parser.add_argument("--limit", type=int, metavar="N", help="at most so many problems a task")
    parser.add_argument(
        "--source",
        action="append",
        default=[],
        metavar="TASK=FILE",
        help="where a task's problems lie that no package brings: a JSONL file or "
        "hub:OWNER/NAME/FILE@COMMIT",
    )
    parser.add_argument(
        "--max-tokens",
        type=int,
        metavar="N",
        help="of an answer (default: half as much again as the reference solutions have)",
    )
    parser.add_argument(
        "--prompt",
        metavar="FILE|NAME",
        help="other words to ask with: a YAML or JSON list of messages with {prompt} for the "
        f"problem, or one of {', '.join(asking.NAMED)}; for tasks that ask once for code",
    )
    parser.add_argument(
        "--split", choices=("validation", "test"), default=SETTINGS["split"],
        help="choices are made on validation, which not every task has",
    )  # fmt: skip
    parser.add_argument("--samples", type=int, default=1, metavar="N", help="answers a problem")
    parser.add_argument("--temperature", type=float, default=0.0, help="0: the likeliest token")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help=f"for {ROWS}, {METRICS}, {ABOUT} (scores/NAME)"
    )


def main(args: argparse.Namespace) -> int:
    """Score, write the folder, print a table; return 1 if a task was not run.

    Raises:
        InputError: an unknown task, no usable artefact, a sandbox that may not run here, or `--out`
            holds something else.
    """
    how, asked = _settings(args)
    messages = asking.read(args.prompt) if args.prompt else []
    if not args.artefact.is_dir():
        raise InputError(f"{args.artefact} is no folder: name an artefact, or adopt a file first")
    description = artifact.verify(args.artefact)
    out = args.out or Path("scores") / args.artefact.resolve().name
    if out.exists() and not (out / ROWS).is_file() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out} holds something else: name another folder with --out")
    kept = out.parent / f".{out.name}.scratch"
    kept.mkdir(parents=True, exist_ok=True)
    with Lock(kept, busy=f"another `potstill score` writes {out}: wait, or name another --out"):
        artefact = {key: description[key] for key in ("format", "quantisation", "files")}
        key = [artefact, how.model_dump(), messages]
        scores = _score(args.artefact, asked, how, kept, files.to_json(key), messages)
        metrics = rates.summary(scores)
        about = {
            "artefact": artefact,
            "settings": how.model_dump(),
            "prompt": messages or None,  # null: each task's own
            "potstill_version": potstill.__version__,
        }
        _write(out, scores.rows, metrics, about)
        files.remove(kept)
    for line in table(metrics, list(asked)):
        sys.stdout.write(f"{line}\n")
    if messages:
        sys.stdout.write(f"asked in the messages of {args.prompt}\n")
    sys.stdout.write(f"\n{out}: {ROWS}, {METRICS}, {ABOUT}\n")
    return 0 if all(metrics[f"{name}.verdict"] == "run" for name in asked) else 1


def check_counts(args: argparse.Namespace, *names: str) -> None:
    """Refuse counts below one; those that are not given may stay so.

    Raises:
        InputError: the first of them.
    """
    for name in names:
        value = getattr(args, name)
        if value is not None and value < 1:
            raise InputError(f"--{name.replace('_', '-')} is {value}: at least 1")


def _settings(args: argparse.Namespace) -> tuple[scoring.Settings, dict[str, int]]:
    """Return the settings and how many problems of each task are asked for."""
    check_counts(args, "limit", "max_tokens", "samples", "threads")
    names = [name.strip() for name in args.tasks.split(",")]
    for source in args.source:
        if not all(source.partition("=")):
            raise InputError(f"--source is {source!r}: TASK=FILE, such as mbpp=mbpp.jsonl")
    sources = dict(source.partition("=")[::2] for source in args.source)
    tasks.check_names([*names, *sources])
    own = [name for name in names if TASKS[name].METHOD != "code"] if args.prompt else []
    if own:
        raise InputError(f"--prompt is for tasks that ask once for code, and {own[0]} does not")
    caps = dict.fromkeys(names, args.max_tokens) if args.max_tokens else {}
    stated = {"sources": sources, "max_tokens": caps}
    stated |= {name: getattr(args, name) for name in ("split", "samples", "temperature", "threads")}
    try:
        how = scoring.Settings(**{**SETTINGS, **stated})
    except ValidationError as error:
        first = error.errors()[0]
        what = f"--{first['loc'][0]} is {first['input']}: " if first["loc"] else ""
        raise InputError(what + first["msg"].removeprefix("Value error, ")) from None
    return how, dict.fromkeys(names, args.limit or ALL)


def _score(
    artefact: Path,
    asked: dict[str, int],
    how: scoring.Settings,
    kept: Path,
    key: str,
    messages: Sequence[Message],
) -> Scores:
    """Return the rows of what can be run, and of the rest why it cannot.

    `kept` is where graded answers survive a kill, and `key` says of what besides the problems.
    """
    sandbox.check(how.sandbox)
    with tempfile.TemporaryDirectory() as folder:
        prompts = Path(folder)
        files.write_jsonl(prompts / f"{how.split}.jsonl", _katas(how.split, how.seed))
        where = Where(how.sources, prompts, split=how.split, policy=how.policy)
        found: dict[str, list[Problem] | str] = dict.fromkeys(asked, NO_TEMPLATE)
        if template_of(artefact):
            found = scoring.find(asked, where)
            found |= {name: why for name in asked if (why := _hindrance(name, found[name], where))}
        if messages:
            found = {
                name: problems if isinstance(problems, str) else asking.put(problems, messages)
                for name, problems in found.items()
            }
        able = [problems for problems in found.values() if not isinstance(problems, str)]
        if not able:
            return Scores(facts={name: {"reason": reason} for name, reason in found.items()})
        scratch = keyed(kept, digest(key, able))
        return scoring.score_artefact(artefact, asked, found, how, where, scratch)


def digest(key: str, problems: Iterable[list[Problem]]) -> str:
    """Return a hash of what decides the rows: the key, all problems of the tasks, the code."""
    hashed = hashlib.sha256(key.encode())
    for found in problems:
        hashed.update(repr(found).encode("utf-8", "surrogatepass"))
    for source in files.files_below(Path(potstill.__file__).parent):
        if source.suffix != ".pyc":
            hashed.update(source.read_bytes())
    return hashed.hexdigest()


def _hindrance(name: str, problems: list[Problem] | str, where: Where) -> str:
    """Return why a task's answers cannot be judged here, or nothing; found before any work."""
    if isinstance(problems, str) or "passed" not in METHODS[TASKS[name].METHOD].FLAGS:
        return ""
    try:
        for language in {problem.language for problem in problems}:
            subset.check(language, "1", where.policy)
    except InputError as error:  # the parser is not installed
        return str(error)
    return ""


def _katas(split: str, seed: int) -> list[dict[str, Any]]:
    """Return the katas of a split's families, as the stage `collect_prompts` picks them."""
    taken: dict[tuple[str, str], int] = {}
    rows = []
    for row in katas.instances(seed, max(PER_FAMILY), katas.LANGUAGES):
        key = (row["family"], row["language"])
        taken[key] = taken.get(key, 0) + 1
        inside = splits.split(row["family"]) == split
        if inside and taken[key] <= PER_FAMILY[row["level"] - 1]:
            rows.append(row)
    return rows


def _write(out: Path, rows: Sequence[dict[str, Any]], metrics: object, about: object) -> None:
    """Write the folder, whole or not at all."""
    partial = files.partial_path(out)
    files.remove(partial)
    partial.mkdir(parents=True)
    try:
        files.write_jsonl(partial / ROWS, rows)
        files.write_json(partial / METRICS, metrics)
        files.write_json(partial / ABOUT, about)
        files.publish(partial, out)
    except BaseException:
        files.remove(partial)
        raise


def table(metrics: dict[str, Any], names: Sequence[str]) -> list[str]:
    """Return the lines of the table: every measure with its interval and the number of rows."""
    lines = [f"{'task':<16}{'measure':<24}{'value':>9}   {'95 % interval':<20}{'n':>5}"]
    for name in names:
        if metrics[f"{name}.verdict"] != "run":
            lines.append(f"{name:<16}not run: {metrics[f'{name}.reason']}")
            continue
        for measure in _measures(metrics, name):
            key = f"{name}.{measure}"
            value, low, high = (metrics[k] for k in (key, f"{key}.low", f"{key}.high"))
            if f"{key}.unit" in metrics:  # no share of one
                shown, interval = f"{value:>9.3f}", f"{low:.3f} to {high:.3f}"
            else:
                shown, interval = f"{100 * value:>7.1f} %", f"{100 * low:.1f} to {100 * high:.1f}"
            lines.append(
                f"{name:<16}{measure:<24}{shown}   {interval:<20}{metrics[f'{name}.n']:>5}"
            )
    return lines


def _measures(metrics: dict[str, Any], task: str) -> list[str]:
    """Return the measures of a whole task; of parts and of what was cut off tell the metrics."""
    keys = [key.removesuffix(".low") for key in metrics if key.endswith(".low")]
    names = [key.removeprefix(f"{task}.") for key in keys if key.startswith(f"{task}.")]
    return [name for name in names if "[" not in name and name != "hit_limit"]
