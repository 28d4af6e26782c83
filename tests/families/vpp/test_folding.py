"""What an export traces computes what the model computes, without touching the model."""

from __future__ import annotations

import torch
from torch import nn

from vpp_deploy.families.vpp.config import model_config
from vpp_deploy.families.vpp.detector import VppDetector
from vpp_deploy.families.vpp.folding import folded
from vpp_deploy.families.vpp.random_weights import randomise_


def test_folding_changes_rounding_alone() -> None:
    generator = torch.Generator().manual_seed(1)
    model = randomise_(VppDetector(model_config("vpp-micro", "0.55")), 0).eval().requires_grad_(False)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):  # as training leaves them: nothing is 0 or 1
            for tensor, low, high in (
                (module.weight, 0.5, 2.0),
                (module.bias, -1.0, 1.0),
                (module.running_mean, -1.0, 1.0),
                (module.running_var, 0.25, 4.0),
            ):
                tensor.uniform_(low, high, generator=generator)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    other = folded(model)
    state = None
    for image in torch.randn(3, 1, 3, 64, 96, generator=generator):
        expected, output = model(image, state), other(image, state)
        for ours, theirs in zip(output.backbone.selections, expected.backbone.selections, strict=True):
            torch.testing.assert_close(ours.positions, theirs.positions, atol=0, rtol=0)
        for ours, theirs in (
            (output.head.mask_features, expected.head.mask_features),
            (output.queries, expected.queries),
        ):
            torch.testing.assert_close(ours, theirs, atol=1e-4 * theirs.abs().max().item(), rtol=0)
        state = expected.state
    after = model.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_folding_leaves_no_wide_map_at_stride_4() -> None:
    model = folded(VppDetector(model_config("vpp-micro", "0.55")))
    widths: list[int] = []
    model.backbone.up.register_forward_hook(lambda _, __, output: widths.append(output.shape[1]))
    model.backbone.lateral4.register_forward_hook(lambda _, __, output: widths.append(output.shape[1]))
    with torch.no_grad():
        model(torch.zeros(1, 3, 64, 96))
    assert widths == [model.config.head.width] * 2 != [model.config.backbone.width] * 2
    assert not any(isinstance(norm, nn.BatchNorm2d) for norm in (model.backbone.norm1, model.backbone.norm4))
