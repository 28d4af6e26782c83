"""`vpp-deploy build-engine`: from a bundle to an engine in it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from vpp_deploy.cli import console
from vpp_deploy.cli.options import BundleArgument, EngineOption, flag
from vpp_deploy.cli.progress import step_bar

if TYPE_CHECKING:
    from vpp_deploy.engines.cache import Part
    from vpp_deploy.engines.store import EngineRecord

EXAMPLES = (
    "vpp-deploy build-engine small.bundle",
    "vpp-deploy build-engine bundle --engine tensorrt-rtx --compute-capability 8.9",
    "vpp-deploy build-engine b.bundle --engine tensorrt --plugins library",
)


_TENSORRT = "TensorRT and TensorRT-RTX"


def command(
    bundle: BundleArgument,
    engine: EngineOption = "onnxruntime",
    force: Annotated[bool, flag("--force", help="Build even if the bundle has this very engine.")] = False,
    explain_cache: Annotated[
        bool, flag("--explain-cache", help="Say why the engine that the bundle has can be used, or not.")
    ] = False,
    compute_capability: Annotated[
        list[str] | None,
        typer.Option(
            metavar="X.Y",
            help="GPU generation to build for, such as 8.9; repeat it for more (tensorrt-rtx only).",
            show_default="all that the builder knows",
            rich_help_panel=_TENSORRT,
        ),
    ] = None,
    plugins: Annotated[
        str | None,
        typer.Option(
            metavar="FORM",
            help="CUDA plugins for the vpp ops: embedded (tensorrt only), library or none.",
            show_default="embedded where TensorRT has it, else library if one is found, else none",
            rich_help_panel=_TENSORRT,
        ),
    ] = None,
    plugin_library: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH",
            help="libvpp_plugins.so, or its folder, for --plugins library.",
            show_default="$VPP_DEPLOY_PLUGIN_PATH",
            rich_help_panel=_TENSORRT,
        ),
    ] = None,
    workspace: Annotated[
        int | None,
        typer.Option(
            metavar="MIB",
            help="Upper limit of a kernel's scratch memory.",
            show_default="the builder's own",
            min=1,
            rich_help_panel=_TENSORRT,
        ),
    ] = None,
    tf32: Annotated[
        bool,
        flag("--tf32", help="Allow TF32 for float32 products: faster, three digits.", rich_help_panel=_TENSORRT),
    ] = False,
    hardware_compatible: Annotated[
        bool,
        flag(
            "--hardware-compatible",
            help="For every GPU from Ampere on, not this one alone (tensorrt only).",
            rich_help_panel=_TENSORRT,
        ),
    ] = False,
    version_compatible: Annotated[
        bool,
        flag(
            "--version-compatible",
            help="For later TensorRT of this major version too (tensorrt only).",
            rich_help_panel=_TENSORRT,
        ),
    ] = False,
    timing_cache: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Kernel timings, read before and extended after the build.",
            show_default="none",
            rich_help_panel=_TENSORRT,
        ),
    ] = None,
) -> None:
    """Build an engine from a bundle's graphs and store it in the bundle; tensorrt-rtx needs no GPU for that."""
    from vpp_deploy.bundle import Bundle, PaprManifest
    from vpp_deploy.engines import TensorRtOptions, build_engine
    from vpp_deploy.engines.store import EngineRecord

    options = TensorRtOptions(
        compute_capabilities=tuple(compute_capability or ()),
        plugins=plugins,
        plugin_library=plugin_library,
        workspace_bytes=None if workspace is None else workspace << 20,
        tf32=tf32,
        hardware_compatible=hardware_compatible,
        version_compatible=version_compatible,
        timing_cache=timing_cache,
    )
    opened = Bundle.open(bundle)
    found: list[Part] = []
    begin = perf_counter()
    with step_bar(f"building the {engine} engine") as progress:
        build_engine(
            opened,
            engine,
            None if options == TensorRtOptions() else options,
            force=force,
            looked_up=found.extend,
            progress=progress,
        )
    seconds = perf_counter() - begin
    if explain_cache:
        console.show(_explanation(found))
    folder = opened.engine_folder(engine)
    record = EngineRecord.read(folder)
    total = sum(file.bytes for file in record.files.values())
    targets = f" for compute capability {', '.join(record.compute_capabilities)}" if record.compute_capabilities else ""
    is_new = force or not all(part.hit for part in found)
    console.say(
        f"{folder}: {engine} {record.backend_version} engine{targets}, {record.precision}, "
        f"{console.megabytes(total)}{_layers_and_memory(record)}, "
        + (f"built in {seconds:.1f} s" if is_new else "up to date (--force builds it again)")
    )
    if engine == "onnxruntime" and isinstance(opened.manifest, PaprManifest):
        console.next_command("vpp-deploy", "infer", str(bundle), "VIDEO" if opened.manifest.clip else "IMAGES")
    elif engine == "onnxruntime":
        console.next_command("vpp-deploy", "infer", str(bundle), "VIDEO", "-o", "tracked.mp4")
    else:
        console.next_command("vpp-deploy", "inspect", str(bundle))


def _explanation(parts: Sequence[Part]) -> Table:
    """What of the stored engine's fingerprint agrees, and what does not."""
    return console.facts(
        [(part.name, Text("agrees", "green") if part.hit else Text(f"differs: {part.why}", "yellow")) for part in parts]
    )


def _layers_and_memory(record: EngineRecord) -> str:
    phases = [report for report in record.details.values() if isinstance(report, dict) and "plugin_layers" in report]
    layers = sum(report["plugin_layers"] for report in phases)
    scratch = sum(report.get("scratch_bytes") or 0 for report in phases)
    return (f", {layers} plugin layers" if layers else "") + (
        f", {console.megabytes(scratch)} of GPU memory for a stream's intermediate tensors" if scratch else ""
    )
