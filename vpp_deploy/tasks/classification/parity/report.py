"""The outcome of a classifier's parity check, for a program, for the bundle and for an exit code."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from statistics import fmean
from typing import Any, Literal

from vpp_deploy.parity.latency import Latency
from vpp_deploy.parity.report_common import Verdict, json_ready, now, versions
from vpp_deploy.parity.summary import WorstDifference, worst_of
from vpp_deploy.parity.tolerances import ClassifierTolerances
from vpp_deploy.tasks.classification.parity.patches import PatchDifference
from vpp_deploy.tasks.classification.parity.sample import SampleDifference
from vpp_deploy.tasks.classification.parity.verdict import find_notes, find_problems


@dataclass(frozen=True, slots=True)
class SampleParity:
    """One image or clip of a parity check.

    Attributes:
        indices: positions in the source of its frames; one for an image.
        name: file name of an image, else "".
        difference: between reference and engine.
    """

    indices: tuple[int, ...]
    name: str
    difference: SampleDifference

    @property
    def where(self) -> str:
        """`image 3 (dog.jpg)`, `image 3`, or `clip at frame 3`."""
        if len(self.indices) > 1:
            return f"clip at frame {self.indices[0]}"
        return f"image {self.indices[0]}" + (f" ({self.name})" if self.name else "")


@dataclass(frozen=True)
class ClassificationParity(Verdict):
    """What a classifier's parity check measured, and whether the engine meets the bar.

    Attributes:
        backend: the engine's backend.
        precision: the engine's precision.
        source: name of the source's file or folder; None for frames from memory.
        kind: what the model classifies.
        samples: the images or clips that were compared, in order; at least one.
        slots: for each slot of a batch filled with the first image or clip, the engine's result compared with its own
            result among the others, which takes the reference's place; empty for a batch of 1.
        requested_samples: how many were asked for; None for all.
        source_problem: damage found in the source, or None.
        tolerances: the bar.
        latency: how long both sides took a batch.
        created: UTC time of the check, ISO 8601.
    """

    backend: str
    precision: str
    source: str | None
    kind: Literal["image", "clip"]
    samples: tuple[SampleParity, ...]
    slots: tuple[SampleDifference, ...]
    requested_samples: int | None
    source_problem: str | None
    tolerances: ClassifierTolerances
    latency: Latency | None = None
    created: str = field(default_factory=now)

    @cached_property
    def problems(self) -> list[str]:
        """What the engine misses the bar in, one line each; empty if it passed."""
        return find_problems({sample.where: sample.difference for sample in self.samples}, self.slots, self.tolerances)

    @cached_property
    def notes(self) -> list[str]:
        """What limits the check's meaning without failing it, one line each: ties, other labels, a short source."""
        notes = find_notes({sample.where: sample.difference for sample in self.samples}, self.kind)
        count = len(self.samples)
        if self.requested_samples is not None and count < self.requested_samples:
            notes.append(f"the source has {count} of the {self.requested_samples} {self.kind}s asked for")
        if self.source_problem:
            notes.append(f"source: {self.source_problem}")
        return notes

    def worst(self) -> dict[str, WorstDifference]:
        """Each tensor's differences over the samples, by name; logits where they are judged."""
        names = self.samples[0].difference.tensors
        return {
            name: worst_of(
                (sample.indices[0], sample.difference.tensors[name], sample.difference.counts(name))
                for sample in self.samples
            )
            for name in names
        }

    def patches(self) -> dict[str, list[PatchDifference]]:
        """Each pruning point's differences over the samples, by name."""
        names = self.samples[0].difference.patches
        return {name: [sample.difference.patches[name] for sample in self.samples] for name in names}

    def overlaps(self) -> dict[str, dict[str, float]]:
        """Mean and minimum share of kept patches in common, by pruning point."""
        shares = {name: [point.selection.overlap for point in points] for name, points in self.patches().items()}
        return {name: {"mean": fmean(values), "minimum": min(values)} for name, values in shares.items()}

    def labels(self) -> dict[str, float] | None:
        """Share of samples with the same best label, and mean share of the five best ones in common.

        None of a model without classes.
        """
        best = [sample.difference.best for sample in self.samples if sample.difference.best is not None]
        top5 = [sample.difference.top5 for sample in self.samples if sample.difference.top5 is not None]
        if not best:
            return None
        return {"top1_agreement": fmean(ours == theirs for ours, theirs in best), "top5_agreement": fmean(top5)}

    def summary(self) -> dict[str, Any]:
        """What the bundle keeps: the head of `to_dict`, without the single samples."""
        return json_ready(
            {
                "passed": self.passed,
                "backend": self.backend,
                "precision": self.precision,
                "created": self.created,
                "source": self.source,
                "kind": self.kind,
                "samples": len(self.samples),
                "tensors": {name: asdict(worst) for name, worst in self.worst().items()},
                "ties": self._count(lambda point: point.selection.count("tie")),
                "order_ties": self._count(lambda point: point.order == "tie"),
                "mismatches": self._count(lambda point: point.selection.count("mismatch")),
                "order_mismatches": self._count(lambda point: point.order == "mismatch"),
                "reruns": sum(sample.difference.rerun for sample in self.samples),
                "overlaps": self.overlaps(),
                "labels": self.labels(),
                "slots": self.slot_differences(),
                "latency": self.latency and asdict(self.latency),
                "tolerances": asdict(self.tolerances),
                "versions": versions(self.backend),
            }
        )

    def slot_differences(self) -> dict[str, float]:
        """Each tensor's largest difference in any slot, by name; empty for a batch of 1."""
        names = self.slots[0].tensors if self.slots else ()
        return {name: max(slot.tensors[name].maximum for slot in self.slots) for name in names}

    def to_dict(self) -> dict[str, Any]:
        """The whole report, ready for JSON: numbers that are not finite and those that do not exist are null.

        - `passed`, `backend`, `precision`, `created` (ISO 8601), `source` (name or null), `kind` (`image` or `clip`),
          `samples` (number compared).
        - `tensors`: by output: `maximum` absolute difference, index of the `frame` that has it (of a clip its first),
          `mean`, smallest `cosine`, `non_finite` values. Significance maps relative to their largest value.
        - `ties`, `mismatches`: patches that one side alone kept. `order_ties`, `order_mismatches`: lists of kept
          patches in another order. `reruns`: samples in which ties were proven, or disproven, by the reference with
          the patches that the engine kept.
        - `overlaps`: by pruning point, `mean` and `minimum` share of kept patches in common.
        - `labels`: `top1_agreement`, `top5_agreement`, in [0, 1]; null of a model without classes.
        - `slots`: by output, the largest difference between slots of a batch with the same content.
        - `latency`: null, or `reference` and `engine` (median seconds of a batch), `speed_up`, `calls`; see `Latency`.
        - `tolerances`: see `ClassifierTolerances`. `versions`: by package.
        - `problems`, `notes`: lines for a human.
        - `per_sample`: a list; each has `indices`, `name`, and the fields of `SampleDifference`, with `comparable` and
          each pruning point's `overlap`. `per_slot`: the same fields, by slot.
        """
        return self.summary() | json_ready(
            {
                "problems": self.problems,
                "notes": self.notes,
                "per_sample": [
                    {"indices": sample.indices, "name": sample.name, **_difference_dict(sample.difference)}
                    for sample in self.samples
                ],
                "per_slot": [_difference_dict(slot) for slot in self.slots],
            }
        )

    def _count(self, measure: Callable[[PatchDifference], int]) -> int:
        return sum(measure(point) for points in self.patches().values() for point in points)


def _difference_dict(difference: SampleDifference) -> Mapping[str, Any]:
    fields = asdict(difference)
    for name, point in difference.patches.items():
        fields["patches"][name]["selection"]["overlap"] = point.selection.overlap
    return {**fields, "consequences": sorted(difference.consequences), "comparable": difference.comparable}
