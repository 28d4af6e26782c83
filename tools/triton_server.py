"""The real Triton server on this machine, without a container: the binary in the wheel `nvidia-pytriton`.

    python tools/triton_server.py REPOSITORY --environment FOLDER

It has the Python backend and no other. FOLDER is a virtual environment for the server and for its clients; it is made
if there is none (half a minute, 0.7 GB) and kept. Everything listens on 127.0.0.1 alone.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from types import TracebackType

ROOT = Path(__file__).parents[1]
if not __package__:
    sys.path.insert(0, str(ROOT))

from tools.lower_bounds import requirements  # noqa: E402 - as a script, or as a module of the tests

WHEEL = "nvidia-pytriton==0.7.0"
FOR_TESTS = ("filelock", "hypothesis", "pytest")
_VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"
_SITE = Path("lib", f"python{_VERSION}", "site-packages")
_READY = "ready-for-triton"
_PATIENCE = 60.0
_EXIT_SECONDS = 3


class UnavailableError(Exception):
    """The server cannot be had here; the message says why."""


def make_environment(folder: Path) -> Path:
    """A virtual environment with the server, this tree's vpp_deploy and what it needs, and what tests need.

    Args:
        folder: where it is, or is to be. Its engines run on the ONNX Runtime of the same version as here.

    Returns:
        The folder.

    Raises:
        UnavailableError: the wheel is not for this machine, or cannot be had.
    """
    if is_environment(folder):
        return _with_this_tree(folder)
    if folder.exists() and any(folder.iterdir()):
        raise UnavailableError(f"{folder} is no such environment, and not empty: remove it, or name another one")
    if not sys.platform.startswith("linux"):
        raise UnavailableError(f"nvidia-pytriton has no wheel for {sys.platform}")
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    wanted = [WHEEL, f"onnxruntime=={metadata.version('onnxruntime')}", *FOR_TESTS]
    wanted += [str(one) for one in requirements([])]
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    done = subprocess.run([*pip, "--only-binary", ":all:", "--retries", "1", *wanted], capture_output=True, text=True)
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or done.stderr.splitlines()
        raise UnavailableError(f"{WHEEL} cannot be installed: {lines[-1] if lines else done.returncode}")
    server = folder / _SITE / "pytriton" / "tritonserver"
    stub = server / "python_backend_stubs" / _VERSION / "triton_python_backend_stub"
    if not stub.exists():
        raise UnavailableError(f"{WHEEL} has no stub for Python {_VERSION}")
    shutil.copy(stub, server / "backends" / "python")
    (folder / _READY).touch()
    return _with_this_tree(folder)


def is_environment(folder: Path) -> bool:
    """Whether a folder is what `make_environment` made."""
    return (folder / _READY).exists()


def _with_this_tree(folder: Path) -> Path:
    (folder / _SITE / "vpp_deploy_tree.pth").write_text(f"{ROOT}\n")
    return folder


def free_port() -> int:
    """A port of 127.0.0.1 that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server:
    """A server in a `with` block, which ends it.

    Attributes:
        http, grpc, metrics: `HOST:PORT` of each.
        log: file with what it prints.
        process: of the server; its models' stubs are children of it, in its process group.

    Args:
        repository: of models.
        environment: see `make_environment`.
        log: file for what it prints.
        options: more of `tritonserver`'s own.
        variables: more for its process.
    """

    def __init__(
        self,
        repository: Path,
        environment: Path,
        log: Path,
        options: Sequence[str] = (),
        variables: Mapping[str, str] | None = None,
    ) -> None:
        self.log = log
        ports = [free_port() for _ in range(3)]
        self.http, self.grpc, self.metrics = (f"127.0.0.1:{port}" for port in ports)
        wheel = environment / _SITE / "pytriton" / "tritonserver"
        libraries = [environment / _SITE / "nvidia_pytriton.libs", Path(sys.base_prefix) / "lib"]
        self._memory = f"vpp_triton_{os.getpid()}_{ports[0]}"
        kinds = zip(("http", "grpc", "metrics"), ports, strict=True)
        self._command = [
            str(wheel / "bin" / "tritonserver"),
            f"--model-repository={repository}",
            f"--backend-directory={wheel / 'backends'}",
            *(option for kind, port in kinds for option in (f"--{kind}-port={port}", f"--{kind}-address=127.0.0.1")),
            f"--backend-config=python,shm-region-prefix-name={self._memory}",
            f"--exit-timeout-secs={_EXIT_SECONDS}",  # an open connection is waited for, too
            *options,
        ]
        self._variables = os.environ | {
            "PATH": os.pathsep.join([str(environment / "bin"), os.environ["PATH"]]),
            "LD_LIBRARY_PATH": os.pathsep.join([*map(str, libraries), os.environ.get("LD_LIBRARY_PATH", "")]),
            **(variables or {}),
        }
        self._variables.pop("PYTHONHOME", None)

    def __enter__(self) -> Server:
        """Start, and wait until it is ready.

        Raises:
            RuntimeError: it has ended, or is not ready in a minute.
        """
        with self.log.open("ab") as file:
            self.process = subprocess.Popen(
                self._command, env=self._variables, stdout=file, stderr=file, start_new_session=True
            )
        begin = time.monotonic()
        while not self._ready():
            if self.process.poll() is not None or time.monotonic() > begin + _PATIENCE:
                self.kill()
                lines = self.log.read_text(errors="replace").splitlines()
                errors = [line for line in lines if line.startswith(("E", "error"))]
                raise RuntimeError("\n".join(["tritonserver does not start:", *errors]))
            time.sleep(0.1)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):  # its sequences are still open: it is killed
                self.process.wait(_PATIENCE)
        self.kill()

    def kill(self) -> None:
        """End the server and its stubs at once."""
        with suppress(ProcessLookupError):  # they have all ended
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        for left in Path("/dev/shm").glob(f"{self._memory}*"):  # of a server that was killed
            left.unlink(missing_ok=True)

    def _ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://{self.http}/v2/health/ready", timeout=5) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False


def main() -> None:
    """Serve a repository until Ctrl-C."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("repository", type=Path)
    parser.add_argument("--environment", type=Path, default=ROOT / "build" / "triton-venv")
    arguments = parser.parse_args()
    environment = make_environment(arguments.environment)
    with Server(arguments.repository, environment, Path("triton.log")) as server:
        sys.stdout.write(f"HTTP {server.http}, gRPC {server.grpc}, metrics {server.metrics}, log {server.log}\n")
        sys.stdout.flush()
        with suppress(KeyboardInterrupt):
            server.process.wait()


if __name__ == "__main__":
    main()
