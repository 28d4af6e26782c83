"""`vpp-deploy batch` against `infer`: what the supervisor costs, and what workers gain over threads.

    python -m benchmarks.corpus demo.bundle --video street.mp4 --clips 4

The video is copied as the clips of a corpus. In every round these take turns, each in new processes, start-up included:

- `infer` on one clip with one thread, alone on the machine;
- as many of those at once as there are cores, started by hand, on all clips;
- `batch` on all clips, as many workers as cores;
- `infer` on one clip with all threads.

Printed are frames a second and processor milliseconds a frame. What else the machine does changes the former, most of
all of the first way; where it is not idle, compare `batch` with the second way, and by processor time.
"""

from __future__ import annotations

import argparse
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

from rich.console import Console
from rich.table import Table

from vpp_deploy.benchmark.environment import describe_machine
from vpp_deploy.machine import available_processors
from vpp_deploy.media.reader import read_video

PROGRAM = "import sys; from vpp_deploy.cli.main import main; sys.exit(main(sys.argv[1:]))"
ALONE, BY_HAND, BATCH, THREADS = (
    "infer, 1 thread, alone",
    "infer by hand, 1 on each core",
    "batch",
    "infer, all threads",
)


@dataclass(frozen=True)
class Cost:
    """Of a way, once: frames a second, and processor milliseconds a frame."""

    rate: float
    processor: float


def command(*words: object) -> None:
    """Run a command to its end."""
    done = subprocess.run([sys.executable, "-c", PROGRAM, *map(str, words)], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)


def infer(bundle: Path, clip: Path, lines: Path, threads: int, frames: int) -> None:
    """`infer` with JSON lines as its output."""
    output = lines / f"{clip.name}.jsonl"
    command("infer", bundle, clip, "--json", output, "--threads", threads, "--max-frames", frames)


def measure(bundle: Path, corpus: Path, clips: Sequence[Path], frames: int, folder: Path) -> dict[str, Cost]:
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
    parser.add_argument("--clips", type=int, default=4, help="a multiple of the cores (default: %(default)s)")
    parser.add_argument("--frames", type=int, help="of each clip, at most (default: all)")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    cores = available_processors()
    with TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "corpus").mkdir()
        clips = [folder / "corpus" / f"{number}{options.video.suffix}" for number in range(options.clips)]
        for clip in clips:
            shutil.copyfile(options.video, clip)
        with read_video(options.video, (32, 32), max_frames=options.frames) as reader:
            frames = sum(1 for _ in reader)
        infer(options.bundle, clips[0], folder, 1, 1)  # warms up the caches of files
        rounds = [measure(options.bundle, folder / "corpus", clips, frames, folder) for _ in range(options.rounds)]
    table = Table("", *(f"round {number}" for number in range(1, 1 + options.rounds)), box=None)
    processor = describe_machine()["processor"]
    table.title = f"frames a second (processor ms a frame), {options.clips} clips of {frames} frames, {processor}"
    for way in (ALONE, BY_HAND, BATCH, THREADS):
        table.add_row(way, *(f"{costs[way].rate:.2f} ({costs[way].processor:.0f})" for costs in rounds))
    for label, way, factor in (
        (f"batch / ({cores} × infer alone)", ALONE, cores),
        (f"batch / {cores} infers by hand", BY_HAND, 1),
        ("batch / infer with all threads", THREADS, 1),
    ):
        rates = [costs[BATCH].rate / costs[way].rate / factor for costs in rounds]
        times = [costs[way].processor / costs[BATCH].processor for costs in rounds]
        table.add_row(label, *(f"{rate:.2f} ({time:.2f})" for rate, time in zip(rates, times, strict=True)))
    Console(width=140).print(table)
    print("ratios above 1 are in favour of batch: of frames a second, and (in brackets) of frames by processor time")


if __name__ == "__main__":
    main()
