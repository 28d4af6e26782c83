"""What is trained, in which order, and for how long."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from examples.train_demo.data import ClipSet

Selection = Literal["dense", "0.55"]


@dataclass(frozen=True)
class Stage:
    """A part of the training with its own size, schedule and learning rate.

    Attributes:
        name: also the name of the weights that it leaves.
        keep: keep schedule; all but `dense` have selection modules.
        steps: optimiser steps.
        batch: clips per step, over all processes.
        frames: consecutive frames per clip; from the second on there are track queries.
        size: height and width.
        learning_rate: at the start and at the end; in between a cosine.
        warmup: steps over which the learning rate rises from zero.
        dense_share: share of the steps that leave the selection out, so that the weights also serve dense inference.
    """

    name: str
    keep: Selection
    steps: int
    batch: int
    frames: int
    size: tuple[int, int]
    learning_rate: tuple[float, float]
    warmup: int = 100
    dense_share: float = 0.0


@dataclass(frozen=True)
class Recipe:
    """A whole training."""

    clips: ClipSet
    stages: tuple[Stage, ...]
    seed: int = 0
    weight_decay: float = 0.05
    betas: tuple[float, float] = (0.9, 0.98)
    clip_norm: float = 1.0
    offset_rate: float = 0.1
    """Learning rate of the deformable offsets, relative to the others."""
    selection_rate: float = 5.0
    """Learning rate of the selection modules, which start untrained, relative to the others."""


RECIPES = {
    "demo": Recipe(
        ClipSet(clips=6000),
        (
            Stage("small", "dense", 3000, 8, 1, (128, 192), (1e-3, 6e-4)),
            Stage("dense", "dense", 1200, 4, 2, (256, 384), (6e-4, 5e-5)),
            Stage("0.55", "0.55", 600, 4, 2, (256, 384), (2e-4, 1e-5), dense_share=0.25),
        ),
    ),
    "smoke": Recipe(
        ClipSet(clips=4, size=(64, 96)),
        (
            Stage("dense", "dense", 4, 2, 1, (64, 96), (1e-3, 5e-4), warmup=2),
            Stage("0.55", "0.55", 4, 2, 3, (64, 96), (1e-4, 1e-5), warmup=2, dense_share=0.25),
        ),
    ),
}
