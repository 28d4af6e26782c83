"""`vpp-deploy build-engine`: from a bundle to an engine in it."""

from __future__ import annotations

from time import perf_counter
from typing import Annotated

import typer

from vpp_deploy.cli import console
from vpp_deploy.cli.options import BundleArgument, EngineOption

EXAMPLES = (
    "vpp-deploy build-engine small.bundle",
    "vpp-deploy build-engine bundle --engine tensorrt-rtx --compute-capability 8.9",
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
) -> None:
    """Build an engine from a bundle's graphs and store it in the bundle; tensorrt-rtx needs no GPU for that."""
    from vpp_deploy.bundle import Bundle, PaprManifest
    from vpp_deploy.engines import build_engine
    from vpp_deploy.engines.store import EngineRecord

    opened = Bundle.open(bundle)
    begin = perf_counter()
    with console.steps() as step:
        step(f"building the {engine} engine")
        build_engine(opened, engine, compute_capabilities=compute_capability or ())
    seconds = perf_counter() - begin
    folder = opened.engine_folder(engine)
    record = EngineRecord.read(folder)
    total = sum(file.bytes for file in record.files.values())
    targets = f" for compute capability {', '.join(record.compute_capabilities)}" if record.compute_capabilities else ""
    console.say(
        f"{folder}: {engine} {record.backend_version} engine{targets}, {record.precision}, "
        f"{console.megabytes(total)}, built in {seconds:.1f} s"
    )
    if engine == "onnxruntime" and isinstance(opened.manifest, PaprManifest):
        console.next_command("vpp-deploy", "infer", str(bundle), "VIDEO" if opened.manifest.clip else "IMAGES")
    elif engine == "onnxruntime":
        console.next_command("vpp-deploy", "infer", str(bundle), "VIDEO", "-o", "tracked.mp4")
    else:
        console.next_command("vpp-deploy", "inspect", str(bundle))
