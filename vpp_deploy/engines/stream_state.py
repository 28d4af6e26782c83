"""What a stream remembers, outside the stream: it may come from a file, another process or another bundle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from numbers import Integral
from typing import Any

import numpy as np
import numpy.typing as npt

from vpp_deploy.bundle.manifest import GraphRole, Manifest
from vpp_deploy.errors import UsageError

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class StreamState:
    """Everything that a stream remembers, as host data.

    Attributes:
        phase: the graph that the next frame runs; `init` means that the next frame is the first of a video, `model`
            that the bundle has no state.
        tensors: state tensors by their manifest name (`reference`, `deep`, `positions`); empty in role `init`, and
            for a model without state always.
        bundle: fingerprint of the bundle, see `Manifest.fingerprint`; None of a state that is made by hand.
    """

    phase: GraphRole = "init"
    tensors: Mapping[str, Array] = field(default_factory=dict)
    bundle: str | None = None


def check_state(manifest: Manifest, state: StreamState) -> None:
    """See that a stream of a bundle can continue from a snapshot.

    Args:
        manifest: of the bundle.
        state: the snapshot.

    Raises:
        UsageError: it is no snapshot, or one of another bundle, in a phase that there is not, or lacks a tensor; a
            tensor is not of the manifest's type and shape.
    """
    _check_kinds(state)
    if state.bundle not in (None, manifest.fingerprint):
        raise UsageError("snapshot: it was taken from a stream of another bundle; take one from a stream of this one")
    if state.phase not in manifest.roles:
        raise UsageError(f"snapshot: phase {state.phase!r:.40}; this bundle has {', '.join(manifest.roles)}")
    expected = {spec.name: spec for spec in manifest.state} if state.phase == "step" else {}
    if state.tensors.keys() != expected.keys():
        raise UsageError(
            f"snapshot: it holds {', '.join(sorted(map(str, state.tensors))) or 'no state'}, and phase {state.phase} "
            f"needs {', '.join(sorted(expected)) or 'none'}; take another one"
        )
    for name, spec in expected.items():
        array = state.tensors[name]
        if array.shape != spec.shape or array.dtype != spec.dtype:
            raise UsageError(
                f"snapshot: {name} is {array.dtype} {list(array.shape)}, the bundle's is {spec.dtype} "
                f"{list(spec.shape)}; take another one"
            )


def check_finite_state(state: StreamState) -> None:
    """See that a snapshot holds numbers. A stream takes others, too, so that parity can tell what becomes of them.

    Raises:
        UsageError: a tensor holds NaN or infinity, or it is no snapshot.
    """
    _check_kinds(state)
    for name, array in state.tensors.items():
        if np.issubdtype(array.dtype, np.floating) and not np.isfinite(array).all():
            raise UsageError(f"snapshot: {name} holds NaN or infinity; take another one")


def is_count(value: object) -> bool:
    """Whether a value of a snapshot is a whole number that can go on being counted in 64 bits."""
    return isinstance(value, Integral) and not isinstance(value, bool) and -(2**62) < int(value) < 2**62


def no_snapshot(value: object) -> UsageError:
    """The error about what is in the place of a snapshot, or of a part of one."""
    return UsageError(f"snapshot: {' '.join(repr(value).split())!s:.80} is none; give what snapshot() gave")


def _check_kinds(state: object) -> None:
    """A snapshot may come out of any file: hold its parts to their types before they are compared."""
    if not (
        isinstance(state, StreamState)
        and isinstance(state.phase, str)
        and isinstance(state.bundle, str | None)
        and isinstance(state.tensors, Mapping)
        and all(isinstance(array, np.ndarray) for array in state.tensors.values())
    ):
        raise no_snapshot(state)
