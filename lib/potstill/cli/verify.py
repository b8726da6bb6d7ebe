"""Check the files of a checkout, and the DVC cache behind them, against metrics/SHA256SUMS.

An artefact that is not of this checkout's run is checked against its own artifact.json.

DVC 3.67 trusts an object in its cache that is read-only: a damaged one is checked out with exit
code 0 and `dvc status` calls it up to date. So every file is read here and hashed by us.

Memory: one chunk of a file and the listing of one output folder at a time.
"""

import functools
import hashlib
import shlex
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from potstill import hashes
from potstill.errors import InputError, MissingPackageError, missing
from potstill.files import CHUNK_BYTES, read_json, sha256_file
from potstill.params import read_params
from potstill.runtime import artifact


@dataclass
class Counts:
    """How many files were looked at, and how many of them were not as recorded."""

    files: int = 0
    bad: int = 0


class Object(NamedTuple):
    """Where DVC keeps a file: its cache object and the output to which the file belongs."""

    path: Path
    md5: str
    out: str


def verify(
    sums: Path, paths: Sequence[Path] = (), *, cache: bool = False, counts: Counts
) -> Iterator[str]:
    """Yield one line for each file that is missing, truncated, different or damaged in the cache.

    A file in the workspace that is wrong has its cache object examined, to say what mends it.

    Args:
        sums: the list that the stage `record_hashes` wrote; run from the project's root.
        paths: check only files at or below these; all without any. May name artefacts that are
            not in the list.
        cache: examine the cache object of every file, not only of those that are wrong.
        counts: filled while the lines are drawn.

    Raises:
        InputError: no list, a line of it is damaged, or a path of `paths` is neither in it nor an
            artefact.
        MissingPackageError: `cache` without DVC.
    """
    objects = Objects(Path("dvc.lock"))
    wanted = [path.as_posix() for path in paths]
    unseen = set(wanted)
    artefacts = {path for path in wanted if (Path(path) / artifact.NAME).is_file()}
    if unseen - artefacts and not sums.is_file():
        named = ", ".join(sorted(unseen - artefacts))
        raise InputError(
            f"{named}: no artefact, for there is no {artifact.NAME} in it, and {sums} is missing: "
            "name a folder that the pipeline or `potstill adopt` made"
        )
    needed = sums.is_file() or not wanted
    for entry in _with_progress(hashes.read(sums) if needed else iter(())):
        below = [path for path in wanted if entry.path == path or entry.path.startswith(f"{path}/")]
        if wanted and not below:
            continue
        unseen.difference_update(below)
        counts.files += 1
        problem = _problem(entry, objects, cache=cache)
        if problem:
            counts.bad += 1
            yield problem
    for path in sorted(unseen & artefacts):
        yield from _artefact(Path(path), counts)
    if unseen := unseen - artefacts:
        raise InputError(
            f"{sums} names nothing at or below {', '.join(sorted(unseen))}: "
            "give paths relative to the project's root, as in that file"
        )


def _artefact(path: Path, counts: Counts) -> Iterator[str]:
    counts.files += len(artifact.read(path)["files"])
    try:
        artifact.verify(path)
    except InputError as error:
        counts.bad += 1
        yield str(error)


def _problem(entry: hashes.Entry, objects: "Objects", *, cache: bool) -> str | None:
    """Return what is wrong with one file and what mends it, or None."""
    fault = _fault(entry, Path(entry.path))
    if fault is None and not cache:
        return None
    try:
        stored = objects.find(entry.path)
    except MissingPackageError:
        if cache:
            raise
        return f"{entry.path}: {fault}; bring it again from where it came"
    problem = _cache_problem(entry, stored) if stored and stored.path.is_file() else None
    if problem or fault is None:
        return problem
    name = shlex.quote(entry.path)
    if stored is None:
        remedy = "no stage in dvc.lock makes it: delete it or `git checkout dvc.lock`; `dvc repro`"
    elif not stored.path.is_file():
        remedy = f"`rm -f {name}`, then `dvc pull {shlex.quote(stored.out)}`"
    else:
        remedy = f"`rm -f {name}`, then `dvc checkout {shlex.quote(stored.out)}`"
    return f"{entry.path}: {fault}; {remedy}"


