"""Comparison of an engine with the PyTorch reference over a sequence of frames, or over images or clips."""

from vpp_deploy.parity.check import check_parity
from vpp_deploy.parity.classification import check_classification
from vpp_deploy.parity.classification_render import render_classification
from vpp_deploy.parity.classification_report import ClassificationParity
from vpp_deploy.parity.outcome import store
from vpp_deploy.parity.render import render
from vpp_deploy.parity.report import ParityReport
from vpp_deploy.parity.task import TaskParity, check_task
from vpp_deploy.parity.tolerances import CLASSIFIER_TOLERANCES, TOLERANCES, ClassifierTolerances, Tolerances

__all__ = [
    "CLASSIFIER_TOLERANCES",
    "TOLERANCES",
    "ClassificationParity",
    "ClassifierTolerances",
    "ParityReport",
    "TaskParity",
    "Tolerances",
    "check_classification",
    "check_parity",
    "check_task",
    "render",
    "render_classification",
    "store",
]
