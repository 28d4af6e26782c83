"""A session of a model whose tensors nobody interprets: inputs in, outputs out, the state in between."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType

import numpy as np

from vpp_deploy.arguments import checked
from vpp_deploy.bundle.tensors_manifest import TensorsManifest
from vpp_deploy.engines.one_thread import one_thread
from vpp_deploy.engines.protocols import Array, Engine, EngineStream, Rewinds, StreamState, check_engine
from vpp_deploy.engines.stream_state import check_finite_state
from vpp_deploy.errors import UsageError
from vpp_deploy.tasks.contract import check_finite


class TensorSession:
    """One stream on one engine, call by call and strictly in order, for one thread at a time.

    ```python
    with TensorSession(engine) as session:
        for frame in frames:
            outputs = session({"frame": frame})
    ```

    Args:
        engine: any engine of a bundle for plain tensors.
        allow_nonfinite: give outputs that hold NaN or infinity, too.

    Raises:
        UsageError: a bundle for another task.
    """

    @checked
    def __init__(self, engine: Engine, allow_nonfinite: bool = False) -> None:
        check_engine("a tensor session", engine)
        self.manifest = TensorsManifest.of(engine.manifest, "a tensor session")
        self.engine = engine
        self.stream: EngineStream = engine.open_stream()
        self._allow_nonfinite, self._calls = allow_nonfinite, 0

    def __enter__(self) -> TensorSession:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.reset()

    @one_thread
    def __call__(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Run the next frame, and carry the state on if there is one. Whatever is raised, the state is as it was.

        Args:
            inputs: every input by its name in the manifest, of its shape and type.

        Returns:
            Every output by its name.

        Raises:
            UsageError: an input is missing, unknown, or of another shape or type.
            EngineOutputError: an output holds NaN or infinity, which is not allowed.
            StreamError: another thread is using the session.
        """
        mark = self.stream.mark() if isinstance(self.stream, Rewinds) else None
        try:
            outputs = self.stream.run(self.prepare(inputs))
            if not self._allow_nonfinite:
                check_finite(outputs, self.engine.backend, self._calls, ", or allow it (--allow-nonfinite)")
        except BaseException:
            if isinstance(self.stream, Rewinds):
                self.stream.rewind(mark)
            raise
        self._calls += 1
        return outputs

    def prepare(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """The inputs, checked, as contiguous arrays."""
        specs = {spec.name: spec for spec in self.manifest.inputs}
        if unknown := sorted(inputs.keys() - specs.keys()):
            raise UsageError(f"unknown inputs {', '.join(unknown)}; the model takes {', '.join(specs)}")
        prepared = {}
        for name, spec in specs.items():
            if name not in inputs:
                raise UsageError(f"input {name} is missing; the model takes {', '.join(specs)}")
            array = np.ascontiguousarray(inputs[name]).reshape(np.shape(inputs[name]))
            if array.shape != spec.shape or array.dtype != spec.dtype:
                raise UsageError(
                    f"input {name} is {array.dtype} {list(array.shape)}, the model takes {spec.dtype} "
                    f"{list(spec.shape)}"
                )
            prepared[name] = array
        return prepared

    @one_thread
    def reset(self) -> None:
        """Forget the past: the next call is the first of a new stream."""
        self.stream.reset()
        self._calls = 0

    @one_thread
    def snapshot(self) -> StreamState:
        """A host copy of the state; later frames do not change it."""
        return self.stream.snapshot()

    @one_thread
    def restore(self, state: StreamState) -> None:
        """Continue from a snapshot of this session, or of another one on the same bundle (any engine).

        Raises:
            UsageError: it is of another bundle, or damaged. The session is as it was.
        """
        check_finite_state(state)
        self.stream.restore(state)
