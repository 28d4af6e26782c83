"""Every pruned model can be traced into ONNX, with `vpp` nodes in it, and computes the same there."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import nn
from transformers import VideoMAEConfig

from tests.families.papr.random_models import lively, small_convnext, small_swin, small_vit
from vpp_deploy import ops
from vpp_deploy.families.papr.model import PaprModel
from vpp_deploy.families.papr.names import CLIP_PROPOSALS, ClipSize
from vpp_deploy.families.papr.proposals import ClipProposal, proposal
from vpp_deploy.families.papr.videomae import video_mae


class Flat(nn.Module):
    def __init__(self, model: PaprModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, ...]:
        output = self.model(image)
        return (output.logits, *output.kept)


FORMS = ("portable", "onnxruntime", "tensorrt")


def traced(model: PaprModel, image: torch.Tensor) -> onnx.ModelProto:
    with torch.no_grad():
        program = torch.onnx.export(
            Flat(model).eval(), (image,), dynamo=True, opset_version=ops.OPSET, external_data=False, verbose=False
        )
    assert program is not None
    return program.model_proto


def run(graph: onnx.ModelProto, image: torch.Tensor) -> list[np.ndarray]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(graph.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: image.numpy()})


def small_proposal(dimensions: int) -> nn.Module:
    convolution = (nn.Conv2d if dimensions == 2 else nn.Conv3d)(
        3, 8, (4,) * dimensions if dimensions == 2 else (1, 8, 8)
    )
    convolution.stride = convolution.kernel_size
    return lively(nn.Sequential(convolution, nn.ReLU()))


def video_model() -> PaprModel:
    config = VideoMAEConfig(
        image_size=32, patch_size=8, num_frames=4, hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=32,
    )  # fmt: skip
    config.num_labels = 5
    return PaprModel(lively(video_mae(config)), ClipProposal(small_proposal(3), ClipSize(4, 40)), 0.45)


PRUNE = {"SelectTokens", "GatherTokens"}
SIZE = (64, 96)
MODELS = {
    "vit": (lambda: PaprModel(small_vit(img_size=SIZE, depth=2), small_proposal(2), 0.5), PRUNE),
    "merging": (
        lambda: PaprModel(small_vit(img_size=SIZE, depth=2), small_proposal(2), 0.5, merge=2),
        PRUNE | {"MatchTokens", "MergeTokens"},
    ),
    "convnext": (lambda: PaprModel(small_convnext(), small_proposal(2), 0.65), PRUNE | {"ScatterTokens"}),
    "swin": (
        lambda: PaprModel(small_swin(img_size=SIZE, depths=(2, 1), num_heads=(1, 2)), small_proposal(2), 0.65),
        PRUNE | {"ScatterTokens"},
    ),
    "video": (video_model, PRUNE),
}


@pytest.mark.parametrize("name", MODELS)
def test_traced_models_compute_the_same(name: str) -> None:
    make, used = MODELS[name]
    model = make()
    image = torch.randn(1, 3, *((4, 32, 32) if name == "video" else SIZE), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        reference = model(image)
    graph = traced(model, image)
    assert {node.op_type for node in ops.vpp_nodes(graph)} == used
    for form in FORMS:
        if form == "portable":
            ops.attach_portable_functions(graph)
        logits, *kept = run(graph if form == "portable" else ops.lower(graph, form), image)
        for ours, theirs in zip(reference.kept, kept, strict=True):
            np.testing.assert_array_equal(theirs, ours)
        np.testing.assert_allclose(logits, reference.logits, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mobileone_s0", "resnet18", "x3d_s", "slowonly_r50"])
def test_traced_proposals(name: str) -> None:
    made = lively(proposal(name))
    image = torch.randn(1, 3, *((8, 160, 160) if name in CLIP_PROPOSALS else SIZE))
    with torch.no_grad():
        program = torch.onnx.export(made, (image,), dynamo=True, opset_version=ops.OPSET, verbose=False)
        reference = made(image)
    assert program is not None
    scale = reference.abs().max().item()
    np.testing.assert_allclose(run(program.model_proto, image)[0] / scale, reference / scale, atol=1e-4)
