"""PaPr on video transformers: VideoMAE's tokens are pruned once, before the first layer."""

from __future__ import annotations

from typing import Any, Final

from torch import Tensor, nn
from transformers import VideoMAEConfig, VideoMAEForVideoClassification

from vpp_deploy.exporters.classifier_output import ClassifierOutput, PatchSelection
from vpp_deploy.families.papr.hooks import changed_input
from vpp_deploy.families.papr.significance import checked_keep, clip_significance, kept_count
from vpp_deploy.families.papr.structure import require_structure
from vpp_deploy.ops import gather_tokens

NORM_EPS: Final = 1e-6
"""Epsilon of every layer norm in the published VideoMAE checkpoints; transformers' own defaults differ."""

_NEEDED: Final = {
    "videomae.embeddings.patch_embeddings": "tubelet embeddings",
    "videomae.encoder.layer.0": "transformer layers",
    "fc_norm": "mean pooling over the tokens",
    "classifier": "the classifier",
}


class PaprVideoMae(nn.Module):
    """A transformers `VideoMAEForVideoClassification` on the significant tubelets alone.

    Args:
        model: the transformer; its own forward runs, with fewer tokens.
        keep: keep ratio z in (0, 1]; `int(N * z)` of the N tokens stay.

    Raises:
        ConfigError: the keep ratio is out of range.
        ExportError: the model lacks a part that is needed.
    """

    def __init__(self, model: nn.Module, keep: float) -> None:
        super().__init__()
        require_structure(model, "a VideoMAE", _NEEDED)
        self.model, self.keep = model, checked_keep(keep)
        self.selection = PatchSelection()

    @property
    def grid(self) -> tuple[int, int, int]:
        """Token layers in time, rows and columns."""
        model: Any = self.model
        config, embeddings = model.config, model.videomae.embeddings.patch_embeddings
        (height, width), (patch_height, patch_width) = embeddings.image_size, embeddings.patch_size
        return config.num_frames // config.tubelet_size, height // patch_height, width // patch_width

    def forward(self, clip: Tensor, features: Tensor | None = None) -> ClassifierOutput:
        """Classify.

        Args:
            clip: `[B, 3, T, H, W]`, normalised.
            features: `[B, K, t, h, w]` of the proposal; not used when the keep ratio is 1.

        Raises:
            ExportError: the keep ratio keeps no token.
        """
        frames = clip.transpose(1, 2)
        if self.keep == 1:
            return ClassifierOutput(self.model(frames).logits, (), ())
        assert features is not None
        model: Any = self.model
        layers, rows, columns = self.grid
        tokens = layers * rows * columns
        significance = clip_significance(features, self.grid)
        count = kept_count(tokens, self.keep, tokens)
        kept = self.selection(significance, count)
        with changed_input(model.videomae.encoder.layer[0], lambda hidden: gather_tokens(hidden, kept)):
            logits = self.model(frames).logits
        return ClassifierOutput(logits, (significance,), (kept,))


def video_mae(config: VideoMAEConfig) -> VideoMAEForVideoClassification:
    """A VideoMAE classifier with the epsilons that the published checkpoints were trained with."""
    return with_checkpoint_epsilon(VideoMAEForVideoClassification(config))


def with_checkpoint_epsilon(model: VideoMAEForVideoClassification) -> VideoMAEForVideoClassification:
    """Set the epsilon of every layer norm to `NORM_EPS`, in place."""
    for module in model.modules():
        if isinstance(module, nn.LayerNorm):
            module.eps = NORM_EPS
    model.config.layer_norm_eps = NORM_EPS
    model.train(False)
    return model
