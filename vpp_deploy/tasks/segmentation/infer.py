"""What `vpp-deploy infer` does: from a video to tracked instances."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from os import PathLike
from typing import Final

from vpp_deploy.bundle.segmentation_manifest import DetectionSpec
from vpp_deploy.engines.protocols import Engine
from vpp_deploy.media.window import Window
from vpp_deploy.tasks.common import PARTS
from vpp_deploy.tasks.segmentation.options import RunOptions
from vpp_deploy.tasks.segmentation.run import Outputs, VideoSummary, run_video
from vpp_deploy.tasks.segmentation.session import VideoSession
from vpp_deploy.tasks.task import RunRequest
from vpp_deploy.terminal import console
from vpp_deploy.terminal.progress import frame_bar

_SHOWN: Final = 8
"""Cuts that are named."""


def run(engine: Engine, request: RunRequest, options: RunOptions) -> None:
    """Run a video, and tell how it went."""
    source, outputs = request.source, Outputs(request.output, request.json, options.youtube_vis, options.style)
    session = VideoSession(engine, options.noise_seed)
    with Window(f"vpp-deploy: {source}") if request.show else nullcontext() as window, frame_bar() as progress:
        summary = run_video(
            session,
            source,
            outputs,
            max_frames=request.max_frames,
            scene_cuts=options.scene_cuts,
            progress=progress,
            window=window,
        )
    show_summary(summary, source, outputs)
    for warning in warnings(summary, session.manifest.detection):
        console.warn(warning)


def show_summary(summary: VideoSummary, video: str | PathLike[str], outputs: Outputs) -> None:
    """Print how a video went and what was written."""
    rate = summary.frames / summary.wall_seconds
    console.say(
        f"{video}: {console.counted(summary.frames, 'frame')} of {console.height_by_width(summary.original_size)} in "
        f"{summary.wall_seconds:.1f} s, {rate:.1f} per second; {console.counted(summary.tracks, 'track')}"
    )
    kept = "  ".join(f"{point} {console.percent(ratio)}" for point, ratio in summary.keep_ratios.items())
    means = {part: 1000 * sum(summary.seconds[part]) / summary.frames for part in PARTS}
    parts = "  ".join(f"{part} {mean:.1f}" for part, mean in means.items())
    rows = [("tokens kept", kept or "all (dense)"), ("ms per frame", f"{parts}  (means)")]
    if summary.cuts:
        rows.append(("scene cuts", _cuts(summary.cuts)))
    if outputs.paths:
        rows.append(("written", "\n".join(map(str, outputs.paths))))
    console.show(console.facts(rows))


def _cuts(frames: Sequence[int]) -> str:
    shown = ", ".join(map(str, frames[:_SHOWN]))
    more = f" and {len(frames) - _SHOWN} more" if len(frames) > _SHOWN else ""
    return f"{len(frames)}, before frame{'s' if len(frames) > 1 else ''} {shown}{more}"


def warnings(summary: VideoSummary, limits: DetectionSpec) -> Iterator[str]:
    """What a user should know about a run that ended well, one line each."""
    if summary.problem:
        yield f"{summary.problem}; the {console.counted(summary.frames, 'frame')} that could be decoded were processed"
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
