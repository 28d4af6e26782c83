"""ONNX Runtime on the processor: the record."""

from __future__ import annotations

from typing import Final

from vpp_deploy.engines.backend import Backend
from vpp_deploy.engines.onnxruntime.options import OnnxRuntimeBuildOptions, OnnxRuntimeLoadOptions
from vpp_deploy.registry import lazy

BACKEND: Final = Backend(
    name="onnxruntime",
    title="ONNX Runtime",
    extra="cpu",
    distributions=("onnxruntime", "onnxruntime-gpu"),
    module="onnxruntime",
    runs_on="cpu",
    lacks=frozenset({"bfloat16"}),
    build_options=OnnxRuntimeBuildOptions,
    load_options=OnnxRuntimeLoadOptions,
    examine=lazy("vpp_deploy.engines.onnxruntime.needs:examine"),
    problems=lazy("vpp_deploy.engines.onnxruntime.needs:problems"),
    advice=lazy("vpp_deploy.engines.onnxruntime.native_ops:advice"),
    prepare=lazy("vpp_deploy.engines.onnxruntime.engine:OnnxRuntimeBuild"),
    load=lazy("vpp_deploy.engines.onnxruntime.engine:load"),
)
