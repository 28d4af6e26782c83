"""What a run of a classifier can be asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from vpp_deploy.options import option
from vpp_deploy.tasks.overlay_style import OverlayStyle, draw_option, header_option, parse_style

PARTS: Final = ("labels", "heat", "patches")
"""Of an overlay, all of which are drawn if nobody says."""
USUAL_STYLE: Final = OverlayStyle(frozenset(PARTS))


@dataclass(frozen=True)
class RunOptions:
    """Options of `infer` on bundles of classifiers."""

    top: int = option(5, "Labels per image or clip.", metavar="N", minimum=1)
    hop: int | None = option(
        None,
        "Of a model of clips: frames from the begin of one to the begin of the next.",
        metavar="N",
        shown="half a clip",
        minimum=1,
    )
    draw: str | None = draw_option()
    header: str = header_option()

    def __post_init__(self) -> None:
        self.style  # noqa: B018 - a wrong word is told before anything is loaded

    @property
    def style(self) -> OverlayStyle:
        """What the overlay shows.

        Raises:
            UsageError: see `parse_style`.
        """
        return parse_style(self.draw, self.header, PARTS, PARTS)
