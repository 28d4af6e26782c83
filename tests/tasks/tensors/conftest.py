"""Bundles of plain tensors that are made once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import vpp_deploy
from tests.cli.conftest import Cli, cli, clip, leftovers  # noqa: F401 - fixtures
from tests.tasks.tensors.models import FAMILY, Memory, Sums
from vpp_deploy.bundle import Bundle
from vpp_deploy.engines.protocols import Engine
from vpp_deploy.families import FAMILIES


@pytest.fixture(scope="package", autouse=True)
def _family() -> Iterator[None]:
    """The family of these tests, for as long as they run."""
    FAMILIES.register(FAMILY.name, FAMILY)
    yield
    del FAMILIES._records[FAMILY.name]


@pytest.fixture(scope="package")
def memory(tmp_path_factory: pytest.TempPathFactory, _family: None) -> Bundle:
    """With a state, and an ONNX Runtime engine. Shared: do not write to it."""
    bundle = vpp_deploy.export(Memory(), out=tmp_path_factory.mktemp("memory") / "memory.bundle")
    vpp_deploy.build_engine(bundle)
    return bundle


@pytest.fixture(scope="package")
def sums(tmp_path_factory: pytest.TempPathFactory, _family: None) -> Bundle:
    """Without a state, with an ONNX Runtime engine. Shared: do not write to it."""
    bundle = vpp_deploy.export(Sums(), out=tmp_path_factory.mktemp("sums") / "sums.bundle")
    vpp_deploy.build_engine(bundle)
    return bundle


@pytest.fixture(scope="package")
def engine(memory: Bundle) -> Engine:
    return vpp_deploy.load_engine(memory, threads=1)
