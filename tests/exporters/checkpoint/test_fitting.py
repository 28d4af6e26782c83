"""Tensors are held to those of a model; prefixes come off only if everything then fits."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from vpp_deploy.errors import CheckpointError
from vpp_deploy.exporters.checkpoint import (
    CheckpointFile,
    check_weights,
    first_that_fits,
    in_float32,
    load_strictly,
    without_prefixes,
)

PATH = Path("x.pth")


def network() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))


def loaded(tensors: dict[str, Tensor], notes: list[str] | None = None) -> nn.Module:
    source = CheckpointFile(PATH, note=(notes if notes is not None else []).append)
    return first_that_fits(tensors, lambda found: load_strictly(network(), found, source), source)


@pytest.mark.parametrize(
    "prefix",
    ["module.", "_orig_mod.", "model.", "net.", "backbone.", "encoder.", "module.model.", "_orig_mod.module.net."],
)
def test_prefixes_come_off_if_everything_fits_then(prefix: str) -> None:
    state, notes = network().state_dict(), []
    made = loaded({prefix + name: tensor for name, tensor in state.items()}, notes)
    assert all(torch.equal(tensor, state[name]) for name, tensor in made.state_dict().items())
    assert notes == [f"checkpoint x.pth: the names of its tensors fit without {prefix!r} before them"]
    averaged = {**{f"module.{name}": tensor for name, tensor in state.items()}, "n_averaged": torch.tensor(3)}
    loaded(averaged)


@pytest.mark.parametrize("prefix", ["backbone.", "module.", "encoder."])
@pytest.mark.parametrize("outer", ["", "model."])
def test_prefixes_that_only_some_names_have(prefix: str, outer: str) -> None:
    state, notes = network().state_dict(), []
    named = {outer + (prefix if name.startswith("0") else "") + name: tensor for name, tensor in state.items()}
    made = loaded(named, notes)
    assert all(torch.equal(tensor, state[name]) for name, tensor in made.state_dict().items())
    assert f"without {outer + prefix!r}" in notes[0]
    with pytest.raises(CheckpointError, match="unexpected"):  # two tensors of one name: neither is taken
        loaded({**named, outer + "0.weight": torch.ones(4, 3, 1, 1)})


def test_prefixes_stay_otherwise_and_the_message_says_what_is_there() -> None:
    state = network().state_dict()
    for prefix in ("module.", "some.other."):
        with pytest.raises(CheckpointError) as caught:
            loaded({**{prefix + name: tensor for name, tensor in state.items()}, "loss.weight": torch.ones(1)})
        message = str(caught.value)
        assert "6 missing" in message or "7 unexpected" in message
        assert f"of its 7 tensors are there behind {prefix!r}, and 1 others beside them" in message
    with pytest.raises(CheckpointError, match="no name is the same"):
        loaded({"x": torch.ones(1)})
    assert list(without_prefixes({"module.": torch.ones(1)})) == []


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_floats_become_float32(dtype: torch.dtype) -> None:
    state = {name: t.to(dtype) if t.is_floating_point() else t for name, t in network().state_dict().items()}
    assert {t.dtype for t in loaded(state).state_dict().values()} == {torch.float32, torch.int64}


@pytest.mark.parametrize(
    "change",
    [
        lambda t: t.long(), lambda t: t.bool(), lambda t: t.cfloat(), lambda t: t.to(torch.float8_e4m3fn),
        lambda t: torch.quantize_per_tensor(t, 0.1, 0, torch.qint8), lambda t: t[0], lambda t: t[None], lambda t: t[:0],
    ],
)  # fmt: skip
def test_types_and_ranks_that_no_weight_has(change: Any) -> None:
    state = network().state_dict()
    state["0.weight"] = change(state["0.weight"])
    with pytest.raises(CheckpointError, match=r"1 of the wrong (type|shape): 0\.weight"):
        loaded(state)
    state = network().state_dict()
    state["1.num_batches_tracked"] = torch.tensor(1.5)
    with pytest.raises(CheckpointError, match=r"1\.num_batches_tracked float32 instead of int64"):
        loaded(state)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_weights_that_are_not_finite_are_named(value: float) -> None:
    model = network()
    for name in ("0.weight", "1.running_var"):
        broken = copy.deepcopy(model)
        broken.state_dict()[name].view(-1)[0] = value
        if name == "1.running_var" and value < 0:
            check_weights(broken, "m")  # as an attention mask has it
            continue
        with pytest.raises(
            CheckpointError, match=rf"1 weights of m hold NaN or infinity: {name} \(1 of \d+\).*--allow-non"
        ):
            check_weights(broken, "m")
        check_weights(broken, "m", allow_nonfinite=True)
    many = nn.ModuleList(nn.Linear(2, 2) for _ in range(9))
    for parameter in many.parameters():
        parameter.data.fill_(value)
    with pytest.raises(CheckpointError, match=r"18 weights of m .* and 13 more"):
        check_weights(many, "m")


def odd(tensor: Tensor) -> nn.Module:
    model = nn.Module()
    model.register_parameter("weight", nn.Parameter(tensor, requires_grad=False))
    return model


def test_weights_in_memory_that_cannot_be_exported() -> None:
    plain = torch.ones(2, 2)
    cases = {
        "sparse": plain.to_sparse(), "meta": plain.to("meta"), "complex64": plain.cfloat(), "int64": plain.long(),
        "bool": plain.bool(), "quantised": torch.quantize_per_tensor(plain, 0.1, 0, torch.qint8),
        "float8_e4m3fn": plain.to(torch.float8_e4m3fn),
    }  # fmt: skip
    for word, tensor in cases.items():
        with pytest.raises(CheckpointError, match=f"1 weights of m cannot be exported: weight is .*{word}"):
            check_weights(odd(tensor), "m", allow_nonfinite=True)


def test_models_in_half_precision_are_copied_to_float32() -> None:
    model = network()
    assert in_float32(model) is model
    half = copy.deepcopy(model).bfloat16()
    assert {t.dtype for t in in_float32(half).state_dict().values()} == {torch.float32, torch.int64}
    assert half[0].weight.dtype == torch.bfloat16
