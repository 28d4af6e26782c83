"""A whole video on one video session: read it, run it, write what was asked for, and say how it went."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from os import PathLike
from pathlib import Path
from time import perf_counter

from vpp_deploy.bundle.segmentation_manifest import SegmentationManifest
from vpp_deploy.files.outputs import OutputGroup
from vpp_deploy.files.separation import check_outputs
from vpp_deploy.frames import Frame, Size
from vpp_deploy.media.overlap import ReadAhead, WriteBehind, depths_for
from vpp_deploy.media.reader import VideoReader, read_video
from vpp_deploy.media.scene_cuts import AUTO, OFF, open_cuts
from vpp_deploy.media.window import Window
from vpp_deploy.tasks.common import PARTS, Progress
from vpp_deploy.tasks.overlay_style import OverlayStyle
from vpp_deploy.tasks.segmentation.options import USUAL_STYLE
from vpp_deploy.tasks.segmentation.results import FrameResult
from vpp_deploy.tasks.segmentation.session import VideoSession
from vpp_deploy.tasks.segmentation.writers import JsonLinesWriter, YouTubeVisWriter


@dataclass(frozen=True, slots=True)
class Outputs:
    """Which files to write; None leaves one out.

    Attributes:
        video: the overlay: a video, one picture, or a folder of PNG pictures, see `OverlayOutput`.
        json_lines: one JSON object per frame and line, see `JsonLinesWriter`.
        youtube_vis: a YouTube-VIS submission, see `YouTubeVisWriter`.
        style: of the overlay.
    """

    video: Path | None = None
    json_lines: Path | None = None
    youtube_vis: Path | None = None
    style: OverlayStyle = USUAL_STYLE

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files that will be written."""
        return tuple(path for path in (self.video, self.json_lines, self.youtube_vis) if path is not None)


@dataclass(frozen=True, slots=True)
class VideoSummary:
    """How a video went.

    Attributes:
        frames: number of frames.
        original_size: height and width of the source in pixels.
        tracks: number of distinct identities.
        keep_ratios: share of all tokens kept at each selection point, in [0, 1], mean over the frames that have it.
        wall_seconds: from opening the video to closing the outputs.
        seconds: wall time of each frame by part (`PARTS`). Decoding, and drawing into a video, go on beside the others,
            so that the sum may exceed `wall_seconds`.
        candidates_dropped: of each frame, see `FrameResult`.
        tracks_not_fed: of each frame, see `FrameResult`.
        problem: damage found in the video, as one line, or None.
        cuts: indices of the frames with which a new scene begins.
    """

    frames: int
    original_size: Size
    tracks: int
    keep_ratios: Mapping[str, float]
    wall_seconds: float
    seconds: Mapping[str, Sequence[float]]
    candidates_dropped: Sequence[int]
    tracks_not_fed: Sequence[int]
    problem: str | None
    cuts: Sequence[int] = ()


def run_video(
    session: VideoSession,
    video: str | PathLike[str],
    outputs: Outputs | None = None,
    *,
    max_frames: int | None = None,
    scene_cuts: str | None = None,
    progress: Progress = lambda done, expected: None,
    window: Window | None = None,
) -> VideoSummary:
    """Run a session over a whole video, from an empty state.

    Frames are decoded a little ahead of the session and drawn a little behind it, in threads of their own. Outputs are
    opened before the first frame and appear under their names together, when all went well; see their writers for what
    an error leaves. Of a damaged video, everything that can be decoded counts (`VideoSummary.problem` tells).

    Args:
        session: is reset first.
        video: whatever `read_video` takes.
        outputs: what to write; None writes nothing.
        max_frames: stop after this many frames.
        scene_cuts: where the session starts anew (`VideoSession.cut`), see `vpp_deploy.media.scene_cuts.open_cuts`.
        progress: see `Progress`.
        window: shows the overlay; when it is closed, the run ends as after the last frame.

    Raises:
        UsageError: an output would overwrite the video, its folder, the list of cuts or another output; `max_frames`
            is below 1.
        VideoError: the video or the list of cuts cannot be read, or the video changes its size.
        OutputError: an output cannot be written.
        DependencyError: this PyAV has no H.264 encoder.
    """
    outputs = outputs or Outputs()
    listed = [scene_cuts] if scene_cuts not in (None, AUTO, OFF) else []
    check_outputs(outputs.paths, inputs=[video, *listed])
    session.reset()
    begin = perf_counter()
    record = _Record(session.manifest)
    with ExitStack() as stack:
        reader = stack.enter_context(read_video(video, session.engine.frame_size, max_frames=max_frames))
        is_cut = open_cuts(scene_cuts, reader)
        group = stack.enter_context(OutputGroup())
        draw_frame, sinks = _open_sinks(group, outputs, reader, session.manifest, window)
        depths = depths_for(reader.original_size)
        frames = stack.enter_context(ReadAhead(reader, depths.ahead))
        behind = stack.enter_context(WriteBehind(depths.behind))
        frame, decode = next(frames, None), frames.seconds
        while frame is not None:
            if is_cut(frame):
                session.cut()
            result = session(frame)
            try:
                following, following_decode = next(frames, None), frames.seconds
                if following is not None:
                    session.prefetch(following)  # while this frame is drawn and written
            finally:  # whatever is wrong with the next frame, this one is written
                start = perf_counter()
                for write in sinks:
                    write(frame, result)
                record.add(result, decode=decode, write=perf_counter() - start)
                if draw_frame is not None:
                    behind.submit(partial(draw_frame, frame, result), record.add_drawing)
                progress(record.frames, reader.frame_count)
            if window is not None and not window.update():
                break
            frame, decode = following, following_decode
    return record.summary(reader, perf_counter() - begin)


