"""What the golden data do not cover: rectangles, ties, misfits, and equality with the library at z = 1."""

from __future__ import annotations

import numpy as np
import pytest
import timm
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from timm.models.deit import VisionTransformerDistilled

from tests.families.papr.random_models import features, lively, small_convnext, small_swin, small_vit
from vpp_deploy.errors import ConfigError, ExportError, UsageError
from vpp_deploy.families.papr.model import PaprModel
from vpp_deploy.families.papr.significance import image_significance, kept_count

SMALL = {"vit": small_vit, "convnext": small_convnext, "swin": small_swin}


def images(batch: int = 2, size: tuple[int, int] = (64, 64)) -> torch.Tensor:
    return torch.randn(batch, 3, *size, generator=torch.Generator().manual_seed(3))


def run(model: PaprModel, image: torch.Tensor, *more: torch.Tensor):
    with torch.no_grad():
        return model(image, *more)


@pytest.mark.parametrize("family", SMALL)
def test_keeping_everything_is_the_library_model(family):
    model = SMALL[family]()
    output = run(PaprModel(model, None, 1.0), images())
    with torch.no_grad():
        assert torch.equal(output.logits, model(images()))
    assert output.kept == output.significance == ()


@pytest.mark.parametrize("family", ["vit", "swin"])
def test_rectangles_and_batches(family):
    model = SMALL[family](img_size=(64, 96))
    papr, image, maps = PaprModel(model, None, 0.4), images(3, (64, 96)), features(3)
    output = run(papr, image, maps)
    grids = [(4, 6)] if family == "vit" else [(16, 24), (8, 12), (4, 6), (2, 3)]
    assert [tuple(s.shape[1:]) for s in output.significance] == grids
    for b in range(3):  # each item as if it were alone
        alone = run(papr, image[b : b + 1], maps[b : b + 1])
        torch.testing.assert_close(alone.logits, output.logits[b : b + 1], atol=1e-5, rtol=1e-5)
        assert all(torch.equal(one, many[b : b + 1]) for one, many in zip(alone.kept, output.kept, strict=True))


@pytest.mark.parametrize(("conv_mlp", "stages"), [(False, None), (True, None), (False, (2,))])
def test_convnext_takes_any_size_and_either_kind_of_mlp(conv_mlp, stages):
    papr = PaprModel(small_convnext(conv_mlp=conv_mlp), None, 0.65, stages)
    output = run(papr, images(2, (96, 64)), features())
    grids = [(24, 16), (12, 8), (6, 4), (3, 2)]
    assert [tuple(s.shape[1:]) for s in output.significance] == [grids[i] for i in stages or range(4)]
    assert [k.shape[1] for k in output.kept] == [int(0.65 * grids[i][0] * grids[i][1]) for i in stages or range(4)]


def test_both_kinds_of_mlp_compute_the_same():
    linear, conv = small_convnext(), small_convnext(conv_mlp=True)
    conv.load_state_dict({k: v.reshape(conv.state_dict()[k].shape) for k, v in linear.state_dict().items()})
    outputs = [run(PaprModel(model, None, 0.65), images(), features()) for model in (linear, conv)]
    torch.testing.assert_close(outputs[0].logits, outputs[1].logits, atol=1e-5, rtol=1e-4)


