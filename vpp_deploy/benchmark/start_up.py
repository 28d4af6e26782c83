"""How long a candidate takes from nothing to its first result, and how much memory, in a process of its own.

Run as `python -m vpp_deploy.benchmark.start_up REQUEST`, it is that process.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Final

from vpp_deploy.benchmark.candidates import Candidate
from vpp_deploy.bundle.reader import Bundle
from vpp_deploy.errors import VppDeployError

_CALLS: Final = 3
"""Enough to have run every graph once."""


@dataclass(frozen=True, slots=True)
class StartUp:
    """A cold process, though with files that the system may still have in memory.

    Attributes:
        seconds: from starting Python to the first result.
        peak_memory: the most bytes of memory that the process held in its first calls.
    """

    seconds: float
    peak_memory: int


def start_up(candidate: Candidate, source: str | os.PathLike[str] | None) -> StartUp | None:
    """Measure it; None if the process fails, as it does for a candidate that cannot be loaded."""
    request = {
        "bundle": str(candidate.bundle.path),
        "engine": candidate.engine,
        "options": dict(candidate.options),
        "max_memory": candidate.bundle.max_memory,
        "source": None if source is None else os.fspath(source),
    }
    command = [sys.executable, "-m", __name__, json.dumps(request)]
    start = perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        try:
            first = process.stdout.readline()
            seconds = perf_counter() - start
            rest = process.stdout.read()
        except BaseException:
            process.kill()
            raise
    return StartUp(seconds, int(rest)) if first and process.returncode == 0 else None


def _main(request: dict[str, Any]) -> int:
    from vpp_deploy.tasks import TASKS

    try:
        bundle = Bundle.open(request["bundle"], max_memory=request["max_memory"])
        engine = Candidate(bundle, request["engine"], request["options"]).open()
        workload = TASKS[bundle.manifest.task].workload(engine, request["source"])
        workload()
        print("first result", flush=True)  # noqa: T201 - what the parent waits for
        for _ in range(_CALLS - 1):
            workload()
    except VppDeployError:  # the parent says so when it loads the candidate itself
        return 1
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)  # noqa: T201 - for the parent
    return 0


if __name__ == "__main__":
    sys.exit(_main(json.loads(sys.argv[1])))
