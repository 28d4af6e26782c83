"""Comparison of an engine with the PyTorch reference over a sequence of frames."""

from vpp_deploy.parity.check import check_parity
from vpp_deploy.parity.render import render
from vpp_deploy.parity.report import ParityReport, store
from vpp_deploy.parity.task import TaskParity, check_task
from vpp_deploy.parity.tolerances import TOLERANCES, Tolerances

__all__ = ["TOLERANCES", "ParityReport", "TaskParity", "Tolerances", "check_parity", "check_task", "render", "store"]
