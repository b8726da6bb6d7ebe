"""Put a name beside each point of a plot, so that no name covers another or a point."""

from dataclasses import dataclass
from typing import Any

Box = tuple[float, float, float, float]  # left, bottom, right, top in pixels

# Where a name may stand, the better places first: direction, and steps away from the point.
PLACES = [
    (dx, dy * far)
    for far in (1.0, 2.0, 3.0, 4.5, 6.0, 7.5)
    for dx, dy in [(1, 0), (-1, 0), (1, 1), (-1, 1), (1, -1), (-1, -1)]
]
STEP_PX = 9.0
LEAD_WEIGHT = 3  # a line through a name hides more than its width says


@dataclass(frozen=True)
class Label:
    """A name for the point at x, y, in the data's units."""

    x: float
    y: float
    name: str
    colour: str


def fix_layout(figure: Any) -> None:  # noqa: ANN401 - matplotlib's Figure
    """Lay the figure out once and for all: names must not move what they are fitted to."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")


def place(axes: Any, labels: list[Label], avoid: list[Box]) -> None:  # noqa: ANN401
    """Write every name at the first place where it covers least; a thin line leads to a far one.

    Args:
        axes: matplotlib's Axes in a figure whose layout is fixed.
        labels: points and their names.
        avoid: boxes in pixels that names should not cover, such as error bars.
    """
    taken = [*avoid, *(_around(axes.transData.transform((item.x, item.y))) for item in labels)]
    frame = axes.get_window_extent().extents
    for item in labels:
        point = axes.transData.transform((item.x, item.y))
        text = axes.annotate(
            item.name, (item.x, item.y), xytext=(0, 0), textcoords="offset pixels",
            color=item.colour, fontsize=8, va="center",
        )  # fmt: skip
        extent = text.get_window_extent()
        boxes = [_box(point, place, extent.width, extent.height) for place in PLACES]
        leads = [
            _lead(point, box) if abs(dy) > 1 else []
            for box, (_, dy) in zip(boxes, PLACES, strict=True)
        ]
        costs = [
            _cost(box, taken, frame) + LEAD_WEIGHT * sum(_cost(b, taken, frame) for b in lead)
            for box, lead in zip(boxes, leads, strict=True)
        ]
        best = min(range(len(boxes)), key=costs.__getitem__)
        left, bottom, _, top = boxes[best]
        text.xyann = (left - point[0], (bottom + top) / 2 - point[1])
        taken += [boxes[best], *leads[best]]
        if leads[best]:
            ends = axes.transData.inverted().transform([point, leads[best][-1][:2]])
            axes.plot(*ends.T, color=item.colour, linewidth=0.5, zorder=1)


def _around(point: tuple[float, float], radius: float = 5) -> Box:
    x, y = point
    return (x - radius, y - radius, x + radius, y + radius)


def _box(
    point: tuple[float, float], place: tuple[float, float], width: float, height: float
) -> Box:
    dx, dy = place
    x, y = point[0] + dx * STEP_PX, point[1] + dy * STEP_PX
    left = x - width / 2 if dx == 0 else (x if dx > 0 else x - width)
    return (left, y - height / 2, left + width, y + height / 2)


def _cost(box: Box, taken: list[Box], frame: Box) -> float:
    covered = sum(_overlap(box, other) for other in taken)
    outside = (box[2] - box[0]) * (box[3] - box[1]) - _overlap(box, frame)
    return round(covered + 100 * outside, 3)


def _overlap(a: Box, b: Box) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    return max(0.0, width) * max(0.0, height)


def _lead(point: tuple[float, float], box: Box, dots: int = 8) -> list[Box]:
    """Return a line from a point to the nearest edge of a name, as a row of small boxes."""
    end = (min(max(point[0], box[0]), box[2]), min(max(point[1], box[1]), box[3]))
    steps = [number / dots for number in range(1, dots + 1)]
    places = [[p + share * (e - p) for p, e in zip(point, end, strict=True)] for share in steps]
    return [(x, y, x + 2, y + 2) for x, y in places]
