"""Configurations: everything that defines a VPP model besides its weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import isfinite
from typing import Any, ClassVar, Final, Literal

from vpp_deploy.errors import ConfigError, ExportError
from vpp_deploy.exporters.plain_config import MOST_LAYERS, PlainConfig, check_range
from vpp_deploy.families.vpp.datasets import DATASETS

ReferenceTokens = Literal["evaluation", "paper"]

PATCH_SIZE = 16
STAGE_BLOCKS = 3
"""Transformer blocks in each of the four stages (ViT-Adapter interaction indexes [0-2], [3-5], [6-8], [9-11])."""
STAGES = 4
SELECTIVE_NORM_EPS = 1e-5
DENSE_NORM_EPS = 1e-6
IMAGE_MEAN = (123.675, 116.28, 103.53)
IMAGE_STD = (58.395, 57.12, 57.375)


@dataclass(frozen=True)
class KeepSchedule:
    """Share of all N tokens that goes through the blocks from each selection point on; K = int(N · ratio).

    Attributes:
        name: `dense`, `0.55`, `0.4` or `custom`.
        mapping: ratio of the mapping selective module (before block 1, from the second frame on); None means dense.
        selective: ratios of the selective modules before blocks 3, 6 and 9; empty means dense.
    """

    name: str
    mapping: float | None = None
    selective: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if not self.is_dense:
            self._check_ratios()

    def _check_ratios(self) -> None:
        if self.mapping is None or len(self.selective) != STAGES - 1:
            raise ConfigError(
                f"keep schedule {self.describe()}: needs {STAGES} ratios (before blocks 1, 3, 6 and 9), "
                f"got {len(self.ratios)}"
            )
        for ratio in self.ratios:
            if not (isfinite(ratio) and 0 < ratio <= 1):
                raise ConfigError(f"keep schedule {self.describe()}: keep ratio {ratio:g} is outside (0, 1]")
        if list(self.ratios) != sorted(self.ratios, reverse=True):
            raise ConfigError(
                f"keep schedule {self.describe()} grows: a pruned token is never reactivated, "
                "so give the ratios in non-increasing order"
            )

    @property
    def is_dense(self) -> bool:
        """True when no token is ever pruned."""
        return self.mapping is None and not self.selective

    @property
    def ratios(self) -> tuple[float, ...]:
        """All ratios in the order of the blocks; empty when dense."""
        return (*(() if self.mapping is None else (self.mapping,)), *self.selective)

    def describe(self) -> str:
        """The schedule for a human: its name, or its ratios."""
        return self.name if self.name != "custom" else ",".join(f"{ratio:g}" for ratio in self.ratios)


DENSE = KeepSchedule("dense")
KEEP_SCHEDULES = {
    "dense": DENSE,
    "0.55": KeepSchedule("0.55", 0.7, (0.56, 0.448, 0.358)),
    "0.4": KeepSchedule("0.4", 0.6, (0.42, 0.294, 0.206)),
}


def parse_keep_schedule(text: str) -> KeepSchedule:
    """A keep schedule from its name (`dense`, `1.0`, `0.55`, `0.4`) or four ratios (`0.7,0.56,0.448,0.358`).

    Raises:
        ConfigError: not a schedule; a ratio outside (0, 1]; ratios that grow.
    """
    if text in KEEP_SCHEDULES:
        return KEEP_SCHEDULES[text]
    try:
        ratios = [float(part) for part in text.split(",")]
    except ValueError as error:
        raise ConfigError(
            f"keep schedule {text!r} is neither one of {', '.join(KEEP_SCHEDULES)} nor numbers"
        ) from error
    if ratios == [1.0]:
        return DENSE
    if len(ratios) == 1 and 0 < ratios[0] < 1:
        for schedule in KEEP_SCHEDULES.values():
            if not schedule.is_dense and float(schedule.name) == ratios[0]:
                return schedule
        raise ConfigError(
            f"no named keep schedule {text!r}: use one of {', '.join(KEEP_SCHEDULES)}, "
            "or four ratios, before blocks 1, 3, 6 and 9, such as 0.7,0.56,0.448,0.358"
        )
    return KeepSchedule("custom", ratios[0], tuple(ratios[1:]))


def _as_text(keep: Any) -> str:
    """What Python was given as `--keep` takes it: text, a number, or numbers in a list."""
    return ",".join(map(str, keep)) if isinstance(keep, list | tuple) else str(keep)


def _check_multiple(owner: str, width: int, parts: Mapping[str, int]) -> None:
    for name, part in parts.items():
        if width % part:
            raise ConfigError(f"{owner}: width {width} with {name} {part}; the width must be a multiple of it")


@dataclass(frozen=True)
class BackboneConfig:
    """ViT-Adapter backbone with token selection.

    Attributes:
        width: token channels D.
        heads: attention heads of the transformer blocks.
        stem_width: channels of the spatial prior module's stem.
        deform_heads: heads of the injectors' and extractors' deformable attention.
        deform_points: sampling points per head and level.
        selection_width: input width of the selection modules; None means D. (The published Small configuration says
            192 at D = 384, which cannot run: such a checkpoint only serves the dense schedule.)
        pretrain_grid: side of the square grid on which the position embedding is stored.
        block_norm_eps: epsilon of the blocks' layer norms; 1e-5 in the selective backbone, 1e-6 in the dense one.
    """

    width: int
    heads: int
    stem_width: int = 64
    deform_heads: int = 6
    deform_points: int = 4
    selection_width: int | None = None
    pretrain_grid: int = 14
    block_norm_eps: float = SELECTIVE_NORM_EPS

    def __post_init__(self) -> None:
        names = ("width", "heads", "stem_width", "deform_heads", "deform_points", "pretrain_grid")
        check_range("backbone", {name: getattr(self, name) for name in names})
        check_range("backbone", {"block_norm_eps": self.block_norm_eps}, 0, 1)
        if self.selection_width is not None:
            check_range("backbone", {"selection_width": self.selection_width}, 4)
        _check_multiple("backbone", self.width, {"heads": self.heads, "deform_heads": self.deform_heads})


@dataclass(frozen=True)
class HeadConfig:
    """Mask2Former head.

    Attributes:
        width: channels of features, queries and mask features.
        encoder_layers, encoder_ffn: pixel decoder.
        decoder_layers, decoder_ffn: transformer decoder.
        queries: learned queries.
        heads: attention heads everywhere.
        points: sampling points per head and level in the pixel decoder.
        norm_groups: groups of the group norms.
    """

    width: int = 256
    encoder_layers: int = 6
    encoder_ffn: int = 1024
    decoder_layers: int = 9
    decoder_ffn: int = 2048
    queries: int = 100
    heads: int = 8
    points: int = 4
    norm_groups: int = 32

    def __post_init__(self) -> None:
        names = ("width", "encoder_ffn", "decoder_ffn", "queries", "heads", "points", "norm_groups")
        check_range("head", {name: getattr(self, name) for name in names})
        layers = {"encoder_layers": self.encoder_layers, "decoder_layers": self.decoder_layers}
        check_range("head", layers, highest=MOST_LAYERS)
        _check_multiple("head", self.width, {"heads": self.heads, "norm_groups": self.norm_groups})


@dataclass(frozen=True)
class DetectorConfig(PlainConfig):
    """A whole VPP detector.

    Attributes:
        name: e.g. `vpp-small`.
        dataset: key of `DATASETS`, which gives the class names; `custom` with `classes`.
        keep: keep schedule.
        reference_tokens: which value of a token the next frame is matched against: `evaluation` (output of stage 0,
            what the published evaluation computes) or `paper` (the value before block 1).
        frame_size: height and width in pixels that the model was made for; an export may choose others.
        classes: names of classes of one's own, in label order; empty for a data set's.
    """

    family: ClassVar[str] = "vpp"

    name: str
    backbone: BackboneConfig
    head: HeadConfig
    dataset: str = "youtube-vis-2021"
    keep: KeepSchedule = field(default=KEEP_SCHEDULES["0.55"])
    reference_tokens: ReferenceTokens = "evaluation"
    frame_size: tuple[int, int] = (544, 960)
    classes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.classes and self.dataset != CUSTOM:
            raise ConfigError(f"classes of one's own belong to the data set {CUSTOM!r}, not to {self.dataset!r:.80}")
        if twice := [name for place, name in enumerate(self.classes) if name in self.classes[:place]]:
            raise ConfigError(f"two classes have the name {twice[0]!r:.60}; give each its own")
        if not self.classes and self.dataset == CUSTOM:
            raise ConfigError("there is no label; give a name for each class")
        if not self.classes and self.dataset not in DATASETS:
            raise ConfigError(f"unknown data set {self.dataset!r:.80}; known: {', '.join(DATASETS)}")

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes, in label order."""
        return self.classes or DATASETS[self.dataset]


