"""What counts as equal: the bars that parity is judged with, one for each task.

Their values are facts of a precision: `vpp_deploy.exporters.precision`.
"""

from __future__ import annotations

from dataclasses import dataclass


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


@dataclass(frozen=True, slots=True)
class ClassifierTolerances:
    """The bar that an engine of one precision has to meet on a model that classifies images or clips.

    Significance maps have a scale of their own for every picture, so what is said of them is relative to the largest
    absolute significance of the picture.

    Attributes:
        logits: largest absolute difference of the logits, where both sides kept the same patches.
        features: of a model without classes, largest difference of its features in such pictures, relative to the
            largest one.
        significance: largest difference of the patch significance maps, relative.
        tie_margin: a patch that only one side kept is a tie if its significance is this close to the K-th largest one;
            two patches in another order are one if theirs are this close to each other. Relative.
    """

    logits: float
    features: float
    significance: float
    tie_margin: float

    def of(self, tensor: str) -> float:
        """The bar of an output, by its name: `logits`, `features`, or a significance map."""
        return {"logits": self.logits, "features": self.features}.get(tensor, self.significance)


@dataclass(frozen=True, slots=True)
class TensorTolerances:
    """The bar that an engine of one precision has to meet on a model whose outputs are not interpreted.

    Attributes:
        difference: largest absolute difference of an output or a state tensor of floats, relative to the largest
            absolute value of the reference's tensor, or to 1 where that is smaller.
    """

    difference: float
