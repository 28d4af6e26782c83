"""Whole videos and folders of images on one session: read, run, write what was asked for, and say how it went."""

from vpp_deploy.inference.classification import ClassificationOutputs, ClassificationSummary, run_classification
from vpp_deploy.inference.common import PARTS, Progress
from vpp_deploy.inference.video import Outputs, VideoSummary, run_video

__all__ = [
    "PARTS",
    "ClassificationOutputs",
    "ClassificationSummary",
    "Outputs",
    "Progress",
    "VideoSummary",
    "run_classification",
    "run_video",
]
