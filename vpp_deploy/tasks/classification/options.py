"""What a run of a classifier can be asked for."""

from __future__ import annotations

from dataclasses import dataclass

from vpp_deploy.options import option


@dataclass(frozen=True)
class RunOptions:
    """Options of `infer` on bundles of classifiers."""

    top: int = option(5, "Labels per image or clip.", metavar="N", minimum=1)
    hop: int | None = option(
        None,
        "Of a model of clips: frames from the begin of one to the begin of the next.",
        metavar="N",
        shown="half a clip",
        minimum=1,
    )
