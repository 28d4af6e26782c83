"""Quantised activations as ONNX Runtime's integer products take them: unsigned, with zero at 128."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper


def make_activations_unsigned(path: Path) -> None:
    """Write the INT8 activations of a graph as UINT8: the same values, shifted by 128.

    ONNX Runtime does so itself, but not for an activation that several products share; those would stay float32.

    Args:
        path: file of a graph in standard ONNX; replaced. Activations have one scale, weights one per channel.
    """
    model = onnx.load(path, load_external_data=False)
    quantised = {node.input[2] for node in model.graph.node if node.op_type == "QuantizeLinear"}
    for tensor in model.graph.initializer:
        if tensor.name in quantised and tensor.data_type == TensorProto.INT8 and not tensor.dims:
            tensor.CopyFrom(numpy_helper.from_array(np.array(128, np.uint8), tensor.name))
    onnx.save(model, path)
