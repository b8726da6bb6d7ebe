"""`potstill round`: find what a student fails at, so that its teacher is asked for more of that.

The student answers validation problems; their requests are clustered, and each task of the
training split gets the weight of the cluster that it lies nearest to. Nothing of the test split is
read. `sample_teacher.round` takes the file; then `dvc repro` makes the next student.
"""

import argparse
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from potstill import files, tasks
from potstill.cli import score
from potstill.errors import InputError
from potstill.evaluate import scoring
from potstill.rounds import embedding, failures
from potstill.runtime import artifact
from potstill.scratch import Lock, keyed

if TYPE_CHECKING:
    from collections.abc import Sequence

TASK = "katas"  # the task whose problems `collect_prompts` makes, in all splits
TELLING = 1.5  # between the weights of clusters: with less the draw is that of no round


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("artefact", type=Path, help="a student: a folder that the pipeline made")
    parser.add_argument(
        "--prompts", type=Path, default=Path("data/prompts"), help="what collect_prompts made"
    )
    parser.add_argument("--clusters", type=int, default=8, metavar="K")
    parser.add_argument("--limit", type=int, metavar="N", help="at most so many problems")
    parser.add_argument(
        "--embedder", default=embedding.MINILM, metavar="SOURCE",
        help="package:NAME or folder:PATH of a sentence encoder",
    )  # fmt: skip
    parser.add_argument("--max-tokens", type=int, metavar="N", help="of an answer")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0, help="of the draw and of the clusters")
    parser.add_argument("--out", type=Path, default=Path("rounds/round.json"), metavar="FILE")


def main(args: argparse.Namespace) -> int:
    """Write the file and print the clusters.

    Raises:
        InputError: no artefact or prompts, too few problems, or the student solves all.
    """
    score.check_counts(args, "clusters", "limit", "max_tokens", "threads")
    description = artifact.verify(args.artefact)
    how = scoring.Settings(
        **score.SETTINGS | {
            "sources": {}, "split": "validation", "threads": args.threads, "seed": args.seed,
            "max_tokens": {TASK: args.max_tokens} if args.max_tokens else {},
        }
    )  # fmt: skip
    train = list(files.read_jsonl(args.prompts / "train.jsonl", ["id", "task"]))
    where = tasks.Where({}, args.prompts, split=how.split, policy=how.policy)
    problems = scoring.find([TASK], where)[TASK]
    if isinstance(problems, str):
        raise InputError(problems)
    requests = {problem.id: problem.request for problem in problems}
    key = [description["files"], how.model_dump(), files.sha256_tree(args.prompts)]
    rows = _rows(args, problems, how, where, score.digest(files.to_json(key), [problems]))
    texts = [requests[row["id"]] for row in rows]
    found = failures.cluster(
        texts,
        embedding.embed(texts, args.embedder),
        [row["passed"] for row in rows],
        num_clusters=args.clusters,
        seed=args.seed,
    )
    weights = found.weights(embedding.embed([row["task"] for row in train], args.embedder))
    files.write_json(
        args.out,
        {
            "artefact": description["files"],
            "settings": how.model_dump(),
            "embedder": args.embedder,
            "clusters": [asdict(cluster) for cluster in found.found],
            "weights": dict(zip((row["id"] for row in train), weights, strict=True)),
        },
    )
    _show(found.found)
    sys.stdout.write(f"\n{args.out}: name it as sample_teacher.round, then run dvc repro\n")
    return 0


def _rows(
    args: argparse.Namespace,
    problems: list[tasks.Problem],
    how: scoring.Settings,
    where: tasks.Where,
    digest: str,
) -> list[dict[str, Any]]:
    """Return the graded answers; a killed run goes on where it was."""
    kept = args.out.parent / f".{args.out.stem}.scratch"
    kept.mkdir(parents=True, exist_ok=True)
    with Lock(
        kept, busy=f"another `potstill round` writes {args.out}: wait, or name another --out"
    ):
        asked, found = {TASK: args.limit or len(problems)}, {TASK: problems}
        scores = scoring.score_artefact(
            args.artefact, asked, found, how, where, keyed(kept, digest)
        )
        files.remove(kept)
    if not scores.rows:
        raise InputError(f"{TASK} was not run: {scores.facts[TASK]['reason']}")
    return scores.rows


def _show(clusters: "Sequence[failures.Cluster]") -> None:
    sys.stdout.write(f"{'cluster':<44}{'tasks':>6}{'failed':>8}{'weight':>8}\n")
    for one in sorted(clusters, key=lambda one: -one.weight):
        sys.stdout.write(f"{one.name:<44}{one.tasks:>6}{one.failed:>8}{one.weight:>8.2f}\n")
    weights = [one.weight for one in clusters]
    least, most = min(weights), max(weights)
    if most < TELLING * least:
        sys.stdout.write(
            f"\nThe weights lie between {least:.2f} and {most:.2f}: nearly the same tasks will be "
            "drawn as at random.\n"
        )
