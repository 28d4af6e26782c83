"""The parts of a page that are about the bundle itself, and what it says before all else."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from pydantic import ValidationError

from vpp_deploy.bundle import Bundle
from vpp_deploy.engines import BACKENDS
from vpp_deploy.engines.arithmetic import count_arithmetic
from vpp_deploy.engines.engine_record import EngineRecord, damage
from vpp_deploy.files.limits import in_bytes
from vpp_deploy.report import figures
from vpp_deploy.report.measurements import METRICS, Benchmark, Evaluation, is_of
from vpp_deploy.report.parity import Parity
from vpp_deploy.report.tables import Block, Table, from_terminal
from vpp_deploy.report.text import milliseconds, percent, points
from vpp_deploy.tasks import TASKS
from vpp_deploy.tasks.inspect_page import Page
from vpp_deploy.tasks.inspect_page import provenance as provenance_table

_MOST_FACTS: Final = 8


def warnings(bundle: Bundle, checks: Sequence[Parity]) -> Iterator[str]:
    """What a reader must know before anything else, one sentence each."""
    made = bundle.manifest.provenance
    if made.weights.kind == "random":
        results = TASKS[bundle.manifest.model.task].results(bundle.manifest)
        yield f"Random weights (seed {made.weights.seed}): this model is untrained, its {results} mean nothing."
    for check in checks:
        if not check.passed:
            yield f"Parity failed: the {check.backend} engine does not compute what PyTorch computes."
    for backend in BACKENDS:
        if bundle.engine_folder(backend).is_dir() and (problem := damage(bundle, backend)):
            yield f"The {backend} engine is of no use: {problem}; build it again."
    if not checks and not summaries(bundle):
        yield "Parity with PyTorch has not been measured."


def glance(
    bundle: Bundle, checks: Sequence[Parity], benchmarks: Sequence[Benchmark], evaluations: Sequence[Evaluation]
) -> list[tuple[str, str]]:
    """The figures that matter most, as names and values; those that are known."""
    facts = [("size", in_bytes(sum(record.bytes for record in bundle.manifest.files.values())))]
    facts += [(f"parity, {check.backend}", "passed" if check.passed else "FAILED") for check in checks]
    for candidate in (one for report in benchmarks for one in report.candidates if is_of(one, bundle)):
        facts.append((f"median, {candidate.engine}", f"{milliseconds(candidate.latency.median)} ms a call"))
    for run in (run for one in evaluations for run in one.runs if is_of(run, bundle)):
        known = [(label, score) for key, label in METRICS.items() if (score := getattr(run, key)) is not None]
        facts += [(f"{label}, {run.engine}", points(score)) for label, score in known[:1]]
    return facts[:_MOST_FACTS]


def model(bundle: Bundle) -> list[Block]:
    """What the model is, as `inspect` says it, and what it prunes."""
    page = TASKS[bundle.manifest.task].page(bundle)
    return [Block(table=from_terminal(page.model)), *_blocks(page, pruning=True)]


def interface(bundle: Bundle) -> list[Block]:
    """What the graphs take and give."""
    return _blocks(TASKS[bundle.manifest.task].page(bundle), pruning=False)


def _blocks(page: Page, *, pruning: bool) -> list[Block]:
    return [
        Block(heading, table=from_terminal(table))
        for heading, table in page.sections
        if heading.endswith(" kept") == pruning
    ]


def stages(bundle: Bundle) -> Block | None:
    """Tokens and arithmetic of each block; None of a model without transformer blocks."""
    found = count_arithmetic(bundle)
    if not found.blocks:
        return None
    whole, other = sum(found.blocks), found.other
    call = f"a call of {batch}" if (batch := getattr(bundle.manifest, "batch", 1)) > 1 else "a call"
    text = (
        f"{(whole + other) / 1e9:.2f} G multiply-accumulates {call}, {percent(whole / (whole + other))} in the blocks"
    )
    if found.dense and found.dense > whole:
        saved = percent(1 - whole / found.dense)
        text += f"; the blocks take {saved} less than they would with all tokens"
    return Block(text=f"{text}.", figure=figures.draw_stages(found, "stages"))


def provenance(bundle: Bundle) -> list[Block]:
    """How the bundle was made, what lies in it, and its engines."""
    manifest = bundle.manifest
    files = [(name, in_bytes(record.bytes), record.sha256) for name, record in sorted(manifest.files.items())]
    blocks = [Block(table=from_terminal(provenance_table(manifest)))]
    if engines := list(_engines(bundle)):
        blocks.append(Block("Engines", table=Table(engines, ("backend", "version", "precision", "machine", "size"))))
    return [*blocks, Block("Files", table=Table(files, ("file", "size", "SHA-256"), numbers=(1,)))]


def _engines(bundle: Bundle) -> Iterator[tuple[str, ...]]:
    for backend in BACKENDS:
        if (folder := bundle.engine_folder(backend)).is_dir():
            try:
                record = EngineRecord.read(folder)
            except (OSError, ValidationError):
                yield backend, "unreadable", "", "", ""
                continue
            machine = ", ".join([record.machine, *record.compute_capabilities])
            size = in_bytes(sum(file.bytes for file in record.files.values()))
            yield backend, record.backend_version, record.precision, machine, size


def summaries(bundle: Bundle) -> dict[str, dict[str, object]]:
    """What the bundle keeps of parity checks, by backend."""
    found = {backend: bundle.parity_summary_path(backend) for backend in BACKENDS}
    read = {backend: bundle.read_parity_summary(backend) for backend, path in found.items() if path.is_file()}
    return {backend: summary for backend, summary in read.items() if isinstance(summary, dict)}
