"""Loading checkpoints strictly by their own key names, without ever running code from the file."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from vpp_deploy.errors import CheckpointError
from vpp_deploy.models.config import SELECTIVE_NORM_EPS, DetectorConfig
from vpp_deploy.models.detector import VppDetector

PREFIX = "detector."
"""Before every parameter name in the official checkpoints."""

_INERT_PACKAGES = ("mmengine", "mmcv", "mmdet", "mmtrack", "numpy", "datetime", "argparse", "pathlib")
"""Training metadata (logs, configs) in official checkpoints pickles objects of these; they are read as inert blanks."""
_SELECTION_PARTS = (f"{PREFIX}backbone.selective_modules.", f"{PREFIX}backbone.interactions.0.matching_module.")
_WRAPPERS = ("state_dict", "model", "model_state")
_EXAMPLES = 5


class _Inert:
    """Stands in for any object that is not a tensor: takes anything, does nothing."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        pass


def read_checkpoint(path: Path) -> dict[str, Tensor]:
    """All tensors of a checkpoint file by name.

    Args:
        path: `.safetensors`, or a PyTorch `.pth` / `.pt` file: plain, or a dictionary that holds the tensors under
            `state_dict` (mmengine), `model` (MAE, ConvNeXt, Swin) or `model_state` (PyTorchVideo).

    Raises:
        CheckpointError: missing, truncated or garbage file; a pickle that refers to anything but tensors, plain
            containers and known training metadata.
    """
    if not path.is_file():
        raise CheckpointError(f"checkpoint {path}: no such file")
    if path.suffix == ".safetensors":
        try:
            return safetensors.torch.load_file(path)
        except (safetensors.SafetensorError, OSError, ValueError) as error:
            raise CheckpointError(
                f"checkpoint {path}: not a readable safetensors file ({_first_line(error)})"
            ) from error
    return _tensors_of(path, _read_pickle(path))


def load_detector(config: DetectorConfig, path: Path, ignore_prefix: str | None = None) -> VppDetector:
    """A detector with the weights of a checkpoint, in evaluation mode.

    A dense model also accepts the checkpoint of a pruned one: the selection modules' tensors are then left out, and the
    blocks keep the epsilon that they were trained with. Half-precision weights become float32.

    Args:
        config: the model that the checkpoint should fit.
        path: see `read_checkpoint`.
        ignore_prefix: leave out tensors whose names start with this (a bundle's weights file also holds constants of
            its graphs).

    Raises:
        CheckpointError: as `read_checkpoint`; or tensors are missing, unexpected or of the wrong shape.
    """
    tensors = read_checkpoint(path)
    if ignore_prefix:
        tensors = {name: tensor for name, tensor in tensors.items() if not name.startswith(ignore_prefix)}
    selection = [name for name in tensors if name.startswith(_SELECTION_PARTS)]
    if config.keep.is_dense and selection:
        config = replace(config, backbone=replace(config.backbone, block_norm_eps=SELECTIVE_NORM_EPS))
        for name in selection:
            del tensors[name]
    with torch.device("meta"):
        detector = VppDetector(config)
    expected = {PREFIX + name: tuple(tensor.shape) for name, tensor in detector.state_dict().items()}
    _check(path, config, expected, {name: tuple(tensor.shape) for name, tensor in tensors.items()})
    state = {
        name.removeprefix(PREFIX): tensor.float() if tensor.is_floating_point() else tensor
        for name, tensor in tensors.items()
    }
    detector.load_state_dict(state, strict=True, assign=True)
    return detector.requires_grad_(False).eval()


def official_state_dict(detector: VppDetector) -> dict[str, Tensor]:
    """The detector's tensors under the names of the official checkpoints."""
    return {PREFIX + name: tensor for name, tensor in detector.state_dict().items()}


def _read_pickle(path: Path) -> Any:
    if not zipfile.is_zipfile(path):
        raise CheckpointError(
            f"checkpoint {path}: neither a safetensors file nor a complete PyTorch zip file "
            "(truncated, garbage, or saved by PyTorch before 1.6)"
        )
    try:
        unsafe = torch.serialization.get_unsafe_globals_in_checkpoint(path)
        foreign = [name for name in unsafe if name.partition(".")[0] not in _INERT_PACKAGES]
        if foreign:
            raise CheckpointError(
                f"checkpoint {path}: refused, unpickling it would call {', '.join(foreign[:_EXAMPLES])}; "
                "save the tensors alone, best as .safetensors"
            )
        with torch.serialization.safe_globals([(_Inert, name) for name in unsafe]):
            return torch.load(path, map_location="cpu", weights_only=True)
    except CheckpointError:
        raise
    except Exception as error:  # torch raises many types for damaged files
        raise CheckpointError(f"checkpoint {path}: cannot be read ({_first_line(error)})") from error


def _tensors_of(path: Path, content: Any) -> dict[str, Tensor]:
    if isinstance(content, Mapping):
        content = next((content[key] for key in _WRAPPERS if isinstance(content.get(key), Mapping)), content)
    if not isinstance(content, Mapping):
        raise CheckpointError(f"checkpoint {path}: holds a {type(content).__name__}, not a dictionary of tensors")
    tensors = {str(name): value for name, value in content.items() if isinstance(value, Tensor)}
    if not tensors:
        raise CheckpointError(f"checkpoint {path}: holds no tensors (keys: {_handful([str(key) for key in content])})")
    return tensors


def _check(
    path: Path, config: DetectorConfig, expected: Mapping[str, Sequence[int]], found: Mapping[str, Sequence[int]]
) -> None:
    differing = mismatch(expected, found)
    if differing is None:
        return
    hint = "is it a checkpoint of another model or label set?"
    shapes = [name for name in expected.keys() & found.keys() if tuple(found[name]) != tuple(expected[name])]
    if expected.keys() == found.keys() and all(name.startswith(_SELECTION_PARTS) for name in shapes):
        hint = "its selection modules cannot run on this model's tokens; it only serves the keep schedule dense"
    raise CheckpointError(f"checkpoint {path} does not fit {config.name} ({config.dataset}): {differing}; {hint}")


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
    listed = [f"{len(names)} {kind}: {_handful(names)}" for kind, names in problems.items() if names]
    return "; ".join(listed) or None


def _handful(names: Sequence[str]) -> str:
    rest = len(names) - _EXAMPLES
    return ", ".join(names[:_EXAMPLES]) + (f" and {rest} more" if rest > 0 else "")


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__
