"""Traces a classifier, and compares what every form of its graph computes with PyTorch."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import torch
from torch import nn

from vpp_deploy import ops
from vpp_deploy.exporters.checks import check_graph
from vpp_deploy.exporters.signature import GraphSignature, tensor_spec
from vpp_deploy.exporters.trace import trace


class Flat(nn.Module):
    """A classifier whose outputs are a tuple of tensors."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        output = self.model(images)
        return (output.logits, *output.significance, *output.kept)


def run(graph: onnx.ModelProto, images: torch.Tensor) -> list[npt.NDArray[np.generic]]:
    """The outputs of a graph in ONNX Runtime."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(graph.SerializeToString(), options, providers=["CPUExecutionProvider"])
    outputs: list[npt.NDArray[np.generic]] = session.run(None, {"images": images.numpy()})
    return outputs


def traced(classifier: nn.Module, size: tuple[int, int], batch: int) -> onnx.ModelProto:
    """The graph, which computes the same in the portable form and in those of the backends."""
    model = Flat(classifier)
    images = torch.randn(batch, 3, *size, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        reference = model(images)
    outputs = tuple(tensor_spec(f"out_{index}", tensor) for index, tensor in enumerate(reference))
    signed = GraphSignature("model", (tensor_spec("images", images),), outputs, (), (torch.zeros_like(images),))
    graph = trace(model, signed, "small", "model")
    check_graph(graph, "model")
    for form in (graph, ops.lower(graph, "onnxruntime"), ops.lower(graph, "tensorrt")):
        for ours, theirs in zip(run(form, images), reference, strict=True):
            if theirs.dtype == torch.int32:
                np.testing.assert_array_equal(ours, theirs)
            else:
                np.testing.assert_allclose(ours, theirs, rtol=0, atol=2e-5)
    return graph
