"""Which layers stay float32: those that cause the largest error alone, as many as a bound asks for."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from vpp_deploy.bundle.manifest import GraphRole, Manifest, QuantizationSearch
from vpp_deploy.bundle.reader import Bundle
from vpp_deploy.engines.protocols import Array
from vpp_deploy.errors import ParityError
from vpp_deploy.quantization.data import Clip, run_clips
from vpp_deploy.quantization.errors import mean_errors, output_errors
from vpp_deploy.quantization.observation import ChoiceEngine, ObservedEngine
from vpp_deploy.quantization.reduction import Reduction

Progress = Callable[[str, float], None]
Tensors = Mapping[str, Array]


def search_layers(
    bundle: Bundle,
    reduction: Reduction,
    clips: Sequence[Clip],
    bound: float,
    progress: Progress,
) -> tuple[tuple[str, ...], QuantizationSearch]:
    """Find the groups of layers that have to stay float32.

    Each group's error is measured once, alone; then the worst ones stay float32, as few as there can be. Errors are
    those of a simulation whose values are the smaller type's, teacher-forced: each run gets what float32 had.

    Args:
        bundle: in float32.
        reduction: what is done to its layers.
        clips: held-out data.
        bound: the largest error that any output, state or decision may have, in the mean over all runs.
        progress: called with what is being done, and the share of it that is done.

    Returns:
        The groups that stay float32, and the evidence.

    Raises:
        ParityError: the bound holds for no group of layers.
    """
    progress("reference", 0.0)
    trial = _Trial(bundle.manifest, _recorded(bundle, clips), ChoiceEngine(bundle, reduction))
    groups = trial.engine.groups
    all_errors = trial.errors(groups)
    alone: dict[str, float] = {}
    kept: tuple[str, ...] = ()
    errors = all_errors
    if _worst(all_errors) > bound:
        for number, group in enumerate(groups):
            progress(f"layers {number} of {len(groups)}", number / len(groups))
            alone[group] = _worst(trial.errors([group]))
        alone = dict(sorted(alone.items(), key=lambda item: -item[1]))
        kept, errors = _fewest(trial, list(alone), bound, progress)
    progress("drift", 0.0)
    return kept, QuantizationSearch(
        bound=bound,
        error=_worst(errors),
        error_of_all=_worst(all_errors),
        errors=errors,
        drift=trial.drift([group for group in groups if group not in kept], clips),
        runs=len(trial.records),
        layers=alone,
    )


@dataclass(frozen=True)
class _Record:
    """One run of a graph in float32: what went in, and what came out, state included."""

    role: GraphRole
    inputs: Tensors
    outputs: Tensors


@dataclass
class _Trial:
    """Measures choices against recorded runs."""

    manifest: Manifest
    records: Sequence[_Record]
    engine: ChoiceEngine
    _seen: dict[frozenset[str], dict[str, float]] = field(default_factory=dict)

    def errors(self, rounding: Collection[str]) -> dict[str, float]:
        """Mean errors of a choice, teacher-forced."""
        choice = frozenset(rounding)
        if choice not in self._seen:
            self.engine.rounding = choice
            found = []
            for record in self.records:
                names = list(record.outputs)
                outputs = dict(zip(names, self.engine.run(record.role, names, record.inputs), strict=True))
                found.append(output_errors(self.manifest, record.role, record.inputs, record.outputs, outputs))
            self._seen[choice] = mean_errors(found)
        return self._seen[choice]

    def drift(self, rounding: Collection[str], clips: Sequence[Clip]) -> dict[str, float]:
        """Mean errors of a choice that goes on from its own state."""
        self.engine.rounding = frozenset(rounding)
        found: list[dict[str, float]] = []
        records = iter(self.records)

        def observe(role: GraphRole, inputs: Tensors, outputs: Tensors) -> None:
            record = next(records)
            found.append(output_errors(self.manifest, role, record.inputs, record.outputs, outputs))

        self.engine.observer = observe
        for _ in run_clips(self.engine, clips, restart=False):
            pass
        return mean_errors(found)


def _recorded(bundle: Bundle, clips: Sequence[Clip]) -> list[_Record]:
    records: list[_Record] = []
    engine = ObservedEngine(
        bundle, lambda role, inputs, outputs: records.append(_Record(role, dict(inputs), dict(outputs)))
    )
    for _ in run_clips(engine, clips, restart=False):
        pass
    return records


def _fewest(
    trial: _Trial, worst_first: Sequence[str], bound: float, progress: Progress
) -> tuple[tuple[str, ...], dict[str, float]]:
    """The fewest of the worst groups without which the bound holds, and the errors then."""
    low, high = 1, len(worst_first) - 1  # at least one group is quantised
    best = trial.errors(worst_first[high:])
    if _worst(best) > bound:
        raise ParityError(
            f"the bound {bound:g} cannot be met: with {worst_first[-1]} alone in {trial.engine.choice} the error is "
            f"{_worst(best):.2g}; allow more, or leave the model in float32; nothing was written"
        )
    while low < high:
        progress(f"{low} to {high} layers in float32", 1.0 - (high - low) / len(worst_first))
        middle = (low + high) // 2
        errors = trial.errors(worst_first[middle:])
        if _worst(errors) <= bound:
            high, best = middle, errors
        else:
            low = middle + 1
    return tuple(worst_first[:high]), best


def _worst(errors: Mapping[str, float]) -> float:
    return max(errors.values())
