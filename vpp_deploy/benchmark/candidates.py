"""What is compared: engines that bundles have, and what a user would run instead."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from vpp_deploy.benchmark.names import NAIVE_ONNX, PEERS, TORCH_COMPILE
from vpp_deploy.bundle.reader import Bundle
from vpp_deploy.engines import BACKENDS, load_engine
from vpp_deploy.engines.engine_record import first_build_command
from vpp_deploy.engines.protocols import Engine
from vpp_deploy.errors import UsageError
from vpp_deploy.files.names import distinct_names
from vpp_deploy.options import options_of
from vpp_deploy.tasks.engines import TORCH, open_engine


@dataclass(frozen=True)
class Candidate:
    """One thing that is timed.

    Attributes:
        bundle: whose model it runs.
        engine: name of a backend or of a peer.
        options: of the backend's loading.
        called: the bundle in tables, see `distinct_names`.
    """

    bundle: Bundle
    engine: str
    options: Mapping[str, Any] = field(default_factory=dict)
    called: str = ""

    @property
    def name(self) -> str:
        """As in tables: bundle and engine."""
        return f"{self.called} {self.engine}"

    @property
    def takes_streams(self) -> bool:
        """Whether several streams may run at the same time; those of the PyTorch reference may not."""
        return self.engine not in (TORCH, TORCH_COMPILE)

    def open(self) -> Engine:
        """Load it.

        Raises:
            DependencyError: a package that it needs is not installed.
            IncompatibleEngineError: the bundle has no such engine, or one that does not fit.
        """
        if self.engine in BACKENDS:
            return load_engine(self.bundle, self.engine, **self.options)
        if self.engine == TORCH:
            return open_engine(self.bundle, TORCH)
        from vpp_deploy.benchmark import peers  # they need packages that running an engine does not

        opened: Engine = {
            TORCH_COMPILE: peers.compiled_reference,
            NAIVE_ONNX: peers.NaiveOnnxEngine,
        }[self.engine](self.bundle)
        return opened


def candidates(
    bundles: Sequence[Bundle], engines: Sequence[str], peers: Sequence[str], options: Mapping[str, Any]
) -> list[Candidate]:
    """What to compare: engines of all bundles first, then the peers on each bundle.

    Args:
        bundles: at least one.
        engines: backends; none takes every one that each bundle has an engine of.
        peers: names out of `PEERS`.
        options: of loading engines; each goes to the backends that know it.

    Raises:
        UsageError: an unknown name, a bundle that is given twice, or nothing to compare.
    """
    if unknown := [name for name in engines if name not in BACKENDS]:
        hint = (
            f"it is a peer here (--peer {unknown[0]})" if unknown[0] in PEERS else f"engines are {', '.join(BACKENDS)}"
        )
        raise UsageError(f"there is no engine {unknown[0]!r:.80}; {hint}")
    if unknown := [name for name in peers if name not in PEERS]:
        hint = f"it is an engine (--engine {unknown[0]})" if unknown[0] in BACKENDS else f"peers are {', '.join(PEERS)}"
        raise UsageError(f"there is no peer {unknown[0]!r:.80}; {hint}")
    resolved = [bundle.path.resolve() for bundle in bundles]
    if len(set(resolved)) < len(resolved):
        raise UsageError("a bundle is given twice; name each one once")
    found = []
    called = distinct_names([bundle.path for bundle in bundles])
    for bundle, name_of_bundle in zip(bundles, called, strict=True):
        names = engines or [name for name in BACKENDS if bundle.engine_folder(name).is_dir()]
        found += [Candidate(bundle, name, _known(name, options), name_of_bundle) for name in dict.fromkeys(names)]
    found += [
        Candidate(bundle, peer, called=name)
        for bundle, name in zip(bundles, called, strict=True)
        for peer in dict.fromkeys(peers)
    ]
    if not found:
        raise UsageError(f"bundle {bundles[0].path} has no engine; build one with: {first_build_command(bundles[0])}")
    if options and not any(candidate.options for candidate in found):
        raise UsageError(f"no engine that is compared knows the option {next(iter(options))!r}; leave it out")
    return found


def _known(engine: str, options: Mapping[str, Any]) -> dict[str, Any]:
    known = {option.name for option in options_of(BACKENDS[engine].load_options)}
    return {name: value for name, value in options.items() if name in known}
