"""A whole video on one video session: read it, run it, write what was asked for, and say how it went."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from time import perf_counter

from vpp_deploy.bundle.segmentation_manifest import SegmentationManifest
from vpp_deploy.files.outputs import OutputGroup
from vpp_deploy.files.separation import check_outputs
from vpp_deploy.frames import Frame, Size
from vpp_deploy.media.reader import VideoReader, read_video
from vpp_deploy.media.writer import VideoWriter
from vpp_deploy.tasks.common import PARTS, Progress
from vpp_deploy.tasks.segmentation.overlay import draw
from vpp_deploy.tasks.segmentation.results import FrameResult
from vpp_deploy.tasks.segmentation.session import VideoSession
from vpp_deploy.tasks.segmentation.writers import JsonLinesWriter, YouTubeVisWriter


@dataclass(frozen=True, slots=True)
class Outputs:
    """Which files to write; None leaves one out.

    Attributes:
        video: the overlay, `.mp4`, `.mov` or `.mkv`.
        json_lines: one JSON object per frame and line, see `JsonLinesWriter`.
        youtube_vis: a YouTube-VIS submission, see `YouTubeVisWriter`.
    """

    video: Path | None = None
    json_lines: Path | None = None
    youtube_vis: Path | None = None

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
        seconds: wall time of each frame by part (`PARTS`).
        candidates_dropped: of each frame, see `FrameResult`.
        tracks_not_fed: of each frame, see `FrameResult`.
        problem: damage found in the video, as one line, or None.
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


def run_video(
    session: VideoSession,
    video: str | PathLike[str],
    outputs: Outputs | None = None,
    *,
    max_frames: int | None = None,
    progress: Progress = lambda done, expected: None,
) -> VideoSummary:
    """Run a session over a whole video, from an empty state.

    Outputs are opened before the first frame and appear under their names together, when all went well; see their
    writers for what an error leaves. Of a damaged video, everything that can be decoded counts
    (`VideoSummary.problem` tells).

    Args:
        session: is reset first.
        video: file or image folder.
        outputs: what to write; None writes nothing.
        max_frames: stop after this many frames.
        progress: see `Progress`.

    Raises:
        UsageError: an output would overwrite the video, its folder or another output; `max_frames` is below 1.
        VideoError: the video cannot be read, or changes its size.
        OutputError: an output cannot be written.
        DependencyError: this PyAV has no H.264 encoder.
    """
    outputs = outputs or Outputs()
    check_outputs(outputs.paths, inputs=[video])
    session.reset()
    begin = perf_counter()
    record = _Record(session.manifest)
    with ExitStack() as stack:
        reader = stack.enter_context(read_video(video, session.engine.frame_size, max_frames=max_frames))
        group = stack.enter_context(OutputGroup())
        sinks = _open_sinks(group, outputs, reader, session.manifest.class_names)
        frame, seconds = _timed_next(reader)
        while frame is not None:
            result = session(frame)
            try:
                following, following_seconds = _timed_next(reader)
                if following is not None:
                    session.prefetch(following)  # while this frame is drawn and written
            finally:  # whatever is wrong with the next frame, this one is written
                begin_write = perf_counter()
                for write in sinks:
                    write(frame, result)
                record.add(result, decode=seconds, write=perf_counter() - begin_write)
                progress(record.frames, reader.frame_count)
            frame, seconds = following, following_seconds
    return record.summary(reader, perf_counter() - begin)


_Sink = Callable[[Frame, FrameResult], None]


def _open_sinks(group: OutputGroup, outputs: Outputs, reader: VideoReader, class_names: Sequence[str]) -> list[_Sink]:
    sinks: list[_Sink] = []
    if outputs.video is not None:
        video = group.add(VideoWriter(outputs.video, reader.original_size, reader.frame_rate, reader.time_base))
        sinks.append(lambda frame, result: video.write(draw(frame, result, class_names), frame.time))
    if outputs.json_lines is not None:
        lines = group.add(JsonLinesWriter(outputs.json_lines, class_names))
        sinks.append(lambda frame, result: lines.write(result, name=frame.name))
    if outputs.youtube_vis is not None:
        submission = group.add(YouTubeVisWriter(outputs.youtube_vis))
        sinks.append(lambda frame, result: submission.write(result))
    return sinks


def _timed_next(reader: VideoReader) -> tuple[Frame | None, float]:
    """The next frame, None after the last one, and the seconds that it took to decode."""
    start = perf_counter()
    frame = next(reader, None)
    return frame, perf_counter() - start


class _Record:
    """What is counted while a video runs."""

    def __init__(self, manifest: SegmentationManifest) -> None:
        self.frames = 0
        self._identities: set[int] = set()
        self._keep_ratios: dict[str, list[float]] = {point.name: [] for point in manifest.pruning_points}
        self._seconds: dict[str, list[float]] = {part: [] for part in PARTS}
        self._candidates_dropped: list[int] = []
        self._tracks_not_fed: list[int] = []

    def add(self, result: FrameResult, *, decode: float, write: float) -> None:
        self.frames += 1
        self._identities.update(result.instances.identities.tolist())
        for point, ratio in result.keep_ratios.items():
            self._keep_ratios[point].append(ratio)
        for part, seconds in {"decode": decode, "write": write, **result.seconds}.items():
            self._seconds[part].append(seconds)
        self._candidates_dropped.append(result.candidates_dropped)
        self._tracks_not_fed.append(result.tracks_not_fed)

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
        )
