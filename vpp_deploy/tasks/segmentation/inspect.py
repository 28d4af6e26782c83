"""What `vpp-deploy inspect` shows of a bundle for instance segmentation, and what its export is told by."""

from __future__ import annotations

from typing import Any

from rich.table import Table

from vpp_deploy.bundle import Bundle, SegmentationManifest
from vpp_deploy.engines.arithmetic import count_arithmetic
from vpp_deploy.tasks.inspect_page import Page, least_overlap, preprocessing, share, state_table, tensors, worst
from vpp_deploy.tasks.task import Description
from vpp_deploy.terminal import console


def describe(bundle: Bundle) -> Description:
    """What an export made, and what it computes."""
    video = SegmentationManifest.of(bundle.manifest, "this summary")
    return Description(
        f"{video.model.name}, keep schedule {video.model.keep_schedule}, {console.height_by_width(video.frame_size)}, "
        f"{len(video.class_names)} classes of {video.model.dataset}",
        _gflops(bundle),
    )


def page(bundle: Bundle) -> Page:
    """The whole page."""
    manifest = SegmentationManifest.of(bundle.manifest, "this page")
    spec = manifest.preprocessing
    resize = f"{spec.resize}, {spec.interpolation}, picture top left, padding right and below"
    return Page(
        model=_model(manifest, _gflops(bundle)),
        sections=(
            ("Tokens kept", _selection_points(manifest)),
            ("Inputs and outputs", tensors(manifest)),
            ("State, from frame to frame", _state(manifest)),
            ("Preprocessing", preprocessing(resize, spec.colour, spec.mean, spec.std)),
        ),
        measure=f"vpp-deploy parity {bundle.shell_path} --input VIDEO",
        parity=_parity,
    )


def _gflops(bundle: Bundle) -> list[tuple[str, str]]:
    """Cost of a frame that is not the first, dense and pruned; one GFLOP is 10^9 multiply-accumulates."""
    found = count_arithmetic(bundle)
    blocks, other = sum(found.blocks), found.other
    total, name = f"{(blocks + other) / 1e9:.2f}", "GFLOPs per frame"
    if found.dense is None:
        return [(name, f"{total}, of which transformer blocks {blocks / 1e9:.2f}; nothing is pruned")]
    share = console.percent((blocks + other) / (found.dense + other))
    return [
        (
            name,
            f"dense {(found.dense + other) / 1e9:.2f}, pruned {total} ({share} of dense); of which transformer blocks "
            f"dense {found.dense / 1e9:.2f}, pruned {blocks / 1e9:.2f} ({console.percent(blocks / found.dense)})",
        )
    ]


def _model(manifest: SegmentationManifest, cost: list[tuple[str, str]]) -> Table:
    model, detection, patch = manifest.model, manifest.detection, manifest.patch_size
    rows, columns = manifest.token_grid
    return console.facts(
        [
            ("frame", f"{console.height_by_width(manifest.frame_size)} pixels (height x width)"),
            ("tokens", f"{rows * columns} ({rows}x{columns} patches of {patch}x{patch})"),
            ("classes", f"{len(manifest.class_names)} of {model.dataset}: {', '.join(manifest.class_names)}"),
            ("queries", f"{detection.num_queries} learned, up to {detection.max_tracks} tracks"),
            ("detections", f"up to {detection.max_detections} candidates per frame"),
            *cost,
        ]
    )


def _selection_points(manifest: SegmentationManifest) -> Table | str:
    schedule = manifest.model.keep_schedule
    if not manifest.pruning_points:
        return f"all, in every block (keep schedule {schedule})"
    tokens = manifest.token_grid[0] * manifest.token_grid[1]
    table = console.table("point", "before block", "keep ratio", f"K of {tokens}", "in graphs")
    for point in manifest.pruning_points:
        ratio, phases = f"{point.keep_ratio:g}", ", ".join(point.phases)
        table.add_row(point.name, str(point.block), ratio, str(point.kept), phases)
    table.title = f"keep schedule {schedule}"
    table.title_style = ""
    return table


def _state(manifest: SegmentationManifest) -> Table | str:
    if not manifest.state:
        return "none (dense: every frame is computed in full)"
    return state_table(manifest)


def _parity(summary: Any) -> str:
    return (
        f"on {console.counted(summary['frames'], 'frame')} of {summary['video']}, {summary['created']}: "
        f"{worst(summary['tensors']['teacher_forced'])}, "
        f"kept tokens in common at least {least_overlap(summary['overlaps'])}, "
        f"same tracks in {share(summary['tracks']['agreement'])} of the frames"
    )
