"""Scene cuts: how many are found, how many alarms are false, what they are worth, and what looking for them costs.

    python -m benchmarks.scene_cuts demo.bundle --video street.mp4 --video arm_wrestling.mp4

Clips of `demo-data` are joined in pairs, those of the split `hard` have a cut of their own. Films are looked through
(each alarm is listed: a person says whether it is false), and frames of each are joined with frames of all others. With
every second frame left out, motion is twice as fast. AP_track is the bundle's on the clips, with and without cuts.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import permutations
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter, thread_time
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

import vpp_deploy
from vpp_deploy.benchmark.statistics import summary
from vpp_deploy.demo.dataset import ANNOTATIONS, write_dataset
from vpp_deploy.frames import Frame
from vpp_deploy.media.reader import read_video
from vpp_deploy.media.scene_cuts import CutDetector
from vpp_deploy.tasks.segmentation.evaluation import Dataset, open_dataset
from vpp_deploy.tasks.segmentation.evaluation.dataset import match_categories
from vpp_deploy.tasks.segmentation.evaluation.metrics import score
from vpp_deploy.tasks.segmentation.evaluation.predictions import predict
from vpp_deploy.tasks.segmentation.results import FrameResult
from vpp_deploy.tasks.segmentation.session import VideoSession


@dataclass
class Count:
    """Cuts over some videos.

    Attributes:
        frames: how many were looked at.
        true: how many cuts there are.
        found: how many of them were found.
        false: how many alarms there were elsewhere.
    """

    frames: int = 0
    true: int = 0
    found: int = 0
    false: int = 0

    def add(self, frames: Sequence[Frame], true: set[int]) -> list[int]:
        """Count a video, whose scenes begin at `true`, and give the alarms."""
        is_cut = CutDetector()
        alarms = [number for number, frame in enumerate(frames) if is_cut(frame)]
        self.frames += len(frames)
        self.true += len(true)
        self.found += len(true & set(alarms))
        self.false += len(set(alarms) - true)
        return alarms

    def cells(self) -> list[str]:
        """As columns of a table."""
        alarms = self.found + self.false
        return [
            str(self.frames),
            str(self.true),
            f"{self.found / alarms:.1%}" if alarms else "–",
            f"{self.found / self.true:.1%}" if self.true else "–",
            str(self.false),
        ]


class CutSession(VideoSession):
    """A session that starts anew where the detector says so."""

    def reset(self) -> None:
        """Start a new video."""
        super().reset()
        self._is_cut = CutDetector()

    def __call__(self, frame: Any) -> FrameResult:
        """Process the next frame."""
        if self._is_cut(frame):
            self.cut()
        return super().__call__(frame)


def write_joined(folder: Path, clips: int, frames: int) -> None:
    """A data set of `val` clips, each two of them one video."""
    write_dataset(folder, clips=2 * clips, seed=1, split="val", frames=frames)
    path = folder / ANNOTATIONS
    content = json.loads(path.read_text())
    first, second = content["videos"][::2], content["videos"][1::2]
    content["videos"] = [
        {**a, "id": number, "length": 2 * frames, "file_names": a["file_names"] + b["file_names"]}
        for number, (a, b) in enumerate(zip(first, second, strict=True), start=1)
    ]
    for track in content["annotations"]:
        half, track["video_id"] = (track["video_id"] - 1) % 2, (track["video_id"] + 1) // 2
        for key in ("segmentations", "bboxes", "areas"):
            track[key] = [None] * (half * frames) + track[key] + [None] * ((1 - half) * frames)
    path.write_text(json.dumps(content))


def count_clips(data: Dataset, size: tuple[int, int], step: int) -> Count:
    """The cuts of a data set, each of whose videos has one in the middle."""
    count = Count()
    for video in data.videos:
        frames = list(video.frames(size))
        middle = len(frames) // 2
        chosen = [*frames[:middle:step], *frames[middle::step]]
        count.add(chosen, {len(frames[:middle:step])})
    return count


def count_films(films: dict[str, list[Frame]], joins: int) -> Iterator[tuple[str, Count, list[int]]]:
    """The alarms of each film and of every second frame of it, and the cuts between frames of two films."""
    rng = np.random.default_rng(0)
    for name, frames in films.items():
        for step in (1, 2):
            count = Count()
            alarms = count.add(frames[::step], set())
            yield f"{name}, every {('', 'second ')[step - 1]}frame", count, [step * alarm for alarm in alarms]
    joined = Count()
    for before, after in permutations(films.values(), 2):
        for _ in range(joins):
            end = int(rng.integers(1, len(before)))
            begin = int(rng.integers(len(after)))
            joined.add([before[end - 1], after[begin]], {1})
    yield "frames of two of them, joined", joined, []


def ap_track(session: VideoSession, data: Dataset) -> float:
    """AP_track in percent."""
    categories = match_categories(data, session.manifest.class_names)
    found = {}
    for video in data.videos:
        session.reset()
        found[video.id] = predict(session, video, categories)
    return score(data.categories, data.videos, found).ap_track or 0.0


def costs(engine: vpp_deploy.Engine, frames: Sequence[Frame]) -> tuple[float, float]:
    """Milliseconds of a step and of the detector's look at its frame, medians; taken in turn."""
    session, is_cut = VideoSession(engine), CutDetector()
    steps, looks = [], []
    for number in range(5 * len(frames)):
        frame = replace(frames[number % len(frames)], index=number)
        begin, before = perf_counter(), thread_time()
        is_cut(frame)
        looks.append(thread_time() - before)
        begin = perf_counter()
        session(frame)
        steps.append(perf_counter() - begin)
    return 1000 * summary(steps).median, 1000 * summary(looks).median


