"""`vpp-deploy inspect`: a bundle for a human."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from vpp_deploy.cli import console
from vpp_deploy.cli.options import BundleArgument, JsonFlag

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vpp_deploy.bundle import Bundle, VppManifest
    from vpp_deploy.bundle.manifest import TensorSpec
    from vpp_deploy.cli.contents import StoredEngine

EXAMPLES = ("vpp-deploy inspect small.bundle", "vpp-deploy inspect small.bundle --json")


def command(bundle: BundleArgument, json: JsonFlag = False) -> None:
    """Show what a bundle holds: model, tokens kept, tensors, where it came from, its engines and their parity."""
    from vpp_deploy.bundle import Bundle, VppManifest
    from vpp_deploy.cli.contents import parity_summaries, stored_engines

    opened = Bundle.open(bundle)
    engines, parity = stored_engines(opened), parity_summaries(opened)
    if json:
        console.print_json(
            {
                "path": str(opened.path),
                "manifest": opened.manifest.model_dump(mode="json"),
                "engines": {name: engine.to_dict() for name, engine in engines.items()},
                "parity": parity,
            }
        )
        return
    manifest = VppManifest.of(opened.manifest, "this page")
    _show_model(opened, manifest)
    console.heading("Tokens kept")
    console.show(_selection_points(manifest))
    console.heading("Inputs and outputs")
    console.show(_tensors(manifest))
    console.heading("State, from frame to frame")
    console.show(_state(manifest))
    console.heading("Preprocessing")
    console.show(_preprocessing(manifest))
    console.heading("Provenance")
    console.show(_provenance(manifest))
    console.heading("Engines")
    _show_engines(opened, engines)
    console.heading("Parity with PyTorch")
    _show_parity(opened, parity)


def _show_model(bundle: Bundle, manifest: VppManifest) -> None:
    model, detection = manifest.model, manifest.detection
    size = sum(record.bytes for record in manifest.files.values())
    rows, columns = manifest.token_grid
    console.say(
        Text.assemble((model.name, "bold"), f" in {bundle.path}, {console.megabytes(size)}, {manifest.precision}")
    )
    if manifest.provenance.weights.kind == "random":
        seed = manifest.provenance.weights.seed
        alarm = f"RANDOM WEIGHTS (seed {seed}): this model is untrained, its masks, labels and tracks mean nothing"
        console.say(Text(alarm, style="bold red"))
    console.show(
        console.facts(
            [
                ("frame", f"{console.height_by_width(manifest.frame_size)} pixels (height x width)"),
                (
                    "tokens",
                    f"{rows * columns} ({rows}x{columns} patches of {manifest.patch_size}x{manifest.patch_size})",
                ),
                ("classes", f"{len(manifest.class_names)} of {model.dataset}: {', '.join(manifest.class_names)}"),
                ("queries", f"{detection.num_queries} learned, up to {detection.max_tracks} tracks"),
                ("detections", f"up to {detection.max_detections} candidates per frame"),
            ]
        )
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


def _tensors(manifest: VppManifest) -> Table:
    """One row per tensor; a graph that lacks it has a dash."""
    table = console.table("", "name", "type", "init", "step")
    graphs = manifest.graphs
    for direction, init, step in (
        ("in", graphs["init"].inputs, graphs["step"].inputs),
        ("out", graphs["init"].outputs, graphs["step"].outputs),
    ):
        shapes = [{spec.name: _shape(spec.shape) for spec in specs} for specs in (init, step)]
        types: dict[str, TensorSpec] = {spec.name: spec for spec in (*step, *init)}
        for name, spec in types.items():
            table.add_row(direction, name, spec.dtype, *(shape.get(name, "–") for shape in shapes))
    return table


def _state(manifest: VppManifest) -> Table | str:
    if not manifest.state:
        return "none (dense: every frame is computed in full)"
    table = console.table("name", "type", "shape", "input of step", "output")
    for state in manifest.state:
        table.add_row(state.name, state.dtype, _shape(state.shape), state.input, state.output)
    return table


def _preprocessing(manifest: VppManifest) -> Table:
    spec = manifest.preprocessing
    return console.facts(
        [
            ("resize", f"{spec.resize}, {spec.interpolation}, picture top left, padding right and below"),
            ("pixels", f"uint8 {spec.colour}; in the graph: (pixel - mean) / std"),
            ("mean", ", ".join(f"{value:g}" for value in spec.mean)),
            ("std", ", ".join(f"{value:g}" for value in spec.std)),
        ]
    )


def _provenance(manifest: VppManifest) -> Table:
    made = manifest.provenance
    weights = made.weights
    if weights.kind == "random":
        source = Text(f"RANDOM, seed {weights.seed}: untrained", style="bold red")
    else:
        source = Text(f"{weights.kind} {weights.name}, sha256 {weights.sha256}")
    versions = f"vpp-deploy {made.vpp_deploy}, PyTorch {made.torch}, ONNX {made.onnx} (opset {made.opset})"
    return console.facts([("weights", source), ("created", made.created), ("made with", versions)])


def _show_engines(bundle: Bundle, engines: dict[str, StoredEngine]) -> None:
    rows: list[tuple[str, str | Text]] = []
    for name, engine in engines.items():
        if record := engine.record:
            targets = f", compute capability {', '.join(record.compute_capabilities)}" * bool(
                record.compute_capabilities
            )
            size = console.megabytes(sum(file.bytes for file in record.files.values()))
            machine = "" if record.machine == "any" else f", {record.machine}"
            rows.append((name, f"version {record.backend_version}, {record.precision}{machine}{targets}, {size}"))
            rows.append(("", "from " + ", ".join(f"{file} {digest[:12]}" for file, digest in record.source.items())))
        else:
            rows.append((name, "unreadable"))
        rows.append(("", _fit(engine)))
    if rows:
        console.show(console.facts(rows))
    else:
        console.say(f"none yet; build one with: vpp-deploy build-engine {bundle.path}")


def _fit(engine: StoredEngine) -> Text:
    if engine.problem:
        return Text(f"does not fit: {engine.problem}", "bold red")
    if engine.note:
        return Text(f"fits, but {engine.note}", "yellow")
    return Text("fits this machine", "green")


def _show_parity(bundle: Bundle, summaries: dict[str, Any]) -> None:
    if not summaries:
        console.say(f"not measured yet; measure it with: vpp-deploy parity {bundle.path} --video VIDEO")
    console.show(console.facts([(backend, _measured(summary)) for backend, summary in summaries.items()]))


def _measured(summary: Any) -> Text:
    """A parity summary in one sentence."""
    try:
        worst = summary["tensors"]["teacher_forced"]
        tensor = max(worst, key=lambda name: worst[name]["maximum"] or 0.0)
        overlap = min((point["minimum"] for point in summary["overlaps"].values()), default=1.0)
        return Text.assemble(
            ("passed", "green") if summary["passed"] else ("FAILED", "bold red"),
            f" on {summary['frames']} frames of {summary['video']}, {summary['created']}: "
            f"largest difference {worst[tensor]['maximum']:.1e} ({tensor}), "
            f"kept tokens in common at least {console.percent(overlap)}, "
            f"same tracks in {console.percent(summary['tracks']['agreement'])} of the frames",
        )
    except (KeyError, TypeError, ValueError):
        return Text("cannot be read; measure it again", "bold red")


def _shape(shape: Sequence[int]) -> str:
    return f"[{', '.join(map(str, shape))}]"
