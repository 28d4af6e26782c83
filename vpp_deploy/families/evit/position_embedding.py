"""The position embedding of an input that is larger or smaller than the one a model was trained with."""

from __future__ import annotations

from timm.layers.pos_embed import resample_abs_pos_embed
from torch import Tensor

from vpp_deploy.errors import CheckpointError
from vpp_deploy.families.evit.config import EViTConfig


def resized_position_embedding(embedding: Tensor, config: EViTConfig) -> Tensor:
    """The `pos_embed` of a checkpoint for the model's grid: bicubic, not antialiased; the class token's stays.

    Done once, when weights are loaded, so that a model stores what it adds.

    Args:
        embedding: `[1, 1 + n, C]`, n patches on `config.pretrain_grid`.
        config: of the model.

    Returns:
        `[1, 1 + N, C]`, N patches on `config.grid`; the same tensor if both grids are the same.

    Raises:
        CheckpointError: the embedding is not one of the pretrain grid and the model's width.
    """
    rows, columns = config.pretrain_grid
    expected = (1, 1 + rows * columns, config.width)
    if tuple(embedding.shape) != expected:
        raise CheckpointError(
            f"pos_embed has shape {list(embedding.shape)}; {config.name} trained at "
            f"{rows * config.patch}x{columns * config.patch} has {list(expected)}: "
            "check the size of the model, and give the image size that the checkpoint was trained with"
        )
    if config.pretrain_grid == config.grid:
        return embedding
    resized: Tensor = resample_abs_pos_embed(
        embedding,
        new_size=list(config.grid),
        old_size=list(config.pretrain_grid),
        interpolation="bicubic",
        antialias=False,
        align_corners=False,
    )
    return resized
