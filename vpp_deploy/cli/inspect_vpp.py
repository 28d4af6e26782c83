"""What `vpp-deploy inspect` shows of a VPP bundle."""

from __future__ import annotations

from typing import Any

from rich.table import Table

from vpp_deploy.bundle import Bundle, VppManifest
from vpp_deploy.cli import console
from vpp_deploy.cli.inspect_tables import Page, least_overlap, preprocessing, shape, tensors, worst


def page(bundle: Bundle, manifest: VppManifest) -> Page:
    """The whole page."""
    spec = manifest.preprocessing
    resize = f"{spec.resize}, {spec.interpolation}, picture top left, padding right and below"
    return Page(
        model=_model(manifest),
        sections=(
            ("Tokens kept", _selection_points(manifest)),
            ("Inputs and outputs", tensors(manifest)),
            ("State, from frame to frame", _state(manifest)),
            ("Preprocessing", preprocessing(resize, spec.colour, spec.mean, spec.std)),
        ),
        results="masks, labels and tracks",
        measure=f"vpp-deploy parity {bundle.path} --video VIDEO",
        parity=_parity,
    )


def _model(manifest: VppManifest) -> Table:
    model, detection, patch = manifest.model, manifest.detection, manifest.patch_size
    rows, columns = manifest.token_grid
    return console.facts(
        [
            ("frame", f"{console.height_by_width(manifest.frame_size)} pixels (height x width)"),
            ("tokens", f"{rows * columns} ({rows}x{columns} patches of {patch}x{patch})"),
            ("classes", f"{len(manifest.class_names)} of {model.dataset}: {', '.join(manifest.class_names)}"),
            ("queries", f"{detection.num_queries} learned, up to {detection.max_tracks} tracks"),
            ("detections", f"up to {detection.max_detections} candidates per frame"),
        ]
    )


def _selection_points(manifest: VppManifest) -> Table | str:
    schedule = manifest.model.keep_schedule
    if not manifest.selection_points:
        return f"all, in every block (keep schedule {schedule})"
    tokens = manifest.token_grid[0] * manifest.token_grid[1]
    table = console.table("point", "before block", "keep ratio", f"K of {tokens}", "in graphs")
    for point in manifest.selection_points:
        ratio, phases = f"{point.keep_ratio:g}", ", ".join(point.phases)
        table.add_row(point.name, str(point.block), ratio, str(point.kept), phases)
    table.title = f"keep schedule {schedule}"
    table.title_style = ""
    return table


def _state(manifest: VppManifest) -> Table | str:
    if not manifest.state:
        return "none (dense: every frame is computed in full)"
    table = console.table("name", "type", "shape", "input of step", "output")
    for state in manifest.state:
        table.add_row(state.name, state.dtype, shape(state.shape), state.input, state.output)
    return table


def _parity(summary: Any) -> str:
    return (
        f"on {summary['frames']} frames of {summary['video']}, {summary['created']}: "
        f"{worst(summary['tensors']['teacher_forced'])}, "
        f"kept tokens in common at least {least_overlap(summary['overlaps'])}, "
        f"same tracks in {console.percent(summary['tracks']['agreement'])} of the frames"
    )