def _fault(entry: hashes.Entry, path: Path) -> str | None:
    if not path.is_file():
        return "missing"
    return _difference(entry, path.stat().st_size, sha256_file(path))


def _difference(entry: hashes.Entry, num_bytes: int, sha256: str) -> str | None:
    if sha256 == entry.sha256:
        return None
    size = "" if entry.num_bytes is None else f"{entry.num_bytes} bytes, "
    kind = "truncated" if entry.num_bytes and num_bytes < entry.num_bytes else "differs"
    return (
        f"{kind}: {num_bytes} bytes, SHA-256 {sha256[:12]}; "
        f"expected {size}SHA-256 {entry.sha256[:12]}"
    )


def _cache_problem(entry: hashes.Entry, stored: Object) -> str | None:
    """Return what is wrong with the cache object of a file, or None."""
    num_bytes, sha256, md5 = _digest(stored.path)
    difference = _difference(entry, num_bytes, sha256)
    if difference is None:
        return None
    if md5 == stored.md5:
        return (
            f"{entry.path}: dvc.lock and SHA256SUMS are of two different runs: "
            "`dvc repro`, or `git checkout` both from one commit"
        )
    both = f"{shlex.quote(str(stored.path))} {shlex.quote(entry.path)}"
    return (
        f"{entry.path}: damaged in the cache: {stored.path} {difference}; `rm -f {both}`, then "
        f"`dvc pull {shlex.quote(stored.out)}`; if that brings the damage back, the remote has it: "
        "delete its object and `dvc push` from a checkout that passes"
    )


def _digest(path: Path) -> tuple[int, str, str]:
    """Return a file's bytes, SHA-256 and MD5 in one reading."""
    sha256, md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
    num_bytes = 0
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            sha256.update(chunk)
            md5.update(chunk)
            num_bytes += len(chunk)
    return num_bytes, sha256.hexdigest(), md5.hexdigest()


class Objects:
    """The way from a path in the workspace to its object in DVC's cache, through dvc.lock."""

    def __init__(self, lock: Path) -> None:
        stages = (read_params(lock).get("stages") or {}) if lock.is_file() else {}
        outs = [out for stage in stages.values() for out in stage.get("outs", ())]
        self._md5 = {out["path"]: out["md5"] for out in outs if out.get("hash") == "md5"}

    def find(self, path: str) -> Object | None:
        """Return the cache object of a file, or None where no output of dvc.lock holds it.

        Raises:
            InputError: the listing of the output's folder is damaged in the cache.
        """
        for out in (path, *(parent.as_posix() for parent in Path(path).parents)):
            if out in self._md5:
                break
        else:
            return None
        md5 = self._md5[out]
        if not md5.endswith(".dir"):
            return Object(self._object(md5), md5, out)
        listing = self._object(md5)
        if not listing.is_file():  # nothing of this folder was pulled yet
            return Object(listing, md5, out)
        members = _read_listing(listing, md5, out)
        inner = members.get(Path(path).relative_to(out).as_posix())
        return None if inner is None else Object(self._object(inner), inner, out)

    @functools.cached_property
    def _cache(self) -> Path:
        try:
            from dvc.repo import Repo  # half a second: only where a cache object is looked for
        except ModuleNotFoundError:
            raise missing("a look into the cache", "dvc") from None
        with Repo() as repo:
            return Path(repo.cache.local.path)

    def _object(self, md5: str) -> Path:
        return self._cache / md5[:2] / md5[2:]


@functools.lru_cache(maxsize=1)
def _read_listing(listing: Path, md5: str, out: str) -> dict[str, str]:
    if f"{_digest(listing)[2]}.dir" != md5:
        raise InputError(
            f"{out}: the listing of this folder is damaged in the cache: "
            f"`rm -f {shlex.quote(str(listing))}`, then `dvc pull {shlex.quote(out)}`"
        )
    return {row["relpath"]: row["md5"] for row in read_json(listing)}


def _with_progress(entries: Iterator[hashes.Entry]) -> Iterator[hashes.Entry]:
    """Pass the entries on, and show them passing where a person watches."""
    if not sys.stderr.isatty():
        yield from entries
        return
    from rich.console import Console
    from rich.progress import track

    yield from track(entries, "verify", console=Console(stderr=True), transient=True)
