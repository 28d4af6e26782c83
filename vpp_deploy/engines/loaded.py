"""What every loaded engine says of itself."""

from __future__ import annotations

from vpp_deploy.bundle.manifest import FrameManifest, Manifest
from vpp_deploy.bundle.reader import Bundle
from vpp_deploy.engines.backend import Backend
from vpp_deploy.engines.engine_files import EngineFiles
from vpp_deploy.engines.engine_record import EngineRecord, read_record, rebuild_command
from vpp_deploy.engines.lowered import check_memory
from vpp_deploy.errors import UsageError
from vpp_deploy.frames import Size


class LoadedEngine:
    """Base of all engines, the PyTorch references among them: what their bundle says.

    Args:
        manifest: of the bundle that the engine was made from.
    """

    def __init__(self, manifest: Manifest) -> None:
        self._manifest = manifest

    @property
    def manifest(self) -> Manifest:
        """The manifest of the bundle that the engine was made from."""
        return self._manifest

    @property
    def frame_size(self) -> Size:
        """Height and width in pixels of the frames that the engine takes.

        Raises:
            UsageError: the model does not take frames.
        """
        if not isinstance(self._manifest, FrameManifest):
            raise UsageError(f"{self._manifest.model.name} takes tensors, not frames; it has no frame size")
        return self._manifest.frame_size


class BuiltEngine(LoadedEngine):
    """Base of the engines that a backend built and stored in a bundle: what their record says.

    Args:
        bundle: a bundle with a built engine.
        backend: which one.

    Raises:
        DependencyError: the backend is not installed.
        BundleError: the bundle needs more memory than is allowed.
        IncompatibleEngineError: no engine in the bundle, or it does not fit the bundle, this version or this machine.
    """

    def __init__(self, bundle: Bundle, backend: Backend) -> None:
        super().__init__(bundle.manifest)
        check_memory(bundle)
        self.record: EngineRecord = read_record(bundle, backend.name, backend.required_version())
        """The fingerprint of the engine's files."""
        advice = f"; build it with: {rebuild_command(bundle, backend.name)}"
        self.files = EngineFiles(bundle.engine_folder(backend.name), self.record.files, advice)
        """What it may load."""

    @property
    def backend(self) -> str:
        """The backend's name."""
        return self.record.backend

    @property
    def precision(self) -> str:
        """The arithmetic precision of the engine: `float32`, `float16` or `bfloat16`."""
        return self.record.precision
