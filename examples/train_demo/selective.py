"""The backbone with differentiable selection: every token is computed, masks decide which count (VPP, training)."""

from __future__ import annotations

from typing import NamedTuple, cast

import torch
from torch import Tensor
from torch.nn import functional as F

from vpp_deploy.families.vpp.adapter import Interaction
from vpp_deploy.families.vpp.backbone import Block, SelectiveViTAdapter
from vpp_deploy.families.vpp.config import PATCH_SIZE, STAGE_BLOCKS
from vpp_deploy.families.vpp.mask2former import BLOCKED
from vpp_deploy.families.vpp.selection import SELECTION_NOISE_SCALE, MappingSelectiveModule
from vpp_deploy.ops.associate_tokens import token_similarity


class SoftSelection(NamedTuple):
    """What one selection point decided, with gradients.

    Attributes:
        decisions: `[B, N]` 1 (keep) or 0, never 1 where an earlier point of the frame decided 0; the gradient is that
            of the soft scores (straight-through).
        keep_log_probability: `[B, N]`.
        target_ratio: the share of all tokens that should be kept; None for Map-SM, which keeps a fixed number.
        similarity: `[B, N, N]` of each token with those of the previous frame, -inf for those that were pruned
            (Map-SM only).
    """

    decisions: Tensor
    keep_log_probability: Tensor
    target_ratio: float | None
    similarity: Tensor | None = None


class SoftState(NamedTuple):
    """What a frame leaves for the next one: all tokens, and which of them count.

    Attributes:
        reference: `[B, N, D]`, matched against the next frame's tokens.
        deep: `[B, N, D]`, output of block 5.
        active: `[B, N]` 1 where block 5 used the token, else 0.
    """

    reference: Tensor
    deep: Tensor
    active: Tensor


class SoftOutput(NamedTuple):
    """Feature maps `[B, D, H/s, W/s]`, the next state, and the decisions, in order."""

    features: tuple[Tensor, ...]
    state: SoftState
    selections: list[SoftSelection]


class SoftSelectiveViTAdapter(SelectiveViTAdapter):
    """`SelectiveViTAdapter` for training. With hard decisions and no noise it computes the same as threshold mode."""

    def soft_forward(
        self, image: Tensor, state: SoftState | None, *, dense: bool = False, noise: Tensor | None = None
    ) -> SoftOutput:
        """One frame.

        Args:
            image: `[B, 3, H, W]` normalised.
            state: of the previous frame; None on the first one.
            dense: leave every selection out.
            noise: `[4, B, N, 2]` standard Gumbel noise; None for none.
        """
        grid = image.shape[2] // PATCH_SIZE, image.shape[3] // PATCH_SIZE
        tokens = self.patch_embed(image) + self._position_embedding(grid)
        level4, spatial = self._spatial_prior(image)
        selections: list[SoftSelection] = []
        active: Tensor | None = None
        reference = deep = tokens
        deep_active = torch.ones_like(tokens[..., 0])
        for stage, module in enumerate(self.interactions):
            interaction = cast("Interaction", module)
            blocks = list(self.blocks[stage * STAGE_BLOCKS : (stage + 1) * STAGE_BLOCKS])
            tokens = interaction.injector(tokens, spatial, grid)
            if stage == 0:
                tokens = blocks.pop(0)(tokens)
                matching_queries = tokens
                if state is not None and not dense:
                    selections.append(self._soft_mapping(tokens, state, grid, None if noise is None else noise[0]))
                    active = selections[-1].decisions
            elif not dense:
                selections.append(self._soft_selection(stage, tokens, active, None if noise is None else noise[stage]))
                active = selections[-1].decisions
            for block in blocks:
                tokens = _masked_block(cast("Block", block), tokens, active)
            if stage == 0:
                reference = tokens if self.reference_tokens == "evaluation" else matching_queries
            elif stage == 1:
                deep, deep_active = tokens, deep_active if active is None else active.detach()
            spatial = interaction.extract(spatial, tokens, grid)
        features = self._feature_pyramid(level4, spatial, tokens, grid)
        return SoftOutput(features, SoftState(reference, deep, deep_active), selections)

    def _soft_selection(self, stage: int, tokens: Tensor, active: Tensor | None, noise: Tensor | None) -> SoftSelection:
        module = self.selective_modules[stage - 1]
        logits = module.mlp(module.norm(tokens)).log_softmax(-1)
        noisy = logits if noise is None else logits + SELECTION_NOISE_SCALE * noise
        hard = (noisy[..., 0] >= noisy[..., 1]).to(tokens.dtype)
        decisions = _straight_through(hard, noisy.softmax(-1)[..., 0])
        decisions = decisions if active is None else active * decisions
        return SoftSelection(decisions, logits[..., 0], self.keep.selective[stage - 1])

    def _soft_mapping(
        self, tokens: Tensor, state: SoftState, grid: tuple[int, int], noise: Tensor | None
    ) -> SoftSelection:
        module = cast("MappingSelectiveModule", cast("Interaction", self.interactions[0]).matching_module)
        places = torch.arange(tokens.shape[1], device=tokens.device).expand(tokens.shape[:2])
        usable = (state.active > 0.5) | (state.active < 0.5).all(-1, keepdim=True)
        similarity = token_similarity(tokens, state.reference, places, grid)
        similarity = similarity.masked_fill(~usable[:, None], -torch.inf)
        soft = (similarity * SELECTION_NOISE_SCALE).softmax(-1)
        hard = F.one_hot(similarity.argmax(-1), soft.shape[-1]).to(soft.dtype)
        mapped = _straight_through(hard, soft) @ state.deep
        smooth = module.smoothed_logits(mapped, grid).log_softmax(-1)
        noisy = smooth if noise is None else smooth + SELECTION_NOISE_SCALE * noise
        score = noisy.softmax(-1)[..., 0]
        chosen = score.topk(self.kept_tokens(grid)[0], dim=-1).indices
        kept = torch.zeros_like(score).scatter(1, chosen, 1.0)
        return SoftSelection(_straight_through(kept, score), smooth[..., 0], None, similarity)


def _straight_through(hard: Tensor, soft: Tensor) -> Tensor:
    """The hard value with the soft value's gradient."""
    return hard + soft - soft.detach()


def _masked_block(block: Block, tokens: Tensor, active: Tensor | None) -> Tensor:
    """S · block(x, masked) + (1 - s) · x: pruned tokens keep their value."""
    if active is None:
        return cast("Tensor", block(tokens))
    bias = torch.where(active[:, None, None] > 0.5, 0.0, BLOCKED)
    share = active[..., None]
    return share * cast("Tensor", block(tokens, bias)) + (1 - share) * tokens
