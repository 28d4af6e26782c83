"""What holds for every DynamicViT, and what it costs."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from timm.models.vision_transformer import VisionTransformer
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from tests.families.lively import made_lively
from vpp_deploy.families.dynamicvit.config import DynamicViTConfig, parse_keep, published
from vpp_deploy.families.dynamicvit.model import DynamicViT
from vpp_deploy.families.dynamicvit.predictor import ScorePredictor

CONFIG = DynamicViTConfig(
    "small", width=32, depth=4, heads=2, keep=(0.5, 0.25), points=(1, 3), size=(64, 96), classes=5
)


def lively(config: DynamicViTConfig, seed: int = 0) -> DynamicViT:
    return made_lively(lambda: DynamicViT(config), seed)


@pytest.fixture
def images() -> torch.Tensor:
    return torch.randn(3, 3, *CONFIG.size, generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def test_output(images: torch.Tensor) -> None:
    model = lively(CONFIG)
    output = model(images)
    assert output.logits.shape == (3, 5)
    assert model.point_names == ("block_1", "block_3")
    assert model.keep_ratios == (0.5, 0.25)
    assert model.grid == (4, 6)
    assert [tuple(kept.shape) for kept in output.kept] == [(3, 12), (3, 6)]
    present = torch.arange(24).expand(3, -1)
    for significance, kept in zip(output.significance, output.kept, strict=True):
        assert kept.dtype == torch.int32
        assert significance.shape == (3, 4, 6)
        flat = significance.flatten(1)
        assert (flat.gather(1, present) > 0).all()
        assert (flat > 0).sum() == present.numel()
        best = flat.topk(kept.shape[1]).values
        torch.testing.assert_close(flat.gather(1, kept.long()), best, rtol=0, atol=0)
        present = kept.long()
    assert not output.kept[0].equal(output.kept[0].sort().values)


@torch.no_grad()
def test_images_of_a_batch_do_not_mix(images: torch.Tensor) -> None:
    model = lively(CONFIG)
    together = model(images)
    for index in range(3):
        alone = model(images[index : index + 1])
        torch.testing.assert_close(alone.logits[0], together.logits[index])
        for ours, theirs in zip(alone.kept, together.kept, strict=True):
            assert ours[0].equal(theirs[index])


@torch.no_grad()
def test_keep_1_is_the_dense_model(images: torch.Tensor) -> None:
    model = lively(replace(CONFIG, keep=(1, 1)))
    vars(model)["_modules"]["score_predictor"] = None  # it does not run
    dense = VisionTransformer(img_size=CONFIG.size, embed_dim=32, depth=4, num_heads=2, num_classes=5).eval()
    dense.load_state_dict(model.state_dict())
    output = model(images)
    assert output.kept == output.significance == model.point_names == ()
    torch.testing.assert_close(output.logits, dense(images))
    without = DynamicViT(CONFIG.dense())
    without.load_state_dict(dense.state_dict())
    torch.testing.assert_close(without(images).logits, dense(images))


@torch.no_grad()
def test_a_point_without_selection_uses_the_next_points_predictor(images: torch.Tensor) -> None:
    model = lively(replace(CONFIG, keep=(1, 0.5)))
    asked: list[torch.Tensor] = []
    model.score_predictor[1].register_forward_hook(lambda _, arguments, out: asked.append(out))
    output = model(images)
    assert model.point_names == ("block_3",)
    torch.testing.assert_close(asked[0].exp(), output.significance[0].flatten(1))


@torch.no_grad()
def test_the_selection_can_be_replaced(images: torch.Tensor) -> None:
    model = lively(CONFIG)
    seen: list[torch.Tensor | None] = []

    def last(_: object, arguments: tuple[torch.Tensor, int, torch.Tensor | None], rows: torch.Tensor) -> torch.Tensor:
        scores, count, positions = arguments
        seen.append(positions)
        return torch.arange(scores.shape[1] - count, scores.shape[1], dtype=torch.int32).expand(len(scores), -1)

    model.selection.register_forward_hook(last)
    output = model(images)
    assert output.kept[0][0].tolist() == list(range(12, 24))
    assert output.kept[1][0].tolist() == list(range(18, 24))
    assert seen[0] is None
    assert seen[1] is output.kept[0]


@torch.no_grad()
def test_scores_are_log_probabilities() -> None:
    torch.manual_seed(0)
    predictor = ScorePredictor(8)
    patches = torch.randn(2, 5, 8)
    scores = predictor(patches)
    assert scores.shape == (2, 5)
    assert (scores < 0).all()
    other = patches.clone()
    other[:, 1:] += 1 + torch.rand(2, 4, 8)
    assert not torch.allclose(predictor(other)[:, 0], scores[:, 0], atol=1e-6)  # it sees all that are left


def test_epsilons() -> None:
    """Too small to show in the golden data."""
    model = DynamicViT(CONFIG)
    assert {predictor.in_conv[0].eps for predictor in model.score_predictor} == {1e-5}
    norms = [norm for block in model.blocks for norm in (block.norm1, block.norm2)]
    assert {norm.eps for norm in (*norms, model.norm)} == {1e-6}


@torch.no_grad()
def multiply_accumulates(config: DynamicViTConfig) -> int:
    with torch.device("meta"):
        model, image = DynamicViT(config), torch.empty(1, 3, *config.size)
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        model(image)
    return counter.get_total_flops() // 2


@pytest.mark.parametrize(
    ("name", "keep", "paper"),
    [
        ("deit_256", "0.7", 1.3),
        ("deit_small", "0.9", 4.0),
        ("deit_small", "0.8", 3.4),
        ("deit_small", "0.7", 2.9),
        ("deit_base", "0.7", 11.4),
    ],
)
def test_published_cost(name: str, keep: str, paper: float) -> None:
    """The published figures are cut off after one digit: counted are 1.375, 4.041, 3.463, 2.981 and 11.476 G."""
    config = published(name, parse_keep(keep))
    count = multiply_accumulates(config)
    assert math.floor(count / 1e8) / 10 == paper
    assert count < multiply_accumulates(config.dense())
