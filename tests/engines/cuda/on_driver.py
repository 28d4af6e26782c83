"""What a server does with streams, on the driver of driver.c. `test_cuda_device.py` runs it, in processes of its own.

Answers as JSON: what lives, what is retained, and how many rules of the driver were broken.
"""

from __future__ import annotations

import ctypes
import gc
import json
import logging
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from types import SimpleNamespace
from typing import Any

import numpy as np

from vpp_deploy.engines.cuda_device import CudaDevice
from vpp_deploy.engines.cuda_library import driver_cuda
from vpp_deploy.engines.device_stream import DeviceStream
from vpp_deploy.errors import DeviceError

DRIVER = ctypes.CDLL("libcuda.so.1")
KINDS = ("memory", "pinned", "stream", "event", "graph", "executable")
SHAPE = (4, 6)


def answer(**facts: Any) -> dict[str, Any]:
    return facts | {
        "live": {kind: DRIVER.vpp_live(place) for place, kind in enumerate(KINDS) if DRIVER.vpp_live(place)},
        "retained": DRIVER.vpp_retained(),
        "broken": DRIVER.vpp_broken(),
        "depth": DRIVER.vpp_depth(),
    }


def tensor(name: str) -> Any:
    return SimpleNamespace(name=name, shape=SHAPE, dtype="float32")


MANIFEST: Any = SimpleNamespace(
    roles=("init", "step"),
    graphs={
        role: SimpleNamespace(inputs=[tensor("frame")], outputs=[tensor("seen"), tensor("before")])
        for role in ("init", "step")
    },
    state=[SimpleNamespace(name="last", shape=SHAPE, dtype="float32", input="last_in", output="last_out")],
)


class Remembers:
    """A context that gives the frame, and the frame before. Like TensorRT, it works in the thread's current context."""

    def __init__(self, device: CudaDevice, role: str, work: Callable[[], None] = lambda: None) -> None:
        assert DRIVER.vpp_depth()
        self._device, self._role, self._work, self._bound = device, role, work, {}

    def bind(self, name: str, buffer: Any) -> None:
        assert DRIVER.vpp_depth()
        self._bound[name] = buffer

    def can_be_captured(self, queue: Any) -> bool:
        return True

    def enqueue(self, queue: Any) -> None:
        assert DRIVER.vpp_depth()
        self._work()
        self._device.copy(self._bound["seen"], self._bound["frame"], queue)
        self._device.copy(self._bound["last_out"], self._bound["frame"], queue)
        if self._role == "step":
            self._device.copy(self._bound["before"], self._bound["last_in"], queue)


def open_stream(device: CudaDevice, work: Callable[[], None] = lambda: None) -> DeviceStream:
    return DeviceStream(MANIFEST, device, lambda role: Remembers(device, role, work))


def frames(number: int) -> list[np.ndarray]:
    return [np.full(SHAPE, index, np.float32) for index in range(number)]


def play(stream: DeviceStream, number: int = 6) -> bool:
    """Whether every frame comes back, and the one before it, prefetched or not."""
    images, right = frames(number), True
    for index, image in enumerate(images):
        stays = index % 3 == 1
        outputs = stream.run({"frame": image}, leave=("seen",) if stays else ())
        seen = stream.rows("seen", np.array([SHAPE[0] - 1, 0])) if stays else outputs["seen"]
        right &= bool((seen == index).all() and (index == 0 or (outputs["before"] == index - 1).all()))
        if index + 1 < number and index % 2:
            stream.prefetch({"frame": images[index + 1]})
    return right


def streams_dropped_elsewhere() -> dict[str, Any]:
    """Opened and run by one thread, let go of by another, 200 times; and each ends with an upload under way."""
    device = CudaDevice()
    right = True
    with ThreadPoolExecutor(1) as opens, ThreadPoolExecutor(1) as drops:
        for _ in range(200):
            held = [opens.submit(open_stream, device).result()]
            right &= opens.submit(play, held[0]).result()
            held[0].prefetch({"frame": np.ones(SHAPE, np.float32)})
            drops.submit(held.clear).result()
        depths = [pool.submit(DRIVER.vpp_depth).result() for pool in (opens, drops)]
    made = {kind: DRIVER.vpp_made(place) for place, kind in enumerate(KINDS)}
    mid = answer()
    captures = device.captures
    del device
    return answer(right=right, captures=captures, depths=depths, made=made, while_open=mid)


