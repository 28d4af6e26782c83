"""What `vpp-deploy inspect` shows of a model of plain tensors, and what its export is told by."""

from __future__ import annotations

from typing import Any

from rich.console import RenderableType

from vpp_deploy.bundle.reader import Bundle
from vpp_deploy.bundle.tensors_manifest import TensorsManifest
from vpp_deploy.tasks.inspect_page import Page, state_table, tensors, worst
from vpp_deploy.tasks.task import Description
from vpp_deploy.terminal import console
from vpp_deploy.terminal.console import counted


def describe(bundle: Bundle) -> Description:
    """What an export made."""
    model = TensorsManifest.of(bundle.manifest, "this summary")
    state = counted(len(model.state), "state tensor") if model.state else "no state"
    return Description(
        f"{model.model.name}, keep {model.model.keep_schedule}, {counted(len(model.inputs), 'input')}, "
        f"{counted(len(model.outputs), 'output')}, {state}"
    )


def page(bundle: Bundle) -> Page:
    """The whole page."""
    manifest = TensorsManifest.of(bundle.manifest, "this page")
    state: RenderableType = state_table(manifest) if manifest.state else "none (every call stands for itself)"
    return Page(
        model=console.facts([("family", manifest.model.family), ("keep", manifest.model.keep_schedule)]),
        sections=(("Inputs and outputs", tensors(manifest)), ("State, from frame to frame", state)),
        measure=f"vpp-deploy parity {bundle.shell_path} --input INPUTS.npz",
        parity=_parity,
    )


def _parity(summary: Any) -> str:
    source = f" of {summary['source']}" if summary["source"] else ""
    frames, found = console.counted(summary["frames"], "frame"), worst(summary["tensors"]["teacher_forced"])
    return f"on {frames}{source}, {summary['created']}: {found}"
