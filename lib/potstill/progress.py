"""The bar of long work."""

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


def bar() -> Progress:
    """Return a bar that is drawn where `update(..., refresh=True)` says so, and gone at the end.

    A thread that draws ten times a second takes 5 % from two compute threads on two cores, which
    wait for each other. A task's field `info` is a text that stands behind the time left.
    """
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[info]}"),
        transient=True,
        auto_refresh=False,
    )