CUSTOM: Final = "custom"
"""Data set of a configuration with classes of its own."""
MODELS = {
    "vpp-tiny": DetectorConfig("vpp-tiny", BackboneConfig(192, 3), HeadConfig()),
    "vpp-small": DetectorConfig("vpp-small", BackboneConfig(384, 6), HeadConfig()),
    "vpp-demo": DetectorConfig(
        "vpp-demo",
        BackboneConfig(96, 3, stem_width=16),
        HeadConfig(64, encoder_layers=2, encoder_ffn=256, decoder_layers=3, decoder_ffn=256, queries=20, norm_groups=8),
        dataset="shapes",
        frame_size=(256, 384),
    ),
    "vpp-micro": DetectorConfig(
        "vpp-micro",
        BackboneConfig(48, 3, stem_width=16),
        HeadConfig(32, encoder_layers=2, encoder_ffn=64, decoder_layers=3, decoder_ffn=64, queries=12),
        dataset="shapes",
        frame_size=(192, 320),
    ),
}


def model_config(
    name: str,
    keep: KeepSchedule | str | float | Sequence[float] = "0.55",
    dataset: str | None = None,
    classes: Sequence[str] | None = None,
) -> DetectorConfig:
    """A named configuration with a keep schedule, and a data set's class names or one's own.

    Raises:
        ExportError: unknown model or data set name.
        ConfigError: bad keep schedule; classes that are none, or beside a data set.
    """
    if name not in MODELS:
        raise ExportError(f"unknown model {name!r}; known: {', '.join(MODELS)}")
    config = MODELS[name]
    if classes is not None and dataset is not None:
        raise ConfigError(f"the data set {dataset!r:.80} has names for its classes; give either it or labels")
    dataset = dataset or (config.dataset if classes is None else CUSTOM)
    if classes is None and dataset not in DATASETS:
        raise ExportError(f"unknown data set {dataset!r}; known: {', '.join(DATASETS)}")
    schedule = keep if isinstance(keep, KeepSchedule) else parse_keep_schedule(_as_text(keep))
    backbone = replace(config.backbone, block_norm_eps=DENSE_NORM_EPS) if schedule.is_dense else config.backbone
    return replace(config, backbone=backbone, dataset=dataset, keep=schedule, classes=tuple(classes or ()))
