"""What every parity report needs: its time, its verdict as an error, its JSON, and its place in the bundle."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, Protocol

from vpp_deploy._version import __version__
from vpp_deploy.bundle.reader import Bundle
from vpp_deploy.errors import ParityError


class Report(Protocol):
    """A report of any family, as far as the bundle keeps it."""

    @property
    def backend(self) -> str:
        """The engine's backend."""
        ...

    def summary(self) -> dict[str, Any]:
        """The report without its single frames or samples, ready for JSON."""
        ...


def store(bundle: Bundle, report: Report) -> Path:
    """Keep a report's summary in the bundle, replacing that of an older check of the same backend.

    Returns:
        The file.

    Raises:
        OutputError: the bundle cannot be written to.
    """
    return bundle.write_parity_summary(report.backend, report.summary())


def raise_for(problems: Sequence[str], backend: str) -> None:
    """Do nothing if there is no problem.

    Raises:
        ParityError: there is; the message has the first one.
    """
    if not problems:
        return
    first, *others = problems
    more = f" (and {len(others)} more)" if others else ""
    raise ParityError(
        f"the {backend} engine does not compute what PyTorch computes: {first}{more}; "
        "rebuild it with `vpp-deploy build-engine`, or see the full report with `vpp-deploy parity --json FILE`"
    )


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
    found = {"vpp-deploy": __version__}
    for package in ("torch", backend, f"{backend}-gpu", "numpy"):
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found
