"""What every op says of itself, and that nobody else has to know it by its name."""

from __future__ import annotations

from dataclasses import MISSING, fields
from pathlib import Path

import pytest

import vpp_deploy
from vpp_deploy import ops
from vpp_deploy.exporters.precision.decisions import PRODUCTS
from vpp_deploy.ops.base import OpDefinition

PACKAGE = Path(vpp_deploy.__file__).parent
PLUGINS = PACKAGE / "engines" / "tensorrt"
"""The CUDA kernels that stand for some ops: named there, one by one."""


@pytest.mark.parametrize("fact", ["moves_values", "decides"])
def test_every_op_has_to_say_it(fact: str) -> None:
    (declared,) = (item for item in fields(OpDefinition) if item.name == fact)
    assert (declared.default, declared.default_factory) == (MISSING, MISSING)
    assert all(isinstance(getattr(op, fact), bool) for op in ops.OPS.values())


def test_an_op_that_moves_values_holds_no_product() -> None:
    """Its portable body shows it."""
    for op in ops.OPS.values():
        kinds = {node.op_type for node in op.portable_function().node}
        assert op.moves_values == kinds.isdisjoint(PRODUCTS), op.name


def test_the_name_of_an_op_is_in_its_own_file_alone() -> None:
    for name in ops.OPS:
        homes = [path for path in PACKAGE.rglob("*.py") if f'"{name}"' in path.read_text("utf-8")]
        assert len({path for path in homes if not path.is_relative_to(PLUGINS)}) == 1, name
