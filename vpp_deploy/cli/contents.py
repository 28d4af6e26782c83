"""What lies in a bundle beside its graphs: engines and parity summaries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from vpp_deploy.bundle import Bundle
from vpp_deploy.cli.environment import examine
from vpp_deploy.engines import BACKENDS
from vpp_deploy.engines.engine_record import EngineRecord, check_gpu, read_record, rebuild_command
from vpp_deploy.errors import VppDeployError
from vpp_deploy.machine import Gpu


@dataclass(frozen=True, slots=True)
class StoredEngine:
    """An engine in a bundle.

    Attributes:
        record: its fingerprint; None if that cannot be read.
        problem: why it does not fit this bundle, these packages or this machine; None if it does.
        note: why it cannot run here although it fits; None if it can.
    """

    record: EngineRecord | None
    problem: str | None
    note: str | None

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        record = self.record.model_dump(mode="json") if self.record else None
        return {"fits": self.problem is None, "problem": self.problem, "note": self.note, "record": record}


def stored_engines(bundle: Bundle) -> dict[str, StoredEngine]:
    """The engines of a bundle by backend."""
    backends = [backend for backend in BACKENDS if bundle.engine_folder(backend).is_dir()]
    if not backends:
        return {}
    here = examine()
    return {
        backend: StoredEngine(
            _record(bundle, backend), _problem(bundle, backend, here.gpus), here.backends[backend].cannot_run
        )
        for backend in backends
    }


def parity_summaries(bundle: Bundle) -> dict[str, Any]:
    """The parity summaries of a bundle by backend; None for one that is a link to something else.

    Raises:
        BundleError: one cannot be read.
    """
    found = {backend: bundle.parity_summary_path(backend) for backend in BACKENDS}
    return {backend: bundle.read_parity_summary(backend) for backend, path in found.items() if path.is_file()}


def _record(bundle: Bundle, backend: str) -> EngineRecord | None:
    try:
        return EngineRecord.read(bundle.engine_folder(backend))
    except (OSError, ValidationError):  # `_problem` tells
        return None


def _problem(bundle: Bundle, backend: str, gpus: Sequence[Gpu]) -> str | None:
    try:
        record = read_record(bundle, backend, BACKENDS[backend].required_version())
        check_gpu(record, gpus, rebuild_command(bundle, backend))
    except VppDeployError as error:
        return str(error)
    return None
