"""PaPr on vision transformers: patches are pruned once, before the first block."""

from __future__ import annotations

from typing import Any, Final

import torch
from torch import Tensor, nn

from vpp_deploy.errors import ExportError
from vpp_deploy.exporters.classifier_output import ClassifierOutput, PatchSelection
from vpp_deploy.families.papr.hooks import changed_input
from vpp_deploy.families.papr.significance import checked_keep, image_significance, kept_count
from vpp_deploy.families.papr.structure import require_structure
from vpp_deploy.ops import gather_tokens

_NEEDED: Final = {
    "patch_embed.grid_size": "rows and columns of patches",
    "num_prefix_tokens": "class and register tokens, which are never pruned",
    "norm_pre": "what comes between the position embedding and the blocks",
    "blocks.0.attn": "attention in the first block",
    "head": "the classifier",
}
_UNWANTED: Final = {
    "rope": "its attention needs the patches' places in the grid",
    "rel_pos_bias": "its attention needs the patches' places in the grid",
    "shared_rel_pos": "its attention needs the patches' places in the grid",
    "blocks.0.attn.rel_pos": "its attention needs the patches' places in the grid",
    "blocks.0.attn.relative_position_bias_table": "its attention needs the patches' places in the grid",
    "blocks.0.attn.rope": "its attention needs the patches' places in the grid",
}


class PaprVit(nn.Module):
    """A timm `VisionTransformer` (class token, registers or none; any pooling) on the significant patches alone.

    Args:
        model: the transformer; its own forward runs, with fewer tokens.
        keep: keep ratio z in (0, 1]; `int(n * z)` patches stay, n counting patches, class token and registers. None may
            stay if the classifier reads the class token: then it sees that one (and registers) alone.

    Raises:
        ConfigError: the keep ratio is out of range.
        ExportError: the model lacks a part that is needed, or its attention is tied to the grid.
    """

    def __init__(self, model: nn.Module, keep: float) -> None:
        super().__init__()
        require_structure(model, "a ViT", _NEEDED, _UNWANTED)
        if getattr(model, "global_pool", None) == "":
            raise ExportError(f"{type(model).__name__} cannot be pruned as a ViT: it has no pooling, so no logits")
        self.model, self.keep = model, checked_keep(keep)
        self.selection = PatchSelection()

    def forward(self, image: Tensor, features: Tensor | None = None) -> ClassifierOutput:
        """Classify.

        Args:
            image: `[B, 3, H, W]`, normalised as the transformer was trained.
            features: `[B, K, h, w]` of the proposal; not used when the keep ratio is 1.

        Raises:
            ExportError: the keep ratio keeps no patch of this image size, and the model pools patches.
        """
        if self.keep == 1:
            return ClassifierOutput(self.model(image), (), ())
        assert features is not None
        model: Any = self.model
        rows, columns = self._grid(image)
        prefix, patches = model.num_prefix_tokens, rows * columns
        significance = image_significance(features, (rows, columns))
        reads_class_token = prefix > 0 and getattr(model, "global_pool", "") == "token"
        count = kept_count(prefix + patches, self.keep, patches, may_be_none=reads_class_token)
        if count:
            kept = self.selection(significance, count)
        else:  # there is nothing to choose, and no backend takes an empty choice
            kept = torch.empty(image.shape[0], 0, dtype=torch.int32, device=image.device)
        with changed_input(model.blocks[0], lambda tokens: keep_tokens(tokens, kept, prefix)):
            logits = self.model(image)
        return ClassifierOutput(logits, (significance,), (kept,))

    def _grid(self, image: Tensor) -> tuple[int, int]:
        model: Any = self.model
        if getattr(model, "dynamic_img_size", False):
            rows, columns = model.patch_embed.dynamic_feat_size(tuple(image.shape[-2:]))
        else:
            rows, columns = model.patch_embed.grid_size
        return rows, columns


def keep_tokens(tokens: Tensor, kept: Tensor, prefix: int) -> Tensor:
    """The prefix tokens, then the kept patches in their order.

    Args:
        tokens: `[B, prefix + N, C]`.
        kept: `[B, K]` int32 patch positions in [0, N).
        prefix: number of tokens before the patches, which all stay.

    Returns:
        `[B, prefix + K, C]`.
    """
    if prefix == 0:
        return gather_tokens(tokens, kept)
    if kept.shape[1] == 0:
        return tokens[:, :prefix]
    first = torch.arange(prefix, dtype=kept.dtype, device=kept.device).expand(kept.shape[0], -1)
    return gather_tokens(tokens, torch.cat([first, kept + prefix], dim=1))