def a_stream_dropped_while_another_captures() -> dict[str, Any]:
    """By the capturing thread itself, as garbage collection does it."""
    device = CudaDevice()
    other = [open_stream(device)]
    play(other[0])
    counts = []

    def collect() -> None:
        other.clear()
        gc.collect()
        counts.append(1)

    messages: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: messages.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger().addHandler(handler)
    runs = count()
    stream = open_stream(device, lambda: collect() if next(runs) == 3 else None)  # the first that is captured
    right = play(stream)
    del stream, device
    return answer(right=right, messages=messages, times=len(counts))


class Foreign:
    """Garbage of a vendor's library: a cycle, whose destructor frees memory without asking anybody."""

    def __init__(self, device: CudaDevice, address: ctypes.c_void_p) -> None:
        self.cycle, self.device, self.address = self, device, address

    def __del__(self) -> None:
        with self.device.current():
            DRIVER.cuMemFree_v2(self.address)


def garbage_of_a_library_while_a_stream_captures() -> dict[str, Any]:
    """Python collects it whenever it has made some objects, but not while that would break a capture."""
    device = CudaDevice()
    gc.set_threshold(1)
    addresses = [ctypes.c_void_p() for _ in range(20)]
    with device.current():
        for address in addresses:
            assert DRIVER.cuMemAlloc_v2(ctypes.byref(address), ctypes.c_size_t(8)) == 0
    runs = count()

    def work(device: CudaDevice = device) -> None:
        if next(runs) == 3:  # the first that is captured
            while addresses:
                Foreign(device, addresses.pop())
            assert [[[]] for _ in range(1000)]

    stream = open_stream(device, work)
    right = play(stream)
    made, enabled = DRIVER.vpp_made(KINDS.index("executable")), gc.isenabled()
    del stream, device, work, address
    gc.collect()
    return answer(right=right, executables=made, enabled=enabled)


def many_threads() -> dict[str, Any]:
    """Threads open streams, run them a while and let go of anybody's."""
    device = CudaDevice()
    held: list[DeviceStream] = []

    def serve(seed: int, device: CudaDevice = device) -> bool:
        random, right = np.random.default_rng(seed), True
        for _ in range(12):
            stream = open_stream(device)
            right &= play(stream, int(random.integers(1, 8)))
            held.append(stream)
            del stream
            if held and random.random() < 0.8:
                try:
                    held.pop(int(random.integers(len(held) + 1)) - 1)
                except IndexError:  # another thread was faster
                    continue
        return right

    with ThreadPoolExecutor(8) as threads:
        right = all(threads.map(serve, range(8)))
    held.clear()
    del device, serve
    return answer(right=right)


def a_capture_that_fails() -> dict[str, Any]:
    """The stream can be used afterwards, and nothing is left of it."""
    device = CudaDevice()
    queue = device.queue()

    def fails() -> None:
        raise DeviceError("on purpose")

    def breaks(device: CudaDevice = device) -> None:
        device.allocate(SHAPE, "float32")

    told = []
    for work in (fails, breaks):
        try:
            device.capture(queue, work)
        except DeviceError as error:
            told.append(str(error))
    device.synchronize(queue)
    del queue, device, work, fails, breaks
    return answer(told=told)


def memory_runs_out() -> dict[str, Any]:
    """Nothing is left of a stream that could not be opened."""
    device = CudaDevice()
    told = []
    for allocate in (device.allocate, device.pinned):
        try:
            allocate((2**45,), "float32")
        except DeviceError as error:
            told.append(str(error))
    del device, allocate
    return answer(told=told)


def views_hold_pinned_memory() -> dict[str, Any]:
    device = CudaDevice()
    view = device.pinned(SHAPE, "int32")[1:]
    view[...] = 3
    held = DRIVER.vpp_live(1)
    right = bool((view == 3).all())
    del view, device
    return answer(held=held, right=right)


def what_the_driver_knows() -> dict[str, Any]:
    return answer(cuda=driver_cuda())


def no_such_gpu() -> dict[str, Any]:
    try:
        CudaDevice(7)
    except DeviceError as error:
        return answer(told=str(error))
    return answer()


if __name__ == "__main__":
    for module in sys.argv[2:]:
        sys.modules[module] = None  # type: ignore[assignment]
    json.dump(globals()[sys.argv[1]](), sys.stdout)
