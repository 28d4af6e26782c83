"""Fixtures that every test may use."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import hypothesis
import pytest

import vpp_deploy
from tests import golden_data

# Tests run at the same time as others, on machines that are busy: how long an example takes says nothing.
hypothesis.settings.register_profile("busy", deadline=None)
hypothesis.settings.load_profile("busy")
REPOSITORY = Path(__file__).parent.parent
SHARED = REPOSITORY.parent / "shared"


def pytest_configure(config: pytest.Config) -> None:
    """Tests that run side by side are told a width, which would fold what they read."""
    os.environ.pop("COLUMNS", None)


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


@pytest.fixture(scope="session")
def micro_bundle(tmp_path_factory: pytest.TempPathFactory) -> vpp_deploy.Bundle:
    """A vpp-micro bundle at 128x192 with random weights and an ONNX Runtime engine. Shared: do not write to it."""
    bundle = vpp_deploy.export(
        "vpp-micro",
        out=tmp_path_factory.mktemp("micro") / "micro.bundle",
        random_weights=vpp_deploy.RandomWeights(0),
        keep="0.55",
        size=(128, 192),
    )
    vpp_deploy.build_engine(bundle, "onnxruntime")
    return bundle


@pytest.fixture(scope="session")
def papr_bundle(tmp_path_factory: pytest.TempPathFactory) -> vpp_deploy.Bundle:
    """A pruned ViT-Tiny at 64x96, batch 2, with random weights and an ONNX Runtime engine. Shared: do not write to it.

    Its grid is 4x6 patches; 12 of them stay.
    """
    bundle = vpp_deploy.export(
        vpp_deploy.PaprConfig("papr:vit_tiny_patch16_224", 0.5, size=(64, 96)),
        out=tmp_path_factory.mktemp("papr") / "tiny.bundle",
        random_weights=vpp_deploy.RandomWeights(0),
        batch=2,
    )
    vpp_deploy.build_engine(bundle, "onnxruntime")
    return bundle
