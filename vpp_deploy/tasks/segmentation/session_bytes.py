"""A session's snapshot as bytes, for a file or another process: safetensors, with JSON for what is no tensor.

Nothing in it is code. Whether it fits a bundle, `VideoSession.restore` sees.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import safetensors.numpy

from vpp_deploy.engines.stream_state import StreamState
from vpp_deploy.errors import UsageError
from vpp_deploy.files import interrupts
from vpp_deploy.tasks.segmentation.tracking.tracker import TrackerState

if TYPE_CHECKING:
    from vpp_deploy.tasks.segmentation.session import SessionState

_VERSION: Final = 1
_TEXT: Final = "session"
_STREAM: Final = "stream."
_TRACKER: Final = "tracker."
_ARRAYS: Final = ("identities", "features", "learned_queries", "last_seen", "fed")


def to_bytes(state: SessionState) -> bytes:
    """A snapshot as a safetensors file."""
    text = {
        "version": _VERSION,
        "phase": state.stream.phase,
        "bundle": state.stream.bundle,
        "next_identity": int(state.tracker.next_identity),
        "frames": int(state.frames),
        "last_index": int(state.last_index),
        "noise": state.noise,
    }
    tensors = {_TEXT: np.frombuffer(json.dumps(text, default=int).encode("ascii"), np.uint8)}
    tensors |= {_STREAM + name: np.ascontiguousarray(array) for name, array in state.stream.tensors.items()}
    tensors |= {_TRACKER + name: np.ascontiguousarray(getattr(state.tracker, name)) for name in _ARRAYS}
    return safetensors.numpy.save(tensors)


def parts(content: bytes) -> dict[str, Any]:
    """What a `SessionState` is made of.

    Raises:
        UsageError: the bytes are not what `to_bytes` gives.
    """
    try:
        tensors = {name: np.array(array) for name, array in safetensors.numpy.load(content).items()}
        text = json.loads(tensors.pop(_TEXT).tobytes())
        if text["version"] != _VERSION:
            raise UsageError(f"snapshot: it is of version {text['version']!r:.40}, this vpp-deploy reads {_VERSION}")
        stream = {name.removeprefix(_STREAM): array for name, array in tensors.items() if name.startswith(_STREAM)}
        arrays = {name: tensors[_TRACKER + name] for name in _ARRAYS}
        return {
            "stream": StreamState(text["phase"], stream, text["bundle"]),
            "tracker": TrackerState(**arrays, next_identity=text["next_identity"]),
            "frames": text["frames"],
            "last_index": text["last_index"],
            "noise": text["noise"],
        }
    except UsageError:
        raise
    except Exception as error:  # of safetensors, JSON, NumPy: the bytes may come from anywhere
        interrupts.let_pass(error)
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UsageError(f"snapshot: {len(content)} bytes that to_bytes() did not give ({reason:.100})") from error
