"""What commands do to the file system: nothing outside their named outputs, whatever links a bundle is made of."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.fuzz import bundles
from tests.fuzz.hostile_bundles import KINDS, originals
from vpp_deploy.bundle import Bundle
from vpp_deploy.cli.main import main
from vpp_deploy.errors import ExitCode, VppDeployError

BUNDLES = 200
PLACES = (
    "engines",
    "engines/onnxruntime",
    "engines/onnxruntime/engine.json",
    "engines/onnxruntime/weights.safetensors",
    "engines/onnxruntime/step.onnx",
    "engines/onnxruntime/model.onnx",
    "engines/onnxruntime-cuda",
    "parity",
    "parity/onnxruntime.json",
    "manifest.json",
    "weights.safetensors",
    "step.onnx",
    "model.onnx",
    "lowered.abc",
)

Snapshot = dict[str, tuple[int, int, bytes]]


def snapshot(folder: Path) -> Snapshot:
    """Every name below a folder: its mode, its inode, and its content or target."""
    found = {}
    for path in folder.rglob("*"):
        status = path.lstat()
        content = os.readlink(path).encode() if path.is_symlink() else path.read_bytes() if path.is_file() else b""
        found[str(path.relative_to(folder))] = status.st_mode, status.st_ino, content
    return found


def link_out(place: Path, outside: Path, generator: random.Random) -> None:
    """Put a link or something else that is no plain file or folder where the bundle has one."""
    moved = outside / f"moved{generator.randrange(10**9)}"
    is_there = os.path.lexists(place)
    place.parent.mkdir(parents=True, exist_ok=True)
    match generator.randrange(7):
        case 0 if is_there:  # what was there, elsewhere
            os.rename(place, moved)
            place.symlink_to(moved)
            return
        case 1 if is_there and place.is_file():  # one more name of somebody's file
            shutil.copy(place, moved)
            place.unlink()
            os.link(moved, place)
            return
        case _ if is_there:
            shutil.rmtree(place) if place.is_dir() and not place.is_symlink() else place.unlink()
    targets = (outside / "folder", outside / "file", outside / "nothing", place, Path("/"), place.parent, outside)
    if generator.random() < 0.1:
        os.mkfifo(place)
    else:
        target = generator.choice(targets)
        place.symlink_to(os.path.relpath(target, place.parent) if generator.random() < 0.5 else target)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return originals(tmp_path_factory.mktemp("originals"))


def test_nothing_outside_the_named_outputs_changes(
    made: dict[str, Path], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    Image.fromarray(np.zeros((40, 60, 3), np.uint8)).save(pictures / "0.png")
    outside, work = tmp_path / "outside", tmp_path / "work"
    (outside / "folder" / "onnxruntime").mkdir(parents=True)
    for sentinel in ("file", "folder/file", "folder/onnxruntime/engine.json", "folder/onnxruntime.json"):
        (outside / sentinel).write_text('{"secret": "sentinel"}')
    work.mkdir()
    reached = 0
    for seed in range(BUNDLES):
        generator = random.Random(seed)
        kind = generator.choice([*KINDS])
        bundle = bundles.copy_of(made[kind], work)
        if generator.random() < 0.2:
            bundle = bundle.rename(work / "real.bundle")
            (work / "hostile.bundle").symlink_to(bundle)
            bundle = work / "hostile.bundle"
        for place in generator.sample(PLACES, generator.choice([1, 1, 2, 4])):
            if (bundle / place).parent.is_dir() and not (bundle / place).parent.is_symlink():
                link_out(bundle / place, outside, generator)
        before = snapshot(outside)
        for act in actions(bundle, pictures, work, generator):
            reached += act() in (0, None)
        told = capfd.readouterr()
        assert "sentinel" not in told.out + told.err, (seed, kind)
        assert snapshot(outside) == before, (seed, kind)
        assert {path.name for path in tmp_path.iterdir()} == {"pictures", "outside", "work"}
        assert {path.name for path in work.iterdir()} <= {"hostile.bundle", "real.bundle", "results", "results.partial"}
        shutil.rmtree(work)
        work.mkdir()
    assert reached > BUNDLES / 4  # enough of what was done went well


def actions(bundle: Path, pictures: Path, work: Path, generator: random.Random) -> list[Callable[[], int | None]]:
    """Commands, and what `parity` does to a bundle when it is through."""

    def run(*words: object) -> Callable[[], int]:
        def act() -> int:
            code = main([str(word) for word in words])
            assert code in set(ExitCode) - {ExitCode.INTERNAL}, words
            return code

        return act

    def store() -> int | None:
        try:
            Bundle.open(bundle).write_parity_summary("onnxruntime", {"passed": True})
        except VppDeployError as error:
            return error.exit_code
        return None

    every: list[Callable[[], int | None]] = [
        run("inspect", bundle),
        run("inspect", bundle, "--json"),
        run("infer", bundle, pictures, "--json", work / "results"),
        run("build-engine", bundle, "--force"),
        run("build-engine", bundle, "--engine", "onnxruntime-cuda"),
        store,
    ]
    return generator.sample(every, 2)
