"""OpenVINO on processors of Intel and AMD, and on GPUs of Intel: the record."""

from __future__ import annotations

from typing import Final

from vpp_deploy.engines.backend import Backend
from vpp_deploy.engines.openvino.options import OpenVinoLoadOptions
from vpp_deploy.registry import lazy

BACKEND: Final = Backend(
    name="openvino",
    title="OpenVINO",
    extra="openvino",
    distributions=("openvino",),
    module="openvino",
    runs_on="cpu",
    load_options=OpenVinoLoadOptions,
    examine=lazy("vpp_deploy.engines.openvino.needs:examine"),
    problems=lazy("vpp_deploy.engines.openvino.needs:problems"),
    prepare=lazy("vpp_deploy.engines.openvino.engine:OpenVinoBuild"),
    load=lazy("vpp_deploy.engines.openvino.engine:load"),
)
