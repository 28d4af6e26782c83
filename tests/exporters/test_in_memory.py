"""Weights in memory are a checkpoint while they are needed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

import vpp_deploy
from vpp_deploy.errors import CheckpointError, UsageError
from vpp_deploy.exporters.in_memory import written


def test_tensors_become_a_file_for_as_long_as_it_is_needed() -> None:
    weight = torch.randn(4, 6)
    state = {"a": weight, "tied": weight, "part": weight.T[1:3], "b": torch.tensor(3)}
    with written(state) as path:
        found = safetensors.torch.load_file(path)
    assert not path.exists()
    assert found.keys() == state.keys()
    assert all(torch.equal(found[name], state[name]) for name in state)


@pytest.mark.parametrize(
    ("state", "kind", "words"),
    [
        ({}, UsageError, "give what a module's state_dict"),
        (None, UsageError, "is NoneType"),
        ({"a": torch.zeros(1), "b": 3}, UsageError, "'b' is a int; give tensors alone"),
        ({"a": torch.zeros(2, 2).to_sparse()}, CheckpointError, "cannot be saved"),
        ({"a": torch.zeros(2, device="meta")}, CheckpointError, "cannot be saved"),
    ],
)
def test_what_is_no_state_is_named(state: Any, kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=words) as raised, written(state):
        pass
    assert "\n" not in str(raised.value)


def test_what_the_block_raises_stays_what_it_is() -> None:
    with pytest.raises(RuntimeError, match="mine"), written({"a": torch.zeros(1)}):
        raise RuntimeError("mine")


def test_a_checkpoint_and_a_state_contradict_each_other(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not both"):
        vpp_deploy.export("vpp-micro", out=tmp_path / "b", checkpoint=tmp_path / "c", state_dict={"a": torch.zeros(1)})
