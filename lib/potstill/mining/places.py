"""Where source code lies: the standard library, installed packages, folders, archives."""

import os
import re
import sys
import sysconfig
import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path, PurePosixPath

from potstill import files
from potstill.errors import InputError
from potstill.node import installed

KINDS = ("stdlib", "package", "npm", "folder", "archive")
_SKIPPED = {"test", "tests", "testing", "idlelib", "lib2to3", "site-packages", "turtledemo"}
_SKIPPED |= {"__pycache__", "node_modules", "vendor", "_vendor", "build", "dist"}
_NPM_NAME = r"(@[\w.-]+/)?[\w-][\w.-]*"
_MAX_BYTES = 1 << 20  # of one file: longer ones are tables or generated
_ARCHIVES = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar", ".zip", ".whl")


@dataclass(frozen=True)
class Place:
    """A collection of source files.

    Attributes:
        name: of the collection with its version, as rows name it.
        licence: as its maker states it; "unknown" where nobody does.
        path: a folder or an archive.
        files: below `path`, of a package; None takes all.
    """

    name: str
    licence: str
    path: Path
    files: tuple[str, ...] | None = None

    def sources(self, suffixes: tuple[str, ...]) -> Iterator[tuple[str, bytes]]:
        """Yield (path below the place, its bytes) in the order of the paths; no tests, no vendors.

        Raises:
            InputError: an archive that cannot be read to its end.
        """
        found = self._archived(suffixes) if self.path.is_file() else self._below(suffixes)
        yield from sorted(found)

    def _below(self, suffixes: tuple[str, ...]) -> Iterator[tuple[str, bytes]]:
        names = self.files
        if names is None:
            names = tuple(x.relative_to(self.path).as_posix() for x in self.path.rglob("*"))
        for name in names:
            path = self.path / name
            if _is_wanted(name, suffixes) and path.is_file() and _is_short(path.stat().st_size):
                yield name, path.read_bytes()

    def _archived(self, suffixes: tuple[str, ...]) -> Iterator[tuple[str, bytes]]:
        try:
            yield from _members(self.path, suffixes)
        except (OSError, EOFError, tarfile.TarError, zipfile.BadZipFile, ValueError) as error:
            raise InputError(f"{self.path} is no whole archive: {error}") from None


def _is_wanted(name: str, suffixes: tuple[str, ...]) -> bool:
    return name.endswith(suffixes) and not _SKIPPED & set(PurePosixPath(name).parts)


def _is_short(num_bytes: int) -> bool:
    return num_bytes <= _MAX_BYTES


def _members(path: Path, suffixes: tuple[str, ...]) -> Iterator[tuple[str, bytes]]:
    """Yield the members of an archive that are wanted; nothing is written to the disk."""
    if path.suffix in (".zip", ".whl"):
        with zipfile.ZipFile(path) as archive:
            for info in archive.infolist():
                if _is_wanted(info.filename, suffixes) and _is_short(info.file_size):
                    yield info.filename, archive.read(info)
        return
    with tarfile.open(path) as archive:
        for member in archive:
            if member.isfile() and _is_wanted(member.name, suffixes) and _is_short(member.size):
                file = archive.extractfile(member)
                yield member.name, file.read() if file else b""


def find(text: str, licence: str | None) -> Place:
    """Return the place that a setting names: one of `KINDS`, and after a colon which one.

    Args:
        text: "stdlib", "package:NAME" of an installed distribution, "npm:NAME" of a package in
            node_modules, "folder:PATH", or "archive:PATH" of an sdist, a wheel or an npm tarball;
            PATH may name variables of the environment.
        licence: of what is there; None takes what its maker states.

    Raises:
        InputError: no such kind, package, folder or archive.
    """
    kind, _, value = text.partition(":")
    if text == "stdlib":
        version = ".".join(map(str, sys.version_info[:3]))
        folder = Path(sysconfig.get_paths()["stdlib"])
        return Place(f"python-{version}", licence or "PSF-2.0", folder)
    path = Path(os.path.expandvars(value)).expanduser()
    if kind == "package":
        return _package(value, licence)
    if kind == "npm":
        return _npm(value, licence)
    if kind == "folder" and path.is_dir():
        return Place(path.resolve().name, licence or "unknown", path)
    if kind == "archive" and path.is_file() and path.name.endswith(_ARCHIVES):
        return Place(path.name, licence or "unknown", path)
    allowed = "stdlib, package:NAME, npm:NAME, folder:PATH (one that exists), archive:PATH "
    raise InputError(f"no source code at {text!r}; allowed: {allowed}({', '.join(_ARCHIVES)})")


def _package(name: str, licence: str | None) -> Place:
    try:
        found = metadata.distribution(name)
    except (metadata.PackageNotFoundError, ValueError):
        raise InputError(f"package {name!r} is not installed here: pip install it") from None
    names = tuple(path.as_posix() for path in found.files or () if ".." not in path.parts)
    title = f"{found.metadata['Name']}-{found.version}"
    root = Path(str(found.locate_file("")))
    return Place(title, licence or _licence(found.metadata), root, names)


def _npm(name: str, licence: str | None) -> Place:
    folder = installed(name) if re.fullmatch(_NPM_NAME, name) else None
    if folder is None:
        raise InputError(f"npm package {name!r} is not installed here: npm install it")
    stated = files.read_json(folder / "package.json")
    spdx = stated.get("license")
    said = spdx if isinstance(spdx, str) else "unknown"
    return Place(f"{name}-{stated.get('version', '0')}", licence or said, folder)


def _licence(stated: metadata.PackageMetadata) -> str:
    """Return the SPDX expression, the short text, or the classifier that a package states."""
    fields = {key: str(stated[key]) for key in ("License-Expression", "License") if key in stated}
    text = fields.get("License-Expression") or fields.get("License", "")
    if text and re.fullmatch(r"[\w .+()/-]{1,60}", text):
        return text
    classifiers = [str(value) for value in stated.get_all("Classifier") or ()]
    names = [value.rsplit(" :: ", 1)[-1] for value in classifiers if "License ::" in value]
    return names[0] if names else "unknown"
