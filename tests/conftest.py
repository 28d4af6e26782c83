"""Fixtures that every test may use."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import filelock
import hypothesis
import numpy as np
import pytest

import vpp_deploy
from tests import golden_data

# Tests run at the same time as others, on machines that are busy: how long an example takes says nothing.
hypothesis.settings.register_profile("busy", deadline=None)
hypothesis.settings.load_profile("busy")
REPOSITORY = Path(__file__).parent.parent
SHARED = REPOSITORY.parent / "shared"
LONGEST = (
    "families/papr/test_export.py",
    "cli/test_batch.py",  # makes the micro bundle, which few of those beside it need
    "tasks/classification/parity/test_check.py",
    "exporters/checkpoint/test_families.py",
    "examples/test_own_model.py",
    "fuzz/test_bundles.py",
    "cpp/test_runtime.py",
    "families/papr/test_weights.py",
    "exporters/precision/test_reduced_bundles.py",
    "fuzz/test_hostile_bundles.py",
    "tasks/segmentation/test_session.py",
    "serving/live/test_run.py",
    "engines/onnxruntime/test_native_ops.py",
    "cli/test_batch_kills.py",
    "cli/test_evaluate.py",
    "engines/openvino/test_engine.py",
    "tasks/tensors/test_export.py",
    "families/dynamicvit/test_export.py",
    "families/evit/test_export.py",
)
"""Modules of more than 20 seconds, in a good order to begin with."""


def pytest_configure(config: pytest.Config) -> None:
    """Tests that run side by side are told a width, which would fold what they read."""
    os.environ.pop("COLUMNS", None)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Side by side, begin with the modules that take longest: none is left for one worker at the end."""
    if os.environ.get("PYTEST_XDIST_WORKER"):
        order = {REPOSITORY / "tests" / name: place for place, name in enumerate(LONGEST)}
        items.sort(key=lambda item: order.get(item.path, len(order)))


@pytest.fixture(autouse=True, scope="module")
def denormals_stay() -> Iterator[None]:
    """No module leaves the thread of the tests another floating-point mode, as runtimes like to do."""
    yield
    assert np.float32(2.0**-126) * np.float32(0.5) == 2.0**-127, "a test, or what it calls, has turned denormals off"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say so where golden tests had only the subset of the repository."""
    line = golden_data.summary()
    if line and any("golden" in report.keywords for report in terminalreporter.getreports("passed")):
        terminalreporter.write_line(line)


@contextmanager
def torch_on_one_thread() -> Iterator[None]:
    """The tests' models are so small that threads cost more than they give."""
    import torch  # where it is needed: it takes seconds

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    with torch_on_one_thread():
        yield


@pytest.fixture(scope="session")
def vpp_golden() -> Path:
    """The folder of reference data of the original VPP model. It may lack any file: `tests.golden_data` skips then."""
    golden_data.there(golden_data.VPP.folder / "config.json")
    return golden_data.VPP.folder


def folder_of_all(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that the processes which test at the same time have in common: see `filelock` before you write there."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if os.environ.get("PYTEST_XDIST_WORKER") else own


def made_once(
    tmp_path_factory: pytest.TempPathFactory, name: str, make: Callable[[Path], vpp_deploy.Bundle]
) -> vpp_deploy.Bundle:
    """The bundle that the first of the processes that test at the same time made; shared, so never written to.

    `VPP_TEST_BUNDLES` names a folder that keeps them from run to run: for work on what comes after export.
    """
    folder = Path(os.environ.get("VPP_TEST_BUNDLES") or folder_of_all(tmp_path_factory))
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.bundle"
    with filelock.FileLock(folder / f"{name}.lock"):
        if not path.exists():
            with torch_on_one_thread():
                make(path)
        bundle = vpp_deploy.Bundle.open(path)
        vpp_deploy.build_engine(bundle, "onnxruntime")  # does nothing where it is up to date
    return vpp_deploy.Bundle.open(path)


@pytest.fixture(scope="session")
def few_nodes(tmp_path_factory: pytest.TempPathFactory) -> vpp_deploy.Bundle:
    """A segmentation bundle of a few nodes with an ONNX Runtime engine, for what is about files, not about numbers.

    Engines of it are built at once. Shared: do not write to it.
    """
    stored = REPOSITORY / "tests" / "bundle" / "data" / "v3-vpp"
    path = tmp_path_factory.mktemp("few_nodes") / "few.bundle"
    bundle = vpp_deploy.Bundle.open(shutil.copytree(stored, path, ignore=shutil.ignore_patterns("engines")))
    vpp_deploy.build_engine(bundle)
    return bundle


@pytest.fixture(scope="session")
def micro_bundle(tmp_path_factory: pytest.TempPathFactory) -> vpp_deploy.Bundle:
    """A vpp-micro bundle at 128x192 with random weights and an ONNX Runtime engine. Shared: do not write to it."""

    def make(path: Path) -> vpp_deploy.Bundle:
        weights = vpp_deploy.RandomWeights(0)
        return vpp_deploy.export("vpp-micro", out=path, random_weights=weights, keep="0.55", size=(128, 192))

    return made_once(tmp_path_factory, "micro", make)


@pytest.fixture(scope="session")
def papr_bundle(tmp_path_factory: pytest.TempPathFactory) -> vpp_deploy.Bundle:
    """A pruned ViT-Tiny at 64x96, batch 2, with random weights and an ONNX Runtime engine. Shared: do not write to it.

    Its grid is 4x6 patches; 12 of them stay.
    """

    def make(path: Path) -> vpp_deploy.Bundle:
        model = vpp_deploy.PaprConfig("papr:vit_tiny_patch16_224", 0.5, size=(64, 96))
        return vpp_deploy.export(model, out=path, random_weights=vpp_deploy.RandomWeights(0), batch=2)

    return made_once(tmp_path_factory, "tiny", make)
