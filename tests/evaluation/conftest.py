"""The PyTorch reference of the micro bundle, and a data set that is annotated with what it finds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import vpp_deploy
from tests.evaluation.datasets import write_found_dataset
from vpp_deploy.bundle import Bundle


@pytest.fixture(scope="session")
def torch_engine(micro_bundle: Bundle) -> Iterator[vpp_deploy.TorchEngine]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # the model is so small that threads cost more than they give
    yield vpp_deploy.TorchEngine(micro_bundle)
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def found_dataset(torch_engine: vpp_deploy.TorchEngine, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two videos of three frames. Shared: do not write to it."""
    return write_found_dataset(tmp_path_factory.mktemp("found"), torch_engine)
