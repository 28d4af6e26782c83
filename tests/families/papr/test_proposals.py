"""Proposals: sizes, feature shapes, clips as their networks want them."""

from __future__ import annotations

import pytest
import torch

from vpp_deploy.errors import ExportError
from vpp_deploy.families.papr.names import CLIP_PROPOSALS, IMAGE_PROPOSALS, PROPOSALS
from vpp_deploy.families.papr.proposals import ClipProposal, proposal
from vpp_deploy.families.papr.slowonly import SlowOnly
from vpp_deploy.families.papr.x3d import X3d

MILLIONS = {"mobileone_s0": 2.08, "mobileone_s2": 7.81, "mobileone_s4": 14.83, "resnet18": 11.69, "resnet50": 25.56}


@pytest.mark.parametrize("name", IMAGE_PROPOSALS)
def test_image_proposals(name):
    with torch.device("meta"):
        made = proposal(name)
        features = made(torch.empty(1, 3, 224, 192))
    assert features.shape[2:] == (7, 6)
    head = 1000 * (features.shape[1] + 1)  # published numbers count it
    parameters = sum(p.numel() for p in made.parameters()) + head
    assert name not in MILLIONS or parameters / 1e6 == pytest.approx(MILLIONS[name], abs=0.02)


@pytest.mark.parametrize("name", CLIP_PROPOSALS)
def test_clip_proposals(name):
    with torch.device("meta"):
        made = proposal(name)
        features = made(torch.empty(1, 3, 16, 224, 224))
    channels = 432 if name.startswith("x3d") else 2048
    frames, side = (16, 7) if name == "x3d_m" else (8, made.size.side // 32)
    assert features.shape[1:] == (channels, frames, side, side)
    parameters = sum(p.numel() for p in made.parameters()) / 1e6
    assert parameters == pytest.approx({"x3d_s": 2.09, "x3d_m": 2.09, "slowonly_r50": 31.63}.get(name, 59.54), rel=1e-3)


def test_clips_are_resized_with_aligned_corners():
    clip = torch.rand(1, 3, 16, 40, 40)
    resized = ClipProposal(torch.nn.Identity(), CLIP_PROPOSALS["x3d_s"]).resize(clip)
    assert resized.shape == (1, 3, 8, 160, 160)
    for corner in ((0, 0, 0), (-1, -1, -1), (0, -1, 0)):
        assert torch.allclose(resized[(0, 0, *corner)], clip[(0, 0, *corner)], atol=1e-6)


def test_parameter_names_are_those_of_pytorchvideo():
    with torch.device("meta"):
        x3d, slow_only = X3d().state_dict(), SlowOnly(50).state_dict()
    for name, shape in {
        "blocks.0.conv.conv_t.weight": (24, 3, 1, 3, 3),
        "blocks.0.conv.conv_xy.weight": (24, 1, 5, 1, 1),
        "blocks.1.res_blocks.0.branch1_conv.weight": (24, 24, 1, 1, 1),
        "blocks.2.res_blocks.0.branch1_norm.weight": (48,),
        "blocks.4.res_blocks.6.branch2.norm_b.1.block.0.weight": (32, 432, 1, 1, 1),
        "blocks.4.res_blocks.5.branch2.norm_b.0.weight": (432,),
        "blocks.5.pool.pre_conv.weight": (432, 192, 1, 1, 1),
    }.items():
        assert tuple(x3d[name].shape) == shape
    assert "blocks.1.res_blocks.0.branch1_norm.weight" not in x3d
    for name, shape in {
        "blocks.0.conv.weight": (64, 3, 1, 7, 7),
        "blocks.3.res_blocks.0.branch2.conv_a.weight": (256, 512, 3, 1, 1),
        "blocks.4.res_blocks.2.branch2.norm_c.weight": (2048,),
    }.items():
        assert tuple(slow_only[name].shape) == shape


def test_unknown_proposal():
    with pytest.raises(ExportError, match=r"did you mean .*mobileone_s0"):
        proposal("mobileone_so")
    assert len(PROPOSALS) == 10
