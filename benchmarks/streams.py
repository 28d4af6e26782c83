"""Many streams: as many workers as cores with one thread each, against one worker with as many threads as cores.

    python -m benchmarks.streams demo.bundle --streams 4 --video street.mp4

Both engines are loaded in one process, and take turns: in every round each runs the same frames of all streams through
a `SessionPool`. Frames are decoded before; resizing them is part of it. Prints frames a second, processor time a frame,
and the ratios.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from time import perf_counter, process_time

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table

import vpp_deploy as vd
from vpp_deploy.benchmark.environment import describe_machine
from vpp_deploy.benchmark.statistics import ratio, summary
from vpp_deploy.machine import available_processors
from vpp_deploy.media.reader import read_video


def run(pool: vd.SessionPool, streams: int, pictures: list[npt.NDArray[np.uint8]]) -> tuple[float, float]:
    """Seconds of the clock and of processors for the pictures of all streams, from empty states."""
    begin, used = perf_counter(), process_time()
    for index, picture in enumerate(pictures):
        futures = [pool.submit(f"stream {name}", picture, start=index == 0) for name in range(streams)]
    for future in futures:
        future.result()
    return perf_counter() - begin, process_time() - used


def main() -> None:
    """Measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path, help="with an onnxruntime engine")
    parser.add_argument("--video", type=Path, required=True)
    parser.add_argument("--streams", type=int, default=4)
    parser.add_argument("--frames", type=int, default=8, help="of each stream and round (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=10)
    options = parser.parse_args()
    cores = available_processors()
    kinds = {f"{cores} × 1": (cores, 1), f"1 × {cores}": (1, cores)}
    pools = {
        name: vd.SessionPool(vd.load(options.bundle, threads=threads), workers=workers)
        for name, (workers, threads) in kinds.items()
    }
    size = vd.Bundle.open(options.bundle).manifest.frame_size
    with read_video(options.video, size, max_frames=options.frames) as reader:
        pictures = [frame.original for frame in reader]
    clock: dict[str, list[float]] = {name: [] for name in pools}
    used: dict[str, list[float]] = {name: [] for name in pools}
    count = options.streams * len(pictures)
    for number in range(options.rounds + 1):
        for name, pool in pools.items():
            seconds, processors = run(pool, options.streams, pictures)
            if number:  # the first round warms up
                clock[name].append(seconds / count)
                used[name].append(processors / count)
    for pool in pools.values():
        pool.close()
    machine = describe_machine()
    table = Table("workers × threads", "frames a second", "processor ms a frame", box=None)
    table.title = f"{options.streams} streams, {options.rounds} rounds in turn, {machine['processor']}"
    for name in pools:
        table.add_row(name, f"{1 / summary(clock[name]).median:.2f}", f"{1e3 * summary(used[name]).median:.0f}")
    Console(width=120).print(table)
    ours, theirs = pools
    for what, times in (("frames a second", clock), ("processor time a frame", used)):
        found = ratio(times[theirs], times[ours])
        print(f"{what}, {theirs} over {ours}: {found.value:.2f} times the time [{found.low:.2f}, {found.high:.2f}]")


if __name__ == "__main__":
    main()
