"""The command `potstill`: what a person does around the pipeline.

Each command imports its code only when it is chosen, so that `--help` and `--tools` need nothing
but Python and start at once.
"""

import argparse
import errno
import importlib
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from potstill.errors import InputError, missing

# Commands whose arguments and work live in a package: `add_arguments(parser)` and `main(args)`.
PACKAGES = {
    "check": ("potstill.cli.check", "say whether code stays inside the executor's subset"),
    "run": ("potstill.cli.run", "run untrusted code in the sandbox"),
    "doctor": ("potstill.cli.doctor", "look for what would spoil the trainings, in a minute each"),
    "chat": ("potstill.cli.chat", "talk with an artefact"),
    "adopt": (
        "potstill.cli.adopt",
        "make an artefact of a GGUF file, an ONNX folder, a checkpoint",
    ),
    "score": ("potstill.cli.score", "measure an artefact's pass rates, outside the pipeline"),
    "compare": ("potstill.cli.compare", "compare two scored artefacts, problem by problem"),
    "pack": (
        "potstill.cli.pack",
        "make a recipe of an adapted student, small enough to pass on",
    ),
    "rebuild": (
        "potstill.cli.rebuild",
        "build a recipe's artefact again, from the base model",
    ),
    "draft": (
        "potstill.cli.draft",
        "write the map by which a student drafts for its teacher",
    ),
    "round": (
        "potstill.cli.round",
        "find what a student fails at, to ask its teacher for more of it",
    ),
}
COULD_NOT_CHECK = 2  # of PACKAGES: 1 means "no", so an unusable input needs its own code
STOPPED = 130  # as a shell has it for Ctrl-C
# What a path of the user's meets: it may not be written, lies below a file, or the disk is full.
USERS_TO_MEND = {
    errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG,
    errno.ENOENT, errno.ENOSPC, errno.EDQUOT,
}  # fmt: skip


def _preset(args: argparse.Namespace) -> int:
    from potstill.cli import presets

    changes = presets.apply(args.file, args.params_file)
    for change in changes:
        print(change)
    if not changes:
        print(f"{args.params_file} already holds {args.file}")
    return 0


def _preflight(args: argparse.Namespace) -> int:
    from potstill.cli import preflight

    problems = preflight.check_tools() if args.tools else preflight.check_all()
    for problem in problems:
        print(problem, file=sys.stderr)
    if not problems and not args.tools:
        print(preflight.layers())
    return 1 if problems else 0


def _verify(args: argparse.Namespace) -> int:
    from potstill.cli import verify

    counts = verify.Counts()
    for problem in verify.verify(args.sums, args.paths, cache=args.cache, counts=counts):
        print(problem, flush=True)
    print(f"{counts.files} files checked, {counts.bad} bad")
    return 1 if counts.bad else 0


def _results(args: argparse.Namespace) -> int:
    for path in (args.table, args.report):
        if not path.is_file():
            raise InputError(
                f"{path} is missing: run `dvc repro`, or `dvc pull` for a tag's results"
            )
    print(args.table.read_text(encoding="utf-8").rstrip())
    print(f"\nReport: {args.report.resolve()}")
    return 0


def _publish(args: argparse.Namespace) -> int:
    from potstill.cli import publish

    for path in publish.publish(args.run, args.folder, args.document):
        print(path)
    return 0


def _add_own(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    preset = commands.add_parser("preset", help="merge a preset into params.yaml")
    preset.add_argument("file", type=Path, help="YAML file with the differences to params.yaml")
    preset.add_argument("--params-file", type=Path, default=Path("params.yaml"))
    preset.set_defaults(command=_preset)
    preflight = commands.add_parser(
        "preflight", help="check settings, packages and system tools before any work"
    )
    preflight.add_argument("--tools", action="store_true", help="only the system's tools")
    preflight.set_defaults(command=_preflight)
    verify = commands.add_parser("verify", help="check every output against metrics/SHA256SUMS")
    verify.add_argument("paths", type=Path, nargs="*", help="only files at or below these paths")
    verify.add_argument("--cache", action="store_true", help="check DVC's cache objects as well")
    verify.add_argument("--sums", type=Path, default=Path("metrics/SHA256SUMS"))
    verify.set_defaults(command=_verify)
    results = commands.add_parser("results", help="print the results table and the report's path")
    results.add_argument("--table", type=Path, default=Path("metrics/results.md"))
    results.add_argument("--report", type=Path, default=Path("metrics/report.html"))
    results.set_defaults(command=_results)
    publish = commands.add_parser("publish", help="freeze this run's results beside a document")
    publish.add_argument(
        "document", type=Path, help="Markdown file with marks of the folder: <!-- results -->"
    )
    publish.add_argument("--folder", type=Path, default=Path("docs/results"), help="of results")
    publish.add_argument("--run", type=Path, default=Path(), help="folder of the run")
    publish.set_defaults(command=_publish)


def build_parser(chosen: str | None) -> argparse.ArgumentParser:
    """Return the parser of all commands; a package's arguments only where it is `chosen`."""
    parser = argparse.ArgumentParser(prog="potstill", description="Around the pipeline.")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    _add_own(commands)
    for name, (module_name, text) in PACKAGES.items():
        command = commands.add_parser(name, help=text)
        if name == chosen:
            module = importlib.import_module(module_name)
            module.add_arguments(command)
            command.set_defaults(command=module.main)
    return parser


def _run(chosen: str | None, arguments: Sequence[str]) -> int:
    """Run the chosen command; of a package that it lacks it says so, as a mistake of the user's."""
    try:
        args = build_parser(chosen).parse_args(arguments)
        command: Callable[[argparse.Namespace], int] = args.command
        return command(args)
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package in ("", "potstill"):
            raise
        raise missing("this command", package) from None


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; a mistake of the user's is one line."""
    arguments = sys.argv[1:] if argv is None else list(argv)
    chosen = arguments[0] if arguments else None
    try:
        code = _run(chosen, arguments)
        sys.stdout.flush()
    except KeyboardInterrupt:
        print(f"potstill {chosen}: stopped", file=sys.stderr)
        return STOPPED
    except InputError as error:
        print(f"potstill {chosen}: {error}", file=sys.stderr)
        return COULD_NOT_CHECK if chosen in PACKAGES else 1
    except BrokenPipeError:  # `potstill verify | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        if error.errno not in USERS_TO_MEND:
            raise
        said = " ".join(str(error).split())
        print(f"potstill {chosen}: {said}: name another place, or make room", file=sys.stderr)
        return COULD_NOT_CHECK if chosen in PACKAGES else 1
    return code


if __name__ == "__main__":
    sys.exit(main())
