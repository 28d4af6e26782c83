"""What `vpp-deploy batch` says before and after the work."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

from vpp_deploy.corpus.batch import Batch
from vpp_deploy.corpus.plan import read_marker
from vpp_deploy.corpus.supervisor import Tally
from vpp_deploy.terminal import console

_NAMED: Final = 20
_WARNINGS: Final = 5
_NO_REASON: Final = "it failed; its marker, which said why, is damaged"


def say_plan(batch: Batch, *, dry_run: bool) -> None:
    """Print what is to be done and what is not, with reasons.

    Args:
        batch: see `open_batch`.
        dry_run: name what would be run.
    """
    plan = batch.plan
    reasons = Counter(job.why for job in plan.jobs)
    why = ", ".join(f"{count} {reason}" for reason, count in reasons.most_common())
    parts = [f"{len(plan.jobs)} to run" + (f" ({why})" if why else ""), f"{len(plan.done)} done before"]
    if plan.failed:
        parts.append(f"{len(plan.failed)} failed before")
    console.say(f"{len(batch.items)} in the corpus: {'; '.join(parts)}")
    if batch.note:
        console.warn(batch.note)
    if plan.strangers:
        console.warn(f"{batch.store} also has results of what is not in the corpus ({plan.strangers}); they stay")
    for item, marker in plan.failed[:_NAMED]:
        content = read_marker(batch.store, marker)
        reason = content.get("reason") if isinstance(content, dict) else None
        console.warn(f"{item.name}: {reason if isinstance(reason, str) else _NO_REASON}")
    if plan.failed:
        console.warn(f"what has failed is tried again with --retry-failed: {len(plan.failed)} of {len(batch.items)}")
    if dry_run and plan.jobs:
        table = console.table("to run", "why")
        for job in plan.jobs[:_NAMED]:
            table.add_row(console.one_line(job.item.name), console.one_line(job.why))
        console.show(table)
        if (more := len(plan.jobs) - _NAMED) > 0:
            console.say(f"… and {more} more")


def say_outcome(batch: Batch, tally: Tally, made: Sequence[str], seconds: float) -> None:
    """Print how it went.

    Args:
        batch: see `open_batch`.
        tally: of this run.
        made: names of the views.
        seconds: that this run took.
    """
    lost = len(tally.failed) + len(batch.plan.failed)
    rate = f", {tally.frames / seconds:.1f} per second" if tally.frames else ""
    console.say(
        f"{batch.store}: {len(batch.items) - lost} of {len(batch.items)} done, {lost} failed; "
        f"{tally.frames} frames in {seconds:.1f} s{rate}"
    )
    if made:
        console.show(console.facts([("written", "\n".join(made))]))
    for warning, count in tally.warnings.most_common(_WARNINGS):
        console.warn(f"{warning} ({count} of {tally.done})")
    if (more := len(tally.warnings) - _WARNINGS) > 0:
        console.warn(f"{more} warnings more: they are in the markers")
