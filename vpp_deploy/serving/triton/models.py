"""What a repository holds: names, and opening its bundle."""

from __future__ import annotations

from typing import Any, Final

from vpp_deploy.bundle.manifest import GraphRole
from vpp_deploy.engines import BACKENDS
from vpp_deploy.options import options_of
from vpp_deploy.serving.triton.settings import Placed, Settings
from vpp_deploy.tasks import load

BUNDLE: Final = "bundle"
"""Folder of the bundle in that of a model's version."""


def graph_model(name: str, role: GraphRole) -> str:
    """Name of the model of a graph that Triton runs, beside the model that clients ask."""
    return f"{name}_{role}"


def open_model(placed: Placed, settings: Settings, **options: Any) -> Any:
    """The model that `vpp_deploy.load` gives.

    Args:
        placed: where Triton has put it.
        settings: which engine, and how many threads it has.
        options: of the model.

    Raises:
        VppDeployError: see `vpp_deploy.load`.
    """
    known = {option.name for option in options_of(BACKENDS.find(settings.engine, "engine").load_options)}
    threads = {"threads": settings.threads} if "threads" in known else {}
    return load(placed.folder / BUNDLE, settings.engine, **threads, **options)
