"""What `vpp-deploy inspect` shows of a classifier, and what its export is told by."""

from __future__ import annotations

from math import floor, prod
from typing import Any, Final

from rich.table import Table

from vpp_deploy.bundle import Bundle, ClassificationManifest
from vpp_deploy.tasks.classification.figures import gflops, merging, tokens
from vpp_deploy.tasks.inspect_page import Page, least_overlap, preprocessing, share, tensors, worst
from vpp_deploy.tasks.task import Description
from vpp_deploy.terminal import console

_LISTED: Final = 3
"""Class names, of what may be a thousand."""


def describe(bundle: Bundle) -> Description:
    """What an export made, and what it computes."""
    classifier = ClassificationManifest.of(bundle.manifest, "this summary")
    return Description(
        f"{classifier.model.name}, keep ratio {classifier.model.keep_schedule}, "
        f"{console.height_by_width(classifier.frame_size)}, batch {classifier.batch}, "
        + (
            f"{len(classifier.class_names)} classes of {classifier.model.dataset}"
            if classifier.features is None
            else f"{classifier.features} features"
        ),
        [*gflops(classifier), *tokens(classifier)],
    )


def page(bundle: Bundle) -> Page:
    """The whole page."""
    manifest = ClassificationManifest.of(bundle.manifest, "this page")
    spec = manifest.preprocessing
    return Page(
        model=_model(manifest),
        sections=(
            ("Patches kept", _pruning_points(manifest)),
            ("Inputs and outputs", tensors(manifest)),
            ("Preprocessing", preprocessing(_resize(manifest), spec.colour, spec.mean, spec.std)),
        ),
        measure=f"vpp-deploy parity {bundle.shell_path} --input {'VIDEO' if manifest.clip else 'IMAGES'}",
        parity=_parity,
    )


def _model(manifest: ClassificationManifest) -> Table:
    model, clip, names = manifest.model, manifest.clip, manifest.class_names
    listed = "; ".join(names[:_LISTED]) + ("; …" if len(names) > _LISTED else "")
    size = f"{console.height_by_width(manifest.frame_size)} pixels (height x width)"
    rows = [
        ("keep ratio", model.keep_schedule),
        ("proposal", manifest.proposal or "none: nothing is pruned"),
        ("image" if clip is None else "frame", size),
        ("batch", str(manifest.batch)),
        ("classes", f"{len(names)} of {model.dataset}: {listed}")
        if manifest.features is None
        else ("features", f"{manifest.features} numbers; no classes"),
        *gflops(manifest),
        *merging(manifest),
    ]
    if clip is not None:
        rows.insert(3, ("clip", f"{clip.frames} frames, one of every {clip.sampling} of a video"))
    return console.facts(rows)


def _pruning_points(manifest: ClassificationManifest) -> Table | str:
    if not manifest.pruning_points:
        return "all (keep ratio 1)"
    table = console.table("point", "grid", "patches", "kept", "share")
    for point in manifest.pruning_points:
        patches = prod(point.grid)
        grid = "x".join(map(str, point.grid))
        table.add_row(point.name, grid, str(patches), str(point.kept), console.percent(point.kept / patches))
    return table


def _resize(manifest: ClassificationManifest) -> str:
    spec = manifest.preprocessing
    height, width = (floor(side / spec.crop_ratio) for side in manifest.frame_size)
    scaled = {
        "center-crop": f"keep the aspect ratio, cover {height}x{width}, take the middle",
        "squash": f"stretch to {height}x{width}" + ("" if spec.crop_ratio == 1 else ", take the middle"),
    }[spec.resize]
    return f"{spec.resize}, {spec.interpolation} with antialiasing: {scaled}"


def _parity(summary: Any) -> str:
    source = f" of {summary['source']}" if summary["source"] else ""
    return (
        f"on {summary['samples']} samples{source}, {summary['created']}: {worst(summary['tensors'])}, "
        f"kept patches in common at least {least_overlap(summary['overlaps'])}, "
        + (
            f"same label in {share(summary['labels']['top1_agreement'])}"
            if summary["labels"] is not None
            else "features compared number by number"
        )
    )
