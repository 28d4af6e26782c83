"""Task accuracy: the average precision of a bundle's engines on a data set in YouTube-VIS layout."""

from vpp_deploy.tasks.segmentation.evaluation.dataset import Dataset, open_dataset
from vpp_deploy.tasks.segmentation.evaluation.report import EvaluationReport, EvaluationRun
from vpp_deploy.tasks.segmentation.evaluation.runner import evaluate, evaluate_predictions

__all__ = ["Dataset", "EvaluationReport", "EvaluationRun", "evaluate", "evaluate_predictions", "open_dataset"]
