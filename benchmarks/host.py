"""What the host does for a frame of a VPP model, part by part; and the whole pipeline beside the engine alone.

    python -m benchmarks.host demo.bundle --video street.mp4

The table needs no engine: a made-up one gives the session one or ten objects, each a round mask of a twentieth of the
picture, that moves. Times are medians of the thread's processor time, which other work on the machine lengthens little.
With --video, frames per second of the session on decoded frames, and of `infer` with a video and JSON lines as outputs,
are measured in turn, round by round; --json writes those down.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter, thread_time
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

import vpp_deploy
from vpp_deploy.benchmark.environment import describe_machine
from vpp_deploy.benchmark.statistics import ratio, summary
from vpp_deploy.bundle.segmentation_manifest import SegmentationManifest
from vpp_deploy.engines.protocols import Array
from vpp_deploy.engines.stream_state import StreamState
from vpp_deploy.frames import Frame, Size
from vpp_deploy.media.letterbox import letterbox
from vpp_deploy.media.reader import read_video
from vpp_deploy.tasks.segmentation.overlay import Overlay
from vpp_deploy.tasks.segmentation.run import Outputs, run_video
from vpp_deploy.tasks.segmentation.session import VideoSession
from vpp_deploy.tasks.segmentation.writers import frame_record

SIZES = ((720, 1280), (1080, 1920))
OBJECTS = (1, 10)
_AREA = 0.05
"""Share of the picture of each made-up object."""


@dataclass(frozen=True)
class Scripted:
    """An engine whose every step finds the same objects, a little further right, at once.

    What a session takes with it is the host's work.

    Attributes:
        manifest: of the bundle that it stands for.
        objects: how many there are.
    """

    manifest: SegmentationManifest
    objects: int
    backend = "scripted"
    precision = "float32"

    @property
    def frame_size(self) -> Size:
        """As the bundle's."""
        return self.manifest.frame_size

    def open_stream(self) -> _Stream:
        """A new stream."""
        return _Stream(self.manifest, self.objects)


