"""Workers that are actors of a Ray cluster."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from typing import Any, Final

from vpp_deploy.corpus.crew import Event
from vpp_deploy.corpus.plan import Job
from vpp_deploy.corpus.worker import Setup, Worker
from vpp_deploy.engines import BACKENDS
from vpp_deploy.errors import DependencyError, DeviceError, VppDeployError

_PATIENCE: Final = 10.0
"""Seconds for a cluster to answer."""


class RayActors:
    """A crew of plain actors. Bundle, corpus and results must be reachable under the same names from every node.

    An actor that has died is not started again by Ray: calls to one that restarts fail at once, and would use up the
    attempts of healthy items. The supervisor hires another one.

    Args:
        setup: what they run items with.
        address: of a cluster that runs, as `ray.init` takes it; `auto` finds one on this machine.

    Raises:
        DependencyError: Ray is not installed.
        DeviceError: no cluster is there.
    """

    def __init__(self, setup: Setup, address: str) -> None:
        try:
            import ray
        except ModuleNotFoundError as error:
            raise DependencyError(
                "ray is not installed, and --ray needs it; install it with: pip install vpp-deploy[ray]"
            ) from error
        self._ray = ray
        try:
            _check_reachable(address)
            ray.init(address=address, log_to_driver=False, logging_level="ERROR", ignore_reinit_error=True)
        except (OSError, RuntimeError, ValueError) as error:
            reason = str(error).strip().partition("\n")[0]
            raise DeviceError(f"no Ray cluster at {address!r} ({reason}); start one with: ray start --head") from error
        gpus = 1 if BACKENDS[setup.backend].runs_on == "gpu" else 0
        resources = {"num_cpus": setup.load_options.get("threads") or 1, "num_gpus": gpus}
        self._actor = ray.remote(max_restarts=0, max_task_retries=0, **resources)(_Actor)
        self._setup = setup
        self._handles: dict[int, Any] = {}
        self._waiting: dict[Any, int] = {}
        self._hired = 0

    def hire(self) -> int:
        """See `Crew`."""
        self._hired += 1
        handle = self._actor.remote(self._setup)
        self._handles[self._hired] = handle
        self._waiting[handle.ready.remote()] = self._hired
        return self._hired

    def give(self, worker: int, job: Job) -> None:
        """See `Crew`."""
        self._waiting[self._handles[worker].run.remote(job)] = worker

    def events(self, timeout: float) -> Sequence[Event]:
        """See `Crew`."""
        ready, _ = self._ray.wait(list(self._waiting), num_returns=1, timeout=timeout)
        return [self._hear(reference) for reference in ready]

    def dismiss(self) -> None:
        """See `Crew`."""
        for handle in self._handles.values():
            self._ray.kill(handle)
        self._handles.clear()
        self._waiting.clear()
        self._ray.shutdown()

    def _hear(self, reference: Any) -> Event:
        worker = self._waiting.pop(reference)
        try:
            said = self._ray.get(reference)
        except self._ray.exceptions.RayActorError:
            del self._handles[worker]
            return Event(worker, ended="before it was done (its actor died)")
        if isinstance(said, VppDeployError):
            return Event(worker, error=said)
        return Event(worker, said)


def _check_reachable(address: str) -> None:
    """See that somebody listens at `HOST:PORT`: Ray would wait for minutes.

    Raises:
        OSError, ValueError: nobody does.
    """
    host, separator, port = address.rpartition("://")[2].rpartition(":")
    if separator:
        socket.create_connection((host, int(port)), _PATIENCE).close()


class _Actor:
    """A worker, as Ray makes it on some node."""

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._worker: Worker | None = None

    def ready(self) -> VppDeployError | None:
        try:
            self._worker = Worker(self._setup)
        except VppDeployError as error:
            return error
        return None

    def run(self, job: Job) -> Any:
        assert self._worker is not None
        return self._worker.run(job)
