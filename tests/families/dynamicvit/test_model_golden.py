"""DynamicViT against the original: scores, kept patches in order, tokens, logits."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch

from tests.golden_data import PRUNED_VIT, Array, Model, by_place, check_choice
from vpp_deploy.families.dynamicvit.config import DynamicViTConfig
from vpp_deploy.families.dynamicvit.model import DynamicViT

pytestmark = pytest.mark.golden
ATOL, SCORE_ATOL = 2e-5, 1e-5


def config_of(golden: Model, case: str) -> DynamicViTConfig:
    content = golden.config
    model = content["model"]
    return DynamicViTConfig(
        name=golden.folder.name,
        width=model["embed_dim"],
        depth=model["depth"],
        heads=model["num_heads"],
        keep=tuple(content["cases"][case]["token_ratio"]),
        points=tuple(model["pruning_loc"]),
        patch=model["patch_size"],
        size=(model["img_size"], model["img_size"]),
        classes=model["num_classes"],
        mlp_ratio=model["mlp_ratio"],
    )


@pytest.mark.parametrize(("golden", "case"), PRUNED_VIT.cases("*", family="DynamicViT"))
def test_case(golden: Model, case: str) -> None:
    arrays = golden.arrays
    config = config_of(golden, case)
    model = DynamicViT(config)
    model.load_state_dict(golden.weights, strict=True)
    outs: dict[int, Array] = {}
    for number, block in enumerate(model.blocks):
        block.register_forward_hook(lambda _, arguments, out, number=number: outs.update({number: out.numpy()}))
    with torch.no_grad():
        output = model(torch.from_numpy(arrays["image"]))
    np.testing.assert_allclose(output.logits.numpy(), arrays[f"{case}/logits"], rtol=0, atol=ATOL)

    everything = np.tile(np.arange(config.patches, dtype=np.int32), (len(arrays["image"]), 1))
    theirs, ours = everything, everything
    after: dict[int, tuple[Array, Array]] = {-1: (theirs, ours)}  # a block: patches from there on
    steps = {step.index: number for number, step in enumerate(config.schedule)}
    for index, point in enumerate(golden.config["cases"][case]["points"]):
        before, theirs = theirs, arrays[f"{case}/kept_{index}"]
        assert theirs.shape[1] == point["kept"]
        if index in steps:
            number = steps[index]
            ours, probability = output.kept[number].numpy(), output.significance[number].flatten(1).numpy()
            assert ours.dtype == np.int32
            wanted = np.zeros_like(probability)
            np.put_along_axis(wanted, before, np.exp(arrays[f"{case}/scores_{index}"]), 1)
            np.testing.assert_allclose(probability, wanted, rtol=0, atol=SCORE_ATOL)
            check_choice(ours, theirs, wanted, f"{case}/kept_{index}")
        else:  # nothing is dropped, and nothing selected
            np.testing.assert_array_equal(np.sort(theirs), np.sort(before))
        after[config.points[index]] = (theirs, ours)
    assert len(output.kept) == len(output.significance) == len(steps)

    names = [name for name in arrays if name.startswith(f"{case}/block_")]
    assert names
    for name in names:
        found = re.search(r"block_(\d+)_out", name)
        number = int(found[1]) if found else config.depth - 1
        theirs, ours = after[max(block for block in after if block <= number)]
        want, have = by_place(arrays[name], theirs, 1), by_place(outs[number], ours, 1)
        np.testing.assert_allclose(have, want, rtol=0, atol=ATOL, err_msg=name)
