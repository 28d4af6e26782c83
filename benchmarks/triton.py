"""What a Triton server adds to a frame: requests against a plain session, in turn, for sizes and transports.

    python -m benchmarks.triton small.bundle --environment build/triton-venv

The server is the real one of `tools/triton_server.py`, on this machine, with one worker; engines have one thread. The
fastest request less the fastest plain frame is what a server costs where nothing else is in the way; the difference of
the medians is what this machine gave.
"""

from __future__ import annotations

import argparse
import io
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import numpy as np
from PIL import Image
from rich.console import Console
from rich.table import Table

import vpp_deploy as vd
from tools.triton_server import ROOT, Server, make_environment
from vpp_deploy.benchmark.environment import describe_machine
from vpp_deploy.media.letterbox import letterbox
from vpp_deploy.serving.triton.repository import write_repository
from vpp_deploy.serving.triton.settings import Settings

SIZES = ((256, 384), (720, 1280), (1080, 1920))
_INSIDE = "VPP_BENCHMARK_INSIDE"
"""Set in the server's own environment, which has the clients."""

Ask = Callable[[bool], Any]
"""Asks for a frame; whether it is the first of its stream."""


def picture(size: tuple[int, int]) -> Any:
    """Squares of colour, which a JPEG can hold as well as a photograph."""
    generator = np.random.default_rng(0)
    cells = generator.integers(0, 256, (-(-size[0] // 32), -(-size[1] // 32), 3), np.uint8)
    return np.ascontiguousarray(cells.repeat(32, 0).repeat(32, 1)[: size[0], : size[1]])


@contextmanager
def transports(server: Server, image: Any, model_size: tuple[int, int]) -> Iterator[dict[str, Ask]]:
    """How a frame can be sent, by name."""
    import tritonclient.grpc as grpc
    import tritonclient.http as http
    from tritonclient.utils import shared_memory

    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=90)
    small, _ = letterbox(image, model_size)
    size = f"{image.shape[0]}x{image.shape[1]}"
    clients = {grpc: grpc.InferenceServerClient(server.grpc), http: http.InferenceServerClient(server.http)}
    region = shared_memory.create_shared_memory_region("frame", f"/vpp_benchmark_{os.getpid()}", image.nbytes)
    shared_memory.set_shared_memory_region(region, [image])
    clients[grpc].register_system_shared_memory("frame", f"/vpp_benchmark_{os.getpid()}", image.nbytes)

    def asking(kind: Any, fill: Callable[[Any], None], name: str, shape: Any, dtype: str, **parameters: Any) -> Ask:
        given = kind.InferInput(name, shape, dtype)
        fill(given)
        wanted = [kind.InferRequestedOutput("RESULT")]
        stream = f"{kind.__name__} {name} {parameters} {fill}"

        def ask(first: bool) -> Any:
            sequence = {"sequence_id": stream, "sequence_start": first}
            return clients[kind].infer("vpp", [given], outputs=wanted, parameters=parameters or None, **sequence)

        return ask

    def array(value: Any) -> Callable[[Any], None]:
        return lambda given: given.set_data_from_numpy(value)

    encoded = np.array([file.getvalue()], np.object_)
    shared = lambda given: given.set_shared_memory("frame", image.nbytes)  # noqa: E731
    try:
        yield {
            "raw, gRPC": asking(grpc, array(image), "FRAME", image.shape, "UINT8"),
            "raw, HTTP": asking(http, array(image), "FRAME", image.shape, "UINT8"),
            "shared memory, gRPC": asking(grpc, shared, "FRAME", image.shape, "UINT8"),
            "letterboxed, gRPC": asking(grpc, array(small), "FRAME", small.shape, "UINT8", original_size=size),
            "JPEG, gRPC": asking(grpc, array(encoded), "JPEG", [1], "BYTES"),
        }
    finally:
        clients[grpc].unregister_system_shared_memory("frame")
        shared_memory.destroy_shared_memory_region(region)
        for client in clients.values():
            client.close()


def measure(asks: dict[str, Ask], plain: Callable[[], Any], rounds: int) -> dict[str, list[float]]:
    """Seconds that a frame takes each way, and in the plain session (""), frame by frame, all in turn."""
    ways: dict[str, Ask] = {"": lambda first: plain(), **asks}
    found: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds + 2):
        for name, ask in ways.items():
            begin = perf_counter()
            ask(number == 0)
            if number >= 2:  # the first two are the init graph, and a cold step
                found[name].append(perf_counter() - begin)
    return found


def beyond(found: dict[str, list[float]], way: str) -> str:
    """Milliseconds beyond the plain session: of the fastest, and of the medians."""
    fastest, middle = (kind(found[way]) - kind(found[""]) for kind in (np.min, np.median))
    return f"{1e3 * fastest:.1f} / {1e3 * middle:.1f}"


def compare(bundle: Path, environment: Path, rounds: int) -> None:
    """Print the table."""
    opened = vd.Bundle.open(bundle)
    model = vd.load(opened, threads=1)
    table = Table(title=f"ms beyond a plain session: fastest / median of {rounds} frames", title_justify="left")
    table.add_column("picture")
    table.add_column("plain, median", justify="right")
    ways: list[str] = []
    with TemporaryDirectory() as folder:
        write_repository(opened, Path(folder, "models"), settings=Settings(workers=1))
        with Server(Path(folder, "models"), environment, Path(folder, "log")) as server:
            for size in SIZES:
                image, session = picture(size), model.session()
                with transports(server, image, model.frame_size) as asks:
                    if not ways:
                        ways = list(asks)
                        for way in ways:
                            table.add_column(way, justify="right")
                    found = measure(asks, lambda image=image, session=session: session(image).to_json(), rounds)
                plain = f"{1e3 * np.median(found['']):.1f}"
                table.add_row(f"{size[0]}x{size[1]}", plain, *(beyond(found, way) for way in ways))
                print(f"{size[0]}x{size[1]} done", flush=True)
    console = Console(width=140)
    console.print(describe_machine())
    console.print(table)


def main() -> None:
    """In the environment of the server, measure; elsewhere, start this there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--environment", type=Path, default=ROOT / "build" / "triton-venv")
    parser.add_argument("--rounds", type=int, default=20)
    given = parser.parse_args()
    environment = make_environment(given.environment)
    if os.environ.get(_INSIDE):
        compare(given.bundle, environment, given.rounds)
        return
    command = [str(environment / "bin" / "python"), "-m", "benchmarks.triton", *sys.argv[1:]]
    subprocess.run(command, env=os.environ | {_INSIDE: "1"}, check=True)


if __name__ == "__main__":
    main()
