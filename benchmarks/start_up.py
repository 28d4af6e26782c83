"""From the command to its first word, and to its first frame: new processes, in turn.

    python -m benchmarks.start_up demo.bundle --video clip.mp4

The aim is 0.3 s for `--help`, and 1.5 s to the first frame of a small bundle.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
from pathlib import Path
from time import perf_counter

from vpp_deploy.benchmark.environment import describe_machine


def seconds(*words: str | Path) -> float:
    """Wall time of a command, its end included."""
    begin = perf_counter()
    subprocess.run([sys.executable, "-m", "vpp_deploy", *map(str, words)], check=True, stdout=subprocess.DEVNULL)
    return perf_counter() - begin


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], epilog=os.linesep.join(__doc__.splitlines()[2:])
    )
    parser.add_argument("bundle", type=Path, help="with an onnxruntime engine")
    parser.add_argument("--video", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=10)
    arguments = parser.parse_args()
    commands: dict[str, tuple[str | Path, ...]] = {
        "--help": ("--help",),
        "infer, 1 frame": ("infer", arguments.bundle, arguments.video, "--max-frames", "1"),
    }
    times: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(arguments.rounds):
        for name, words in commands.items():
            times[name].append(seconds(*words))
    machine = describe_machine()
    print(f"{machine['processor']}, {machine['processors']} processors, {arguments.rounds} rounds in turn")
    for name, found in times.items():
        print(f"{name:16} median {statistics.median(found):.2f} s, from {min(found):.2f} to {max(found):.2f}")


if __name__ == "__main__":
    main()
