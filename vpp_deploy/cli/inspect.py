"""`vpp-deploy inspect`: a bundle for a human."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from rich.text import Text

from vpp_deploy.cli.next_step import engine_for, engine_words
from vpp_deploy.cli.options import BundleArgument, JsonFlag
from vpp_deploy.files.limits import in_bytes
from vpp_deploy.tasks import DEFAULT, TASKS
from vpp_deploy.terminal import console

if TYPE_CHECKING:
    from vpp_deploy.bundle import Bundle
    from vpp_deploy.cli.contents import StoredEngine
    from vpp_deploy.tasks.inspect_page import Page

EXAMPLES = ("vpp-deploy inspect small.bundle", "vpp-deploy inspect small.bundle --json")


def command(bundle: BundleArgument, json: JsonFlag = False) -> None:
    """Show what a bundle holds: model, tokens kept, tensors, where it came from, its engines and their parity."""
    from vpp_deploy.bundle import Bundle
    from vpp_deploy.cli.contents import parity_summaries, stored_engines
    from vpp_deploy.cli.quantize import describe
    from vpp_deploy.tasks.inspect_page import provenance

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
    page = TASKS[opened.manifest.task].page(opened)
    _show_title(opened)
    console.show(page.model)
    for heading, table in page.sections:
        console.heading(heading)
        console.show(table)
    if (quantization := opened.manifest.quantization) is not None:
        console.heading("Quantisation")
        console.show(console.facts(describe(quantization, opened.manifest.precision)))
    console.heading("Provenance")
    console.show(provenance(opened.manifest))
    console.heading("Engines")
    _show_engines(opened, engines)
    console.heading("Parity with PyTorch")
    _show_parity(page, parity, engines)


def _show_title(bundle: Bundle) -> None:
    manifest = bundle.manifest
    size = in_bytes(sum(record.bytes for record in manifest.files.values()))
    console.say(Text.assemble((manifest.model.name, "bold"), f" in {bundle.path}, {size}, {manifest.precision}"))
    if manifest.provenance.weights.kind == "random":
        seed, results = manifest.provenance.weights.seed, TASKS[manifest.task].results(manifest)
        alarm = f"RANDOM WEIGHTS (seed {seed}): this model is untrained, its {results} mean nothing"
        console.say(Text(alarm, style="bold red"))


def _show_engines(bundle: Bundle, engines: dict[str, StoredEngine]) -> None:
    rows: list[tuple[str, str | Text]] = []
    for name, engine in engines.items():
        if record := engine.record:
            targets = f", compute capability {', '.join(record.compute_capabilities)}" * bool(
                record.compute_capabilities
            )
            size = in_bytes(sum(file.bytes for file in record.files.values()))
            machine = "" if record.machine == "any" else f", {record.machine}"
            rows.append((name, f"version {record.backend_version}, {record.precision}{machine}{targets}, {size}"))
            rows.append(("", "from " + ", ".join(f"{file} {digest[:12]}" for file, digest in record.source.items())))
        else:
            rows.append((name, "unreadable"))
        rows.append(("", _fit(engine)))
    if rows:
        console.show(console.facts(rows))
    else:
        able = engine_for(bundle)
        words = "" if able is None else " ".join([bundle.shell_path, *engine_words(able)])
        console.say(f"none yet; build one with: vpp-deploy build-engine {words}" if words else "none yet")


def _fit(engine: StoredEngine) -> Text:
    if engine.problem:
        return Text(f"does not fit: {engine.problem}", "bold red")
    if engine.note:
        return Text(f"fits, but {engine.note}", "yellow")
    return Text("fits this machine", "green")


def _show_parity(page: Page, summaries: dict[str, Any], engines: Collection[str]) -> None:
    if not summaries:
        words = engine_words(next(iter(engines))) if engines and DEFAULT not in engines else ()
        console.say(f"not measured yet; measure it with: {' '.join([page.measure, *words])}")
    console.show(console.facts([(backend, _measured(page, summary)) for backend, summary in summaries.items()]))


def _measured(page: Page, summary: Any) -> Text:
    """A parity summary in one sentence."""
    try:
        verdict = ("passed", "green") if summary["passed"] else ("FAILED", "bold red")
        return Text.assemble(verdict, f" {page.parity(summary)}")
    except (KeyError, TypeError, ValueError):
        return Text("cannot be read; measure it again", "bold red")
