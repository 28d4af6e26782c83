"""The detector in training: differentiable selection, track queries made from matches, and all losses of a clip."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from examples.train_demo.data import Frame, Targets
from examples.train_demo.losses import (
    ASSOCIATION_WEIGHT,
    PIXEL_WEIGHT,
    Assignment,
    HeadLoss,
    assign,
    association_loss,
    head_loss,
    pixel_loss,
    selection_loss,
)
from examples.train_demo.selective import SoftSelection, SoftSelectiveViTAdapter
from vpp_deploy.families.vpp.config import DetectorConfig, model_config
from vpp_deploy.families.vpp.detector import VppDetector
from vpp_deploy.families.vpp.layers import MultiScaleDeformableAttention

KEEP_TRACK = 0.8
"""Probability that a matched query becomes a track query of the next frame (VPP, training)."""
FALSE_TRACK = 0.2
"""Probability that an unmatched query becomes one."""


@dataclass(frozen=True)
class Tracks:
    """Track queries of a frame.

    Attributes:
        queries: `[B, T, C]`.
        slots: `[B, T]` object slot of each, -1 for a false positive.
        valid: `[B, T]` bool, whether the slot is used.
    """

    queries: Tensor
    slots: Tensor
    valid: Tensor


class TrainedDetector(nn.Module):
    """A detector with what only training needs: the per-pixel classifier.

    Args:
        keep: keep schedule; the selection modules exist unless it is dense.
    """

    def __init__(self, keep: str) -> None:
        super().__init__()
        config: DetectorConfig = model_config("vpp-demo", keep)
        self.detector = VppDetector(config)
        self.detector.backbone = SoftSelectiveViTAdapter(config.backbone, config.keep, config.reference_tokens)
        self.pixel_classifier = nn.Conv2d(config.head.width, len(config.class_names) + 1, 1)
        initialise_(self)

    @property
    def classes(self) -> int:
        """Number of classes, background not counted."""
        return len(self.detector.config.class_names)

    def forward(self, frames: list[Frame], dense: bool, generator: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        """Loss of a clip, averaged over its frames, and figures for the log."""
        backbone, head = self.detector.backbone, self.detector.panoptic_head
        state, tracks, log = None, None, {}
        total = frames[0].images.new_zeros(())
        for number, (images, targets) in enumerate(frames):
            noise = None if dense else _gumbel((4, *targets.coverage.shape, 2), generator, images)
            output = backbone.soft_forward(images, state, dense=dense, noise=noise)
            state = output.state
            decoded = (
                head(output.features)
                if tracks is None
                else head(output.features, track_queries=tracks.queries, track_valid=tracks.valid)
            )
            used = tracks or no_tracks(images)
            losses, assignment = self._decoder_losses(decoded.queries, decoded.mask_features, targets, used)
            pixels = pixel_loss(self.pixel_classifier(decoded.mask_features), targets)
            selection = selection_loss(output.selections, targets.coverage)
            for part in output.selections:
                if part.similarity is not None:
                    previous = frames[number - 1].targets.patches
                    selection = selection + ASSOCIATION_WEIGHT * association_loss(
                        part.similarity, targets.patches, previous
                    )
            total = total + sum(loss.total for loss in losses) + PIXEL_WEIGHT * pixels + selection
            log = _figures(losses[-1], pixels, selection, output.selections, targets.coverage)
            if number + 1 < len(frames):
                tracks = next_tracks(decoded.queries[-1], assignment, used, generator)
        return total / len(frames), {"loss": float(total.detach()) / len(frames), **log}

    def _decoder_losses(
        self, queries: tuple[Tensor, ...], mask_features: Tensor, targets: Targets, tracks: Tracks
    ) -> tuple[list[HeadLoss], Assignment]:
        head, losses = self.detector.panoptic_head, []
        for layer in queries:
            classes, masks = head.class_logits(layer), head.mask_logits(layer, mask_features)
            assignment = assign(classes, masks, targets, tracks.slots, tracks.valid)
            losses.append(head_loss(classes, masks, targets, assignment))
        return losses, assignment


def no_tracks(like: Tensor) -> Tracks:
    """No track slots at all."""
    empty = torch.zeros(like.shape[0], 0, dtype=torch.int64, device=like.device)
    return Tracks(like.new_zeros(like.shape[0], 0, 1), empty, empty.bool())


def next_tracks(queries: Tensor, assignment: Assignment, tracks: Tracks, generator: torch.Generator) -> Tracks:
    """Track queries for the next frame: matched queries, some dropped, and now and then a false one."""
    objects = assignment.objects
    # A track whose object is out of sight goes on being fed.
    kept_slots = torch.where(tracks.valid, tracks.slots, -1)
    followed = torch.cat([objects[:, : objects.shape[1] - kept_slots.shape[1]], kept_slots], dim=1)
    chance = torch.rand(followed.shape, generator=generator).to(queries.device)
    unmatched = (followed < 0) & assignment.counted
    false = unmatched & (chance < FALSE_TRACK / unmatched.sum(1, keepdim=True).clamp(min=1))
    chosen = ((followed >= 0) & (chance < KEEP_TRACK)) | false
    width = max(1, int(chosen.sum(1).max()))
    order = chosen.to(torch.int8).argsort(dim=1, descending=True, stable=True)[:, :width]
    valid = chosen.gather(1, order)
    picked = queries.gather(1, order[..., None].expand(-1, -1, queries.shape[-1]))
    return Tracks(picked, torch.where(valid, followed.gather(1, order), -1), valid)


@torch.no_grad()
def initialise_(model: TrainedDetector) -> None:
    """Starting values: Xavier for linear layers, a fan of directions for deformable offsets (Deformable DETR, A.4)."""
    for module in model.modules():
        if isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            nn.init.zeros_(module.bias) if module.bias is not None else None
    for module in model.modules():
        if isinstance(module, MultiScaleDeformableAttention):
            nn.init.zeros_(module.sampling_offsets.weight)
            nn.init.zeros_(module.attention_weights.weight)
            angles = torch.arange(module.heads) * (2 * math.pi / module.heads)
            directions = torch.stack([angles.cos(), angles.sin()], -1)
            directions = directions / directions.abs().amax(-1, keepdim=True)
            distances = torch.arange(1, module.points + 1)[:, None]
            fan = (directions[:, None, None] * distances).expand(-1, module.levels, -1, -1)
            module.sampling_offsets.bias.copy_(fan.flatten())
    backbone = model.detector.backbone
    for parameter in (backbone.pos_embed, backbone.level_embed):
        nn.init.normal_(parameter, std=0.02)


def _gumbel(shape: tuple[int, ...], generator: torch.Generator, like: Tensor) -> Tensor:
    uniform = torch.rand(shape, generator=generator).clamp(1e-6, 1 - 1e-6)
    return (-(-uniform.log()).log()).to(like.device)


def _figures(
    loss: HeadLoss, pixels: Tensor, selection: Tensor, selections: list[SoftSelection], coverage: Tensor
) -> dict[str, float]:
    figures = {
        "classes": float(loss.classes.detach()),
        "masks": float(loss.masks.detach()),
        "dice": float(loss.dice.detach()),
        "pixels": float(pixels.detach()),
        "selection": float(selection.detach()),
        "accuracy": loss.accuracy,
        "iou": loss.iou,
    }
    if selections:
        last = selections[-1].decisions.detach()
        shown = coverage >= 0.5
        figures["kept"] = float(last.mean())
        figures["kept_objects"] = float((last * shown).sum() / shown.sum().clamp(min=1))
    return figures
