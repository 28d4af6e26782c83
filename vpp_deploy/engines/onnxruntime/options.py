"""What an ONNX Runtime engine can be built and loaded with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from vpp_deploy.options import option


@dataclass(frozen=True, slots=True)
class OnnxRuntimeBuildOptions:
    """How an engine is built.

    Attributes:
        native_ops: `auto` takes the library of native ops where one is named and the bundle has an op that is in it;
            `none` takes none. None is `auto`.
        native_library: the library's file or folder. None: look in `$VPP_DEPLOY_ONNXRUNTIME_OPS`.
    """

    native_ops: str | None = option(
        None,
        "Native kernels of the vpp ops, from a library: auto or none (onnxruntime only).",
        metavar="USE",
        shown="auto",
    )
    native_library: Path | None = option(
        None,
        "libvpp_onnxruntime_ops.so, or its folder, for --native-ops auto.",
        metavar="PATH",
        shown="$VPP_DEPLOY_ONNXRUNTIME_OPS",
    )


@dataclass(frozen=True, slots=True)
class OnnxRuntimeLoadOptions:
    """How an engine runs. On the command line, `$VPP_DEPLOY_ONNXRUNTIME_OPS` says where the library is.

    Attributes:
        threads: threads per frame; None takes all processors that this process may use.
        native_library: file or folder of the library of native ops that the engine was built with; None: look in
            `$VPP_DEPLOY_ONNXRUNTIME_OPS`.
    """

    threads: int | None = option(
        None, "Threads per frame (on processors).", metavar="N", shown="one per processor", minimum=1, maximum=1024
    )
    native_library: Path | None = None
