"""The folder of an ensemble: header.json alone, which names its signals, their hashes and weights.

Made again it costs nothing, and a student follows the hashes: what DVC knows of a store it knows of
every ensemble that the store is in.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from potstill import files
from potstill.errors import InputError
from potstill.logits import store
from potstill.logits.ensemble import Ensemble
from potstill.logits.routed import Asked, Routed
from potstill.logits.store import LIVE, LogitStore
from potstill.params import closest

CODEC, VERSION = "ensemble", 1


def write(
    out: Path,
    signals: Path,
    weights: Mapping[str, float],
    by_domain: Mapping[str, Mapping[str, float]],
) -> dict[str, int]:
    """Write the folder of an ensemble, which is header.json alone; return what it is made of.

    Args:
        out: the folder to make.
        signals: the folder of all signals.
        weights: name of each signal that is combined -> its weight.
        by_domain: the same for the rows of a domain; a signal that is not named there has 0.

    Returns:
        num_signals; of stored ones also num_rows and num_shared_rows.

    Raises:
        InputError: an unknown signal, or signals that cannot be combined.
    """
    known = sorted(path.name for path in signals.iterdir() if path.is_dir())
    for name in weights:
        if name not in known:
            raise InputError(f"ensemble: there is no signal {name!r}; {closest(name, known)}")
    for domain, given in by_domain.items():
        for name in given:
            if name not in weights:
                raise InputError(
                    f"ensemble: {domain} weighs {name!r}, which is not of it; "
                    f"{closest(name, weights)}"
                )
    folders = [signals / name for name in weights]
    header = {
        "codec": CODEC,
        "version": VERSION,
        "members": [{"folder": path.as_posix(), "sha256": _sha256(path)} for path in folders],
        "weights": list(weights.values()),
        "by_domain": {
            domain: [given.get(name, 0.0) for name in weights]
            for domain, given in by_domain.items()
        },
    }
    out.mkdir(parents=True)
    files.write_json(out / "header.json", {"header": header, "files": {}})
    if _runs(folders):
        return {"num_signals": len(folders)}
    ensemble = _stored(folders, header)
    return {"num_signals": len(folders), **ensemble.summary()}


def read(folder: Path, run: Callable[[Path], Asked]) -> Ensemble | Routed:
    """Return the ensemble of a folder: of stored signals their mean, of live ones each in its turn.

    Args:
        folder: data/ensembles/NAME.
        run: loads the teacher of a live signal.

    Raises:
        InputError: it is none of this version, a signal of it has changed since, or live teachers
            are to be averaged.
    """
    header = files.read_json(folder / "header.json")["header"]
    if header["version"] != VERSION:
        raise InputError(
            f"{folder} is version {header['version']} of an ensemble, {VERSION} is read here: run "
            "`dvc repro`"
        )
    folders = [Path(member["folder"]) for member in header["members"]]
    for path, member in zip(folders, header["members"], strict=True):
        if _sha256(path) != member["sha256"]:
            raise InputError(
                f"{path} is not the signal that {folder} was made of: run `dvc repro`, or "
                "`dvc checkout` for the one that was"
            )
    if not _runs(folders):
        return _stored(folders, header)
    turns = {name: _turn(name, given) for name, given in header["by_domain"].items()}
    default = _turn("", header["weights"]) if sum(map(bool, header["weights"])) == 1 else None
    return Routed([run(path) for path in folders], turns, default)


def _stored(folders: Sequence[Path], header: Mapping[str, Any]) -> Ensemble:
    stores = [LogitStore(path) for path in folders]
    return Ensemble(stores, header["weights"], header["by_domain"])


def _runs(folders: Sequence[Path]) -> bool:
    """Say whether signals are of teachers that run.

    Raises:
        InputError: some are, and some are stored.
    """
    live = [store.read_header(path).codec == LIVE for path in folders]
    if any(live) and not all(live):
        raise InputError(
            f"{folders[live.index(True)]} is a teacher that runs, {folders[live.index(False)]} is "
            "stored, and the two are not combined: cache both with codec topk, or run both"
        )
    return all(live)


def _turn(language: str, weights: Sequence[float]) -> int:
    """Return the number of the one teacher of a language.

    Raises:
        InputError: there are several.
    """
    chosen = [number for number, weight in enumerate(weights) if weight]
    if len(chosen) != 1:
        raise InputError(
            f"ensemble: {len(chosen)} live teachers are for {language}, and those that run are not "
            "averaged: give one of them a weight there, and the others none"
        )
    return chosen[0]


def _sha256(signal: Path) -> str:
    """Return the hash of a signal's header, which holds those of its files."""
    path = signal / "header.json"
    if not path.is_file():
        raise InputError(f"{path} is missing: run `dvc repro`, or `dvc pull {signal}`")
    return files.sha256_file(path)
