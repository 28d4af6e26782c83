"""A batch on a Ray cluster: one node, on loopback."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.corpus.corpora import leftovers, markers, results, start, write_videos
from vpp_deploy.bundle import Bundle

pytestmark = pytest.mark.slow
PATIENCE = 180.0


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """The address of a cluster of one node with two processors."""
    pytest.importorskip("ray")
    head = ["-m", "ray.scripts.scripts", "start", "--head", "--block", "--num-cpus", "2", "--disable-usage-stats"]
    place = ["--node-ip-address", "127.0.0.1", "--port", "0", "--include-dashboard", "false"]
    # Names of sockets are short, those of pytest's folders are not.
    with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as folder:
        log = Path(folder) / "log"
        with log.open("w") as file:
            process = subprocess.Popen(
                [sys.executable, *head, *place, "--temp-dir", folder],
                stdout=file,
                stderr=file,
                start_new_session=True,
            )
        try:
            yield _address(log, process)
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait()
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def _address(log: Path, process: subprocess.Popen[bytes]) -> str:
    deadline = time.monotonic() + PATIENCE
    while "--address='" not in (text := log.read_text()):
        assert process.poll() is None, text
        assert time.monotonic() < deadline, text
        time.sleep(0.1)
    return text.partition("--address='")[2].partition("'")[0]


def actors() -> list[int]:
    """The processes of actors, which Ray names after their class and method."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if path.read_bytes().startswith(b"ray::_Actor"):
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


def test_actors_give_what_processes_give_and_one_that_is_killed_is_replaced(
    cluster: str, micro_bundle: Bundle, tmp_path: Path
) -> None:
    names = [f"{number}.mp4" for number in range(24)]
    videos = write_videos(tmp_path / "videos", names, frames=4)
    words = ["batch", micro_bundle.path, videos, "--no-parquet", "--workers", 2, "-o"]
    alone = start(*words, tmp_path / "alone")
    said = alone.communicate()[1]
    assert alone.returncode == 0, said

    driver = start(*words, tmp_path / "out", "--ray", cluster)
    deadline = time.monotonic() + PATIENCE
    while not list((tmp_path / "out").glob("markers/*.json")):
        assert driver.poll() is None, driver.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.kill(actors()[0], signal.SIGKILL)
    said = driver.communicate()[1]
    assert driver.returncode == 0, said
    assert markers(tmp_path / "out") == {name: ["json"] for name in names}
    assert results(tmp_path / "out") == results(tmp_path / "alone")
    assert leftovers(tmp_path / "out") == []


def test_a_cluster_that_is_not_there_is_one_line(micro_bundle: Bundle, tmp_path: Path) -> None:
    pytest.importorskip("ray")
    videos = write_videos(tmp_path / "videos", ["1.mp4"])
    driver = start(
        *("batch", micro_bundle.path, videos, "--no-parquet", "-o", tmp_path / "out", "--ray", "127.0.0.1:1")
    )
    said = driver.communicate()[1]
    assert driver.returncode == 3
    assert [line for line in said.splitlines() if line.startswith("error: ")] == said.splitlines()
