"""Batches that were sent and not yet read: written down, so that none is paid twice.

A batch is found again by what it asks: the keys of its answers (`kept`), each a hash of endpoint,
settings, messages and sample. So it does not matter what else the next run asks for.
"""

import time
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from potstill import files
from potstill.stage import WORK

FOLDER = WORK / "answers" / "batches"  # beside the answers, which `make clean` leaves


@dataclass
class Sent:
    """One batch.

    Attributes:
        keys: of the answers that it asks for; its requests' custom ids.
        file: id of the uploaded requests.
        batch: its own id; None until the server has told it.
        at: Unix time of the upload, by this machine's clock.
    """

    keys: list[str]
    file: str
    batch: str | None = None
    at: float = field(default_factory=time.time)

    @property
    def name(self) -> str:
        """Return what it is written down as: a hash of what it asks."""
        return name_of(self.keys)


def name_of(keys: Sequence[str]) -> str:
    """Return a name for a batch of these requests."""
    return files.row_id(*keys)


class Records:
    """The batches of a folder."""

    def __init__(self, folder: Path) -> None:
        """Read nothing yet; the folder is made when a batch is sent."""
        self._folder = folder

    def path(self, sent: Sent) -> Path:
        """Return the file of a batch."""
        return self._folder / f"{sent.name}.json"

    def write(self, sent: Sent) -> None:
        """Write a batch down; it is there after a crash too."""
        files.write_json(self.path(sent), asdict(sent))

    def drop(self, sent: Sent) -> None:
        """Forget a batch."""
        files.remove(self.path(sent))

    def of(self, keys: Collection[str]) -> list[Sent]:
        """Return the batches that ask for one of these answers or more.

        Raises:
            InputError: a file is damaged.
        """
        read = [Sent(**files.read_json(path)) for path in sorted(self._folder.glob("*.json"))]
        return [sent for sent in read if not set(sent.keys).isdisjoint(keys)]
