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
import torch
from torch import Tensor, nn

from vpp_deploy.errors import CheckpointError
from vpp_deploy.exporters.checkpoint import (
    CheckpointFile,
    check_types,
    first_that_fits,
    hint,
    in_float32_each,
    load_strictly,
    misfit,
    read_checkpoint,
)
from vpp_deploy.families.papr.model import architecture_of
from vpp_deploy.families.papr.names import IMAGE_PROPOSALS
from vpp_deploy.families.papr.proposals import ClipProposal, ImageProposal, fused, image_network, proposal
from vpp_deploy.files import interrupts

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
    (r"\.attention\.attention\.q_bias$", ".attention.attention.query.bias"),
    (r"\.attention\.attention\.v_bias$", ".attention.attention.value.bias"),
    (r"\.mlp\.layers\.0\.0\.", ".intermediate.dense."),
    (r"\.mlp\.layers\.1\.", ".output.dense."),
)
_FUSED_PROJECTION: Final = re.compile(r"(?P<layer>.*)\.attn\.qkv\.(?P<kind>weight|bias)")
_KEY_BIAS: Final = ".attention.attention.key.bias"
_PYTORCHVIDEO_HEAD: Final = re.compile(r"blocks\.5\.(proj|pool\.post_conv|activation)\.")
_HEADS: Final = {
    "mobileone": re.compile(r"(head\.fc|linear)\."),
    "resnet": re.compile(r"fc\."),
    "x3d": _PYTORCHVIDEO_HEAD,
    "slowonly": _PYTORCHVIDEO_HEAD,
}
"""How the tensors of a proposal's class head begin, by how its name begins."""


def load_base(model: nn.Module, source: Path | CheckpointFile) -> nn.Module:
    """Load a checkpoint into a base model: the library's own layout, or the authors' of MAE, ConvNeXt, Swin, VideoMAE.

    Returns:
        The same model, in evaluation mode.

    Raises:
        CheckpointError: the file cannot be read, or does not fit the model.
    """
    layouts: dict[str, Callable[[dict[str, Tensor], Any], Mapping[str, Tensor]]] = {
        "vit": timm.models.vision_transformer.checkpoint_filter_fn,
        "convnext": timm.models.convnext.checkpoint_filter_fn,
        "swin": timm.models.swin_transformer.checkpoint_filter_fn,
        "videomae": lambda found, video_mae: videomae_tensors(found, video_mae.state_dict()),
    }
    rename = layouts[architecture_of(model)]

    def load(tensors: dict[str, Tensor]) -> nn.Module:
        check_types(model, tensors, source)
        try:
            renamed = rename(in_float32_each(tensors), model)
        except CheckpointError as error:
            raise CheckpointError(f"checkpoint {source} does not fit {type(model).__name__}: {error}") from error
        except Exception as error:  # timm looks up names and shapes while it renames, and trips over others
            interrupts.let_pass(error)
            expected = model.state_dict()
            reason = misfit(expected, tensors) or f"{type(error).__name__} {error}".strip().partition("\n")[0]
            likely = hint(expected, tensors) or "is it another model's?"
            raise CheckpointError(
                f"checkpoint {source} does not fit {type(model).__name__}: {reason}; {likely}"
            ) from error
        return load_strictly(model, renamed, source)

    return first_that_fits(read_checkpoint(source), load, source)


def load_proposal(name: str, source: Path | CheckpointFile) -> ImageProposal | ClipProposal:
    """A proposal with the weights of a checkpoint, whatever classes it was trained for.

    Args:
        name: one of `PROPOSALS`.
        source: timm's layout; MobileOne also in its authors', fused or with branches; X3D and SlowOnly in
            PyTorchVideo's. With a class head of any size, or without one.

    Raises:
        ExportError: unknown name.
        CheckpointError: the file cannot be read, or does not fit the network.
    """
    return first_that_fits(
        read_checkpoint(source), lambda found: _loaded_proposal(name, without_head(found, name), source), source
    )


def _loaded_proposal(
    name: str, tensors: Mapping[str, Tensor], source: Path | CheckpointFile
) -> ImageProposal | ClipProposal:
    if name in IMAGE_PROPOSALS:
        load = load_mobileone if name.startswith("mobileone") else load_strictly
        return ImageProposal(load(image_network(name), tensors, source))
    made = proposal(name)
    load_strictly(made.network, tensors, source)
    return made


def without_head(tensors: Mapping[str, Tensor], name: str, prefix: str = "") -> dict[str, Tensor]:
    """The tensors without those of a proposal's class head, which is not used.

    Args:
        tensors: of a checkpoint; or of a bundle, whose older ones hold the head.
        name: of the proposal.
        prefix: of the proposal's tensors among them.
    """
    head = next(pattern for kind, pattern in _HEADS.items() if name.startswith(kind))
    return {
        key: tensor
        for key, tensor in tensors.items()
        if not (key.startswith(prefix) and head.match(key, pos=len(prefix)))
    }


def load_mobileone(network: nn.Module, tensors: Mapping[str, Tensor], path: Path | CheckpointFile) -> nn.Module:
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


def videomae_tensors(tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A VideoMAE checkpoint of MMAction or of the Hugging Face Hub, under the names of a model of transformers.

    MMAction fuses the three projections and stores the sinusoid table, which transformers computes. Biases of query and
    value are called `q_bias` and `v_bias` by both. Versions of transformers differ in whether keys have a bias; it adds
    the same number to all logits of a query, so that no softmax depends on it.

    Args:
        tensors: of the checkpoint.
        expected: of the model, whose keys have a bias or have none.

    Raises:
        CheckpointError: a fused tensor does not hold three projections.
    """
    renamed: dict[str, Tensor] = {}
    for original, tensor in tensors.items():
        if original == "backbone.pos_embed":
            continue
        name = _renamed(original, _VIDEOMAE_KEYS)
        if fused_parts := _FUSED_PROJECTION.fullmatch(name):
            layer, kind = fused_parts["layer"], fused_parts["kind"]
            if tensor.ndim != (2 if kind == "weight" else 1) or len(tensor) % 3:
                raise CheckpointError(f"{original} {list(tensor.shape)} does not hold three projections")
            for part, weight in zip(("query", "key", "value"), tensor.chunk(3), strict=True):
                renamed[f"{layer}.attention.attention.{part}.{kind}"] = weight
        else:
            renamed[name] = tensor
    without_key_bias = {name: tensor for name, tensor in renamed.items() if not name.endswith(_KEY_BIAS)}
    return {
        **without_key_bias,
        **{name: torch.zeros_like(bias) for name, bias in expected.items() if name.endswith(_KEY_BIAS)},
    }


def _renamed(name: str, replacements: Sequence[tuple[str, Replacement]]) -> str:
    for pattern, replacement in replacements:
        name = re.sub(pattern, replacement, name)
    return name
