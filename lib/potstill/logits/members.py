"""The folder of an ensemble: header.json alone, which names its signals, their hashes and weights.

Made again it costs nothing, and a student follows the hashes: what DVC knows of a store it knows of
every ensemble that the store is in.
"""

from collections.abc import Mapping
from pathlib import Path

from potstill import files
from potstill.errors import InputError
from potstill.logits import store
from potstill.logits.ensemble import Ensemble
from potstill.logits.store import LIVE, LogitStore
from potstill.params import closest

CODEC, VERSION = "ensemble", 1


def write(
    out: Path,
    signals: Path,
    weights: Mapping[str, float],
    by_domain: Mapping[str, Mapping[str, float]],
) -> Ensemble:
    """Write the folder of an ensemble, which is header.json alone, and return the ensemble.

    Args:
        out: the folder to make.
        signals: the folder of all signals.
        weights: name of each signal that is combined -> its weight.
        by_domain: the same for the rows of a domain; a signal that is not named there has 0.

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
    return read(out)


def read(folder: Path) -> Ensemble:
    """Return the ensemble of a folder.

    Raises:
        InputError: it is none of this version, or a signal of it has changed since.
    """
    header = files.read_json(folder / "header.json")["header"]
    if header["version"] != VERSION:
        raise InputError(
            f"{folder} is version {header['version']} of an ensemble, {VERSION} is read here: run "
            "`dvc repro`"
        )
    stores = []
    for member in header["members"]:
        path = Path(member["folder"])
        if _sha256(path) != member["sha256"]:
            raise InputError(
                f"{path} is not the signal that {folder} was made of: run `dvc repro`, or "
                "`dvc checkout` for the one that was"
            )
        if store.read_header(path).codec == LIVE:
            raise InputError(
                f"{path} is a teacher that runs, and only stored signals are combined: cache it "
                "with codec topk"
            )
        stores.append(LogitStore(path))
    return Ensemble(stores, header["weights"], header["by_domain"])


def _sha256(signal: Path) -> str:
    """Return the hash of a signal's header, which holds those of its files."""
    path = signal / "header.json"
    if not path.is_file():
        raise InputError(f"{path} is missing: run `dvc repro`, or `dvc pull {signal}`")
    return files.sha256_file(path)
