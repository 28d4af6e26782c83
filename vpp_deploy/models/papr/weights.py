"""Checkpoints of base models and proposals: safely read, renamed from their authors' layouts, strictly loaded."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import timm
import timm.models.convnext
import timm.models.swin_transformer
import timm.models.vision_transformer
from torch import Tensor, nn

from vpp_deploy.errors import CheckpointError
from vpp_deploy.models.checkpoint import mismatch, read_checkpoint
from vpp_deploy.models.papr.model import family_of
from vpp_deploy.models.papr.names import IMAGE_PROPOSALS
from vpp_deploy.models.papr.proposals import ClipProposal, ImageProposal, fused, proposal

Replacement = str | Callable[[re.Match[str]], str]
_MOBILEONE_KEYS: Final[tuple[tuple[str, Replacement], ...]] = (
    (r"^stage0\.", "stem."),
    (r"^stage([1-9])\.", lambda found: f"stages.{int(found[1]) - 1}."),
    (r"\brbr_conv\b", "conv_kxk"),
    (r"\brbr_scale\b", "conv_scale"),
    (r"\brbr_skip\b", "identity"),
    (r"\bse\.reduce\b", "attn.fc1"),
    (r"\bse\.expand\b", "attn.fc2"),
    (r"^linear\.", "head.fc."),
)
_VIDEOMAE_KEYS: Final[tuple[tuple[str, Replacement], ...]] = (
    (r"^cls_head\.fc_cls\.", "classifier."),
    (r"^backbone\.fc_norm\.", "fc_norm."),
    (r"^backbone\.patch_embed\.projection\.", "videomae.embeddings.patch_embeddings.projection."),
    (r"^backbone\.blocks\.", "videomae.encoder.layer."),
    (r"\.norm1\.", ".layernorm_before."),
    (r"\.norm2\.", ".layernorm_after."),
    (r"\.attn\.proj\.", ".attention.output.dense."),
    (r"\.attn\.q_bias$", ".attention.attention.query.bias"),
    (r"\.attn\.v_bias$", ".attention.attention.value.bias"),
    (r"\.mlp\.layers\.0\.0\.", ".intermediate.dense."),
    (r"\.mlp\.layers\.1\.", ".output.dense."),
)
_FUSED_PROJECTION: Final = ".attn.qkv.weight"
_PYTORCHVIDEO_HEAD: Final = re.compile(r"blocks\.5\.(proj|pool\.post_conv|activation)\.")


def load_base(model: nn.Module, path: Path) -> nn.Module:
    """Load a checkpoint into a base model: the library's own layout, or the authors' of MAE, ConvNeXt, Swin, VideoMAE.

    Returns:
        The same model, in evaluation mode.

    Raises:
        CheckpointError: the file cannot be read, or does not fit the model.
    """
    tensors = read_checkpoint(path)
    layouts: dict[str, Callable[[dict[str, Tensor], Any], Mapping[str, Tensor]]] = {
        "vit": timm.models.vision_transformer.checkpoint_filter_fn,
        "convnext": timm.models.convnext.checkpoint_filter_fn,
        "swin": timm.models.swin_transformer.checkpoint_filter_fn,
        "videomae": lambda found, _: videomae_tensors(found),
    }
    try:
        renamed = layouts[family_of(model)](tensors, model)
    except (KeyError, AttributeError, RuntimeError) as error:  # timm looks up names and shapes while it renames
        raise CheckpointError(f"checkpoint {path} does not fit {type(model).__name__}: {error}") from error
    return load_strictly(model, renamed, path)


def load_proposal(name: str, path: Path) -> ImageProposal | ClipProposal:
    """A proposal with the weights of a checkpoint.

    Args:
        name: one of `PROPOSALS`.
        path: timm's layout; MobileOne also in its authors', fused or with branches; X3D and SlowOnly in PyTorchVideo's.

    Raises:
        ExportError: unknown name.
        CheckpointError: the file cannot be read, or does not fit the network.
    """
    if name in IMAGE_PROPOSALS:
        network, tensors = timm.create_model(name), read_checkpoint(path)
        load = load_mobileone if name.startswith("mobileone") else load_strictly
        return ImageProposal(load(network, tensors, path))
    made = proposal(name)
    headless = {key: tensor for key, tensor in read_checkpoint(path).items() if not _PYTORCHVIDEO_HEAD.match(key)}
    load_strictly(made.network, headless, path)
    return made


def load_mobileone(network: nn.Module, tensors: Mapping[str, Tensor], path: Path) -> nn.Module:
    """Load a MobileOne checkpoint, in the authors' names or timm's, fused or with its branches.

    Args:
        network: timm's MobileOne with its branches.
        tensors: all tensors of the checkpoint.
        path: where they come from, for messages.

    Returns:
        The fused network, in evaluation mode.

    Raises:
        CheckpointError: they do not fit.
    """
    renamed = {_renamed(name, _MOBILEONE_KEYS): tensor for name, tensor in tensors.items()}
    if any("reparam_conv" in name for name in renamed):
        # timm's own inference mode has no padding; a fused network must come from a network with branches.
        return load_strictly(fused(network), renamed, path)
    return fused(load_strictly(network, renamed, path))


def load_strictly(model: nn.Module, tensors: Mapping[str, Tensor], path: Path) -> nn.Module:
    """Load tensors into a model, in place; only counters of seen batches may be missing.

    Returns:
        The same model, in evaluation mode.

    Raises:
        CheckpointError: tensors are missing, unexpected or of the wrong shape.
    """
    expected = model.state_dict()
    given = {**{name: v for name, v in expected.items() if name.endswith("num_batches_tracked")}, **tensors}
    differing = mismatch(_shapes(expected), _shapes(given))
    if differing:
        raise CheckpointError(
            f"checkpoint {path} does not fit {type(model).__name__}: {differing}; is it another model's?"
        )
    model.load_state_dict(given, strict=True)
    return model.eval()


def videomae_tensors(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A VideoMAE checkpoint of MMAction under the names of transformers; one of transformers stays as it is.

    MMAction fuses the three projections and stores the sinusoid table, which transformers computes.
    """
    renamed = {}
    for original, tensor in tensors.items():
        if original == "backbone.pos_embed":
            continue
        name = _renamed(original, _VIDEOMAE_KEYS)
        if name.endswith(_FUSED_PROJECTION):
            layer = name.removesuffix(_FUSED_PROJECTION)
            for part, weight in zip(("query", "key", "value"), tensor.chunk(3), strict=True):
                renamed[f"{layer}.attention.attention.{part}.weight"] = weight
        else:
            renamed[name] = tensor
    return renamed


def _renamed(name: str, replacements: Sequence[tuple[str, Replacement]]) -> str:
    for pattern, replacement in replacements:
        name = re.sub(pattern, replacement, name)
    return name


def _shapes(tensors: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}
