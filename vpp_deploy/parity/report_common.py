"""What every parity report needs: its time, its verdict as an error, its JSON, and its place in the bundle."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sized
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol, TypeVar

from vpp_deploy._version import __version__
from vpp_deploy.bundle.reader import Bundle
from vpp_deploy.engines import BACKENDS
from vpp_deploy.engines.backend import installed_version
from vpp_deploy.errors import ParityError


class Report(Protocol):
    """A parity report of any task, as far as the command line and the bundle use it."""

    @property
    def backend(self) -> str:
        """The engine's backend."""
        ...

    @property
    def passed(self) -> bool:
        """Whether the engine meets the bar."""
        ...

    def summary(self) -> dict[str, Any]:
        """The report without its single frames or samples, ready for JSON."""
        ...

    def to_dict(self) -> dict[str, Any]:
        """The whole report, ready for JSON."""
        ...

    def raise_for_failure(self) -> None:
        """Do nothing if the engine passed.

        Raises:
            ParityError: it did not; the message has the first problem.
        """
        ...


class Verdict(ABC):
    """The verdict of a report."""

    backend: str

    @property
    @abstractmethod
    def problems(self) -> list[str]:
        """What the engine misses the bar in, one line each; empty if it passed."""

    @property
    @abstractmethod
    def notes(self) -> list[str]:
        """What limits the check's meaning without failing it, one line each."""

    @property
    def passed(self) -> bool:
        """Whether the engine meets the bar."""
        return not self.problems

    def raise_for_failure(self) -> None:
        """Do nothing if the engine passed.

        Raises:
            ParityError: it did not; the message has the first problem.
        """
        if not self.problems:
            return
        first, *others = self.problems
        more = f" (and {len(others)} more)" if others else ""
        raise ParityError(
            f"the {self.backend} engine does not compute what PyTorch computes: {first}{more}; "
            "rebuild it with `vpp-deploy build-engine`, or see the full report with `vpp-deploy parity --json FILE`"
        )


R = TypeVar("R")


@contextmanager
def telling(
    interrupted: Callable[[R, BaseException], None], report: Callable[[], R], compared: Sized
) -> Iterator[None]:
    """A comparison, frame by frame: an error that ends it after the first one still leaves a report.

    Args:
        interrupted: gets the report on what was compared, and the error, which then goes on.
        report: makes it.
        compared: what there is so far.
    """
    try:
        yield
    except BaseException as error:
        if len(compared):
            interrupted(report(), error)
        raise


def store(bundle: Bundle, report: Report) -> Path:
    """Keep a report's summary in the bundle, replacing that of an older check of the same backend.

    Returns:
        The file.

    Raises:
        OutputError: the bundle cannot be written to.
    """
    return bundle.write_parity_summary(report.backend, report.summary())


def now() -> str:
    """UTC time, ISO 8601, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def json_ready(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Tuples as lists, and null for NaN and infinities, which JSON does not have."""
    return {key: _json_value(value) for key, value in fields.items()}


def _json_value(value: Any) -> Any:
    if isinstance(value, Mapping):
        return json_ready(value)
    if isinstance(value, list | tuple):
        return [_json_value(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def versions(backend: str) -> dict[str, str]:
    """Versions of this package and of those that computed, as far as they are installed."""
    record = BACKENDS.get(backend)  # None for the PyTorch reference
    ran = record.distribution() if record else None
    found = {"vpp-deploy": __version__, "torch": installed_version("torch")}
    found |= {ran.name: ran.version} if ran else {}
    found |= {"numpy": installed_version("numpy")}
    return {name: version for name, version in found.items() if version}
