"""The bar of long work."""

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


def bar(*, hidden: bool = False) -> Progress:
    """Return a bar that is drawn where `update(..., refresh=True)` says so, and gone at the end.

    A thread that draws ten times a second takes 5 % from two compute threads on two cores, which
    wait for each other. A task's field `info` is a text that stands behind the time left.

    It is drawn on stderr, and not at all where nobody watches: output may be read by a program.

    Args:
        hidden: another process draws it.
    """
    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[info]}"),
        console=console,
        disable=hidden or not console.is_terminal,
        transient=True,
        auto_refresh=False,
    )