def main() -> None:
    """Print everything."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path, help="of the demo model")
    parser.add_argument("--clips", type=int, default=16, help="of each kind (default: %(default)s)")
    parser.add_argument("--frames", type=int, default=16, help="of a clip of `hard` (default: %(default)s)")
    parser.add_argument("--video", type=Path, action="append", default=[], help="a film; repeat it")
    parser.add_argument("--joins", type=int, default=40, help="of each two films (default: %(default)s)")
    options = parser.parse_args()
    engine = vpp_deploy.load_engine(vpp_deploy.Bundle.open(options.bundle))
    console = Console(width=110)
    table = Table("", "frames", "cuts", "precision", "recall", "other alarms", box=None)
    values = Table("", "AP_track without cuts", "with cuts", box=None)
    with TemporaryDirectory() as folder:
        hard, val = Path(folder, "hard"), Path(folder, "val")
        write_dataset(hard, clips=options.clips, seed=1, split="hard", frames=options.frames)
        write_joined(val, options.clips, options.frames // 2)
        for name, path in (("hard", hard), ("val, joined", val)):
            data = open_dataset(path)
            for step in (1, 2):
                count = count_clips(data, engine.frame_size, step)
                table.add_row(f"{name}, every {('', 'second ')[step - 1]}frame", *count.cells())
            scores = [ap_track(kind(engine), data) for kind in (VideoSession, CutSession)]
            values.add_row(name, *(f"{value:.1f}" for value in scores))
        taken = list(data.videos[0].frames(engine.frame_size))
    films = {}
    for path in options.video:
        with read_video(path, engine.frame_size) as reader:
            films[path.name] = list(reader)
    for name, count, alarms in count_films(films, options.joins) if films else ():
        table.add_row(name, *count.cells(), f"at {', '.join(map(str, alarms))}" if alarms else "")
    console.print(table)
    console.print(values)
    whole, look = costs(engine, taken)
    console.print(f"a step {whole:.1f} ms, the detector {look:.2f} ms of processor time: {look / whole:.2%}")


if __name__ == "__main__":
    main()
