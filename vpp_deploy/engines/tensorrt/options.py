"""What a TensorRT or TensorRT-RTX engine can be built and loaded with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from vpp_deploy.options import option


@dataclass(frozen=True, slots=True)
class TensorRtBuildOptions:
    """How a TensorRT or TensorRT-RTX engine is built. Precision is none of it: networks are strongly typed.

    Attributes:
        compute_capabilities: GPU generations such as `8.9` (TensorRT-RTX only). Empty: all that it targets by default
            (Ampere and later).
        plugins: CUDA plugins for the `vpp` ops: `embedded`, `library` or `none`. None: what
            `vpp_deploy.engines.tensorrt.plugins.choose` finds.
        plugin_library: the plugin library's file or folder. None: look in `$VPP_DEPLOY_PLUGIN_PATH`.
        workspace_bytes: upper limit of the scratch memory of a kernel. None: the builder's own choice.
        tf32: allow float32 products to be computed in TF32: faster, but about three digits instead of seven.
        hardware_compatible: run on every GPU from Ampere on, not only on the one that it is built on (TensorRT only).
        version_compatible: run on later versions of the same major version too (TensorRT only).
        timing_cache: file of kernel timings, read before and extended after the build; it need not exist.
    """

    compute_capabilities: tuple[str, ...] = option(
        (),
        "GPU generation to build for, such as 8.9; repeat it for more (tensorrt-rtx only).",
        flag="--compute-capability",
        metavar="X.Y",
        shown="all that the builder knows",
    )
    plugins: str | None = option(
        None,
        "CUDA plugins for the vpp ops: embedded (tensorrt only), library or none.",
        metavar="FORM",
        shown="embedded where it works, else library if one is found, else none",
    )
    plugin_library: Path | None = option(
        None,
        "libvpp_plugins.so, or its folder, for --plugins library.",
        metavar="PATH",
        shown="$VPP_DEPLOY_PLUGIN_PATH",
    )
    workspace_bytes: int | None = option(
        None,
        "Upper limit of a kernel's scratch memory.",
        flag="--workspace",
        metavar="MIB",
        shown="the builder's own",
        minimum=1,
        scale=2**20,
    )
    tf32: bool = option(False, "Allow TF32 for float32 products: faster, three digits.")
    hardware_compatible: bool = option(False, "For every GPU from Ampere on, not this one alone (tensorrt only).")
    version_compatible: bool = option(False, "For later TensorRT of this major version too (tensorrt only).")
    timing_cache: Path | None = option(
        None, "Kernel timings, read before and extended after the build.", metavar="FILE", shown="none"
    )


@dataclass(frozen=True, slots=True)
class TensorRtLoadOptions:
    """What an engine is loaded with. On the command line, `$VPP_DEPLOY_PLUGIN_PATH` says it.

    Attributes:
        plugin_library: file or folder of the plugin library that the engine was built with; None: look in
            `$VPP_DEPLOY_PLUGIN_PATH`.
    """

    plugin_library: Path | None = None
