"""What a run of a video instance segmentation model can be asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from vpp_deploy.options import MOST_SEED, option
from vpp_deploy.tasks.overlay_style import OverlayStyle, draw_option, header_option, parse_style

PARTS: Final = ("masks", "boxes", "labels", "tracks", "patches")
"""Of an overlay."""
SHOWN: Final = frozenset(PARTS) - {"boxes"}
"""What is drawn if nobody says: boxes tell little that masks do not."""
USUAL_STYLE: Final = OverlayStyle(SHOWN)


@dataclass(frozen=True)
class RunOptions:
    """Options of `infer` on bundles for instance segmentation."""

    youtube_vis: Path | None = option(None, "YouTube-VIS submission, JSON.", metavar="FILE")
    noise_seed: int | None = option(
        None,
        "Seed of the selection noise, for a bundle that takes it.",
        metavar="N",
        shown="no noise",
        minimum=0,
        maximum=MOST_SEED,
    )
    scene_cuts: str | None = option(
        None,
        "Where scenes begin, so that state and tracks start anew: found by detection (auto), nowhere (off), or listed "
        "in a file, one frame number a line, from 0.",
        metavar="auto|off|FILE",
        shown="auto for films, off for images",
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
        return parse_style(self.draw, self.header, PARTS, SHOWN)
