"""What holds for every EViT, and what it costs."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from timm.models.vision_transformer import Attention, VisionTransformer
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from tests.families.lively import made_lively
from vpp_deploy.errors import CheckpointError
from vpp_deploy.families.evit.block import ScoringAttention, fused
from vpp_deploy.families.evit.config import EViTConfig, parse_keep, published
from vpp_deploy.families.evit.model import EViT
from vpp_deploy.families.evit.position_embedding import resized_position_embedding

CONFIG = EViTConfig(
    "small", width=32, depth=5, heads=2, keep=(0.5, 0.5, 0.5), points=(0, 2, 4), size=(64, 96), classes=5
)


def lively(config: EViTConfig, seed: int = 0) -> EViT:
    return made_lively(lambda: EViT(config), seed)


@pytest.fixture
def images() -> torch.Tensor:
    return torch.randn(3, 3, *CONFIG.size, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("fuse", [True, False])
@torch.no_grad()
def test_output(images: torch.Tensor, fuse: bool) -> None:
    model = lively(replace(CONFIG, fuse=fuse))
    output = model(images)
    assert output.logits.shape == (3, 5)
    assert model.point_names == ("block_0", "block_2", "block_4")
    assert model.keep_ratios == (0.5, 0.5, 0.5)
    assert model.grid == (4, 6)
    shapes = [(3, 4, 6), (3, 25), (3, 26)] if fuse else [(3, 4, 6)] * 3
    assert [tuple(significance.shape) for significance in output.significance] == shapes
    assert [kept.shape[1] for kept in output.kept] == ([12, 7, 4] if fuse else [12, 6, 3])
    present = torch.arange(24).expand(3, -1)
    for step, (significance, kept) in enumerate(zip(output.significance, output.kept, strict=True)):
        assert kept.dtype == torch.int32
        flat = significance.flatten(1)
        assert (flat.gather(1, present) > 0).all()
        assert (flat > 0).sum() == present.numel()
        assert (flat.sum(1) < 1).all()  # the class token attends to itself as well
        best = flat.topk(kept.shape[1]).values
        torch.testing.assert_close(flat.gather(1, kept.long()), best, rtol=0, atol=0)
        present = F.pad(kept.long(), (0, 1), value=24 + step) if fuse else kept.long()


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
    model = lively(replace(CONFIG, keep=(1, 1, 1)))
    dense = VisionTransformer(img_size=CONFIG.size, embed_dim=32, depth=5, num_heads=2, num_classes=5).eval()
    dense.load_state_dict(model.state_dict())
    output = model(images)
    assert output.kept == output.significance == model.point_names == ()
    torch.testing.assert_close(output.logits, dense(images))


def test_any_deit_checkpoint_fits() -> None:
    dense = VisionTransformer(img_size=CONFIG.size, embed_dim=32, depth=5, num_heads=2, num_classes=5)
    model = EViT(CONFIG)
    model.load_state_dict(dense.state_dict(), strict=True)
    norms = [norm for block in model.blocks for norm in (block.norm1, block.norm2)]
    assert {norm.eps for norm in (*norms, model.norm)} == {1e-6}


@torch.no_grad()
def test_attention() -> None:
    torch.manual_seed(0)
    plain = Attention(32, num_heads=4, qkv_bias=True).eval()
    tokens = torch.randn(2, 9, 32)
    attended, scores = ScoringAttention(plain)(tokens)
    torch.testing.assert_close(attended, plain(tokens))
    queries, keys, _ = plain.qkv(tokens).reshape(2, 9, 3, 4, 8).permute(2, 0, 3, 1, 4)
    full = (queries @ keys.transpose(2, 3) / 8**0.5).softmax(-1)
    torch.testing.assert_close(scores, full.mean(1)[:, 0, 1:])


@torch.no_grad()
def test_the_fused_token_is_the_weighted_sum_of_what_is_dropped() -> None:
    torch.manual_seed(0)
    tokens, scores = torch.randn(2, 6, 8), torch.rand(2, 6)
    kept = torch.tensor([[5, 0, 2], [1, 2, 3]], dtype=torch.int32)
    made = fused(tokens, scores, kept)
    for image, dropped in enumerate([[1, 3, 4], [0, 4, 5]]):
        wanted = sum(scores[image, row] * tokens[image, row] for row in dropped)
        torch.testing.assert_close(made[image, 0], wanted, rtol=0, atol=1e-6)


@torch.no_grad()
def test_the_selection_can_be_replaced(images: torch.Tensor) -> None:
    """Here the last tokens stay, and so the fused ones."""
    model = lively(CONFIG)
    seen: list[torch.Tensor | None] = []

    def last(_: object, arguments: tuple[torch.Tensor, int, torch.Tensor | None], rows: torch.Tensor) -> torch.Tensor:
        scores, count, positions = arguments
        seen.append(positions)
        return torch.arange(scores.shape[1] - count, scores.shape[1], dtype=torch.int32).expand(len(scores), -1)

    model.selection.register_forward_hook(last)
    output = model(images)
    assert output.kept[0][0].tolist() == list(range(12, 24))
    assert output.kept[1][0].tolist() == [*range(18, 24), 24]
    assert output.kept[2][0].tolist() == [22, 23, 24, 25]
    assert [None if positions is None else positions.shape[1] for positions in seen] == [None, 13, 8]


def test_resized_position_embedding() -> None:
    config = replace(CONFIG, pretrain_size=(32, 64))
    embedding = torch.randn(1, 1 + 2 * 4, 32)
    resized = resized_position_embedding(embedding, config)
    assert resized.shape == (1, 1 + 4 * 6, 32)
    assert resized[:, 0].equal(embedding[:, 0])
    grid = embedding[:, 1:].reshape(1, 2, 4, 32).permute(0, 3, 1, 2)
    wanted = F.interpolate(grid, size=(4, 6), mode="bicubic", align_corners=False)
    torch.testing.assert_close(resized[:, 1:], wanted.flatten(2).transpose(1, 2))
    assert resized_position_embedding(resized, CONFIG) is resized
    with pytest.raises(CheckpointError, match=r"pos_embed has shape \[1, 25, 32\]; small trained at 32x64 has \[1, 9"):
        resized_position_embedding(resized, config)


@torch.no_grad()
def multiply_accumulates(config: EViTConfig) -> int:
    with torch.device("meta"):
        model, image = EViT(config), torch.empty(1, 3, *config.size)
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        model(image)
    return counter.get_total_flops() // 2


@pytest.mark.parametrize(
    ("keep", "paper"), [("1", 4.6), ("0.9", 4.0), ("0.8", 3.5), ("0.7", 3.0), ("0.6", 2.6), ("0.5", 2.3)]
)
def test_published_cost(keep: str, paper: float) -> None:
    config = published("deit_small", parse_keep(keep))
    count = multiply_accumulates(config)
    assert round(count / 1e9, 1) == paper
    dense = multiply_accumulates(config.dense())
    assert count == dense if keep == "1" else count < dense
