"""What an ONNX Runtime engine can be loaded with."""

from __future__ import annotations

from dataclasses import dataclass

from vpp_deploy.options import option


@dataclass(frozen=True, slots=True)
class OnnxRuntimeLoadOptions:
    """How an engine runs.

    Attributes:
        threads: threads per frame; None takes all processors that this process may use.
    """

    threads: int | None = option(
        None, "Threads per frame (onnxruntime only).", metavar="N", shown="one per processor", minimum=1, maximum=1024
    )
