"""The example of two families in a package of its own: exported, built, run, proven without a line of ours changed."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import vpp_deploy
from tests.conftest import REPOSITORY
from vpp_deploy.bundle import Bundle
from vpp_deploy.families import FAMILIES

EXAMPLE = REPOSITORY / "examples" / "own_model"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder like site-packages, with the package and the metadata that an installer makes of its pyproject."""
    folder = tmp_path_factory.mktemp("site")
    shutil.copytree(EXAMPLE / "own_model", folder / "own_model", ignore=shutil.ignore_patterns("__pycache__"))
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["project"]
    info = folder / f"own_model-{project['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    groups = "".join(
        f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in entries.items())
        for group, entries in project["entry-points"].items()
    )
    (info / "entry_points.txt").write_text(groups)
    return folder


def run(site: Path, *words: object, code: int = 0) -> str:
    """The command line in a process that has the package installed; everything that it prints."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(site), str(REPOSITORY)])}
    process = subprocess.run(
        [sys.executable, "-m", "vpp_deploy", *map(str, words)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == code, process.stdout + process.stderr
    return process.stdout + process.stderr


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("frames") / "frames.npz"
    np.savez(path, frame=np.random.default_rng(3).integers(0, 256, (6, 64, 96, 3), np.uint8))
    return path


def test_each_family_is_short() -> None:
    for path in (EXAMPLE / "own_model").glob("*.py"):
        assert len(path.read_text().splitlines()) < 200, path


def test_they_are_listed_and_their_options_taken(site: Path) -> None:
    listed = run(site, "models")
    assert "topnorm:tiny" in listed
    assert "gist:tiny" in listed
    assert "TopNorm: a ratio above 0 and below 1." in " ".join(run(site, "export", "--help").replace("│", " ").split())


def test_the_classifier(site: Path, tmp_path: Path) -> None:
    from PIL import Image

    for number in range(3):
        pixels = np.random.default_rng(number).integers(0, 256, (80, 100, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
    bundle = tmp_path / "topnorm.bundle"
    run(site, "export", "topnorm:tiny", "--random-weights", "--keep", "0.25", "-o", bundle)
    assert Bundle.open(bundle).manifest.model.task == "classification"
    run(site, "build-engine", bundle)
    assert "kept" in run(site, "infer", bundle, tmp_path / "0.png")
    assert "Parity: passed" in run(site, "parity", bundle, "--input", tmp_path / "0.png", "--frames", 3)
    assert "patches 4x6 24 6 25%" in " ".join(run(site, "inspect", bundle).split())


@pytest.fixture(scope="module")
def gist(site: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of the stateful model with an ONNX Runtime engine. Shared: copy it before writing to it."""
    bundle = tmp_path_factory.mktemp("gist") / "gist.bundle"
    run(site, "export", "gist:tiny", "--random-weights", "-o", bundle)
    run(site, "build-engine", bundle)
    return bundle


def test_the_stateful_model(site: Path, gist: Path, frames: Path, tmp_path: Path) -> None:
    bundle = tmp_path / "gist.bundle"
    shutil.copytree(gist, bundle)
    assert [state.name for state in Bundle.open(bundle).manifest.state] == ["last", "memory"]
    run(site, "infer", bundle, frames, "-o", tmp_path / "outputs.npz")
    with np.load(tmp_path / "outputs.npz") as found:
        assert found["summary"].shape == (6, 1, 8)
        assert found["looked_at"].shape == (6, 1, 12)
    report = run(site, "parity", bundle, "--input", frames)
    assert "Parity: passed" in report
    assert "teacher-forced (judged) and free-running (drift)" in report


def test_the_stateful_model_builds_for_tensorrt_rtx(gist: Path, tmp_path: Path) -> None:
    if importlib.util.find_spec("tensorrt_rtx") is None:
        pytest.skip("tensorrt_rtx is not installed")
    shutil.copytree(gist, tmp_path / "gist.bundle")
    bundle = Bundle.open(tmp_path / "gist.bundle")
    vpp_deploy.build_engine(bundle, "tensorrt-rtx", compute_capabilities=("8.9",))
    assert (bundle.engine_folder("tensorrt-rtx") / "step.engine").stat().st_size > 0


def test_without_the_package_its_bundles_run_and_say_what_is_missing(gist: Path, frames: Path, tmp_path: Path) -> None:
    nowhere = tmp_path / "empty"
    nowhere.mkdir()
    run(nowhere, "infer", gist, frames)
    message = run(nowhere, "parity", gist, "--input", frames, code=2)
    assert "the family 'gist', which is not installed here" in message
    assert len(message.splitlines()) == 1


@pytest.fixture
def importable(site: Path) -> Iterator[None]:
    """The package importable here, as a notebook has it: without an entry point."""
    sys.path.insert(0, str(site))
    yield
    FAMILIES._records.pop("gist", None)  # what the export registered in this process
    sys.path.remove(str(site))
    for name in [name for name in sys.modules if name.partition(".")[0] == "own_model"]:
        del sys.modules[name]


@pytest.mark.usefixtures("importable")
def test_a_module_in_memory(tmp_path: Path) -> None:
    import own_model
    import torch
    from own_model.gist import Gist

    class Mine(Gist):
        family = own_model.GIST  # a record instead of a name: nothing is registered beforehand

    torch.manual_seed(0)
    bundle = vpp_deploy.export(Mine(keep=0.25), out=tmp_path / "mine.bundle")
    assert bundle.manifest.provenance.weights.kind == "memory"
    engine = vpp_deploy.build_engine(bundle)
    images = np.random.default_rng(5).integers(0, 256, (5, 64, 96, 3), np.uint8)
    with vpp_deploy.open_session(engine) as session:
        first = session({"frame": images[0]})
        state = session.snapshot()
        second = session({"frame": images[1]})
        session.restore(state)
        again = session({"frame": images[1]})
    assert first["looked_at"].shape == (1, 6)
    np.testing.assert_array_equal(second["summary"], again["summary"])
    report = vpp_deploy.check_parity(bundle, engine, [{"frame": image} for image in images])
    report.raise_for_failure()
    assert {frame.role for frame in report.frames} == {"init", "step"}
