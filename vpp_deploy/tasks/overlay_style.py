"""What an overlay shows, in the words of `--draw` and `--header`."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final

from vpp_deploy.errors import UsageError
from vpp_deploy.options import option

_HELP: Final = (
    "What the overlay shows, separated by commas. Segmentation: masks, boxes, labels, tracks, patches. "
    "Classification: labels, heat, patches. Or: none."
)


@dataclass(frozen=True, slots=True)
class OverlayStyle:
    """What an overlay shows.

    Attributes:
        parts: that are drawn.
        header: with a legend outside the picture.
    """

    parts: frozenset[str]
    header: bool = True


def draw_option() -> Any:
    """The field of `--draw`."""
    return option(None, _HELP, metavar="PARTS", shown="all but boxes")


def header_option() -> Any:
    """The field of `--header`."""
    return option("on", "Legend outside the overlay's picture: on or off.", metavar="on|off")


def parse_style(draw: str | None, header: str, parts: Collection[str], shown: Collection[str]) -> OverlayStyle:
    """What the options' words mean.

    Args:
        draw: names of parts, separated by commas; `none`; None for what is usual.
        header: `on` or `off`.
        parts: that there are.
        shown: those that are usual.

    Raises:
        UsageError: another word.
    """
    if header not in ("on", "off"):
        raise UsageError(f"--header is {header!r:.80}; it must be on or off")
    words = set(shown) if draw is None else {word.strip() for word in draw.split(",")}
    if words == {"none"}:
        words = set()
    if "none" in words:
        raise UsageError(f"--draw is {draw!r:.200}: none stands alone; leave it out, or the others")
    if unknown := sorted(words - set(parts)):
        raise UsageError(
            f"--draw is {draw!r:.200}: there is no {unknown[0]!r:.80}; name some of {', '.join(parts)}, or none"
        )
    return OverlayStyle(frozenset(words), header == "on")
