"""The engines that a bundle is evaluated on, by name; PyTorch is only needed for `torch`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Literal

from vpp_deploy.bundle.papr_manifest import PaprManifest
from vpp_deploy.bundle.reader import Bundle
from vpp_deploy.engine import Engine
from vpp_deploy.engines import BACKENDS, load_engine
from vpp_deploy.engines.store import RECORD_FILE
from vpp_deploy.errors import DependencyError, UsageError

TORCH: Final = "torch"
"""The PyTorch reference; it is made from the bundle's weights and needs no build."""

Mode = Literal["topk", "threshold"]
"""How tokens are selected: the best ones, a fixed number (as exported), or all that the model wants (as trained)."""


def check_engines(engines: Sequence[str | Engine], mode: Mode) -> None:
    """See that engines and mode make sense before anything is loaded.

    Raises:
        UsageError: no engine, an unknown name, one twice, or `threshold` with anything else than the name `torch`.
    """
    names = [engine if isinstance(engine, str) else engine.backend for engine in engines]
    if not names:
        raise UsageError("no engine to evaluate; name at least one")
    for engine, name in zip(engines, names, strict=True):
        if name not in (TORCH, *BACKENDS):
            raise UsageError(f"unknown engine {name!r}; use one of {', '.join((TORCH, *BACKENDS))}")
        if mode == "threshold" and engine != TORCH:
            raise UsageError(f"selection by threshold is for {TORCH}, not for {name}: a graph keeps a fixed number")
    if len(set(names)) < len(names):
        raise UsageError(f"engines {', '.join(names)}: each can be evaluated once; leave the second out")


def open_engine(bundle: Bundle, name: str, mode: Mode = "topk") -> Engine:
    """The PyTorch reference, or an engine that was built in the bundle.

    Raises:
        UsageError: `threshold` for a bundle of family `papr`.
        DependencyError: PyTorch, or the backend's package, is not installed.
        IncompatibleEngineError: there is no such engine in the bundle, or it does not fit.
        CheckpointError, ConfigError: the bundle's weights or configuration do not make a reference.
    """
    if name != TORCH:
        return load_engine(bundle, name)
    classifier = isinstance(bundle.manifest, PaprManifest)
    if classifier and mode == "threshold":
        raise UsageError(f"selection by threshold: {bundle.manifest.model.name} keeps a fixed number of patches")
    try:
        return _classifier(bundle) if classifier else _detector(bundle, mode)
    except ImportError as error:
        raise DependencyError(
            f"the engine {TORCH} is PyTorch, which cannot be imported ({error}); pip install 'vpp-deploy[export]'"
        ) from error


def _classifier(bundle: Bundle) -> Engine:
    from vpp_deploy.models.papr.reference import PaprTorchEngine

    return PaprTorchEngine(bundle)


def _detector(bundle: Bundle, mode: Mode) -> Engine:
    from vpp_deploy.models.reference import TorchEngine

    engine = TorchEngine(bundle)
    if mode == "threshold":
        _select_by_threshold(engine.graph.detector)
    return engine


def engine_record(bundle: Bundle, name: str) -> Path | None:
    """The file that changes when an engine is built again; None for one that is not built."""
    path = bundle.engine_folder(name) / RECORD_FILE
    return path if path.is_file() else None


def _select_by_threshold(detector: Any) -> None:
    """Have a `VppDetector` select by threshold from now on; the graph that calls it knows only the exported way."""
    from vpp_deploy.models.backbone import BackboneOutput, Selection

    def choose(_: Any, arguments: tuple[Any, ...], named: dict[str, Any]) -> tuple[Any, Any]:
        return arguments, named | {"mode": "threshold"}

    def fill(_: Any, arguments: tuple[Any, ...], output: BackboneOutput) -> BackboneOutput:
        """After a frame that kept nothing there is no map selection: all tokens are active. Report that as one."""
        state = arguments[1]
        if state is None or state.positions.shape[1] or detector.config.keep.is_dense:
            return output
        scores = output.selections[0].scores.new_ones(output.selections[0].scores.shape)
        positions = scores.nonzero()[:, 1].unsqueeze(0).to(state.positions.dtype)
        return output._replace(selections=(Selection("map_selection", positions, scores), *output.selections))

    detector.register_forward_pre_hook(choose, with_kwargs=True)
    detector.backbone.register_forward_hook(fill)
