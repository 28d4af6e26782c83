"""Workers that are processes of this machine."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Final

from vpp_deploy.corpus.crew import Event
from vpp_deploy.corpus.plan import Job
from vpp_deploy.corpus.worker import Outcome, Setup, Worker
from vpp_deploy.errors import VppDeployError

_PATIENCE: Final = 2.0
"""Seconds between a process's last word and its end."""


class Processes:
    """A crew of processes. They end with this one, however that ends.

    Args:
        setup: what they run items with.
    """

    def __init__(self, setup: Setup) -> None:
        self._context = multiprocessing.get_context("spawn")
        self._setup = setup
        self._living: dict[int, tuple[SpawnProcess, Connection]] = {}
        self._hired = 0

    def hire(self) -> int:
        """See `Crew`."""
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=_work, args=(self._setup, theirs), daemon=True)
        process.start()
        theirs.close()
        self._hired += 1
        self._living[self._hired] = process, ours
        return self._hired

    def give(self, worker: int, job: Job) -> None:
        """See `Crew`."""
        try:
            self._living[worker][1].send(job)
        except OSError:  # it has ended, and its end is the next event
            return

    def events(self, timeout: float) -> Sequence[Event]:
        """See `Crew`."""
        connections = {worker: connection for worker, (_, connection) in self._living.items()}
        speaking = wait(list(connections.values()), timeout)
        return [self._hear(worker) for worker, connection in connections.items() if connection in speaking]

    def dismiss(self) -> None:
        """See `Crew`."""
        for process, _ in self._living.values():
            process.kill()
        for process, connection in self._living.values():
            process.join()
            connection.close()
        self._living.clear()

    def _hear(self, worker: int) -> Event:
        process, connection = self._living[worker]
        try:
            said: Outcome | VppDeployError | None = connection.recv()
        except (EOFError, OSError):  # perhaps in the middle of a word
            process.join(_PATIENCE)
            process.kill()
            process.join()
            connection.close()
            del self._living[worker]
            return Event(worker, ended=_how(process.exitcode))
        if isinstance(said, VppDeployError):
            return Event(worker, error=said)
        return Event(worker, said)


def _how(status: int | None) -> str:
    if status is not None and status < 0:
        return f"by {signal.Signals(-status).name}"
    return f"with exit status {status}"


def _work(setup: Setup, driver: Connection) -> None:
    """The life of a worker's process."""
    threading.Thread(target=_end_with_driver, daemon=True).start()
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):  # sent to a whole group, they are for the driver
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    _be_silent()
    try:
        worker = Worker(setup)
    except VppDeployError as error:
        driver.send(error)
        return
    driver.send(None)
    while True:
        try:
            job: Job = driver.recv()
        except EOFError:
            return
        driver.send(worker.run(job))


def _end_with_driver() -> None:
    driver = multiprocessing.parent_process()
    assert driver is not None
    wait([driver.sentinel])
    os._exit(1)


def _be_silent() -> None:
    """What libraries print would disturb the driver's table."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    for descriptor in (1, 2):
        os.dup2(nothing, descriptor)
