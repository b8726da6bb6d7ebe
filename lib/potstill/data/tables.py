"""Rows of tables: Parquet files, and data sets of the Hugging Face hub through `datasets`."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from potstill.errors import InputError
from potstill.params import Section

Row = dict[str, Any]
BATCH_ROWS = 1024


class DataSet(Section):
    """A data set whose rows are tasks."""

    # hub:OWNER/NAME@COMMIT, or @TAG
    from_: Annotated[str, Field(alias="from", pattern=r"^hub:[^/@\s]+/[^/@\s]+@\S+$")]
    split: str = "train"  # of the data set's own
    columns: dict[str, str]  # field of a task -> column; others are left out
    constants: dict[str, str] = Field(default_factory=dict)  # field -> its value in every row

    @property
    def name(self) -> str:
        """OWNER/NAME."""
        return self.from_.removeprefix("hub:").partition("@")[0]

    @property
    def revision(self) -> str:
        """The commit or tag."""
        return self.from_.partition("@")[2]


def read_parquet(path: Path) -> Iterator[Row]:
    """Yield the rows of a Parquet file; columns that are null in a row are None.

    Raises:
        InputError: the file is truncated, damaged or of another format.
    """
    import pyarrow
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(BATCH_ROWS):
                yield from batch.to_pylist()
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
        said = " ".join(str(error).split())[:200]
        raise InputError(
            f"{path} cannot be read as Parquet ({said}): copy it again or delete it"
        ) from None


def read_hub(source: DataSet) -> Iterator[Row]:
    """Yield the rows of a data set with the fields that `columns` and `constants` name.

    Raises:
        InputError: it cannot be fetched or read, or lacks a split or a column.
    """
    import datasets
    import pyarrow

    try:
        found = datasets.load_dataset(source.name, revision=source.revision, split=source.split)
    except (
        OSError,
        ValueError,
        pyarrow.ArrowException,
        datasets.exceptions.DatasetsError,
    ) as error:
        said = " ".join(str(error).split())[:200]
        raise InputError(
            f"{source.from_} could not be read ({type(error).__name__}: {said}): check its name, "
            "commit, split and the network"
        ) from None
    missing = sorted(set(source.columns.values()) - set(found.column_names))
    if missing:
        raise InputError(
            f"{source.from_} has no column {', '.join(missing)}; it has "
            f"{', '.join(found.column_names)}"
        )
    for row in found:
        yield source.constants | {field: row[name] for field, name in source.columns.items()}
