"""A data set that is annotated with what the PyTorch reference of the micro bundle finds."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.tasks.segmentation.evaluation.datasets import write_found_dataset
from vpp_deploy.engines.protocols import Engine


@pytest.fixture(scope="package")
def found_dataset(torch_engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two videos of three frames. Shared: do not write to it."""
    return write_found_dataset(tmp_path_factory.mktemp("found"), torch_engine)
