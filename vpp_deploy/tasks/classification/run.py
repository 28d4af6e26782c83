"""Images or a whole video on one classification session."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from os import PathLike
from pathlib import Path
from time import perf_counter

import numpy as np

from vpp_deploy.engines.protocols import Array
from vpp_deploy.files.arrays import ARRAYS, ArraysWriter
from vpp_deploy.files.outputs import OutputGroup
from vpp_deploy.files.separation import check_outputs
from vpp_deploy.frames import Frame, Size
from vpp_deploy.media.overlap import ReadAhead, WriteBehind, depths_for
from vpp_deploy.media.window import Window
from vpp_deploy.tasks.classification.options import USUAL_STYLE
from vpp_deploy.tasks.classification.overlay_writer import OverlayWriter
from vpp_deploy.tasks.classification.reader import read_pictures
from vpp_deploy.tasks.classification.results import ClassificationResult
from vpp_deploy.tasks.classification.session import ClassificationSession
from vpp_deploy.tasks.classification.writers import ClassificationLinesWriter
from vpp_deploy.tasks.common import PARTS, Progress
from vpp_deploy.tasks.overlay_style import OverlayStyle


@dataclass(frozen=True, slots=True)
class ClassificationOutputs:
    """What to write; None leaves one out.

    Attributes:
        overlay: a video, one picture, or a folder of PNG pictures, see `OverlayOutput`; of a model without classes an
            `.npz` file, too, of arrays `features` `[N, C]`, `names` `[N]` and `indices` `[N]` of the first frames.
        json_lines: one JSON object per image or clip and line, see `ClassificationLinesWriter`.
        style: of the overlay.
    """

    overlay: Path | None = None
    json_lines: Path | None = None
    style: OverlayStyle = USUAL_STYLE

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files and folders that will be written."""
        return tuple(path for path in (self.overlay, self.json_lines) if path is not None)


@dataclass(frozen=True, slots=True)
class ClassificationSummary:
    """How a run went.

    Attributes:
        frames: number of images, or frames of the video, that were read.
        samples: number of images, or clips, that were classified.
        original_size: height and width of the source in pixels; None where images differ in size.
        keep_ratios: share of the patches kept at each pruning point, in [0, 1].
        wall_seconds: from opening the input to closing the outputs.
        seconds: wall time of all frames by part (`PARTS`). Decoding and drawing go on beside the others, so that the
            sum may exceed `wall_seconds`.
        problem: damage found in the video, as one line, or None.
    """

    frames: int
    samples: int
    original_size: Size | None
    keep_ratios: Mapping[str, float]
    wall_seconds: float
    seconds: Mapping[str, float]
    problem: str | None


def run_classification(
    session: ClassificationSession,
    path: str | PathLike[str],
    outputs: ClassificationOutputs | None = None,
    *,
    max_frames: int | None = None,
    progress: Progress = lambda done, expected: None,
    each: Callable[[ClassificationResult], None] = lambda result: None,
    window: Window | None = None,
) -> ClassificationSummary:
    """Classify an image, each image of a folder, or the clips of a video.

    Outputs are opened before the first frame and appear under their names together, when all went well; see their
    writers for what an error leaves. Of a damaged video, everything that can be decoded counts
    (`ClassificationSummary.problem` tells).

    Args:
        session: any.
        path: image, image folder or video file.
        outputs: what to write; None writes nothing.
        max_frames: stop after this many images or frames.
        progress: see `Progress`; called after each image or clip.
        each: called with each result.
        window: shows the overlay; when it is closed, the run ends as after the last frame.

    Raises:
        UsageError: an output would overwrite the input, its folder or another output; `max_frames` is below 1.
        VideoError: the input cannot be read; or sizes differ where one is needed: in a video of clips, or for a video
            as output.
        OutputError: an output cannot be written.
        DependencyError: this PyAV has no H.264 encoder.
    """
    outputs = outputs or ClassificationOutputs()
    check_outputs(outputs.paths, inputs=[path])
    begin = perf_counter()
    seconds = dict.fromkeys(PARTS, 0.0)
    keep_ratios: dict[str, float] = {}
    drawing: list[float] = []
    samples = 0
    with ExitStack() as stack:
        reader = stack.enter_context(read_pictures(path, session.manifest, max_frames))
        group = stack.enter_context(OutputGroup())
        depths = depths_for(reader.original_size)
        frames = _Frames(stack.enter_context(ReadAhead(reader, depths.ahead)))
        behind = stack.enter_context(WriteBehind(depths.behind))
        sinks: list[Callable[[ClassificationResult], None]] = [each]
        overlay_path = outputs.overlay
        if session.manifest.features is not None and overlay_path and overlay_path.suffix.lower() == ARRAYS:
            arrays, overlay_path = group.add(ArraysWriter(overlay_path)), None
            sinks.append(lambda result: arrays.append(_arrays(result)))
        if overlay_path is not None or window is not None:
            overlay = group.add(OverlayWriter(overlay_path, reader, session.manifest, outputs.style, window))
            frames.observe = overlay.add
            sinks.append(lambda result: behind.submit(partial(overlay.write, result), drawing.append))
        if outputs.json_lines is not None:
            lines = group.add(ClassificationLinesWriter(outputs.json_lines, session.manifest.class_names))
            sinks.append(lines.write)
        for _, result in session.run(frames):
            start = perf_counter()
            for write in sinks:
                write(result)
            seconds["write"] += perf_counter() - start
            for part, spent in result.seconds.items():
                seconds[part] += spent
            keep_ratios, samples = result.keep_ratios, samples + 1
            progress(frames.count, reader.frame_count)
            if window is not None and not window.update():
                break
    return ClassificationSummary(
        frames=frames.count,
        samples=samples,
        original_size=frames.sizes.pop() if len(frames.sizes) == 1 else None,
        keep_ratios=keep_ratios,
        wall_seconds=perf_counter() - begin,
        seconds=seconds | {"decode": frames.seconds, "write": seconds["write"] + sum(drawing)},
        problem=reader.problem,
    )


def _arrays(result: ClassificationResult) -> dict[str, Array]:
    assert result.features is not None  # of a model whose results all have them
    return {"features": result.features, "names": np.array(result.name), "indices": np.array(result.indices[0])}


class _Frames(Iterator[Frame]):
    """Frames on their way to the session, counted and timed.

    Attributes:
        observe: is shown each frame.
    """

    def __init__(self, source: ReadAhead[Frame]) -> None:
        self.observe: Callable[[Frame], None] = lambda frame: None
        self.count = 0
        self.seconds = 0.0
        self.sizes: set[Size] = set()
        self._source = source

    def __next__(self) -> Frame:
        frame = next(self._source)
        self.seconds += self._source.seconds
        self.count += 1
        self.sizes.add(frame.original_size)
        self.observe(frame)
        return frame
