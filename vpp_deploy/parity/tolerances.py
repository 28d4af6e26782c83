"""What counts as equal, by precision: the one table that parity is judged with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, TypeVar

from vpp_deploy.errors import UsageError

Bar = TypeVar("Bar")


@dataclass(frozen=True, slots=True)
class Tolerances:
    """The bar that an engine of one precision has to meet.

    Attributes:
        difference: largest absolute difference of logits, query features and state, teacher-forced, on frames in which
            both sides kept the same tokens.
        tie_margin: a token that only one side kept is a tie if its score is this close to the K-th best one.
        match_margin: a token's match in the previous frame may be a tie if the runner-up's similarity is this close to
            the best one, relative to it.
        mask_margin: a decision of the decoder's attention masks may be a tie if its mask logit is this close to 0.
        overlap: least share of kept tokens that both sides keep, free-running, mean over the frames of each selection
            point; in [0, 1].
        track_agreement: least share of frames with the same tracks and labels, free-running; in [0, 1].
        mask_iou: least mean intersection over union of the masks of the same track, free-running; in [0, 1].
        ties_everywhere: whether ties are to be expected in every frame. If not, a check in which not one frame could
            be compared tensor by tensor fails, for it proved nothing.
        task: largest difference of an average precision (tracks, boxes, masks) on a data set, in points of percent.
    """

    difference: float
    tie_margin: float
    match_margin: float
    mask_margin: float
    overlap: float
    track_agreement: float
    mask_iou: float
    ties_everywhere: bool = False
    task: float = 0.1


TOLERANCES: Final[Mapping[str, Tolerances]] = MappingProxyType(
    {
        "float32": Tolerances(
            difference=1e-3,
            tie_margin=1e-5,
            match_margin=1e-6,
            mask_margin=1e-3,
            overlap=0.999,
            track_agreement=1.0,
            mask_iou=0.99,
        ),
        # Measured on a CPU, and rounded up; not yet on a GPU. See docs/evaluation.md.
        "float16": Tolerances(
            difference=0.25,
            tie_margin=2e-3,
            match_margin=1e-3,
            mask_margin=0.1,
            overlap=0.9,
            track_agreement=0.9,
            mask_iou=0.95,
            ties_everywhere=True,
        ),
        "bfloat16": Tolerances(
            difference=2.0,
            tie_margin=2e-2,
            match_margin=8e-3,
            mask_margin=0.8,
            overlap=0.75,
            track_agreement=0.8,
            mask_iou=0.9,
            ties_everywhere=True,
        ),
    }
)


@dataclass(frozen=True, slots=True)
class ClassifierTolerances:
    """The bar that an engine of one precision has to meet on a model that classifies images or clips.

    Significance maps have a scale of their own for every picture, so what is said of them is relative to the largest
    absolute significance of the picture.

    Attributes:
        logits: largest absolute difference of the logits, where both sides kept the same patches.
        significance: largest difference of the patch significance maps, relative.
        tie_margin: a patch that only one side kept is a tie if its significance is this close to the K-th largest one;
            two patches in another order are one if theirs are this close to each other. Relative.
    """

    logits: float
    significance: float
    tie_margin: float


CLASSIFIER_TOLERANCES: Final[Mapping[str, ClassifierTolerances]] = MappingProxyType(
    {
        "float32": ClassifierTolerances(logits=1e-4, significance=1e-4, tie_margin=1e-5),
        # Measured on a CPU, and rounded up; not yet on a GPU. See docs/evaluation.md. The proposal is a ConvNet, which
        # bfloat16 leaves in float32.
        "float16": ClassifierTolerances(logits=0.1, significance=2e-3, tie_margin=1e-3),
        "bfloat16": ClassifierTolerances(logits=0.8, significance=1e-4, tie_margin=1e-5),
    }
)


def tolerances_for(precision: str) -> Tolerances:
    """The tolerances of a precision. Those of `float16` and `bfloat16` are provisional: not yet measured on a GPU.

    Raises:
        UsageError: no tolerances for this precision.
    """
    return _look_up(TOLERANCES, precision)


def classifier_tolerances_for(precision: str) -> ClassifierTolerances:
    """The same for a model that classifies images or clips."""
    return _look_up(CLASSIFIER_TOLERANCES, precision)


def _look_up(table: Mapping[str, Bar], precision: str) -> Bar:
    if precision not in table:
        raise UsageError(f"no parity tolerances for precision {precision!r}; there are some for {', '.join(table)}")
    return table[precision]
