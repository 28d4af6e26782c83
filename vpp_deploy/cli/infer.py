"""`vpp-deploy infer`: from a video to tracked instances."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vpp_deploy.cli import console
from vpp_deploy.cli.options import BundleArgument, EngineOption
from vpp_deploy.cli.progress import frame_bar
from vpp_deploy.errors import UsageError

if TYPE_CHECKING:
    from vpp_deploy.bundle.vpp_manifest import DetectionSpec
    from vpp_deploy.inference import Outputs, VideoSummary

EXAMPLES = (
    "vpp-deploy infer small.bundle street.mp4 -o tracked.mp4 --json tracked.jsonl",
    "vpp-deploy infer small.bundle frames/ --youtube-vis results.json",
    "vpp-deploy infer small.bundle street.mp4 --max-frames 100 --threads 4",
)


def command(
    bundle: BundleArgument,
    video: Annotated[
        Path, typer.Argument(metavar="VIDEO", help="Video file, or folder of images.", show_default=False)
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", metavar="FILE", help="Video with overlay: .mp4, .mov or .mkv.", show_default=False
        ),
    ] = None,
    json: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="One JSON object per frame and line. After an error, complete lines stay as FILE.partial.",
            show_default=False,
        ),
    ] = None,
    youtube_vis: Annotated[
        Path | None, typer.Option(metavar="FILE", help="YouTube-VIS submission, JSON.", show_default=False)
    ] = None,
    engine: EngineOption = "onnxruntime",
    max_frames: Annotated[
        int | None, typer.Option(metavar="N", help="Stop after N frames.", show_default="all", min=1)
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option(
            metavar="N", help="Threads per frame (onnxruntime only).", show_default="one per processor", min=1
        ),
    ] = None,
    noise_seed: Annotated[
        int | None,
        typer.Option(
            metavar="N", help="Seed of the selection noise, for a bundle that takes it.", show_default="no noise", min=0
        ),
    ] = None,
) -> None:
    """Run a bundle's engine over a video, frame by frame; without an output, just report how it went."""
    if threads is not None and engine != "onnxruntime":
        raise UsageError(f"--threads is for onnxruntime, not for {engine}; leave it out")
    from vpp_deploy.bundle import Bundle
    from vpp_deploy.engines import load_engine
    from vpp_deploy.inference import Outputs, run_video
    from vpp_deploy.session import VideoSession

    outputs = Outputs(out, json, youtube_vis)
    opened = Bundle.open(bundle)
    session = VideoSession(load_engine(opened, engine, threads=threads), noise_seed)
    with frame_bar() as progress:
        summary = run_video(session, video, outputs, max_frames=max_frames, progress=progress)
    show_summary(summary, video, outputs)
    if opened.manifest.provenance.weights.kind == "random":
        console.warn("the bundle's weights are random and untrained: masks, labels and tracks mean nothing")
    for warning in warnings(summary, session.manifest.detection):
        console.warn(warning)


def show_summary(summary: VideoSummary, video: Path, outputs: Outputs) -> None:
    """Print how a video went and what was written."""
    from vpp_deploy.inference import PARTS

    rate = summary.frames / summary.wall_seconds
    console.say(
        f"{video}: {summary.frames} frames of {console.height_by_width(summary.original_size)} in "
        f"{summary.wall_seconds:.1f} s, {rate:.1f} per second; {summary.tracks} tracks"
    )
    kept = "  ".join(f"{point} {console.percent(ratio)}" for point, ratio in summary.keep_ratios.items())
    means = {part: 1000 * sum(summary.seconds[part]) / summary.frames for part in PARTS}
    parts = "  ".join(f"{part} {mean:.1f}" for part, mean in means.items())
    rows = [("tokens kept", kept or "all (dense)"), ("ms per frame", f"{parts}  (means)")]
    if outputs.paths:
        rows.append(("written", "\n".join(map(str, outputs.paths))))
    console.show(console.facts(rows))


def warnings(summary: VideoSummary, limits: DetectionSpec) -> Iterator[str]:
    """What a user should know about a run that ended well, one line each."""
    if summary.problem:
        yield f"{summary.problem}; the {summary.frames} frames that could be decoded were processed"
    if most := max(summary.candidates_dropped):
        frames = sum(count > 0 for count in summary.candidates_dropped)
        yield (
            f"in {frames} of {summary.frames} frames up to {most} candidates did not fit the bundle's "
            f"{limits.max_detections} detections and were dropped; export with "
            f"--max-detections {limits.max_detections + most}"
        )
    if most := max(summary.tracks_not_fed):
        frames = sum(count > 0 for count in summary.tracks_not_fed)
        yield (
            f"in {frames} of {summary.frames} frames up to {most} tracks did not fit the bundle's "
            f"{limits.max_tracks} track slots and were not followed; export with "
            f"--max-tracks {limits.max_tracks + most}"
        )
