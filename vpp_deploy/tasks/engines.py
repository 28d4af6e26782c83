"""A bundle's engines by name, the PyTorch reference among them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from vpp_deploy.bundle.reader import Bundle
from vpp_deploy.engines import BACKENDS, load_engine
from vpp_deploy.engines.lowered import check_memory
from vpp_deploy.engines.protocols import Engine
from vpp_deploy.errors import UsageError
from vpp_deploy.families import STATIC, open_reference

TORCH: Final = "torch"
"""The PyTorch reference; it is made from the bundle's weights and needs no build."""


def open_engine(bundle: Bundle, name: str, selection: str = STATIC) -> Engine:
    """The PyTorch reference, or an engine that was built in the bundle.

    Raises:
        UsageError: the model's family does not select tokens in that way, or is not known here.
        DependencyError: PyTorch, or the backend's package, is not installed.
        IncompatibleEngineError: there is no such engine in the bundle, or it does not fit.
        CheckpointError, ConfigError: the bundle's weights or configuration do not make a reference.
        BundleError: the bundle needs more memory than is allowed.
    """
    if name != TORCH:
        return load_engine(bundle, name)
    check_memory(bundle)
    return open_reference(bundle, selection)


def check_engines(engines: Sequence[str | Engine]) -> list[str]:
    """The names of engines to evaluate, seen to make sense before anything is loaded.

    Raises:
        UsageError: no engine, an unknown name, or one twice.
    """
    names = [engine if isinstance(engine, str) else getattr(engine, "backend", "") for engine in engines]
    for engine, name in zip(engines, names, strict=True):
        if not name:
            raise UsageError(f"{engine!r:.80} is no engine; give its name, or what load_engine made")
    if not names:
        raise UsageError("no engine to evaluate; name at least one")
    for name in names:
        if name not in (TORCH, *BACKENDS):
            raise UsageError(f"unknown engine {name!r}; use one of {', '.join((TORCH, *BACKENDS))}")
    if len(set(names)) < len(names):
        raise UsageError(f"engines {', '.join(names)}: each can be evaluated once; leave the second out")
    return names
