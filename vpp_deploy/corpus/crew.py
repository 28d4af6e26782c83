"""Workers, wherever they are: what a supervisor asks of them, and what it hears."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from vpp_deploy.corpus.plan import Job
from vpp_deploy.corpus.worker import Outcome
from vpp_deploy.errors import VppDeployError


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to a worker.

    Attributes:
        worker: whom.
        outcome: of the job that it had; None where it has none yet: it is ready for its first.
        ended: how the worker ended, in words; None while it lives.
        error: of a worker that cannot work; the run must end.
    """

    worker: int
    outcome: Outcome | None = None
    ended: str | None = None
    error: VppDeployError | None = None


class Crew(Protocol):
    """Workers of one kind."""

    def hire(self) -> int:
        """Start a worker, and give its number. It says when it is ready."""
        ...

    def give(self, worker: int, job: Job) -> None:
        """Let a worker that waits run a job."""
        ...

    def events(self, timeout: float) -> Sequence[Event]:
        """What has happened; waits for so many seconds at most for the first event."""
        ...

    def dismiss(self) -> None:
        """End all workers, whatever they do."""
        ...
