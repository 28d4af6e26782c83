"""Which of the tensors in a file are taken."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.exporters.checkpoint import files
from vpp_deploy.exporters.checkpoint import CheckpointFile, read_checkpoint


def tensors(value: float) -> dict[str, Tensor]:
    return OrderedDict({"a.weight": torch.full((2, 2), value), "a.bias": torch.full((2,), value)})


R, E = tensors(1.0), tensors(2.0)
STATE = {"optimizer": {"state": {"x": {"exp_avg": torch.ones(3)}}}, "epoch": 3, "rng_state": torch.ones(3)}


def taken(content: Any, weights: str | None, path: Path) -> tuple[float, str]:
    notes: list[str] = []
    torch.save(content, path)
    found = read_checkpoint(CheckpointFile(path, weights, notes.append))
    assert list(found) == list(R)
    return float(found["a.bias"][0]), "".join(notes)


@pytest.mark.parametrize(
    "key",
    [
        "state_dict", "model", "model_state", "module", "ema", "params", "net", "model_state_dict", "weights",
        "state_dict_ema", "model_ema", "ema_state_dict", "params_ema", "network", "anything",
    ],
)  # fmt: skip
@pytest.mark.parametrize("inner", [None, "state_dict", "module"])
def test_the_only_weights_are_taken_whatever_their_key(key: str, inner: str | None, tmp_path: Path) -> None:
    value, note = taken({**STATE, key: {inner: R, "decay": 0.9} if inner else R}, None, tmp_path / "x.pth")
    assert value == 1
    assert ("averaged" in note) == ("ema" in key)


@pytest.mark.parametrize(
    ("raw", "ema"),
    [
        ("state_dict", "state_dict_ema"), ("model", "model_ema"), ("model", "ema"), ("state_dict", "ema_state_dict"),
        ("params", "params_ema"), ("model", "ema.module"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("order", [1, -1])
def test_raw_weights_unless_the_averaged_are_wanted(raw: str, ema: str, order: int, tmp_path: Path) -> None:
    averaged = {"module": E} if ema == "ema.module" else E
    content = {**STATE, **dict(list({raw: R, ema.partition(".")[0]: averaged}.items())[::order])}
    for wanted, value in ((None, 1), ("raw", 1), ("ema", 2), (raw, 1), (ema, 2)):
        found, note = taken(content, wanted, tmp_path / "x.pth")
        assert found == value
        assert ("takes the averaged (EMA) weights" if value == 2 else "takes the raw weights") in note
        assert repr(raw) in note
        assert repr(ema) in note or value == 2
    message = files.refusal(CheckpointFile(tmp_path / "x.pth", "best"))
    assert "no weights 'best'; it holds" in message
    assert repr(ema) in message


@pytest.mark.parametrize("order", [1, -1])
def test_both_sets_inside_one_wrapper(order: int, tmp_path: Path) -> None:
    content = {"model": dict(list({"state_dict": R, "ema": E}.items())[::order])}
    assert [taken(content, wanted, tmp_path / "x.pth")[0] for wanted in (None, "raw", "ema")] == [1, 1, 2]


def test_mmengine_exchanges_the_two(tmp_path: Path) -> None:
    """Its EMAHook stores the average as `state_dict`, and what training goes on with as `ema_state_dict`."""
    content = {"message_hub": {}, "state_dict": E, "ema_state_dict": R}
    assert [taken(content, wanted, tmp_path / "x.pth")[0] for wanted in (None, "ema", "raw")] == [2, 2, 1]


def test_loose_tensors(tmp_path: Path) -> None:
    assert taken(R, None, tmp_path / "x.pth") == (1, "")
    assert taken({"step": torch.tensor(3), "ema": R}, None, tmp_path / "x.pth")[0] == 1
    assert taken({**R, "extra_state": {"scale": torch.ones(1)}}, None, tmp_path / "x.pth")[0] == 1
    message = files.refusal(CheckpointFile(tmp_path / "x.pth", "ema"))
    assert "it holds the file's own dictionary, 'extra_state'" in message


def test_several_unfamiliar_sets_must_be_chosen_from(tmp_path: Path) -> None:
    content = {"generator": R, "discriminator": E}
    torch.save(content, tmp_path / "x.pth")
    assert "'generator', 'discriminator'; choose with --weights" in files.refusal(tmp_path / "x.pth")
    assert taken(content, "discriminator", tmp_path / "x.pth")[0] == 2


@pytest.mark.parametrize(
    "content", [3, [R], {"epoch": 3}, {"state_dict": {}}, {"a": {"b": {"c": R}}}, {3: torch.ones(1)}]
)
def test_files_without_weights(content: Any, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "x.pth")
    assert "holds " in files.refusal(tmp_path / "x.pth")


def test_dictionaries_that_refer_to_each_other(tmp_path: Path) -> None:
    knot: dict[str, Any] = {"a": R}
    knot["self"] = knot
    knot["list"] = [knot]
    assert taken(knot, None, tmp_path / "x.pth")[0] == 1
