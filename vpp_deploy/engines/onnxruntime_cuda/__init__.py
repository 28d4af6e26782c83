"""ONNX Runtime on an NVIDIA GPU: the record."""

from __future__ import annotations

from typing import Final

from vpp_deploy.engines.backend import Backend
from vpp_deploy.engines.onnxruntime_cuda.options import OnnxRuntimeCudaLoadOptions
from vpp_deploy.registry import lazy

BACKEND: Final = Backend(
    name="onnxruntime-cuda",
    title="ONNX Runtime with CUDA",
    extra="gpu",
    distributions=("onnxruntime-gpu", "onnxruntime"),  # the second one builds engines, for another machine to run
    module="onnxruntime",
    runs_on="gpu",
    load_options=OnnxRuntimeCudaLoadOptions,
    examine=lazy("vpp_deploy.engines.onnxruntime_cuda.needs:examine"),
    prepare=lazy("vpp_deploy.engines.onnxruntime_cuda.engine:OnnxRuntimeCudaBuild"),
    load=lazy("vpp_deploy.engines.onnxruntime_cuda.engine:load"),
)
