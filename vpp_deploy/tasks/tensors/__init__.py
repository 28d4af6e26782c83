"""Plain tensors: a model whose inputs and outputs the package does not interpret, with or without a state."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vpp_deploy.registry import lazy
from vpp_deploy.tasks.task import Task
from vpp_deploy.tasks.tensors.options import RunOptions

if TYPE_CHECKING:
    from vpp_deploy.bundle.manifest import Manifest


def _source(manifest: Manifest) -> str:
    from vpp_deploy.bundle.tensors_manifest import TensorsManifest
    from vpp_deploy.tasks.tensors.source import picture_input

    return "VIDEO" if picture_input(TensorsManifest.of(manifest, "this hint")) else "INPUTS.npz"


TASK = Task(
    name="tensors",
    title="plain tensor",
    results=lambda manifest: "outputs",
    run_options=RunOptions,
    open_session=lazy("vpp_deploy.tasks.tensors.session:TensorSession"),
    run=lazy("vpp_deploy.tasks.tensors.run:run"),
    suffixes=(".npz", ".npz"),
    next_run=lambda manifest: (_source(manifest), "-o", "outputs.npz"),
    source=_source,
    check_parity=lazy("vpp_deploy.tasks.tensors.parity.check:check_tensors"),
    render=lazy("vpp_deploy.tasks.tensors.parity.render:render_tensors"),
    workload=lazy("vpp_deploy.tasks.tensors.workload:TensorWorkload"),
    describe=lazy("vpp_deploy.tasks.tensors.inspect:describe"),
    page=lazy("vpp_deploy.tasks.tensors.inspect:page"),
)
