"""Holds the tensors of a checkpoint to those of a model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, TypeVar

import torch
from torch import Tensor, nn

from vpp_deploy.errors import CheckpointError
from vpp_deploy.exporters.checkpoint.records import CheckpointFile

PREFIXES: Final = (
    "module.", "_orig_mod.", "model.", "net.", "network.", "backbone.", "encoder.", "base_model.", "student.",
)  # fmt: skip
"""What training code puts before the names of a model's tensors."""
FLOATS: Final = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
"""Types of number that weights may be stored in."""
_COUNTERS: Final = ("n_averaged", "steps")
"""What an averaged model has beside the model, outside its prefix."""
_EXAMPLES: Final = 5
_DEEPEST: Final = 4
Made = TypeVar("Made")


def load_strictly(model: nn.Module, tensors: Mapping[str, Tensor], path: Path | CheckpointFile) -> nn.Module:
    """Load tensors into a model, in place; only counters of seen batches may be missing.

    Returns:
        The same model, in evaluation mode.

    Raises:
        CheckpointError: tensors are missing, unexpected, or of the wrong shape or type.
    """
    model.load_state_dict(check_fit(model, tensors, path), strict=True)
    return model.eval()


def check_fit(model: nn.Module, tensors: Mapping[str, Tensor], path: Path | CheckpointFile) -> dict[str, Tensor]:
    """See that tensors are those of a model, which may be on the meta device.

    Returns:
        The tensors, and the model's own counters of seen batches where those are missing.

    Raises:
        CheckpointError: as `load_strictly`.
    """
    expected = model.state_dict()
    given = {**{name: v for name, v in expected.items() if name.endswith("num_batches_tracked")}, **tensors}
    differing = misfit(expected, given)
    if differing:
        raise CheckpointError(
            f"checkpoint {path} does not fit {type(model).__name__}: {differing}; "
            + (hint(expected, tensors) or "is it another model's?")
        )
    return given


def check_types(model: nn.Module, tensors: Mapping[str, Tensor], path: Path | CheckpointFile) -> None:
    """See that tensors under a model's names hold numbers of its types, before anything is computed with them.

    Raises:
        CheckpointError: naming those that do not.
    """
    if wrong := _wrong_types(model.state_dict(), tensors):
        raise CheckpointError(f"checkpoint {path} does not fit {type(model).__name__}: {wrong}; is it another model's?")


def first_that_fits(
    tensors: Mapping[str, Tensor], load: Callable[[dict[str, Tensor]], Made], source: Path | CheckpointFile
) -> Made:
    """Load tensors as they are; if they do not fit, without a prefix that all their names have.

    Args:
        tensors: of a checkpoint.
        load: loads tensors into a model; raises CheckpointError, and leaves the model alone, if they do not fit.
        source: where the tensors come from; its note is told of a prefix.

    Raises:
        CheckpointError: of the names as they are, if they fit in no way.
    """
    try:
        return load(dict(tensors))
    except CheckpointError as error:
        for prefix, renamed in without_prefixes(tensors):
            try:
                made = load(renamed)
            except CheckpointError:
                continue
            if isinstance(source, CheckpointFile):
                source.note(f"checkpoint {source}: the names of its tensors fit without {prefix!r} before them")
            return made
        raise error


def without_prefixes(tensors: Mapping[str, Tensor]) -> Iterator[tuple[str, dict[str, Tensor]]]:
    """The tensors without one, two, ... of `PREFIXES` that all names begin with, and what was taken off.

    Then without one that only some begin with: authors put a class head beside `backbone.`.
    """
    taken, renamed = "", dict(tensors)
    for _ in range(_DEEPEST):
        bare = {name: tensor for name, tensor in renamed.items() if name not in _COUNTERS}
        prefix = next((known for known in PREFIXES if bare and all(name.startswith(known) for name in bare)), None)
        if prefix is None:
            break
        taken, renamed = taken + prefix, {name.removeprefix(prefix): tensor for name, tensor in bare.items()}
        if "" in renamed:
            return
        yield taken, renamed
    for known in PREFIXES:
        mixed = {name.removeprefix(known): tensor for name, tensor in renamed.items()}
        if mixed.keys() != renamed.keys() and len(mixed) == len(renamed) and "" not in mixed:
            yield taken + known, mixed


def in_float32_each(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors, those of other types that weights may be stored in as float32."""
    return {name: tensor.float() if tensor.dtype in FLOATS else tensor for name, tensor in tensors.items()}


def misfit(expected: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> str | None:
    """What is wrong with a checkpoint's tensors, types of number included, as a clause; None if they fit.

    Args:
        expected: a model's tensors.
        found: a checkpoint's.
    """
    differing = mismatch(_shapes(expected), _shapes(found))
    return "; ".join(filter(None, [differing, _wrong_types(expected, found)])) or None


def mismatch(expected: Mapping[str, Sequence[int]], found: Mapping[str, Sequence[int]]) -> str | None:
    """What is wrong with a checkpoint's tensors, as a clause that names a few of them; None if they fit.

    Args:
        expected: shapes by name.
        found: shapes by name.
    """
    problems = {
        "missing": sorted(expected.keys() - found.keys()),
        "unexpected": sorted(found.keys() - expected.keys()),
        "of the wrong shape": [
            f"{name} {list(found[name])} instead of {list(shape)}"
            for name, shape in sorted(expected.items())
            if name in found and tuple(found[name]) != tuple(shape)
        ],
    }
    listed = [f"{len(names)} {kind}: {handful(names)}" for kind, names in problems.items() if names]
    return "; ".join(listed) or None


def hint(expected: Mapping[str, object], found: Mapping[str, object]) -> str | None:
    """The likeliest reason why the names of a checkpoint are not those of a model; None if none is likely.

    Args:
        expected: by the model's names.
        found: by the checkpoint's names.
    """
    there = len(expected.keys() & found.keys())
    prefixes: Counter[str] = Counter()
    for name in found:
        start = -1
        while (start := name.find(".", start + 1)) >= 0:
            if name[start + 1 :] in expected:
                prefixes[name[: start + 1]] += 1
                break
    for prefix, count in prefixes.most_common(1):
        if count > there and 2 * count > len(expected):
            others = len(found) - count
            beside = f", and {others} others beside them" if others else ""
            return f"{count} of its {len(expected)} tensors are there behind {prefix!r}{beside}: save those alone"
    if len(found) and there == 0:
        return "no name is the same: is it another model's, or another library's?"
    return None


def handful(names: Sequence[str]) -> str:
    """The first few of some names, and how many more there are."""
    rest = len(names) - _EXAMPLES
    return ", ".join(names[:_EXAMPLES]) + (f" and {rest} more" if rest > 0 else "")


def _wrong_types(expected: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> str | None:
    wrong = [
        f"{name} {complaint}"
        for name, tensor in sorted(expected.items())
        if name in found and (complaint := _wrong_kind(tensor, found[name]))
    ]
    return f"{len(wrong)} of the wrong type: {handful(wrong)}" if wrong else None


def _wrong_kind(expected: Tensor, found: Tensor) -> str | None:
    if expected.dtype.is_floating_point:
        return None if found.dtype in FLOATS else f"{_name(found.dtype)} instead of {_name(expected.dtype)}"
    is_number = not (found.dtype.is_floating_point or found.dtype.is_complex) and not found.is_quantized
    return None if is_number else f"{_name(found.dtype)} instead of {_name(expected.dtype)}"


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _shapes(tensors: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}
