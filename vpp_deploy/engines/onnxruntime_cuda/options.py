"""What an engine of ONNX Runtime's CUDA provider can be loaded with."""

from __future__ import annotations

from dataclasses import dataclass

from vpp_deploy.options import option


@dataclass(frozen=True, slots=True)
class OnnxRuntimeCudaLoadOptions:
    """How an engine runs.

    Attributes:
        tf32: allow float32 products and convolutions to be computed in TF32: faster, but about three digits instead of
            seven. cuDNN is asked once in a process: it does not help after an engine without it.
        cuda_graphs: capture each stream's steps in CUDA graphs. ONNX Runtime allows that on one thread, and while it
            captures (a stream's fourth and fifth frame) nothing else in the process may allocate on the GPU.
    """

    tf32: bool = option(False, "Allow TF32 for float32 products: faster, three digits.")
    cuda_graphs: bool = option(
        False, "Capture steps in CUDA graphs: less time between kernels, all streams on one thread."
    )
