"""EViT against the original: scores, kept tokens in order, fused tokens, logits."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch

from tests.golden_data import PRUNED_VIT, Array, Model, by_place, check_choice
from vpp_deploy.families.evit.config import EViTConfig
from vpp_deploy.families.evit.model import EViT
from vpp_deploy.families.evit.position_embedding import resized_position_embedding

pytestmark = pytest.mark.golden
ATOL, SCORE_ATOL = 2e-5, 1e-5


def config_of(golden: Model, case: str) -> EViTConfig:
    content = golden.config
    model, rates = content["model"], content["cases"][case]["keep_rate"]
    points = tuple(block for block, rate in enumerate(rates) if rate < 1)
    return EViTConfig(
        name=golden.folder.name,
        width=model["embed_dim"],
        depth=model["depth"],
        heads=model["num_heads"],
        keep=tuple(rates[block] for block in points),
        points=points,
        fuse=model["fuse_token"],
        patch=model["patch_size"],
        size=(content["input_side"], content["input_side"]),
        pretrain_size=(model["img_size"], model["img_size"]),
        classes=model["num_classes"],
        mlp_ratio=model["mlp_ratio"],
    )


def loaded(golden: Model, case: str) -> EViT:
    model = EViT(config_of(golden, case))
    weights = dict(golden.weights)
    weights["pos_embed"] = resized_position_embedding(weights["pos_embed"], model.config)
    model.load_state_dict(weights, strict=True)
    return model


def with_names(kept: Array, before: Array, scores: Array, patches: int) -> Array:
    """The original's positions with N + i instead of -1: of several fused tokens the best stay, best first."""
    named = kept.copy()
    for row, tokens, values in zip(named, before, scores, strict=True):
        best_first = tokens[np.argsort(-values, kind="stable")]
        row[row < 0] = best_first[best_first >= patches][: (row < 0).sum()]
    return named


def with_fused(positions: Array, fused: int | None) -> Array:
    return positions if fused is None else np.pad(positions, ((0, 0), (0, 1)), constant_values=fused)


@pytest.mark.parametrize(("golden", "case"), PRUNED_VIT.cases("*", family="EViT"))
def test_case(golden: Model, case: str) -> None:
    arrays, model = golden.arrays, loaded(golden, case)
    config = model.config
    outs: dict[int, Array] = {}
    for number, block in enumerate(model.blocks):
        block.register_forward_hook(
            lambda _, arguments, out, number=number: outs.update(
                {number: (out if isinstance(out, torch.Tensor) else out.tokens).numpy()}
            )
        )
    with torch.no_grad():
        output = model(torch.from_numpy(arrays["image"]))
    np.testing.assert_allclose(output.logits.numpy(), arrays[f"{case}/logits"], rtol=0, atol=ATOL)

    theirs = np.tile(np.arange(config.patches, dtype=np.int32), (len(arrays["image"]), 1))
    ours = theirs
    after: dict[int, tuple[Array, Array]] = {-1: (theirs, ours)}  # a block: tokens from there on
    steps = {step.block: index for index, step in enumerate(config.schedule)}
    assert len(output.kept) == len(output.significance) == len(steps)
    for point in golden.config["cases"][case]["points"]:
        name = point["block"]
        scores = arrays[f"{case}/scores_{name}"]
        kept = with_names(arrays[f"{case}/kept_{name}"], theirs, scores, config.patches)
        if name not in steps:  # nothing is dropped, and nothing selected
            np.testing.assert_array_equal(np.sort(kept), np.sort(theirs))
            theirs = kept
            after[name] = (theirs, ours)
            continue
        index = steps[name]
        ours, significance = output.kept[index].numpy(), output.significance[index].flatten(1).numpy()
        assert ours.dtype == np.int32
        assert ours.shape[1] == point["kept"]
        assert significance.shape[1] == config.patches + (index if config.fuse else 0)
        wanted = np.zeros_like(significance)
        np.put_along_axis(wanted, theirs, scores, 1)
        np.testing.assert_allclose(significance, wanted, rtol=0, atol=SCORE_ATOL)
        check_choice(ours, kept, wanted, f"{case}/kept_{name}")
        fused = config.patches + index if config.fuse else None
        theirs, ours = with_fused(kept, fused), with_fused(ours, fused)
        after[name] = (theirs, ours)

    names = [name for name in arrays if name.startswith(f"{case}/block_")]
    assert names
    for name in names:
        found = re.search(r"block_(\d+)_out", name)
        number = int(found[1]) if found else config.depth - 1
        theirs, ours = after[max(block for block in after if block <= number)]
        want, have = by_place(arrays[name], theirs, 1), by_place(outs[number], ours, 1)
        np.testing.assert_allclose(have, want, rtol=0, atol=ATOL, err_msg=name)
