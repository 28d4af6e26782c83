"""Everything that says which pruned model is meant, except for its weights. Nothing here needs PyTorch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from vpp_deploy.errors import ConfigError
from vpp_deploy.exporters.plain_config import PlainConfig


@dataclass(frozen=True)
class PaprConfig(PlainConfig):
    """A pruned model.

    Attributes:
        model: as `vpp_deploy.families.papr.catalogue.lookup` takes it.
        keep: keep ratio z in (0, 1]; 1 prunes nothing.
        proposal: name of the proposal; None for the model's default.
        size: height and width in pixels; None for what the model was trained with.
        stages: stages of a ConvNeXt or Swin that are pruned; None for all.
        merge: tokens that each block of the later half of a ViT merges (ToMe), at keep ratio 1 every block; 0 for none.
        classes: number of classes; None for as many as the model's published weights have.

    Raises:
        ConfigError: a keep ratio outside (0, 1], a negative number of merged tokens, or no classes.
    """

    family: ClassVar[str] = "papr"

    model: str
    keep: float
    proposal: str | None = None
    size: tuple[int, int] | None = None
    stages: tuple[int, ...] | None = None
    merge: int = 0
    classes: int | None = None

    def __post_init__(self) -> None:
        if not 0 < self.keep <= 1:
            raise ConfigError(f"keep ratio {self.keep}: it must be above 0 and at most 1 (1 keeps every patch)")
        if self.classes is not None and self.classes < 1:
            raise ConfigError(f"classes {self.classes}: it must be 1 or more")
        if self.merge < 0:
            raise ConfigError(f"merge {self.merge}: it must be 0 or more tokens")