_Sink = Callable[[Frame, FrameResult], None]


def _open_sinks(
    group: OutputGroup, outputs: Outputs, reader: VideoReader, manifest: SegmentationManifest, window: Window | None
) -> tuple[_Sink | None, list[_Sink]]:
    """What draws into the overlay, if there is one, and what writes the other outputs.

    The latter may be streams. Where whoever reads one has stopped, the main thread waits, so that signals end the wait.
    """
    draw_frame: _Sink | None = None
    sinks: list[_Sink] = []
    if outputs.video is not None or window is not None:
        from vpp_deploy.media.overlay_output import OverlayOutput  # not above: most of what draws is for this alone
        from vpp_deploy.tasks.segmentation.overlay import Overlay

        overlay = Overlay.of(manifest, reader.original_size, outputs.style)
        target = group.add(OverlayOutput(outputs.video, reader, overlay.size, window))

        def draw_frame(frame: Frame, result: FrameResult) -> None:
            target.write(frame, overlay(frame, result))

    if outputs.json_lines is not None:
        lines = group.add(JsonLinesWriter(outputs.json_lines, manifest.class_names))
        sinks.append(lambda frame, result: lines.write(result, name=frame.name))
    if outputs.youtube_vis is not None:
        submission = group.add(YouTubeVisWriter(outputs.youtube_vis))
        sinks.append(lambda frame, result: submission.write(result))
    return draw_frame, sinks


class _Record:
    """What is counted while a video runs."""

    def __init__(self, manifest: SegmentationManifest) -> None:
        self.frames = 0
        self._drawn = 0
        self._identities: set[int] = set()
        self._keep_ratios: dict[str, list[float]] = {point.name: [] for point in manifest.pruning_points}
        self._seconds: dict[str, list[float]] = {part: [] for part in PARTS}
        self._candidates_dropped: list[int] = []
        self._tracks_not_fed: list[int] = []
        self._cuts: list[int] = []

    def add(self, result: FrameResult, *, decode: float, write: float) -> None:
        self.frames += 1
        self._identities.update(result.instances.identities.tolist())
        for point, ratio in result.keep_ratios.items():
            self._keep_ratios[point].append(ratio)
        for part, seconds in {"decode": decode, "write": write, **result.seconds}.items():
            self._seconds[part].append(seconds)
        self._candidates_dropped.append(result.candidates_dropped)
        self._tracks_not_fed.append(result.tracks_not_fed)
        if result.cut:
            self._cuts.append(result.index)

    def add_drawing(self, seconds: float) -> None:
        """Count the time of the next frame's drawing and encoding, too, as that of writing."""
        self._seconds["write"][self._drawn] += seconds
        self._drawn += 1

    def summary(self, reader: VideoReader, wall_seconds: float) -> VideoSummary:
        return VideoSummary(
            frames=self.frames,
            original_size=reader.original_size,
            tracks=len(self._identities),
            keep_ratios={point: sum(ratios) / len(ratios) for point, ratios in self._keep_ratios.items() if ratios},
            wall_seconds=wall_seconds,
            seconds=self._seconds,
            candidates_dropped=self._candidates_dropped,
            tracks_not_fed=self._tracks_not_fed,
            problem=reader.problem,
            cuts=self._cuts,
        )
