"""`vpp-deploy batch` against `infer`: what the supervisor costs, and what workers gain over threads.

    python -m benchmarks.corpus demo.bundle --video street.mp4 --seconds 30 --fewer --json corpus.json

The video, played to and fro for as long as wanted, is each clip of a corpus. In every round these take turns, each in
new processes, start-up included (with `--fewer` only `infer` alone and `batch`):

- `infer` on one clip with one thread, alone on the machine;
- as many of those at once as there are cores, started by hand, on all clips;
- `batch` on all clips, as many workers as cores;
- `infer` on one clip with all threads.

Printed are frames a second and processor milliseconds a frame. What else the machine does changes the former, most of
all of the first way; where it is not idle, compare `batch` with the second way, and by processor time.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from itertools import cycle, islice
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Final

import av
from rich.console import Console
from rich.table import Table

from vpp_deploy.benchmark.environment import describe_machine
from vpp_deploy.machine import available_processors

PROGRAM = "import sys; from vpp_deploy.cli.main import main; sys.exit(main(sys.argv[1:]))"
ALONE, BY_HAND, BATCH, THREADS = (
    "infer, 1 thread, alone",
    "infer by hand, 1 on each core",
    "batch",
    "infer, all threads",
)


RATE: Final = 25
"""Frames a second of a clip."""


@dataclass(frozen=True)
class Cost:
    """Of a way, once: frames a second, and processor milliseconds a frame."""

    rate: float
    processor: float

    @property
    def cores(self) -> float:
        """How many it kept busy."""
        return self.rate * self.processor / 1e3


def write_clip(video: Path, clip: Path, frames: int) -> None:
    """A video, played to and fro, without a cut."""
    with av.open(str(video)) as source:
        shown = [frame.to_ndarray(format="rgb24") for frame in islice(source.decode(video=0), frames)]
    with av.open(str(clip), "w") as target:
        stream = target.add_stream("libx264", rate=RATE, options={"preset": "veryfast"})
        stream.height, stream.width = shown[0].shape[:2]
        for picture in islice(cycle([*shown, *reversed(shown[1:-1])]), frames):
            target.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        target.mux(stream.encode(None))


def command(*words: object) -> None:
    """Run a command to its end."""
    done = subprocess.run([sys.executable, "-c", PROGRAM, *map(str, words)], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)


def infer(bundle: Path, clip: Path, lines: Path, threads: int, frames: int) -> None:
    """`infer` with JSON lines as its output."""
    output = lines / f"{clip.name}.jsonl"
    command("infer", bundle, clip, "--json", output, "--threads", threads, "--max-frames", frames)


def measure(
    bundle: Path, corpus: Path, clips: Sequence[Path], frames: int, folder: Path, *, fewer: bool
) -> dict[str, Cost]:
    """The cost of each way."""
    cores, out = available_processors(), folder / "out"

    def by_hand() -> None:
        with ThreadPoolExecutor(cores) as pool:
            list(pool.map(lambda clip: infer(bundle, clip, folder, 1, frames), clips))

    ways: dict[str, tuple[Callable[[], None], int]] = {
        ALONE: (lambda: infer(bundle, clips[0], folder, 1, frames), 1),
        BY_HAND: (by_hand, len(clips)),
        BATCH: (
            lambda: command("batch", bundle, corpus, "-o", out, "--no-parquet", "--max-frames", frames),
            len(clips),
        ),
        THREADS: (lambda: infer(bundle, clips[0], folder, cores, frames), 1),
    }
    costs = {}
    for name, (run, count) in ways.items():
        if fewer and name not in (ALONE, BATCH):
            continue
        begin, used = perf_counter(), _processor()
        run()
        seconds, processor = perf_counter() - begin, _processor() - used
        costs[name] = Cost(count * frames / seconds, 1e3 * processor / count / frames)
    shutil.rmtree(out)
    return costs


def _processor() -> float:
    """Processor seconds of the processes that this one has waited for, and of those that they have waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    """Measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path, help="with an onnxruntime engine")
    parser.add_argument("--video", type=Path, required=True)
    parser.add_argument("--clips", type=int, help="a multiple of the cores (default: the cores)")
    parser.add_argument("--seconds", type=float, default=10, help="of each clip, 25 frames each (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--fewer", action="store_true", help="only infer with one thread, alone, and batch")
    parser.add_argument("--json", type=Path, help="add the rounds to those in this file")
    options = parser.parse_args()
    cores = available_processors()
    clips_wanted, frames = options.clips or cores, round(options.seconds * RATE)
    rounds: list[dict[str, Cost]] = []
    if options.json and options.json.exists():
        rounds = [
            {way: Cost(**cost) for way, cost in found.items()}
            for found in json.loads(options.json.read_text())["rounds"]
        ]
    with TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "corpus").mkdir()
        clips = [folder / "corpus" / f"{number}.mp4" for number in range(clips_wanted)]
        write_clip(options.video, clips[0], frames)
        for clip in clips[1:]:
            shutil.copyfile(clips[0], clip)
        infer(options.bundle, clips[0], folder, 1, 1)  # warms up the caches of files
        for _ in range(options.rounds):
            rounds.append(measure(options.bundle, folder / "corpus", clips, frames, folder, fewer=options.fewer))
    machine = describe_machine()
    show(rounds, cores, f"{len(clips)} clips of {frames} frames, {machine['processor']}")
    if options.json:
        kept = [{way: asdict(cost) for way, cost in costs.items()} for costs in rounds]
        facts = {"machine": machine, "bundle": options.bundle.name, "clips": len(clips), "frames": frames}
        options.json.write_text(json.dumps({**facts, "rounds": kept}, indent=1) + "\n")


def show(rounds: Sequence[dict[str, Cost]], cores: int, what: str) -> None:
    """Print the table."""
    table = Table("", *(f"round {number}" for number in range(1, 1 + len(rounds))), box=None)
    table.title = f"frames a second (processor ms a frame, cores kept busy), {what}"
    ways = [way for way in (ALONE, BY_HAND, BATCH, THREADS) if all(way in costs for costs in rounds)]
    for way in ways:
        table.add_row(way, *(f"{c[way].rate:.2f} ({c[way].processor:.0f}, {c[way].cores:.2f})" for c in rounds))
    for label, way, factor in (
        (f"batch / ({cores} × infer alone)", ALONE, cores),
        (f"batch / {cores} infers by hand", BY_HAND, 1),
        ("batch / infer with all threads", THREADS, 1),
    ):
        if way in ways:
            rates = [costs[BATCH].rate / costs[way].rate / factor for costs in rounds]
            times = [costs[way].processor / costs[BATCH].processor for costs in rounds]
            table.add_row(label, *(f"{rate:.2f} ({time:.2f})" for rate, time in zip(rates, times, strict=True)))
    Console(width=140).print(table)
    print("ratios above 1 are in favour of batch: of frames a second, and (in brackets) of frames by processor time")


if __name__ == "__main__":
    main()
