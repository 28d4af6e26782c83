"""TensorRT and TensorRT-RTX: the records of both. The first builds on the GPU that it is for, the other anywhere."""

from __future__ import annotations

from functools import partial
from typing import Any, Final

from vpp_deploy.engines.backend import Backend
from vpp_deploy.engines.tensorrt.options import TensorRtBuildOptions, TensorRtLoadOptions
from vpp_deploy.registry import lazy


def _record(name: str, **facts: Any) -> Backend:
    return Backend(
        name=name,
        runs_on="gpu",
        build_options=TensorRtBuildOptions,
        load_options=TensorRtLoadOptions,
        examine=partial(lazy("vpp_deploy.engines.tensorrt.needs:examine"), backend=name),
        problems=partial(lazy("vpp_deploy.engines.tensorrt.needs:problems"), backend=name),
        prepare=partial(lazy("vpp_deploy.engines.tensorrt.engine:TensorRtBuild"), backend=name),
        load=partial(lazy("vpp_deploy.engines.tensorrt.engine:load"), backend=name),
        **facts,
    )


TENSORRT: Final = _record(
    "tensorrt",
    title="TensorRT",
    extra="tensorrt",
    distributions=("tensorrt", "tensorrt-cu13", "tensorrt-cu12", "tensorrt-cu11"),
    module="tensorrt",
    builds_on="gpu",
)
TENSORRT_RTX: Final = _record(
    "tensorrt-rtx",
    title="TensorRT-RTX",
    extra="rtx",
    distributions=("tensorrt-rtx", "tensorrt-rtx-cu13", "tensorrt-rtx-cu12"),
    module="tensorrt_rtx",
)
RECORDS: Final = {record.name: record for record in (TENSORRT, TENSORRT_RTX)}
"""By name: what the modules of this folder look up."""
