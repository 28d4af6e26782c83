"""The PyTorch reference of the micro bundle."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import vpp_deploy
from tests.conftest import torch_on_one_thread
from vpp_deploy.bundle import Bundle
from vpp_deploy.engines.protocols import Engine


@pytest.fixture(scope="package")
def torch_engine(micro_bundle: Bundle) -> Iterator[Engine]:
    with torch_on_one_thread():
        yield vpp_deploy.open_reference(micro_bundle)
