"""What a run of a video instance segmentation model can be asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from vpp_deploy.options import MOST_SEED, option


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
