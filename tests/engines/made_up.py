"""A backend that comes from elsewhere, whole: its record, its options, its build and its engine."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import Any

from vpp_deploy.bundle.reader import Bundle
from vpp_deploy.engines.backend import Ability, Backend, BuildProgress, Surroundings
from vpp_deploy.engines.engine_record import EngineRecord, engine_writer
from vpp_deploy.engines.fingerprint import option_texts
from vpp_deploy.engines.loaded import BuiltEngine
from vpp_deploy.engines.lowered import lowered_graph
from vpp_deploy.engines.protocols import HostStream
from vpp_deploy.options import option


@dataclass(frozen=True)
class BuildOptions:
    polish: int = option(1, "How often to polish.", metavar="N", minimum=1)


@dataclass(frozen=True)
class LoadOptions:
    shine: bool = option(False, "Shine while running.")


@dataclass(frozen=True)
class Build:
    bundle: Bundle
    options: BuildOptions

    @property
    def wanted(self) -> EngineRecord:
        return EngineRecord.wanted(self.bundle, BACKEND, options=option_texts(polish=self.options.polish))

    def run(self, progress: BuildProgress) -> None:
        with engine_writer(self.bundle, BACKEND.name) as (folder, finish):
            for role in self.bundle.manifest.roles:
                with lowered_graph(self.bundle, role, folder, BACKEND.name) as lowered:
                    shutil.copy(lowered, folder / f"{role}.onnx")
                    progress(role, 1.0)
            shutil.copy(self.bundle.weights_path, folder)
            finish(self.wanted)


class Engine(BuiltEngine):
    def __init__(self, bundle: Bundle, options: LoadOptions) -> None:
        import onnxruntime  # which happens to run ONNX

        super().__init__(bundle, BACKEND)
        self.options = options
        self._sessions: dict[str, Any] = {
            role: onnxruntime.InferenceSession(self.files.path(f"{role}.onnx"), providers=["CPUExecutionProvider"])
            for role in bundle.manifest.roles
        }

    def open_stream(self) -> HostStream:
        return HostStream(self.manifest, lambda role, names, feed: self._sessions[role].run(names, feed))


def examine(surroundings: Surroundings) -> Ability:
    return Ability(cannot_run=None if surroundings.installed("numpy") else "no numbers")


BACKEND = Backend(
    name="made-up",
    title="Made Up",
    extra=None,
    distributions=("made-up-runtime", "numpy"),
    module="made_up_runtime",
    runs_on="cpu",
    build_options=BuildOptions,
    load_options=LoadOptions,
    examine=examine,
    prepare=Build,
    load=Engine,
)
