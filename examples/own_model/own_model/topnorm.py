"""TopNorm: a small vision transformer that goes on with the patches whose tokens have the largest norm."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vpp_deploy.bundle import Bundle
from vpp_deploy.bundle.classification_manifest import ClassifierPreprocessing, CostSpec
from vpp_deploy.errors import ConfigError
from vpp_deploy.exporters.checkpoint import load_strictly, weights_of
from vpp_deploy.exporters.classifier import Classifier, ClassifierReference, export_classifier
from vpp_deploy.exporters.classifier_output import ClassifierOutput, PatchSelection
from vpp_deploy.exporters.flops import count_multiply_accumulates
from vpp_deploy.exporters.request import ExportRequest
from vpp_deploy.exporters.sources import check_one_source
from vpp_deploy.exporters.weights import Weights
from vpp_deploy.ops import gather_tokens

PATCH = 16
WIDTH = 32
LABELS = ("cat", "dog", "bird")


class Block(nn.Module):
    """A pre-norm transformer block, `[B, N, C]` to `[B, N, C]`."""

    def __init__(self, width: int, heads: int = 4) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, tokens: Tensor) -> Tensor:
        """All tokens attend to each other."""
        batch, count, width = tokens.shape
        parts = self.qkv(self.norm1(tokens)).reshape(batch, count, 3, self.heads, width // self.heads)
        query, key, value = parts.permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(query, key, value).transpose(1, 2).reshape(batch, count, width)
        tokens = tokens + self.out(mixed)
        return tokens + self.mlp(self.norm2(tokens))


class TopNorm(nn.Module):
    """The classifier.

    Args:
        keep: share of the patches that stay, in (0, 1).
        size: height and width of the image in pixels, multiples of 16.
        classes: how many.

    Raises:
        ConfigError: a value out of range.
    """

    family: ClassVar[str] = "topnorm"

    def __init__(self, keep: float = 0.5, size: tuple[int, int] = (64, 96), classes: int = len(LABELS)) -> None:
        super().__init__()
        self.keep, self.size, self.classes = keep, size, classes
        self.grid = size[0] // PATCH, size[1] // PATCH
        self.count = int(self.grid[0] * self.grid[1] * keep)
        if size[0] % PATCH or size[1] % PATCH or not 0 < keep < 1 or not self.count:
            raise ConfigError(
                f"keep ratio {keep} at {size[0]}x{size[1]}: sides must be multiples of {PATCH}, and a patch must stay"
            )
        self.embed = nn.Conv2d(3, WIDTH, PATCH, stride=PATCH)
        self.first, self.second = Block(WIDTH), Block(WIDTH)
        self.head = nn.Linear(WIDTH, classes)
        self.selection = PatchSelection()

    def forward(self, images: Tensor) -> ClassifierOutput:
        """`[B, 3, H, W]`, normalised, to logits `[B, classes]`, significance `[B, rows, columns]`, kept `[B, K]`."""
        tokens = self.first(self.embed(images).flatten(2).transpose(1, 2))
        significance = tokens.square().mean(-1).reshape(-1, *self.grid)
        kept = self.selection(significance, self.count)
        tokens = self.second(gather_tokens(tokens, kept))
        return ClassifierOutput(self.head(tokens.mean(1)), (significance,), (kept,))

    def config(self) -> dict[str, Any]:
        """What `TopNorm(**config)` is made of, for the manifest."""
        return {"keep": self.keep, "size": list(self.size), "classes": self.classes}


def export(request: ExportRequest, options: Any) -> Bundle:
    """`vpp-deploy export topnorm:tiny`, or `vpp_deploy.export(TopNorm(...), out=...)` with the weights in memory."""
    check_one_source(request)
    return export_classifier(request, lambda: _classifier(request), batch=1)


def reference(bundle: Bundle, selection: str) -> ClassifierReference:
    """The module that was exported, from the bundle's configuration and weights."""
    config = bundle.manifest.model.config
    model = TopNorm(**{**config, "size": tuple(config["size"])})
    load_strictly(model, weights_of(bundle), bundle.weights_path)
    return ClassifierReference(bundle, model)


def _classifier(request: ExportRequest) -> Classifier:
    model, weights = request.model, Weights.of(request)
    if not isinstance(model, TopNorm):
        model = TopNorm(float(request.keep or 0.5), request.size or (64, 96), weights.rows("head.bias") or len(LABELS))
    weights.fill(model.eval())
    pruned, _ = count_multiply_accumulates(model, (1, 3, *model.size))
    dense = TopNorm(1 - 1e-9, model.size, model.classes)
    dense.count = dense.grid[0] * dense.grid[1]
    names = LABELS if model.classes == len(LABELS) else tuple(f"class {label}" for label in range(model.classes))
    return Classifier(
        model=model,
        name="topnorm:tiny",
        family="topnorm",
        keep=f"{model.keep:g}",
        config=model.config(),
        size=model.size,
        preprocessing=ClassifierPreprocessing(mean=(127.5,) * 3, std=(127.5,) * 3),
        dataset="pets",
        class_names=names,
        points={"patches": model.keep},
        cost=CostSpec(dense=count_multiply_accumulates(dense, (1, 3, *model.size))[0], pruned=pruned),
        weights=weights.record,
    )


if __name__ == "__main__":
    torch.manual_seed(0)
    print(TopNorm()(torch.randn(1, 3, 64, 96)).logits)
