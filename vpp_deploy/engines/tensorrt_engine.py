"""TensorRT and TensorRT-RTX engines, built ahead of time. Running them needs a GPU and is not supported yet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from importlib import metadata

from vpp_deploy.bundle.manifest import Manifest, Phase
from vpp_deploy.bundle.reader import Bundle
from vpp_deploy.engine import EngineStream
from vpp_deploy.engines.build_contract import EXTRAS, BuildReport, Flavour
from vpp_deploy.engines.lowered import lowered_graph
from vpp_deploy.engines.store import EngineRecord, engine_writer, read_record, source_hashes
from vpp_deploy.engines.tensorrt_build import build_tensorrt_engine
from vpp_deploy.errors import DependencyError, DeviceError
from vpp_deploy.frames import Size

LOWERING = "tensorrt"


def installed_version(flavour: Flavour) -> str:
    """Version of the installed builder; its package has the flavour's name.

    Raises:
        DependencyError: it is not installed.
    """
    try:
        return metadata.version(flavour)
    except metadata.PackageNotFoundError as error:
        extra = EXTRAS[flavour]
        raise DependencyError(
            f"{flavour} is not installed; install it with: pip install vpp-deploy[{extra}]"
        ) from error


def build(bundle: Bundle, flavour: Flavour, compute_capabilities: Sequence[str] = ()) -> None:
    """Lower the graphs to standard ONNX and build an engine of each, in a child process.

    Args:
        bundle: where the graphs are, and where the engine goes.
        flavour: `tensorrt` (builds for the GPU that it runs on; not yet run) or `tensorrt-rtx` (needs no GPU).
        compute_capabilities: GPU generations, such as `8.9`; TensorRT-RTX only, none means its default set.

    Raises:
        DependencyError, DeviceError, BuildError, UsageError, OutputError: see `build_tensorrt_engine`.
    """
    version = installed_version(flavour)
    reports: dict[Phase, BuildReport] = {}
    with engine_writer(bundle, flavour) as (folder, finish):
        for phase in bundle.manifest.phases:
            with lowered_graph(bundle, phase, folder, LOWERING) as lowered:
                reports[phase] = build_tensorrt_engine(
                    lowered, folder / f"{phase}.engine", flavour=flavour, compute_capabilities=compute_capabilities
                )
        finish(
            EngineRecord(
                backend=flavour,
                backend_version=version,
                precision=bundle.manifest.precision,
                compute_capabilities=tuple(compute_capabilities),
                source=source_hashes(bundle),
                files={},
                details={phase: asdict(report) for phase, report in reports.items()},
            )
        )


class TensorRtEngine:
    """A built TensorRT or TensorRT-RTX engine. It can be inspected everywhere; opening a stream is not supported yet.

    Args:
        bundle: a bundle with an engine of this flavour.
        flavour: `tensorrt` or `tensorrt-rtx`.

    Raises:
        DependencyError: the runtime package is not installed.
        IncompatibleEngineError: no engine in the bundle, or it does not fit the bundle or this version.
    """

    def __init__(self, bundle: Bundle, flavour: Flavour) -> None:
        self.record = read_record(bundle, flavour, installed_version(flavour))
        self._manifest, self._flavour = bundle.manifest, flavour

    @property
    def manifest(self) -> Manifest:
        """The manifest of the bundle that the engine was made from."""
        return self._manifest

    @property
    def backend(self) -> str:
        """`tensorrt` or `tensorrt-rtx`."""
        return self._flavour

    @property
    def precision(self) -> str:
        """The arithmetic precision of the engine."""
        return self.record.precision

    @property
    def frame_size(self) -> Size:
        """Height and width in pixels of the frames that the engine takes."""
        return self._manifest.frame_size

    def open_stream(self) -> EngineStream:
        """Not supported yet.

        Raises:
            DeviceError: always; running needs a GPU and the TensorRT session, which this version does not have.
        """
        raise DeviceError(
            f"running a {self._flavour} engine needs an NVIDIA GPU and is not supported by this version; "
            "use --engine onnxruntime here"
        )
