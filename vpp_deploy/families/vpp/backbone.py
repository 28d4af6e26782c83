"""The VPP backbone: a ViT-Adapter whose blocks see only the selected tokens (VPP, sections Backbone and Selection)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vpp_deploy.errors import ExportError
from vpp_deploy.families.vpp.adapter import Interaction, SpatialPriorModule, adapter_shapes
from vpp_deploy.families.vpp.config import (
    PATCH_SIZE,
    STAGE_BLOCKS,
    STAGES,
    BackboneConfig,
    KeepSchedule,
    ReferenceTokens,
)
from vpp_deploy.families.vpp.layers import SelfAttention, resize_bilinear
from vpp_deploy.families.vpp.selection import MappingSelectiveModule, SelectiveModule
from vpp_deploy.ops import gather_tokens, scatter_tokens, select_tokens

SelectionMode = Literal["threshold", "topk"]
"""`threshold`: keep where the module says so, as trained, K varies (batch 1). `topk`: static K, what is exported."""


class BackboneState(NamedTuple):
    """What a frame leaves for the next one: K rows, the tokens that were active in block 5.

    Attributes:
        reference: `[B, K, D]`, matched against the next frame's tokens.
        deep: `[B, K, D]`, output of block 5, handed to the next frame.
        positions: `[B, K]` int32, ascending, row-major on the token grid.
    """

    reference: Tensor
    deep: Tensor
    positions: Tensor


class Selection(NamedTuple):
    """What one selection point decided.

    Attributes:
        name: `map_selection` or `selection_<block>`.
        positions: `[B, K]` int32 kept positions, ascending.
        scores: `[B, N]` soft keep scores.
        source: `[B, N]` int32 matched row of the previous frame (`map_selection` only).
    """

    name: str
    positions: Tensor
    scores: Tensor
    source: Tensor | None = None


class BackboneOutput(NamedTuple):
    """Feature maps and everything that a test or the next frame wants to know.

    Attributes:
        features: maps `[B, D, H/s, W/s]` for s = 4, 8, 16, 32.
        state: for the next frame; None when the schedule is dense.
        selections: the selection points that were active, in order.
        stages: tokens `[B, N, D]` after each stage.
        matching_queries: tokens `[B, N, D]` after block 0.
    """

    features: tuple[Tensor, ...]
    state: BackboneState | None
    selections: tuple[Selection, ...]
    stages: tuple[Tensor, ...]
    matching_queries: Tensor


class _EncoderLayer(nn.Module):
    """Pre-norm transformer encoder layer."""

    def __init__(self, config: BackboneConfig) -> None:
        super().__init__()
        self.self_attn = SelfAttention(config.width, config.heads)
        self.linear1 = nn.Linear(config.width, 4 * config.width)
        self.linear2 = nn.Linear(4 * config.width, config.width)
        self.norm1 = nn.LayerNorm(config.width, eps=config.block_norm_eps)
        self.norm2 = nn.LayerNorm(config.width, eps=config.block_norm_eps)

    def forward(self, tokens: Tensor, bias: Tensor | None = None) -> Tensor:
        normed = self.norm1(tokens)
        tokens = tokens + self.self_attn(normed, normed, normed, bias)
        out: Tensor = tokens + self.linear2(F.gelu(self.linear1(self.norm2(tokens))))
        return out


class Block(nn.Module):
    """One transformer block, under the name that the official checkpoints give it."""

    def __init__(self, config: BackboneConfig) -> None:
        super().__init__()
        self.TransformerEncoderLayer = _EncoderLayer(config)

    def forward(self, tokens: Tensor, bias: Tensor | None = None) -> Tensor:
        """`[B, K, D]` to `[B, K, D]`: only the selected tokens attend and are updated.

        Args:
            tokens: the selected tokens.
            bias: added to the attention logits, broadcastable to `[B, heads, K, K]`; None for none. Training masks
                pruned tokens with it instead of leaving them out.
        """
        out: Tensor = self.TransformerEncoderLayer(tokens, bias)
        return out


class PatchEmbedding(nn.Module):
    """Non-overlapping patches to tokens."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, width, PATCH_SIZE, stride=PATCH_SIZE)

    def forward(self, image: Tensor) -> Tensor:
        """`[B, 3, H, W]` to `[B, N, D]`, row-major."""
        out: Tensor = self.proj(image).flatten(2).transpose(1, 2)
        return out


