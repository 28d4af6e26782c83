"""`vpp-deploy demo-data`: a data set with known instances, out of nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vpp_deploy.cli.help_pages import flag
from vpp_deploy.cli.options import parse_size
from vpp_deploy.options import MOST_SEED
from vpp_deploy.terminal import console
from vpp_deploy.terminal.progress import frame_bar

EXAMPLES = (
    "vpp-deploy demo-data shapes-val --clips 40 --split val",
    "vpp-deploy demo-data shapes-hard --clips 20 --split hard --frames 24",
)


def command(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder to make.", show_default=False)],
    clips: Annotated[int, typer.Option(metavar="N", help="Number of videos.", min=1, max=100_000)] = 20,
    seed: Annotated[int, typer.Option(metavar="N", help="Another seed, other videos.", min=0, max=MOST_SEED)] = 0,
    split: Annotated[
        str, typer.Option(metavar="NAME", help="train, val (alike), or hard (more, smaller, faster; a cut).")
    ] = "val",
    frames: Annotated[int, typer.Option(metavar="N", help="Frames per video.", min=1, max=10_000)] = 12,
    size: Annotated[str, typer.Option(metavar="HxW", help="Height x width in pixels, each 64 to 4096.")] = "256x384",
    overwrite: Annotated[bool, flag("--overwrite", help="Replace DIR if it is such a data set.")] = False,
) -> None:
    """Write videos of moving shapes, with masks and tracks, in YouTube-VIS layout. The same options, the same bytes."""
    frame_size = parse_size(size)
    from vpp_deploy.demo.dataset import ANNOTATIONS, write_dataset
    from vpp_deploy.tasks.segmentation.evaluation.dataset import IMAGES

    with frame_bar() as progress:
        written = write_dataset(
            folder,
            clips=clips,
            seed=seed,
            split=split,
            frames=frames,
            size=frame_size,
            overwrite=overwrite,
            progress=progress,
        )
    console.say(
        f"{folder}: {written.videos} videos of {frames} frames, {console.height_by_width(frame_size)}, "
        f"{written.objects} objects"
    )
    console.show(
        console.facts([("frames", str(folder / IMAGES)), ("masks, tracks and classes", str(folder / ANNOTATIONS))])
    )
