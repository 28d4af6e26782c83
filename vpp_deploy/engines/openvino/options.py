"""What an OpenVINO engine can be loaded with."""

from __future__ import annotations

from dataclasses import dataclass

from vpp_deploy.options import option


@dataclass(frozen=True, slots=True)
class OpenVinoLoadOptions:
    """How an engine runs.

    Attributes:
        threads: threads per frame; frames of several streams take turns. None takes all processors that this process
            may use.
        device: as OpenVINO names it: `CPU`, or `GPU` for one of Intel's.
    """

    threads: int | None = option(
        None, "Threads per frame (on processors).", metavar="N", shown="one per processor", minimum=1, maximum=1024
    )
    device: str = option("CPU", "What runs it, as OpenVINO names it: CPU, GPU (openvino only).", metavar="NAME")
