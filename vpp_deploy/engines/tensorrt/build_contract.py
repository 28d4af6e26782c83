"""What passes between a process that wants a TensorRT engine and the worker process that builds it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from vpp_deploy.ops import PluginForm

FailureKind = Literal["dependency", "usage", "output", "plugin", "graph", "build"]


@dataclass(frozen=True, slots=True)
class BuildRequest:
    """What to build.

    Attributes:
        onnx_path: the graph; its external data is found next to it.
        engine_path: the file to write. A crash can leave it half-written, so name one that nobody reads yet.
        backend: which of NVIDIA's two builders: `tensorrt` or `tensorrt-rtx`.
        compute_capabilities: targets such as `8.9` (TensorRT-RTX only). Empty: the builder's own choice.
        workspace_bytes: upper limit of scratch memory. None: the builder's own choice.
        timing_cache: file of kernel timings that is read before and extended after the build.
        tf32: allow float32 products to be computed in TF32.
        hardware_compatible: for every GPU from Ampere on.
        version_compatible: for later versions of the same major version too.
        plugins: what the graph's `vpp` nodes stand for. None: there are no such nodes.
        plugin_library: file of the plugins, for the form `library`.
    """

    onnx_path: str
    engine_path: str
    backend: str
    compute_capabilities: tuple[str, ...] = ()
    workspace_bytes: int | None = None
    timing_cache: str | None = None
    tf32: bool = False
    hardware_compatible: bool = False
    version_compatible: bool = False
    plugins: PluginForm | None = None
    plugin_library: str | None = None


@dataclass(frozen=True, slots=True)
class BuildReport:
    """What was built.

    Attributes:
        backend: which builder.
        version: version of TensorRT or TensorRT-RTX, e.g. `1.7.1.116`.
        polygraphy: version of polygraphy.
        compute_capabilities: the requested targets.
        layers: layers of the parsed network, before the builder fuses them.
        plugin_layers: how many of them are plugins.
        engine_bytes: size of the engine file.
        scratch_bytes: memory on the GPU for intermediate tensors of one context; None where only a GPU could tell.
        seconds: wall time for parsing and building.
    """

    backend: str
    version: str
    polygraphy: str
    compute_capabilities: tuple[str, ...]
    layers: int
    plugin_layers: int
    engine_bytes: int
    scratch_bytes: int | None
    seconds: float
