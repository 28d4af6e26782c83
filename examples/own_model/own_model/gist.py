"""Gist: patches that changed since the last frame update a memory; the others keep what the memory holds of them.

The state is two tensors: the tokens of the last frame, and the memory. What comes out are numbers that vpp-deploy does
not interpret: a summary of the scene, and which patches were looked at.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from vpp_deploy.bundle import Bundle
from vpp_deploy.errors import ConfigError
from vpp_deploy.exporters.checkpoint import load_strictly, weights_of
from vpp_deploy.exporters.request import ExportRequest
from vpp_deploy.exporters.sources import check_one_source
from vpp_deploy.exporters.tensors import TensorModel, TensorsReference, export_tensors
from vpp_deploy.exporters.weights import Weights
from vpp_deploy.ops import gather_tokens, scatter_tokens, select_tokens

PATCH = 16
WIDTH = 32


class Gist(nn.Module):
    """The model, a pure function: what it remembers goes in and comes out.

    Args:
        keep: share of the patches that are looked at, in (0, 1).
        size: height and width of a frame in pixels, multiples of 16.

    Raises:
        ConfigError: a value out of range.
    """

    family: ClassVar[str] = "gist"

    def __init__(self, keep: float = 0.5, size: tuple[int, int] = (64, 96)) -> None:
        super().__init__()
        self.keep, self.size = keep, size
        self.count = int(size[0] // PATCH * (size[1] // PATCH) * keep)
        if size[0] % PATCH or size[1] % PATCH or not 0 < keep < 1 or not self.count:
            raise ConfigError(
                f"keep ratio {keep} at {size[0]}x{size[1]}: sides must be multiples of {PATCH}, and a patch must stay"
            )
        self.embed = nn.Conv2d(3, WIDTH, PATCH, stride=PATCH)
        self.norm = nn.LayerNorm(WIDTH)
        self.mlp = nn.Sequential(nn.Linear(2 * WIDTH, 4 * WIDTH), nn.GELU(), nn.Linear(4 * WIDTH, WIDTH))
        self.head = nn.Linear(WIDTH, 8)

    def forward(
        self, frame: Tensor, last: Tensor | None = None, memory: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """One frame.

        Args:
            frame: `[H, W, 3]` uint8 RGB.
            last: `[1, N, C]` tokens of the last frame; None on the first one.
            memory: `[1, N, C]`; None on the first frame.

        Returns:
            Summary `[1, 8]`, looked-at positions `[1, K]` int32, then the state: tokens and memory.
        """
        pixels = (frame.float() / 127.5 - 1.0).permute(2, 0, 1).unsqueeze(0)
        tokens = self.norm(self.embed(pixels).flatten(2).transpose(1, 2))
        if last is None or memory is None:
            last, memory = torch.zeros_like(tokens), torch.zeros_like(tokens)
        looked_at = select_tokens((tokens - last).square().mean(-1), self.count)
        before, now = gather_tokens(memory, looked_at), gather_tokens(tokens, looked_at)
        updated = before + self.mlp(torch.cat([before, now], dim=-1))
        memory = scatter_tokens(memory, looked_at, updated)
        return self.head(memory.mean(1)), looked_at, tokens, memory


def export(request: ExportRequest, options: Any) -> Bundle:
    """`vpp-deploy export gist:tiny`, or `vpp_deploy.export(Gist(...), out=...)` with the weights in memory."""
    check_one_source(request)
    return export_tensors(request, lambda: _model(request))


def reference(bundle: Bundle, selection: str) -> TensorsReference:
    """The module that was exported, from the bundle's configuration and weights."""
    config = bundle.manifest.model.config
    model = Gist(config["keep"], tuple(config["size"]))
    load_strictly(model, weights_of(bundle), bundle.weights_path)
    return TensorsReference(bundle, model)


def _model(request: ExportRequest) -> TensorModel:
    module, weights = request.model, Weights.of(request)
    if not isinstance(module, Gist):
        module = Gist(float(request.keep or 0.5), request.size or (64, 96))
    weights.fill(module)
    return TensorModel(
        module=module,
        name="gist:tiny",
        family="gist",
        inputs={"frame": torch.zeros(*module.size, 3, dtype=torch.uint8)},
        outputs=["summary", "looked_at"],
        state=["last", "memory"],
        keep=f"{module.keep:g}",
        config={"keep": module.keep, "size": list(module.size)},
        weights=weights.record,
    )
