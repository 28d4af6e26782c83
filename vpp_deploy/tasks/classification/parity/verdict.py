"""What a classifier's parity check concludes: problems, which fail it, and notes, which do not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from vpp_deploy.parity.messages import exceeds, listed, mismatch, not_finite
from vpp_deploy.parity.tolerances import ClassifierTolerances
from vpp_deploy.tasks.classification.parity.sample import ANSWERS, SampleDifference

Samples = Mapping[str, SampleDifference]
"""Differences by what names the image or clip in a message."""


def find_problems(samples: Samples, slots: Sequence[SampleDifference], tolerances: ClassifierTolerances) -> list[str]:
    """Everything in which the engine misses the bar, one line each, sample by sample, then the slots of the batch."""
    problems: list[str] = []
    for where, sample in samples.items():
        problems += (f"{where}, {problem}" for problem in _problems(sample, tolerances))
        if sample.tied and not sample.rerun:
            problems.append(
                f"{where}: kept patches differ by ties, which a reference that cannot be run again does not prove"
            )
    for number, slot in enumerate(slots):
        where = f"slot {number} of a batch of {len(slots)} with the same content"
        problems += (f"{where}, {problem}" for problem in _problems(slot, tolerances))
    return problems


def find_notes(samples: Samples, kind: str) -> list[str]:
    """What a reader of the report should know, one line each.

    Args:
        samples: the differences.
        kind: what a sample is called.
    """
    return [
        *(f"{where}{note}" for where, sample in samples.items() for note in _notes(sample)),
        *_order_notes(list(samples.values()), kind),
    ]


def _problems(sample: SampleDifference, tolerances: ClassifierTolerances) -> Iterator[str]:
    for name, tensor in sample.tensors.items():
        if tensor.non_finite:
            yield f"{name}: {not_finite(tensor.non_finite)}"
        if tensor.reference_non_finite:
            yield f"{name}: {not_finite(tensor.reference_non_finite)} in the PyTorch reference"
        if name not in ANSWERS and sample.counts(name) and tensor.maximum > tolerances.significance:
            yield f"{name}: {exceeds(tensor, tolerances.significance)} of the largest significance"
    yield from _patch_problems(sample)
    answer = next(name for name in sample.tensors if name in ANSWERS)
    logits = sample.tensors[answer]
    if sample.comparable and logits.maximum > tolerances.of(answer):
        unexplained = ", even with the patches that the engine kept: no tie explains it" if sample.rerun else ""
        yield f"{answer}: {exceeds(logits, tolerances.of(answer))}{unexplained}"


def _patch_problems(sample: SampleDifference) -> Iterator[str]:
    for name, point in sample.patches.items():
        if name in sample.faults:
            yield f"{name}: {sample.faults[name]}"
        elif point.selection.count("mismatch"):
            yield f"{name}: {mismatch('patch', point.selection)}"
        elif point.order == "mismatch":
            yield f"{name}: kept patches out of order by {point.inversion:.2g} of the largest significance"


def _notes(sample: SampleDifference) -> Iterator[str]:
    for name, point in sample.patches.items():
        ties = [token for token in point.selection.differing if token.kind == "tie"]
        if ties:
            gap = max(abs(token.gap or 0.0) for token in ties)
            patches = listed("patch", [token.position for token in ties])
            yield f", {name}: tie of {patches} (within {gap:.1g} of the K-th significance)"
    if sample.best is not None and sample.best[0] != sample.best[1]:
        yield f": label {sample.best[1]}, not {sample.best[0]}"


def _order_notes(samples: Sequence[SampleDifference], kind: str) -> Iterator[str]:
    count = len(samples)
    for name in samples[0].patches:
        points = [sample.patches[name] for sample in samples]
        if ties := [point.inversion or 0.0 for point in points if point.order == "tie"]:
            yield (
                f"{name}: patches that tie are listed in another order in {len(ties)} of {count} {kind}s "
                f"(within {max(ties):.1g})"
            )
    if reruns := sum(sample.rerun for sample in samples):
        answer = next(name for name in samples[0].tensors if name in ANSWERS)
        choice = "under the engine's choice among ties"
        yield f"{answer} were compared with PyTorch's {choice} in {reruns} of {count} {kind}s"
