"""Commands that are killed, or told to end, at points of their run that a seed chooses."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.media.clips import write_clip
from tests.tasks.segmentation.evaluation.datasets import write_dataset
from vpp_deploy.bundle import Bundle
from vpp_deploy.engines import BACKENDS
from vpp_deploy.engines.engine_record import read_record
from vpp_deploy.tasks.segmentation.evaluation.dataset import open_dataset

POINTS = 2
MANY = 50


@dataclass(frozen=True)
class Work:
    """A command, and what must hold of what it makes.

    Attributes:
        words: the command line.
        made: what appears under its name, whole or not at all.
        check: raises if one of them is not whole.
    """

    words: list[str]
    made: list[Path]
    check: Callable[[Path], object]


def infer(bundle: Path, folder: Path) -> Work:
    clip = write_clip(folder.parent / "clip.mp4", frames=6, size=(60, 90))
    made = [folder / "x.mp4", folder / "x.jsonl", folder / "x.json"]
    words = ["infer", str(bundle), str(clip), "-o", str(made[0]), "--json", str(made[1]), "--youtube-vis", str(made[2])]

    def check(path: Path) -> None:
        if path.suffix == ".jsonl":
            assert len(path.read_text().splitlines()) == 6
        assert path.stat().st_size > 0

    return Work(words, made, check)


def build(bundle: Path, folder: Path) -> Work:
    own = Path(shutil.copytree(bundle, folder / "own.bundle"))
    opened = Bundle.open(own)
    version = BACKENDS["onnxruntime"].required_version()
    return Work(
        ["build-engine", str(own), "--force"],
        [own / "engines" / "onnxruntime"],
        lambda path: read_record(opened, "onnxruntime", version),
    )


def demo_data(bundle: Path, folder: Path) -> Work:
    del bundle
    words = ["demo-data", str(folder / "data"), "--clips", "20", "--size", "64x96", "--overwrite"]
    return Work(words, [folder / "data"], open_dataset)


def evaluate(bundle: Path, folder: Path) -> Work:
    data = write_dataset(folder.parent / "data", {1: [(1, [(5, 5, 25, 30)] * 3)], 2: [(2, [(5, 5, 25, 30)] * 3)]})
    target = folder / "scores.json"
    return Work(
        ["evaluate", str(bundle), "--data", str(data), "--json", str(target)], [target], lambda path: path.read_text()
    )


def export(bundle: Path, folder: Path) -> Work:
    del bundle
    model = ("papr:vit_tiny_patch16_224", "--random-weights", "--size", "64x64")
    words = ["export", *model, "--overwrite", "-o", str(folder / "b")]
    return Work(words, [folder / "b"], Bundle.open)


WORKS = {"infer": infer, "build-engine": build, "demo-data": demo_data, "evaluate": evaluate, "export": export}
PROGRAM = "import sys; from vpp_deploy.cli.main import main; sys.exit(main(sys.argv[1:]))"


def start(work: Work) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *work.words], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )


def hidden(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.name.startswith(".vpp-")]


def strike(work: Work, numbers: random.Random, points: int, number: int) -> list[int]:
    """Run the command, each time with a signal at some point of it, and give the exit statuses."""
    begin = time.monotonic()
    process = start(work)
    assert process.wait() == 0, process.communicate()[1]
    duration = time.monotonic() - begin
    statuses = []
    for _ in range(points):
        process = start(work)
        time.sleep(numbers.uniform(0.3, 1.0) * duration)
        process.send_signal(number)
        said = process.communicate()[1]
        statuses.append(process.returncode)
        assert process.returncode in (0, -number, 128 + number), said
        for path in filter(os.path.lexists, work.made):
            work.check(path)
        if process.returncode > 0:
            assert said.splitlines()[-1].startswith("interrupted: stopped by "), said
    return statuses


def harness(work: Work, folder: Path, points: int, number: int, *, replaces: bool) -> None:
    statuses = strike(work, random.Random(f"{work.words[0]} {number}"), points, number)
    if replaces:  # what was there before is there, or what came after: never nothing
        assert all(path.exists() for path in work.made)
    if number != signal.SIGKILL:
        assert hidden(folder) == []
    process = start(work)
    assert process.wait() == 0, process.communicate()[1]
    for path in work.made:
        work.check(path)
    assert hidden(folder) == []
    assert len(statuses) == points


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "outputs").mkdir()
    return tmp_path / "outputs"


@pytest.mark.parametrize(("name", "number"), [("demo-data", signal.SIGKILL), ("infer", signal.SIGTERM)])
def test_nothing_is_half_written(name: str, number: int, micro_bundle: Bundle, folder: Path) -> None:
    harness(WORKS[name](micro_bundle.path, folder), folder, POINTS, number, replaces=True)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.parametrize("name", WORKS)
def test_nothing_is_half_written_at_many_points(name: str, number: int, micro_bundle: Bundle, folder: Path) -> None:
    harness(WORKS[name](micro_bundle.path, folder), folder, MANY, number, replaces=True)
