"""What families that prune a DeiT share: the network's parts under DeiT's names, its export and its reference."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from vpp_deploy.bundle.classification_manifest import ClassificationManifest, CostSpec
from vpp_deploy.bundle.reader import Bundle
from vpp_deploy.exporters.checkpoint import weights_of
from vpp_deploy.exporters.classifier import Classifier, ClassifierReference, export_classifier
from vpp_deploy.exporters.classifier_output import ClassifierOutput, PatchSelection
from vpp_deploy.exporters.deit_config import CLASSES, DeitConfig, DeitOptions
from vpp_deploy.exporters.flops import count_multiply_accumulates
from vpp_deploy.exporters.imagenet import classes_for, image_net_preprocessing
from vpp_deploy.exporters.labels import labels_of
from vpp_deploy.exporters.rebuilding import check_size, rebuilt
from vpp_deploy.exporters.request import ExportRequest
from vpp_deploy.exporters.weights import Tensors, Weights
from vpp_deploy.ops import gather_tokens


class PrunedDeit(nn.Module):
    """Base of pruned DeiTs. Parameters have DeiT's own names.

    Args:
        config: which model; its weights are random until they are loaded.

    Attributes:
        config: as given.
        selection: chooses the tokens; called once per step of `config.schedule`, in order.
    """

    family: ClassVar[str]
    config: DeitConfig

    def __init__(self, config: DeitConfig) -> None:
        super().__init__()
        deit = VisionTransformer(
            img_size=config.size,
            patch_size=config.patch,
            num_classes=config.classes,
            embed_dim=config.width,
            depth=config.depth,
            num_heads=config.heads,
            mlp_ratio=config.mlp_ratio,
        )
        self.config = config
        # The parts alone: timm's own ways of running them know nothing of pruning.
        self.patch_embed, self.cls_token, self.pos_embed = deit.patch_embed, deit.cls_token, deit.pos_embed
        self.blocks: nn.Module = deit.blocks
        self.norm, self.head = deit.norm, deit.head
        self.selection = PatchSelection()

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of patches."""
        return self.config.grid

    @property
    def point_names(self) -> tuple[str, ...]:
        """Names of the points that drop something, in the order of the output, e.g. `block_3`."""
        return tuple(f"block_{step.block}" for step in self.config.schedule)

    @property
    def keep_ratios(self) -> tuple[float, ...]:
        """What stays at each of these points, as configured."""
        return tuple(step.keep for step in self.config.schedule)

    def forward(self, images: Tensor) -> ClassifierOutput:
        """Classify `[B, 3, H, W]` of the configured size, normalised as the model was trained."""
        raise NotImplementedError

    def embedded(self, images: Tensor) -> Tensor:
        """Class token and patches with their position embedding, `[B, 1 + N, C]`."""
        patches = self.patch_embed(images)
        assert self.cls_token is not None
        assert self.pos_embed is not None
        return torch.cat([self.cls_token.expand(patches.shape[0], -1, -1), patches], dim=1) + self.pos_embed

    def classified(self, tokens: Tensor) -> Tensor:
        """Logits `[B, classes]` of the class token, after the final norm."""
        logits: Tensor = self.head(self.norm(tokens[:, 0]))
        return logits


def positions_at(positions: Tensor, rows: Tensor) -> Tensor:
    """Positions `[B, K]` int32 of the `rows` `[B, K]` among tokens at `positions` `[B, n]`."""
    # Gathered as floats, exact below 2^24: kernels for rows of tokens take no integers.
    return gather_tokens(positions.float().unsqueeze(-1), rows).squeeze(-1).to(torch.int32)


def _as_it_is(tensors: Tensors, config: Any) -> Mapping[str, Tensor]:
    return tensors


@dataclass(frozen=True)
class DeitFamily:
    """How a family exports its DeiTs.

    Attributes:
        name: of the family.
        prefix: before the names of its models.
        model: makes the model of a configuration.
        config_of: the configuration that was asked for: `(request, options, classes)`.
        config_type: of the model, to read it again.
        keep_text: keep ratios as `--keep` takes them.
        change: makes the model's tensors of a checkpoint's: `(tensors, config)`.
    """

    name: str
    prefix: str
    model: Callable[[Any], PrunedDeit]
    config_of: Callable[[ExportRequest, Any, int], DeitConfig]
    config_type: type[DeitConfig]
    keep_text: Callable[[Sequence[float]], str]
    change: Callable[[Tensors, Any], Mapping[str, Tensor]] = _as_it_is

    def export(self, request: ExportRequest, options: DeitOptions) -> Bundle:
        """Export a model: its graph, its weights and the manifest.

        Raises:
            ConfigError: a number of labels that the model does not have.
            CheckpointError: the checkpoint cannot be read, or does not fit.
            ExportError: a weight beyond the range of the precision, or a graph that a backend could not run.
            OutputError: the bundle cannot be written.
        """
        labels = labels_of(options.labels)
        return export_classifier(request, lambda: self._classifier(request, options, labels), options.batch)

    def open_reference(self, bundle: Bundle) -> ClassifierReference:
        """The PyTorch reference of a bundle of this family.

        Raises:
            CheckpointError, ConfigError: the bundle's weights or configuration do not make a model.
        """
        config = self.config_type.from_dict(bundle.manifest.model.config)
        check_size(bundle, config.size, ClassificationManifest.of(bundle.manifest, "the reference").frame_size)
        return ClassifierReference(bundle, rebuilt(bundle, lambda: self.model(config), weights_of(bundle)))

    def cost_of(self, config: DeitConfig) -> CostSpec:
        """Multiply-accumulates for one image, dense and pruned, with whatever chooses the tokens."""
        with torch.device("meta"):
            models = self.model(replace(config, keep=(), points=())), self.model(config)
        dense, pruned = (count_multiply_accumulates(model, (1, 3, *config.size))[0] for model in models)
        return CostSpec(dense=dense, pruned=pruned)

    def _classifier(self, request: ExportRequest, options: DeitOptions, labels: Sequence[str] | None) -> Classifier:
        weights = Weights.of(request)
        if isinstance(request.model, PrunedDeit):
            model = request.model
        else:
            classes = weights.rows("head.weight") or (CLASSES if labels is None else len(labels))
            asked = self.config_of(request, options, classes)
            with torch.device("meta"):  # how many classes is what the file says
                empty = self.model(asked)
            weights.check(empty, lambda found: self.change(found, asked))
            model = self.model(asked)
        config = model.config
        weights.fill(model, lambda found: self.change(found, config))
        dataset, class_names = classes_for(config.classes, labels)
        return Classifier(
            model=model,
            name=self.prefix + config.name,
            family=self.name,
            keep=self.keep_text(config.keep) or "1",
            config=config.to_dict(),
            size=config.size,
            preprocessing=image_net_preprocessing(),
            dataset=dataset,
            class_names=class_names,
            points=dict(zip(model.point_names, model.keep_ratios, strict=True)),
            sequential=True,
            cost=self.cost_of(config),
            weights=weights.record,
        )
