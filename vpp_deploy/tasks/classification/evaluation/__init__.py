"""Task accuracy: how often a classifier's best labels are the right ones, on pictures or clips whose class is known."""

from vpp_deploy.tasks.classification.evaluation.dataset import LabelledPictures, open_pictures
from vpp_deploy.tasks.classification.evaluation.report import ClassificationEvaluation, ClassificationRun
from vpp_deploy.tasks.classification.evaluation.runner import evaluate

__all__ = ["ClassificationEvaluation", "ClassificationRun", "LabelledPictures", "evaluate", "open_pictures"]
