"""Matplotlib's pictures as SVG elements of a page: its own fonts and colours, in the light and in the dark."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final
from xml.etree import ElementTree as ET

from markupsafe import Markup

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INK: Final = "#000001"
MUTED: Final = "#000002"
GRID: Final = "#000003"
SERIES: Final = ("#000011", "#000012", "#000013", "#000014", "#000015", "#000016")
"""Colours that stand for those of the page, which has two sets of them; see the style sheet."""

_WIDTH: Final = 7.0
_COLOURS: Final = {INK: "var(--ink)", MUTED: "var(--muted)", GRID: "var(--rule)"} | {
    colour: f"var(--series-{number})" for number, colour in enumerate(SERIES, start=1)
}
_SVG: Final = "http://www.w3.org/2000/svg"
_XLINK: Final = "http://www.w3.org/1999/xlink"
_STYLE: Final[dict[Any, Any]] = {
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.6,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.titlecolor": INK,
    "font.size": 9.5,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "svg.fonttype": "none",
    "text.color": INK,
    "text.parse_math": False,  # names are names, whatever they hold
    "xtick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.color": MUTED,
    "ytick.labelcolor": INK,
}


@contextmanager
def figure(height: float) -> Iterator[Figure]:
    """A figure in the house style, as wide as the page's text, to draw into and to give to `to_svg`.

    Args:
        height: in inches, of 7 inches of width.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure  # without pyplot, which would look for a display

    with mpl.rc_context(_STYLE):
        yield Figure(figsize=(_WIDTH, height), layout="constrained")


def to_svg(drawn: Figure, name: str, label: str) -> Markup:
    """The element.

    Args:
        drawn: what `figure` gave; still in its block.
        name: unique on the page: ids begin with it.
        label: what the picture shows, for those who do not see it.
    """
    data = io.BytesIO()
    drawn.savefig(data, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    ET.register_namespace("", _SVG)
    ET.register_namespace("xlink", _XLINK)
    root = ET.fromstring(data.getvalue())
    for found in root.findall(f"{{{_SVG}}}defs"):
        if found.find(f"{{{_SVG}}}style") is not None:  # would count for the whole page
            root.remove(found)
    del root.attrib["width"], root.attrib["height"]
    root.attrib |= {"role": "img", "aria-label": label}
    for element in root.iter():
        for key, value in element.attrib.items():
            element.attrib[key] = _adapted(key, value, name)
    return Markup(ET.tostring(root, encoding="unicode"))


def _adapted(key: str, value: str, name: str) -> str:
    if key == "id":
        return f"{name}-{value}"
    if key == f"{{{_XLINK}}}href":
        return f"#{name}-{value[1:]}"
    if key == "clip-path":
        return value.replace("url(#", f"url(#{name}-")
    if key == "style":
        value = re.sub(r"font-family:[^;]*;?", "", value)
        value = re.sub(r"font:\s*(?:[\w.]+ )*?([\d.]+px)[^;]*", r"font-size: \1", value)
        return re.sub(r"#[0-9a-f]{6}", lambda found: _COLOURS.get(found[0], found[0]), value)
    return value
