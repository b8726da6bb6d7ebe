"""One look for all plots: narrow enough for a phone, real text, colours that follow the page.

matplotlib draws with placeholder colours; the SVG gets CSS variables in their place, so that one
drawing serves the light and the dark page. Same numbers, same bytes: ids are salted with the plot's
name and no date is written. The colours are Okabe and Ito's (2008), safe for colour-blind readers.
"""

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PALETTE = Path(__file__).with_name("palette.css")  # the variables' values, light and dark
WIDTH_IN, HEIGHT_IN = 4.6, 3.2
INK, FAINT, PAGE = "#0a0a01", "#0a0a02", "#0a0a03"
STUDENT, TEACHER, PLAIN = "#0a0b01", "#0a0b02", "#0a0b03"
CONTROLS = ("#0a0c01", "#0a0c02", "#0a0c03")
VARIABLES = {
    INK: "ink", FAINT: "faint", PAGE: "page", STUDENT: "student", TEACHER: "teacher",
    PLAIN: "plain", CONTROLS[0]: "control-1", CONTROLS[1]: "control-2", CONTROLS[2]: "control-3",
}  # fmt: skip
STYLE: dict[str, Any] = {
    "svg.fonttype": "none",
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "text.parse_math": False,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": FAINT,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "grid.color": FAINT,
    "grid.linewidth": 0.5,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "legend.frameon": False,
    "legend.handlelength": 1.6,
}


@dataclass(frozen=True)
class Plot:
    """A drawing with the words around it.

    Attributes:
        name: unique in the page.
        title: what is seen.
        svg: an <svg> element; None where there is nothing to draw, and `note` says why.
        note: how to read it.
    """

    name: str
    title: str
    svg: str | None
    note: str


@contextmanager
def drawing(name: str, height: float = HEIGHT_IN) -> Iterator[tuple[Any, Any]]:
    """Yield a figure and its axes in the common look."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    style: Any = STYLE | {"svg.hashsalt": name}
    with mpl.rc_context(style):
        # SVG has 72 pixels an inch: at that resolution pixels here are pixels there
        figure = Figure(figsize=(WIDTH_IN, height), dpi=72, layout="constrained")
        yield figure, figure.add_subplot()


def to_svg(figure: Any, name: str, description: str) -> str:  # noqa: ANN401 - matplotlib's Figure
    """Return the figure as an <svg> element for a page that defines the colours."""
    buffer = io.StringIO()
    # No date, no program version: the same numbers give the same bytes.
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    svg = buffer.getvalue()
    svg = re.sub(
        r"<metadata>.*?</metadata>|<!--.*?-->", "", svg[svg.index("<svg") :], flags=re.DOTALL
    )
    svg = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{name}-", svg)
    for placeholder, variable in VARIABLES.items():
        svg = svg.replace(placeholder, f"var(--{variable})")
    # The width and height of paper are taken away: the page's style decides.
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", svg, count=1)
    return svg.replace("<svg", f'<svg role="img" aria-label="{_attribute(description)}"', 1).strip()


def standalone(svg: str, width_px: int = 720) -> str:
    """Return an <svg> of `to_svg` as a file of its own, light or dark as its reader is."""
    style = f"<style>\n{PALETTE.read_text(encoding='utf-8')}</style>"
    end = svg.index(">") + 1
    return f'{svg[: end - 1]} width="{width_px}">{style}{svg[end:]}\n'


def _attribute(words: str) -> str:
    from markupsafe import escape

    return str(escape(words))
