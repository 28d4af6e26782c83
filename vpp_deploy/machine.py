"""This machine: processors to use, NVIDIA GPUs as the driver's own tool tells them (without CUDA), a process's end."""

from __future__ import annotations

import ctypes
import math
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

_FACTS: Final = "name,driver_version,memory.total,compute_cap"
_QUERY: Final = ("nvidia-smi", f"--query-gpu={_FACTS},pci.bus_id,uuid", "--format=csv,noheader")
_ASK_CUDA: Final = """
import ctypes, sys
cuda = ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
status, count, device, bus = cuda.cuInit(0), ctypes.c_int(), ctypes.c_int(), ctypes.create_string_buffer(32)
if status == 100:  # CUDA_ERROR_NO_DEVICE
    sys.exit()
if status or cuda.cuDeviceGetCount(ctypes.byref(count)):
    sys.exit(1)
for ordinal in range(count.value):
    if cuda.cuDeviceGet(ctypes.byref(device), ordinal) or cuda.cuDeviceGetPCIBusId(bus, len(bus), device):
        sys.exit(1)
    print(bus.value.decode())
"""
"""Prints the bus of each GPU that CUDA sees, in its order. A program of its own: CUDA does not survive a fork."""
_PR_SET_PDEATHSIG: Final = 1


@dataclass(frozen=True, slots=True)
class Gpu:
    """An NVIDIA GPU as `nvidia-smi` describes it."""

    name: str
    driver: str
    memory: str
    compute_capability: str


@dataclass(frozen=True, slots=True)
class _Listed:
    """A line of `nvidia-smi`: a GPU, where it is on the PCI bus, and its UUID (`GPU-…`)."""

    gpu: Gpu
    bus: str = ""
    uuid: str = ""


def nvidia_gpus() -> tuple[Gpu, ...]:
    """The GPUs that CUDA sees here, in its order: its device 0 first. None where `nvidia-smi` is missing or fails.

    `nvidia-smi` lists all GPUs, by their place on the PCI bus; CUDA puts the fastest first, and `CUDA_VISIBLE_DEVICES`
    and `CUDA_DEVICE_ORDER` change what it sees.
    """
    rows = [[field.strip() for field in line.split(",")] for line in _output(*_QUERY) or ()]
    listed = [_Listed(Gpu(*row[:4]), *row[4:]) for row in rows if len(row) in (4, 6)]
    if len(listed) > 1 or (listed and "CUDA_VISIBLE_DEVICES" in os.environ):
        listed = _as_cuda_sees(listed)
    return tuple(one.gpu for one in listed)


def _as_cuda_sees(listed: list[_Listed]) -> list[_Listed]:
    places = {_place(one.bus): one for one in listed}
    seen = _output(sys.executable, "-I", "-S", "-c", _ASK_CUDA)
    if seen is not None and "" not in places:
        return [places[place] for place in map(_place, seen) if place in places]
    return _as_documented(listed)


def _as_documented(listed: list[_Listed]) -> list[_Listed]:
    """Where the driver's library cannot be asked: by the CUDA programming guide, "CUDA environment variables"."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        if os.environ.get("CUDA_DEVICE_ORDER") == "PCI_BUS_ID":
            return listed
        return sorted(listed, key=lambda one: version_numbers(one.gpu.compute_capability), reverse=True)
    found: list[_Listed] = []
    for wanted in visible.split(","):
        matching = [
            one
            for place, one in enumerate(listed)
            if wanted.strip() == str(place)
            or (wanted.strip().startswith("GPU-") and one.uuid.startswith(wanted.strip()))
        ]
        if len(matching) != 1:  # what comes after something invalid is not seen either
            break
        found += matching
    return found


def _place(bus: str) -> str:
    """One way to write what `nvidia-smi` writes as `00000000:3B:00.0` and CUDA as `0000:3b:00.0`."""
    return bus.strip().lower().lstrip("0")


def version_numbers(text: str) -> tuple[int, ...]:
    """The numbers of a version such as `11.4.0.106`, to compare."""
    return tuple(int(part) for part in text.split(".") if part.isdecimal())


def _output(*command: str) -> list[str] | None:
    """The lines that a program prints; None if it is missing, fails, or takes more than 20 seconds."""
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=20, check=True).stdout.splitlines()
    except (OSError, subprocess.SubprocessError):
        return None


def available_processors() -> int:
    """Processors that this process may use: its affinity where there is one, within its container's quota."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = processor_quota()
    return allowed if quota is None else min(allowed, max(1, math.ceil(quota)))


def processor_quota(root: Path = Path("/")) -> float | None:
    """Processors' worth of time that this process's control groups allow (`docker run --cpus`); None: no limit.

    Args:
        root: where the system's files are.
    """
    try:
        lines = (root / "proc/self/cgroup").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:  # not Linux
        return None
    groups = [line.split(":", 2) for line in lines if line.count(":") >= 2]
    hierarchies = root / "sys/fs/cgroup"
    quotas: list[float] = []
    for _, controllers, group in groups:
        if not controllers:  # version 2
            quotas += _quotas(hierarchies, group, _quota_v2)
        elif "cpu" in controllers.split(","):
            for name in {controllers, "cpu"}:  # mounted as `cpu,cpuacct`, with a link or not
                quotas += _quotas(hierarchies / name, group, _quota_v1)
    return min(quotas, default=None)


def _quotas(hierarchy: Path, group: str, quota: Callable[[Path], float | None]) -> Iterator[float]:
    """The limits of a group and of those around it; in a container its own group may be the hierarchy's root."""
    inner = PurePosixPath(group.lstrip("/"))
    for place in (inner, *inner.parents):
        if ".." not in place.parts and (found := quota(hierarchy / place)) is not None:
            yield found


def _quota_v2(folder: Path) -> float | None:
    """Of `cpu.max`: microseconds of processor time in each period, or `max`, and the period."""
    match _words(folder / "cpu.max"):
        case [time, period] if time.isdecimal() and period.isdecimal() and int(time) and int(period):
            return int(time) / int(period)
    return None


def _quota_v1(folder: Path) -> float | None:
    """Of `cpu.cfs_quota_us`, which is -1 for no limit, and `cpu.cfs_period_us`."""
    match _words(folder / "cpu.cfs_quota_us"), _words(folder / "cpu.cfs_period_us"):
        case [time], [period] if time.isdecimal() and period.isdecimal() and int(time) and int(period):
            return int(time) / int(period)
    return None


def _words(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="ascii").split()
    except (OSError, ValueError):
        return []


def end_with_parent(parent: int) -> None:
    """From here on the system ends this process when its parent ends, however that happens (Linux; nothing elsewhere).

    Args:
        parent: process id of the parent, which may have ended already.
    """
    if not sys.platform.startswith("linux"):
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
