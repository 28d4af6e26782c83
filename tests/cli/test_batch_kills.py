"""Batches whose workers and driver are killed, and videos that kill their workers."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tests.corpus.corpora import leftovers, markers, results, start, write_videos
from vpp_deploy.bundle import Bundle
from vpp_deploy.errors import ExitCode

pytestmark = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="children are found in /proc")
POISON = """
import os, sys
if any("spawn_main" in word for word in sys.orig_argv):  # a worker
    def die(event, arguments):
        if event == "open" and str(arguments[0]).endswith({name!r}):
            os.kill(os.getpid(), 9)
    sys.addaudithook(die)
"""
PATIENCE = 60.0


def workers_of(driver: int) -> list[int]:
    try:
        children = Path(f"/proc/{driver}/task/{driver}/children").read_text().split()
        return [int(child) for child in children if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()]
    except OSError:  # one has ended
        return []


def living(processes: list[int]) -> list[int]:
    """Those that have neither ended nor are waited for by nobody."""
    found = []
    for process in processes:
        try:
            state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        found += [process] if state != "Z" else []
    return found


def wait_for_workers(driver: subprocess.Popen[str], count: int) -> list[int]:
    deadline = time.monotonic() + PATIENCE
    while len(found := workers_of(driver.pid)) < count and driver.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    return found


def assert_gone(processes: list[int]) -> None:
    deadline = time.monotonic() + PATIENCE
    while living(processes):
        assert time.monotonic() < deadline, f"{living(processes)} live on"
        time.sleep(0.05)


def poisoned(folder: Path, name: str) -> dict[str, str]:
    """The environment in which a worker that opens a file of a name is killed."""
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(POISON.format(name=name))
    path = os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH", "")]))
    return {**os.environ, "PYTHONPATH": path}


def run(*words: object, env: dict[str, str] | None = None) -> tuple[int, str]:
    process = start(*words, env=env)
    said = process.communicate()[1]
    return process.returncode, said


@pytest.mark.parametrize(
    ("count", "kills"), [(12, 1), pytest.param(200, 12, marks=pytest.mark.slow)], ids=["12", "200"]
)
def test_whoever_is_killed_every_video_is_done_once_and_the_same(
    count: int, kills: int, micro_bundle: Bundle, tmp_path: Path
) -> None:
    names = [f"{number % 7}/{number}.mp4" for number in range(count)]
    videos = write_videos(tmp_path / "videos", names)
    words = ["batch", micro_bundle.path, videos, "--no-parquet", "-o"]
    begin = time.monotonic()
    assert run(*words, tmp_path / "alone", "--workers", 1)[0] == 0
    duration = time.monotonic() - begin

    out, numbers = tmp_path / "out", random.Random(count)
    for _ in range(kills):
        driver = start(*words, out, "--workers", 3)
        workers = wait_for_workers(driver, min(3, count))
        for victim in numbers.sample(workers, min(1, len(workers))):
            time.sleep(numbers.uniform(0, 0.2) * duration)
            with suppress(ProcessLookupError):  # all is done
                os.kill(victim, signal.SIGKILL)
        time.sleep(numbers.uniform(0, 0.3) * duration)
        workers += workers_of(driver.pid)
        driver.kill()
        driver.communicate()
        assert_gone(workers)
    code, said = run(*words, out, "--workers", 2, "--retry-failed")
    assert code == 0, said
    assert markers(out) == {name: ["json"] for name in names}
    assert leftovers(out) == []
    assert results(out) == results(tmp_path / "alone")


def test_a_video_that_kills_its_worker_fails_twice_and_the_rest_is_done(micro_bundle: Bundle, tmp_path: Path) -> None:
    names = ["1.mp4", "2.mp4", "poison.mp4", "3.mp4"]
    videos = write_videos(tmp_path / "videos", names)
    words = ["batch", micro_bundle.path, videos, "--no-parquet", "-o", tmp_path / "out", "--workers", 2]
    environment = poisoned(tmp_path / "site", "poison.mp4")
    code, said = run(*words, env=environment)
    assert code == 1
    assert "poison.mp4: its worker ended by SIGKILL" in said
    expected = {"1.mp4": ["json"], "2.mp4": ["json"], "3.mp4": ["json"], "poison.mp4": ["failed2.json"]}
    assert markers(tmp_path / "out") == expected
    assert run(*words)[0] == 1  # it is left alone, though it would go well now
    assert markers(tmp_path / "out") == expected
    assert run(*words, "--retry-failed")[0] == 0
    assert leftovers(tmp_path / "out") == []


def test_an_attempt_counts_though_the_driver_was_killed_after_it(micro_bundle: Bundle, tmp_path: Path) -> None:
    videos = write_videos(tmp_path / "videos", ["poison.mp4", *(f"q{number}.mp4" for number in range(8))])
    out = tmp_path / "out"
    words = ["batch", micro_bundle.path, videos, "--no-parquet", "-o", out, "--workers", 1]
    environment = poisoned(tmp_path / "site", "poison.mp4")
    driver = start(*words, env=environment)
    deadline = time.monotonic() + PATIENCE
    while not list(out.glob("markers/*.failed1.json")):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    driver.kill()
    driver.communicate()
    code, _ = run(*words, env=environment)
    assert code == 1
    (failed,) = out.glob("markers/*.failed*.json")
    assert json.loads(failed.read_text())["failures"] == 2


def test_an_engine_that_ends_its_worker_ends_the_batch(micro_bundle: Bundle, tmp_path: Path) -> None:
    videos = write_videos(tmp_path / "videos", ["1.mp4"])
    words = ["batch", micro_bundle.path, videos, "--no-parquet", "-o", tmp_path / "out"]
    code, said = run(*words, env=poisoned(tmp_path / "site", "manifest.json"))
    assert code == ExitCode.INCOMPATIBLE
    assert said.splitlines()[-1].startswith("error: workers end by SIGKILL while they load the engine")
    assert markers(tmp_path / "out") == {}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_with_its_workers_and_it_goes_on_later(
    number: signal.Signals, micro_bundle: Bundle, tmp_path: Path
) -> None:
    names = [f"{index}.mp4" for index in range(30)]
    videos, out = write_videos(tmp_path / "videos", names), tmp_path / "out"
    words = ["batch", micro_bundle.path, videos, "--no-parquet", "-o", out, "--workers", 2]
    driver = start(*words, start_new_session=True)
    deadline = time.monotonic() + PATIENCE
    while not list(out.glob("markers/*.json")):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    workers = workers_of(driver.pid)
    os.killpg(driver.pid, number)  # as a terminal does: the workers get it too
    said = driver.communicate()[1]
    assert driver.returncode == 128 + number
    assert said.splitlines()[-1].startswith("interrupted: ")
    assert_gone(workers)
    assert leftovers(out) == []
    assert 0 < len(markers(out)) < len(names)
    assert all(ends == ["json"] for ends in markers(out).values())
