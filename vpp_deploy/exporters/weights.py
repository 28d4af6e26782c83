"""Weights of a model that is being exported: from a checkpoint, from a seed, or as they are in memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from vpp_deploy.bundle.manifest import WeightsProvenance
from vpp_deploy.errors import CheckpointError
from vpp_deploy.exporters.checkpoint import (
    CheckpointFile,
    check_fit,
    check_types,
    checkpoint_record,
    first_that_fits,
    load_strictly,
    read_checkpoint,
    without_prefixes,
)
from vpp_deploy.exporters.randomise import randomise_
from vpp_deploy.exporters.request import ExportRequest

Tensors = dict[str, Tensor]


@dataclass(frozen=True)
class Weights:
    """Weights to give to a model.

    Attributes:
        record: what the manifest says of them.
        tensors: of a checkpoint, by name; None if they come from elsewhere.
        source: that checkpoint.
    """

    record: WeightsProvenance
    tensors: Tensors | None = None
    source: CheckpointFile | None = None

    @classmethod
    def of(cls, request: ExportRequest) -> Weights:
        """The weights that an export was asked for; a module in memory keeps its own.

        Raises:
            CheckpointError: the checkpoint cannot be read.
        """
        if request.random_weights is not None:
            return cls(WeightsProvenance(kind="random", name="random weights", seed=request.random_weights.seed))
        if request.checkpoint is None:
            return cls(WeightsProvenance(kind="memory", name=type(request.model).__name__))
        source = CheckpointFile(request.checkpoint, request.weights, request.note)
        tensors = read_checkpoint(source)  # first: what is no checkpoint may be too large to take its hash
        return cls(checkpoint_record(request.checkpoint), tensors, source)

    def rows(self, name: str) -> int | None:
        """Size of the first dimension of a checkpoint's tensor, e.g. how many classes a head has; None without one."""
        found = self.tensors or {}
        for tensors in (found, *(renamed for _, renamed in without_prefixes(found))):
            if (tensor := tensors.get(name)) is not None:
                return tensor.shape[0] if tensor.ndim else None
        return None

    def fill(self, model: nn.Module, change: Callable[[Tensors], Mapping[str, Tensor]] = lambda found: found) -> None:
        """Give a model these weights, in place, strictly by name.

        Args:
            model: its state dict has the checkpoint's own names.
            change: makes the model's tensors of the checkpoint's, where they are not the same.

        Raises:
            CheckpointError: they do not fit the model.
        """
        if self.record.seed is not None:
            randomise_(model, self.record.seed)
        elif self.tensors is not None and self.source is not None:
            source = self.source
            first_that_fits(
                self.tensors, lambda found: load_strictly(model, _changed(model, found, change, source), source), source
            )

    def check(self, model: nn.Module, change: Callable[[Tensors], Mapping[str, Tensor]] = lambda found: found) -> None:
        """See that these weights fit a model before memory is taken for it: it may be on the meta device.

        Args and raises: as `fill`.
        """
        if self.tensors is not None and self.source is not None:
            path = self.source.path  # alone: whoever fills the model tells of prefixes
            first_that_fits(
                self.tensors, lambda found: check_fit(model, _changed(model, found, change, path), path), path
            )


def _changed(
    model: nn.Module, found: Tensors, change: Callable[[Tensors], Mapping[str, Tensor]], source: Path | CheckpointFile
) -> Mapping[str, Tensor]:
    check_types(model, found, source)
    try:
        return change(found)
    except CheckpointError as error:
        raise CheckpointError(f"checkpoint {source} does not fit {type(model).__name__}: {error}") from error
    except (RuntimeError, ValueError, IndexError, TypeError) as error:  # shapes that no such model has
        reason = str(error).strip().partition("\n")[0]
        raise CheckpointError(f"checkpoint {source} does not fit {type(model).__name__}: {reason}") from error