def test_only_the_significant_patches_matter():
    """Changing patches that are not kept changes nothing; changing a kept one does."""
    papr, image, maps = PaprModel(small_vit(), None, 0.5), images(1), features(1, (4, 4))
    output = run(papr, image, maps)
    dropped = sorted(set(range(16)) - set(output.kept[0][0].tolist()))
    for patch, matters in ((dropped[0], False), (int(output.kept[0][0, -1]), True)):
        changed = image.clone()
        changed[..., patch // 4 * 16 : patch // 4 * 16 + 16, patch % 4 * 16 : patch % 4 * 16 + 16] += 1
        assert torch.equal(run(papr, changed, maps).logits, output.logits) != matters


def test_ties_go_to_the_lower_position():
    output = run(PaprModel(small_vit(), None, 0.5), images(), torch.ones(2, 8, 4, 4))
    assert output.kept[0].tolist() == [list(range(8))] * 2


def test_registers_and_distillation_tokens_stay():
    for model in (
        lively(VisionTransformerDistilled(img_size=64, embed_dim=32, depth=2, num_heads=2, num_classes=5)),
        small_vit(reg_tokens=3),
        small_vit(dynamic_img_size=True),
    ):
        output = run(PaprModel(model, None, 0.5), images(), features())
        assert output.kept[0].shape[1] == int(0.5 * (16 + model.num_prefix_tokens))
        assert output.logits.shape == (2, 5)


def test_dynamic_size_takes_its_grid_from_the_image():
    output = run(PaprModel(small_vit(dynamic_img_size=True), None, 0.5), images(1, (48, 80)), features(1))
    assert tuple(output.significance[0].shape[1:]) == (3, 5)


@pytest.mark.parametrize("prefix_tokens", [1, 2])
def test_merging_shortens_the_later_half(prefix_tokens):
    kind = VisionTransformerDistilled if prefix_tokens == 2 else None
    arguments = {"img_size": 64, "embed_dim": 32, "depth": 5, "num_heads": 2, "num_classes": 5}
    model = lively(kind(**arguments)) if kind else small_vit(depth=5)
    lengths = []
    papr = PaprModel(model, None, 0.75, merge=2)
    for block in model.blocks:
        block.norm2.register_forward_hook(lambda _, arguments, out: lengths.append(out.shape[1]))
    output = run(papr, images(), features())
    tokens = int(0.75 * (16 + prefix_tokens)) + prefix_tokens
    assert lengths == [tokens, tokens, tokens - 2, tokens - 4, tokens - 4]
    assert output.logits.isfinite().all()


@given(tokens=st.integers(1, 2000), keep=st.floats(1e-4, 1.0))
@settings(max_examples=200)
def test_kept_count(tokens, keep):
    try:
        count = kept_count(tokens, keep, tokens)
    except ExportError as error:
        assert int(tokens * keep) == 0
        smallest = float(str(error).rsplit(" ", 1)[1])
        assert 1 <= int(tokens * smallest) <= 2
    else:
        assert count == int(tokens * keep)


def test_kept_count_of_the_paper():
    """The published numbers of kept patches, among them products that are just below an integer."""
    ratios = (0.3, 0.4, 0.45, 0.5, 0.55)
    for tokens, patches, counts in (
        (197, 196, (59, 78, 88, 98, 108)),
        (257, 256, (77, 102, 115, 128, 141)),
        (576, 576, (172, 230, 259, 288, 316)),
        (1568, 1568, (470, 627, 705, 784, 862)),
    ):
        assert tuple(kept_count(tokens, ratio, patches) for ratio in ratios) == counts
    assert kept_count(100, 0.57, 100) == 56  # 0.57 · 100 = 56.99999...
    assert kept_count(37, 0.98, 36) == 36  # never more than there are


def test_significance_is_bicubic_with_aligned_corners():
    base = torch.zeros(1, 1, 3, 3)
    base[0, 0, 0, 0] = 1
    resized = image_significance(base, (5, 7))
    assert resized[0, 0, 0] == 1  # corners stay where they are
    cubic = 0.59375  # Keys' kernel with a = -0.75 half a pixel away
    np.testing.assert_allclose(resized[0, 1, 0], cubic - 0.09375, atol=1e-6)  # the edge is repeated outside
    assert resized.min() < 0


@pytest.mark.parametrize("keep", [0, -0.5, 1.01, float("nan")])
def test_keep_ratio_out_of_range(keep):
    with pytest.raises(ConfigError, match="keep ratio"):
        PaprModel(small_vit(), None, keep)


def test_keep_ratio_that_keeps_nothing_names_the_smallest():
    with pytest.raises(ExportError, match=r"none of the 16 patches; the smallest usable one is 0\.0589"):
        run(PaprModel(small_vit(global_pool="avg"), None, 0.05), images(), features())
    with pytest.raises(ExportError, match=r"none of the 4 patches of stage 3; the smallest usable one is 0\.2500"):
        run(PaprModel(small_swin(), None, 0.2), images(), features())


def test_no_proposal_and_no_features():
    with pytest.raises(UsageError, match="proposal"):
        run(PaprModel(small_vit(), None, 0.5), images())


MISFITS = {
    "beit_base_patch16_224": "BeitModel|Beit",
    "eva02_tiny_patch14_224": "Eva",
    "resnet18": "ResNet cannot be pruned",
    "convnextv2_atto": "mlp.grn",
    "swinv2_tiny_window8_256": "logit_scale",
    "vit_relpos_small_patch16_224": "VisionTransformerRelPos",
    "mixer_s32_224": "MlpMixer",
}


@pytest.mark.parametrize("name", MISFITS)
def test_misfits_are_told_what_is_missing(name):
    with torch.device("meta"):
        model = timm.create_model(name)
    with pytest.raises(ExportError, match=MISFITS[name]) as caught:
        PaprModel(model, None, 0.5)
    assert "has no" in str(caught.value) or "it has" in str(caught.value)


def test_options_that_a_family_lacks():
    with pytest.raises(ConfigError, match="no stages"):
        PaprModel(small_vit(), None, 0.5, stages=(0,))
    with pytest.raises(ConfigError, match="name one or more of 0 to 3"):
        PaprModel(small_swin(), None, 0.5, stages=(4,))
    with pytest.raises(ConfigError, match="in ViTs only"):
        PaprModel(small_convnext(), None, 0.5, merge=2)
    with pytest.raises(ConfigError, match="negative"):
        PaprModel(small_vit(), None, 0.5, merge=-1)
    with pytest.raises(ExportError, match="pools its tokens"):
        PaprModel(small_vit(global_pool="avg"), None, 0.5, merge=2)
