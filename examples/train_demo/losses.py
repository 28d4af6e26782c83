"""Matching and losses: Mask2Former's (Cheng et al., CVPR 2022, section 3.2), and those of the selection modules."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torch.nn import functional as F

from examples.train_demo.data import BACKGROUND, MIXED, Targets
from examples.train_demo.selective import SoftSelection

CLASS_WEIGHT, MASK_WEIGHT, DICE_WEIGHT = 2.0, 5.0, 5.0
NO_OBJECT_WEIGHT = 0.1
PIXEL_WEIGHT = 2.0
SELECTIVE_RATIO_WEIGHT, MAPPING_RATIO_WEIGHT = 40.0, 100.0
MAPPING_MEAN = 0.5
"""The mean soft score of Map-SM is pulled to this; how many tokens it keeps is fixed."""
OBJECT_WEIGHT = 4.0
ASSOCIATION_WEIGHT = 1.0
ASSOCIATION_TEMPERATURE = 30.0
OBJECT_COVERAGE = 0.25
"""Patches that objects cover by more than this share should be kept."""


class Assignment(NamedTuple):
    """Which object each query of a frame should show.

    Attributes:
        objects: `[B, Q + T]` object slot, -1 for none.
        counted: `[B, Q + T]` bool, False for empty track slots.
    """

    objects: Tensor
    counted: Tensor


class HeadLoss(NamedTuple):
    """Losses of one prediction layer, and how good its predictions are."""

    classes: Tensor
    masks: Tensor
    dice: Tensor
    accuracy: float
    iou: float

    @property
    def total(self) -> Tensor:
        """The weighted sum."""
        return CLASS_WEIGHT * self.classes + MASK_WEIGHT * self.masks + DICE_WEIGHT * self.dice


@torch.no_grad()
def assign(class_logits: Tensor, mask_logits: Tensor, targets: Targets, slots: Tensor, valid: Tensor) -> Assignment:
    """Hungarian matching of the learned queries; track queries keep the object that they were made from.

    Args:
        class_logits: `[B, Q + T, classes + 1]`.
        mask_logits: `[B, Q + T, h, w]`.
        targets: of this frame.
        slots: `[B, T]` object slot of each track query, -1 for a false positive.
        valid: `[B, T]` bool, whether the track slot is used at all.
    """
    batch, tracks = slots.shape
    learned = class_logits.shape[1] - tracks
    cost = _cost(class_logits[:, :learned], mask_logits[:, :learned], targets).cpu().numpy()
    objects = torch.full((batch, learned), -1, dtype=torch.int64)
    present = targets.valid.cpu().numpy()
    for row in range(batch):
        tracked = slots[row][valid[row]].tolist()
        free = np.array([slot for slot in np.flatnonzero(present[row]) if slot not in tracked], dtype=np.int64)
        if len(free):
            queries, columns = linear_sum_assignment(cost[row][:, free])
            objects[row, torch.from_numpy(queries)] = torch.from_numpy(free[columns])
    objects = objects.to(class_logits.device)
    there = (slots >= 0) & valid & targets.valid.gather(1, slots.clamp(min=0))
    objects = torch.cat([objects, torch.where(there, slots, -1)], dim=1)
    return Assignment(objects, torch.cat([torch.ones_like(objects[:, :learned], dtype=torch.bool), valid], dim=1))


def head_loss(class_logits: Tensor, mask_logits: Tensor, targets: Targets, assignment: Assignment) -> HeadLoss:
    """Classification, mask and dice loss of one prediction layer; shapes as in `assign`."""
    objects, counted = assignment
    matched = objects >= 0
    background = class_logits.shape[-1] - 1
    labels = torch.where(matched, targets.labels.gather(1, objects.clamp(min=0)), background)
    weights = torch.where(matched, 1.0, NO_OBJECT_WEIGHT) * counted
    entropy = F.cross_entropy(class_logits.flatten(0, 1), labels.flatten(), reduction="none")
    class_loss = (entropy * weights.flatten()).sum() / weights.sum()
    rows, queries = matched.nonzero(as_tuple=True)
    if len(rows) == 0:
        zero = mask_logits.sum() * 0
        return HeadLoss(class_loss, zero, zero, 1.0, 1.0)
    predicted = mask_logits[rows, queries].flatten(1)
    wanted = targets.masks[rows, objects[rows, queries]].flatten(1)
    mask_loss = F.binary_cross_entropy_with_logits(predicted, wanted)
    share = predicted.sigmoid()
    dice = 1 - (2 * (share * wanted).sum(1) + 1) / (share.sum(1) + wanted.sum(1) + 1)
    with torch.no_grad():
        accuracy = (class_logits[rows, queries].argmax(-1) == labels[rows, queries]).float().mean()
        inside, outside = (predicted > 0) & (wanted > 0.5), (predicted > 0) | (wanted > 0.5)
        iou = (inside.sum(1) / outside.sum(1).clamp(min=1)).mean()
    return HeadLoss(class_loss, mask_loss, dice.mean(), float(accuracy), float(iou))


def pixel_loss(logits: Tensor, targets: Targets) -> Tensor:
    """Per-pixel classification from the mask features `[B, classes + 1, h, w]`: a help in training only."""
    return F.cross_entropy(logits, targets.pixel_classes)


def selection_loss(selections: list[SoftSelection], coverage: Tensor) -> Tensor:
    """Keep-ratio losses (VPP, training), and -log p(keep) of the patches that show objects.

    The second part is not in the paper: without it, at this scale, the selection learns to avoid the objects.

    Args:
        selections: decisions of one frame.
        coverage: `[B, N]` share of each patch that objects cover.
    """
    shown = (coverage > OBJECT_COVERAGE).to(coverage.dtype)
    total = coverage.new_zeros(())
    for selection in selections:
        if selection.target_ratio is None:
            total = total + MAPPING_RATIO_WEIGHT * (selection.keep_log_probability.exp().mean() - MAPPING_MEAN) ** 2
        else:
            total = total + SELECTIVE_RATIO_WEIGHT * (selection.decisions.mean() - selection.target_ratio) ** 2
        missed = -(selection.keep_log_probability * shown).sum() / shown.sum().clamp(min=1)
        total = total + OBJECT_WEIGHT * missed
    return total


def association_loss(similarity: Tensor, patches: Tensor, previous: Tensor) -> Tensor:
    """-log of the share of a token's similarity that goes to what it shows: the same object, or background.

    Not in the paper, whose backbone is pretrained. Trained from scratch, tokens share a large common part; whatever a
    token shows, the same few tokens of the previous frame then win its dot product, and Map-SM learns nothing.

    Args:
        similarity: `[B, N, N]` of each token with those of the previous frame, -inf for those that were pruned.
        patches: `[B, N]` what each token shows, see `Targets.patches`.
        previous: `[B, N]` the same of the previous frame.

    Returns:
        The mean over the tokens that show an object plus the mean over those that show background; tokens whose object
        was not there before do not count.
    """
    log_share = (similarity / ASSOCIATION_TEMPERATURE).log_softmax(-1)
    same = (patches[:, :, None] == previous[:, None]) & (similarity > -torch.inf)
    found = log_share.masked_fill(~same, -torch.inf).logsumexp(-1)
    counted = same.any(-1) & (patches != MIXED)
    total = similarity.new_zeros(())
    for group in (counted & (patches != BACKGROUND), counted & (patches == BACKGROUND)):
        if group.any():
            total = total - found[group].mean()
    return total


def _cost(class_logits: Tensor, mask_logits: Tensor, targets: Targets) -> Tensor:
    """`[B, Q, M]` matching cost, with the weights of the losses."""
    labels = targets.labels[:, None].expand(-1, class_logits.shape[1], -1)
    class_cost = -class_logits.softmax(-1).gather(2, labels)
    logits, wanted = mask_logits.flatten(2), targets.masks.flatten(2).transpose(1, 2)
    pixels = logits.shape[2]
    mask_cost = (F.softplus(-logits) @ wanted + F.softplus(logits) @ (1 - wanted)) / pixels
    share = logits.sigmoid()
    dice = 1 - (2 * share @ wanted + 1) / (share.sum(-1, keepdim=True) + wanted.sum(1)[:, None] + 1)
    return CLASS_WEIGHT * class_cost + MASK_WEIGHT * mask_cost + DICE_WEIGHT * dice
