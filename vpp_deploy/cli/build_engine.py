"""`vpp-deploy build-engine`: from a bundle to an engine in it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Annotated, Any

from rich.table import Table
from rich.text import Text

from vpp_deploy.cli.help_pages import flag
from vpp_deploy.cli.options import BundleArgument, EngineOption, MaxMemoryOption, bytes_of
from vpp_deploy.cli.record_options import Source, with_record_options
from vpp_deploy.engines import BACKENDS, build_engine
from vpp_deploy.files.limits import in_bytes
from vpp_deploy.files.separation import check_outputs
from vpp_deploy.terminal import console
from vpp_deploy.terminal.progress import step_bar

if TYPE_CHECKING:
    from vpp_deploy.engines.engine_record import EngineRecord
    from vpp_deploy.engines.fingerprint import Part

EXAMPLES = (
    "vpp-deploy build-engine small.bundle",
    "vpp-deploy build-engine bundle --engine tensorrt-rtx --compute-capability 8.9",
    "vpp-deploy build-engine b.bundle --engine tensorrt --plugins library",
)


def make_command() -> Callable[..., None]:
    """The command, with what every backend can be built with."""
    sources = [Source(name, name, BACKENDS[name].title, BACKENDS[name].build_options) for name in sorted(BACKENDS)]

    def command(
        bundle: BundleArgument,
        engine: EngineOption = "onnxruntime",
        force: Annotated[bool, flag("--force", help="Build even if the bundle has this very engine.")] = False,
        explain_cache: Annotated[
            bool, flag("--explain-cache", help="Say why the engine that the bundle has can be used, or not.")
        ] = False,
        max_memory: MaxMemoryOption = None,
        *,
        given: Mapping[str, Any],
    ) -> None:
        """Build an engine from a bundle's graphs and store it in the bundle; tensorrt-rtx needs no GPU for that."""
        _build(bundle, engine, given, force=force, explain=explain_cache, max_memory=bytes_of(max_memory))

    return with_record_options(command, sources)


def _build(
    bundle: Path, engine: str, options: Mapping[str, Any], *, force: bool, explain: bool, max_memory: int
) -> None:
    from vpp_deploy.bundle import Bundle
    from vpp_deploy.cli.next_step import say_run
    from vpp_deploy.engines.engine_record import EngineRecord

    opened = Bundle.open(bundle, max_memory=max_memory)
    check_outputs([path for path in [options.get("timing_cache")] if path], inputs=[bundle])
    found: list[Part] = []
    begin = perf_counter()
    with step_bar(f"building the {engine} engine") as progress:
        build_engine(opened, engine, force=force, looked_up=found.extend, progress=progress, **options)
    seconds = perf_counter() - begin
    if explain:
        console.show(_explanation(found))
    folder = opened.engine_folder(engine)
    record = EngineRecord.read(folder)
    total = sum(file.bytes for file in record.files.values())
    targets = f" for compute capability {', '.join(record.compute_capabilities)}" if record.compute_capabilities else ""
    is_new = force or not all(part.hit for part in found)
    console.say(
        f"{folder}: {engine} {record.backend_version} engine{targets}, {record.precision}, "
        f"{in_bytes(total)}{_layers_and_memory(record)}, "
        + (f"built in {seconds:.1f} s" if is_new else "up to date (--force builds it again)")
    )
    if advice := BACKENDS[engine].advice(record, options):
        console.say(f"note: {advice}")
    say_run(opened, engine)


def _explanation(parts: Sequence[Part]) -> Table:
    """What of the stored engine's fingerprint agrees, and what does not."""
    return console.facts(
        [(part.name, Text("agrees", "green") if part.hit else Text(f"differs: {part.why}", "yellow")) for part in parts]
    )


def _layers_and_memory(record: EngineRecord) -> str:
    reports = [report for report in record.details.values() if isinstance(report, dict) and "plugin_layers" in report]
    layers = sum(report["plugin_layers"] for report in reports)
    scratch = sum(report.get("scratch_bytes") or 0 for report in reports)
    return (f", {layers} plugin layers" if layers else "") + (
        f", {in_bytes(scratch)} of GPU memory for a stream's intermediate tensors" if scratch else ""
    )
