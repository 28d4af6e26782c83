"""Tensors of right names that are no weights, met in turn at every place of every family: refused by name."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
import timm
from torch import Tensor, nn

from tests.exporters.checkpoint import files
from tests.exporters.checkpoint.test_families import CHANGES, MODELS, refused
from tests.families.command_line import NAME, micro_size
from tests.families.papr.random_models import lively
from vpp_deploy.exporters.request import ExportRequest
from vpp_deploy.exporters.weights import Weights
from vpp_deploy.families.dynamicvit import config as dynamicvit
from vpp_deploy.families.dynamicvit.model import DynamicViT
from vpp_deploy.families.evit import config as evit
from vpp_deploy.families.evit.model import EViT
from vpp_deploy.families.papr.proposals import proposal
from vpp_deploy.families.papr.weights import load_base, load_proposal
from vpp_deploy.families.vpp.checkpoint import load_detector, official_state_dict
from vpp_deploy.families.vpp.config import model_config
from vpp_deploy.families.vpp.detector import VppDetector


def changed_in_turn(state: dict[str, Tensor], each: int, step: int = 1) -> Iterator[tuple[str, dict[str, Tensor]]]:
    """Each of the tensors, or one of `step`, changed in some of the ways of `CHANGES`: all of them are met in turn."""
    turns = itertools.cycle(CHANGES.values())
    weights = {name: tensor for name, tensor in state.items() if tensor.ndim}  # counters may be of any whole number
    for name, tensor in itertools.islice(weights.items(), 0, None, step):
        for change in itertools.islice(turns, each):
            try:
                odd = change(tensor)
            except (RuntimeError, IndexError):  # a tensor that has no such form
                continue
            if (odd.shape, odd.dtype, odd.layout, odd.device) != (
                tensor.shape,
                tensor.dtype,
                tensor.layout,
                tensor.device,
            ):
                yield name, {**state, name: odd}


def filled_deit(model: nn.Module, path: Path) -> nn.Module:
    Weights.of(ExportRequest("deit", path.parent, path)).fill(model)
    return model


def small_deit(family: type[EViT] | type[DynamicViT], keep: tuple[float, ...]) -> nn.Module:
    with micro_size():
        configuration = evit if family is EViT else dynamicvit
        return lively(family(configuration.published(NAME, keep, size=(64, 96), classes=7)))


LOADERS: dict[str, tuple[Callable[[], nn.Module], Callable[[nn.Module, Path], nn.Module]]] = {
    **{kind: (make, load_base) for kind, make in MODELS.items()},
    "evit": (lambda: small_deit(EViT, (0.7, 0.7, 0.7)), filled_deit),
    "dynamicvit": (lambda: small_deit(DynamicViT, (0.7, 0.5, 0.3)), filled_deit),
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("kind", LOADERS)
def test_tensors_of_models_of_the_wrong_type_or_rank(kind: str, tmp_path: Path) -> None:
    make, load = LOADERS[kind]
    model, count = lively(make()), 0
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    for name, changed in changed_in_turn(state, each=2, step=1 if kind in MODELS else 4):
        path = files.save(changed, tmp_path / "x.pth")
        if name == "patch_embed.proj.weight" and changed[name].numel() == state[name].numel() and kind == "vit":
            continue  # timm takes it in another rank
        refused(partial(load, model, path), path, name)
        count += 1
    assert count >= 12


@pytest.mark.parametrize("name", ["resnet18", "mobileone_s0", "x3d_s"])
def test_tensors_of_proposals_of_the_wrong_type_or_rank(name: str, tmp_path: Path) -> None:
    state = (proposal(name).network if name == "x3d_s" else timm.create_model(name, num_classes=0)).state_dict()
    for tensor, changed in changed_in_turn(state, each=1, step=len(state) // 6):
        path = files.save(changed, tmp_path / "x.pth")
        refused(partial(load_proposal, name, path), path, tensor)


def test_vpp_tensors_of_the_wrong_type_or_rank(tmp_path: Path) -> None:
    detector_state = official_state_dict(VppDetector(model_config("vpp-micro")))
    for name, changed in changed_in_turn(detector_state, each=1, step=30):
        path = files.save(changed, tmp_path / "x.pth")
        refused(partial(load_detector, model_config("vpp-micro"), path), path, name)