class SelectiveViTAdapter(nn.Module):
    """The backbone as a pure function of a frame and the previous frame's state.

    Args:
        config: sizes.
        keep: keep schedule; dense leaves the selection modules out.
        reference_tokens: see `DetectorConfig.reference_tokens`.
    """

    def __init__(
        self, config: BackboneConfig, keep: KeepSchedule, reference_tokens: ReferenceTokens = "evaluation"
    ) -> None:
        super().__init__()
        self.config, self.keep, self.reference_tokens = config, keep, reference_tokens
        width = config.width
        self.pos_embed = nn.Parameter(torch.zeros(1, config.pretrain_grid**2 + 1, width))
        self.level_embed = nn.Parameter(torch.zeros(3, width))
        self.patch_embed = PatchEmbedding(width)
        self.blocks = nn.ModuleList(Block(config) for _ in range(STAGES * STAGE_BLOCKS))
        self.spm = SpatialPriorModule(config.stem_width, width)
        matching_module = None
        if not keep.is_dense:
            selection_width = config.selection_width or width
            modules = (SelectiveModule(selection_width, selection_width // 4) for _ in range(STAGES - 1))
            self.selective_modules = nn.ModuleList(modules)
            matching_module = MappingSelectiveModule(selection_width, selection_width // 2)
        interactions = [Interaction(config, matching_module=matching_module)]
        interactions += [Interaction(config) for _ in range(STAGES - 2)]
        interactions += [Interaction(config, extra_extractors=2)]
        self.interactions = nn.ModuleList(interactions)
        self.up = nn.ConvTranspose2d(width, width, 2, stride=2)
        self.norm1: nn.Module = nn.BatchNorm2d(width)
        self.norm2: nn.Module = nn.BatchNorm2d(width)
        self.norm3: nn.Module = nn.BatchNorm2d(width)
        self.norm4: nn.Module = nn.BatchNorm2d(width)
        self.lateral4: nn.Module = nn.Identity()
        """On the tokens before they are resized to stride 4: here `folding` puts the convolution that reads the map."""

    def kept_tokens(self, grid: tuple[int, int]) -> tuple[int, ...]:
        """K of each selection point for a token grid: int(N · ratio), as the original truncates.

        Raises:
            ExportError: a selection point would keep nothing.
        """
        tokens = grid[0] * grid[1]
        kept = tuple(int(tokens * ratio) for ratio in self.keep.ratios)
        if 0 in kept:
            raise ExportError(
                f"keep schedule {self.keep.describe()} keeps no token of a {grid[0]}×{grid[1]} grid at some point; "
                "use a larger frame size or higher keep ratios"
            )
        return kept

    def forward(
        self,
        image: Tensor,
        state: BackboneState | None,
        mode: SelectionMode = "topk",
        noise: Tensor | None = None,
    ) -> BackboneOutput:
        """One frame.

        Args:
            image: `[B, 3, H, W]` normalised; H and W multiples of 32. Batch 1 in threshold mode.
            state: what the previous frame left; None on the first frame of a video. A state without rows (threshold
                mode may select nothing) counts as none.
            mode: how the selective modules decide.
            noise: `[4, B, N, 2]` standard Gumbel noise for Map-SM and the three selective modules; None for none.

        Returns:
            Feature maps, the next state, and the decisions taken.
        """
        grid = image.shape[2] // PATCH_SIZE, image.shape[3] // PATCH_SIZE
        tokens = self.patch_embed(image) + self._position_embedding(grid)
        level4, spatial = self._spatial_prior(image)
        selections: list[Selection] = []
        stages: list[Tensor] = []
        positions: Tensor | None = None  # None: all tokens are active
        state_positions: Tensor | None = None
        reference = deep = matching_queries = tokens
        for stage, interaction in enumerate(cast("list[Interaction]", list(self.interactions))):
            # As a list: a part of a ModuleList is a new module, and nodes of a traced graph would be named after that.
            blocks = list(self.blocks)[stage * STAGE_BLOCKS : (stage + 1) * STAGE_BLOCKS]
            tokens = interaction.injector(tokens, spatial, grid)
            if stage == 0:
                tokens = matching_queries = blocks[0](tokens)
                blocks = blocks[1:]
                if state is not None and state.positions.shape[1] > 0 and not self.keep.is_dense:
                    selections.append(self._map_selection(tokens, state, grid, noise))
            elif not self.keep.is_dense:
                selections.append(self._selection(stage, tokens, positions, mode, noise))
            if selections:
                positions = selections[-1].positions
            tokens, active = self._run_blocks(blocks, tokens, positions)
            if stage == 0:
                reference = tokens if self.reference_tokens == "evaluation" else matching_queries
            elif stage == 1:
                deep, state_positions = active, positions
            spatial = interaction.extract(spatial, tokens, grid)
            stages.append(tokens)
        next_state = None
        if state_positions is not None:
            next_state = BackboneState(gather_tokens(reference, state_positions), deep, state_positions)
        features = self._feature_pyramid(level4, spatial, tokens, grid)
        return BackboneOutput(features, next_state, tuple(selections), tuple(stages), matching_queries)

    def _position_embedding(self, grid: tuple[int, int]) -> Tensor:
        side = self.config.pretrain_grid
        image = self.pos_embed[:, 1:].transpose(1, 2).unflatten(2, (side, side))
        resized = F.interpolate(image, size=grid, mode="bicubic", align_corners=False)
        return resized.flatten(2).transpose(1, 2)

    def _spatial_prior(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """The stride 4 map `[B, D, H/4, W/4]`, and the adapter tokens `[B, 21N/4, D]`."""
        level4, *levels = self.spm(image)
        embedded = [
            level.flatten(2).transpose(1, 2) + embedding
            for level, embedding in zip(levels, self.level_embed, strict=True)
        ]
        return level4, torch.cat(embedded, dim=1)

    def _map_selection(
        self, tokens: Tensor, state: BackboneState, grid: tuple[int, int], noise: Tensor | None
    ) -> Selection:
        kept = self.kept_tokens(grid)[0]
        matching_module = cast("Interaction", self.interactions[0]).matching_module
        scores, source = matching_module(
            tokens, state.reference, state.deep, state.positions, grid, None if noise is None else noise[0]
        )
        return Selection("map_selection", select_tokens(scores, kept), scores, source)

    def _selection(
        self, stage: int, tokens: Tensor, positions: Tensor | None, mode: SelectionMode, noise: Tensor | None
    ) -> Selection:
        """Choose among the tokens that are still active: a pruned token is never reactivated."""
        scores = self.selective_modules[stage - 1](tokens, None if noise is None else noise[stage])
        active = None
        if positions is not None:
            row = torch.zeros_like(scores).unsqueeze(-1)
            active = scatter_tokens(row, positions, torch.ones_like(row[:, : positions.shape[1]])).squeeze(-1) > 0.5
        if mode == "threshold":
            wanted = scores >= 0.5 if active is None else (scores >= 0.5) & active
            chosen = wanted[0].nonzero().transpose(0, 1).to(torch.int32)
        else:
            kept = int(tokens.shape[1] * self.keep.selective[stage - 1])
            chosen = select_tokens(scores, kept, active)
        return Selection(f"selection_{stage * STAGE_BLOCKS}", chosen, scores)

    def _run_blocks(
        self, blocks: Sequence[nn.Module], tokens: Tensor, positions: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """All tokens, and the active ones, after the blocks: one gather and one scatter a stage."""
        active = tokens if positions is None else gather_tokens(tokens, positions)
        if active.shape[1] > 0:
            for block in blocks:
                active = block(active)
        return (active if positions is None else scatter_tokens(tokens, positions, active)), active

    def _feature_pyramid(
        self, level4: Tensor, spatial: Tensor, tokens: Tensor, grid: tuple[int, int]
    ) -> tuple[Tensor, ...]:
        shapes = adapter_shapes(grid)
        maps = torch.split(spatial.transpose(1, 2), [h * w for h, w in shapes], dim=2)
        level8, level16, level32 = (part.unflatten(2, shape) for part, shape in zip(maps, shapes, strict=True))
        image = tokens.transpose(1, 2).unflatten(2, grid)
        h, w = grid
        return (
            self.norm1(self.up(level8) + level4 + resize_bilinear(self.lateral4(image), (4 * h, 4 * w))),
            self.norm2(level8 + resize_bilinear(image, (2 * h, 2 * w))),
            self.norm3(level16 + image),
            self.norm4(level32 + F.avg_pool2d(image, 2)),
        )
