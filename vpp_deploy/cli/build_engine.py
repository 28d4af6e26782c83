"""`vpp-deploy build-engine`: from a bundle to an engine in it."""

from __future__ import annotations

from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Annotated

import typer

from vpp_deploy.cli import console
from vpp_deploy.cli.options import BundleArgument, EngineOption

if TYPE_CHECKING:
    from vpp_deploy.engines.store import EngineRecord

EXAMPLES = (
    "vpp-deploy build-engine small.bundle",
    "vpp-deploy build-engine bundle --engine tensorrt-rtx --compute-capability 8.9",
    "vpp-deploy build-engine b.bundle --engine tensorrt --plugins library",
)


def command(
    bundle: BundleArgument,
    engine: EngineOption = "onnxruntime",
    compute_capability: Annotated[
        list[str] | None,
        typer.Option(
            metavar="X.Y",
            help="GPU generation to build for, such as 8.9; repeat it for more (tensorrt-rtx only).",
            show_default="all that the builder knows",
        ),
    ] = None,
    plugins: Annotated[
        str | None,
        typer.Option(
            metavar="FORM",
            help="CUDA plugins for the vpp ops: embedded, library or none (tensorrt; tensorrt-rtx without embedded).",
            show_default="embedded where TensorRT has it, else library if one is found, else none",
        ),
    ] = None,
    plugin_library: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH",
            help="libvpp_plugins.so, or its folder, for --plugins library.",
            show_default="$VPP_DEPLOY_PLUGIN_PATH",
        ),
    ] = None,
) -> None:
    """Build an engine from a bundle's graphs and store it in the bundle; tensorrt-rtx needs no GPU for that."""
    from vpp_deploy.bundle import Bundle, PaprManifest
    from vpp_deploy.engines import build_engine
    from vpp_deploy.engines.store import EngineRecord

    opened = Bundle.open(bundle)
    begin = perf_counter()
    with console.steps() as step:
        step(f"building the {engine} engine")
        build_engine(
            opened,
            engine,
            compute_capabilities=compute_capability or (),
            plugins=plugins,
            plugin_library=plugin_library,
        )
    seconds = perf_counter() - begin
    folder = opened.engine_folder(engine)
    record = EngineRecord.read(folder)
    total = sum(file.bytes for file in record.files.values())
    targets = f" for compute capability {', '.join(record.compute_capabilities)}" if record.compute_capabilities else ""
    console.say(
        f"{folder}: {engine} {record.backend_version} engine{targets}, {record.precision}, "
        f"{console.megabytes(total)}{_plugin_layers(record)}, built in {seconds:.1f} s"
    )
    if engine == "onnxruntime" and isinstance(opened.manifest, PaprManifest):
        console.next_command("vpp-deploy", "infer", str(bundle), "VIDEO" if opened.manifest.clip else "IMAGES")
    elif engine == "onnxruntime":
        console.next_command("vpp-deploy", "infer", str(bundle), "VIDEO", "-o", "tracked.mp4")
    else:
        console.next_command("vpp-deploy", "inspect", str(bundle))


def _plugin_layers(record: EngineRecord) -> str:
    phases = [report for report in record.details.values() if isinstance(report, dict) and "plugin_layers" in report]
    layers = sum(report["plugin_layers"] for report in phases)
    return f", {layers} plugin layers" if layers else ""