class _Stream:
    def __init__(self, manifest: SegmentationManifest, objects: int) -> None:
        self._manifest = manifest
        self._outputs = {role: _outputs(manifest, objects, tracked=role == "step") for role in manifest.roles}
        self._role = manifest.roles[0]
        self._frames = 0

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        del inputs
        role, self._role = self._role, self._manifest.roles[-1]
        self._frames += 1
        masks = self._outputs[role]["mask_logits"]
        return self._outputs[role] | {"mask_logits": np.roll(masks, self._frames * masks.shape[2] // 200, axis=2)}

    def reset(self) -> None:
        self._role, self._frames = self._manifest.roles[0], 0

    def snapshot(self) -> StreamState:
        raise NotImplementedError

    def restore(self, state: StreamState) -> None:
        raise NotImplementedError


def _outputs(manifest: SegmentationManifest, objects: int, *, tracked: bool) -> dict[str, Array]:
    """What a graph gives when it is sure of some objects: learned queries in the first frame, tracks afterwards."""
    role = manifest.roles[-1 if tracked else 0]
    states = {state.output for state in manifest.state}
    specs = {name: spec for name, spec in manifest.outputs_of(role).items() if name not in states}
    outputs: dict[str, Array] = {name: np.zeros(spec.shape, spec.dtype) for name, spec in specs.items()}
    count, height, width = outputs["mask_logits"].shape
    queries = np.arange(count)
    if tracked:  # first the tracks, then learned queries
        queries = np.roll(np.arange(manifest.detection.num_queries + objects), objects)[:count]
        queries = np.pad(queries, (0, count - len(queries)), constant_values=manifest.detection.num_queries + objects)
    outputs["query_indices"] = queries.astype(np.int32)
    outputs["class_logits"][:, -1] = 20
    outputs["class_logits"][:objects, 0] = 30
    y, x = np.mgrid[:height, :width]
    radius = np.sqrt(_AREA * height * width / np.pi)
    for number, logits in enumerate(outputs["mask_logits"][:objects]):
        row, column = divmod(number, 5)
        distance = np.hypot(y - height * (row + 0.5) / 2, x - width * (column + 0.5) / 5)
        logits[...] = radius - distance
    for point in manifest.pruning_points:
        if point.output in outputs:
            outputs[point.output] = np.arange(point.kept, dtype=np.int32)
    return outputs


def host_parts(bundle: vpp_deploy.Bundle, size: Size, objects: int, frames: int) -> dict[str, float]:
    """Milliseconds of each part of the host's work for a frame of a size, medians."""
    manifest = SegmentationManifest.of(bundle.manifest, "this benchmark")
    original = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    session, overlay = VideoSession(Scripted(manifest, objects)), Overlay.of(manifest, size)
    seconds: dict[str, list[float]] = {}

    def timed(part: str, call: Callable[..., Any], *arguments: object) -> Any:
        start = thread_time()
        made = call(*arguments)
        seconds.setdefault(part, []).append(thread_time() - start)
        return made

    for index in range(frames):
        image, content = timed("letterbox", letterbox, original, manifest.frame_size)
        frame = Frame(image, content, original, index)
        result = timed("masks, tracker, state", session, frame)
        assert len(result.instances) == objects
        timed("drawing", overlay, frame, result)
        timed("JSON line", frame_record, result, "", manifest.class_names)
    return {part: 1000 * summary(found).median for part, found in seconds.items()}


def pipeline(engine: vpp_deploy.Engine, video: Path, frames: int, rounds: int) -> tuple[list[float], list[float]]:
    """Seconds a frame of the session alone and of the whole pipeline, one of each for every round."""
    session = VideoSession(engine)
    with read_video(video, engine.frame_size, max_frames=frames) as reader:
        decoded = list(reader)
    alone, whole = [], []
    with TemporaryDirectory() as folder:
        outputs = Outputs(Path(folder, "out.mp4"), Path(folder, "out.jsonl"))
        for number in range(rounds + 1):
            session.reset()
            start = perf_counter()
            for frame in decoded:
                session(frame)
            middle = perf_counter()
            run_video(session, video, outputs, max_frames=frames)
            if number:  # the first round warms up
                alone.append((middle - start) / len(decoded))
                whole.append((perf_counter() - middle) / len(decoded))
    return alone, whole


def main() -> None:
    """Print both."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path, help="of a model for instance segmentation")
    parser.add_argument("--frames", type=int, default=30, help="of each measurement (default: %(default)s)")
    parser.add_argument("--video", type=Path, help="compare the whole pipeline on this with the engine alone")
    parser.add_argument("--engine", default="onnxruntime", help="for that (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="of that (default: %(default)s)")
    parser.add_argument("--json", type=Path, help="also write its times here")
    options = parser.parse_args()
    console, bundle = Console(width=100), vpp_deploy.Bundle.open(options.bundle)
    table = Table("size", "objects", title="host, ms a frame", box=None)
    for size in SIZES:
        for objects in OBJECTS:
            parts = host_parts(bundle, size, objects, options.frames)
            if not table.row_count:
                for part in parts:
                    table.add_column(part, justify="right")
            table.add_row(f"{size[0]}x{size[1]}", str(objects), *(f"{value:.1f}" for value in parts.values()))
    console.print(table)
    if options.video is not None:
        engine = vpp_deploy.load_engine(bundle, options.engine)
        alone, whole = pipeline(engine, options.video, options.frames, options.rounds)
        found = ratio(alone, whole)
        console.print(
            f"frames per second: session alone {1 / summary(alone).median:.2f}, whole pipeline "
            f"{1 / summary(whole).median:.2f}: {found.value:.1%} [{found.low:.1%}, {found.high:.1%}]"
        )

        if options.json:
            content = {
                "command": shlex.join(["python", "-m", "benchmarks.host", *sys.argv[1:]]),
                "machine": describe_machine(),
                "session alone, seconds a frame": alone,
                "whole pipeline, seconds a frame": whole,
                "whole pipeline, share of the session's frames per second": [found.value, found.low, found.high],
            }
            options.json.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
