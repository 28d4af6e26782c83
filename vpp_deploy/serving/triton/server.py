"""What the models share with the server that runs them. Imported in Triton alone, which brings `pb_utils`."""

from __future__ import annotations

import json
import logging
from concurrent.futures import CancelledError
from typing import Any, Final

import numpy as np
import triton_python_backend_utils as pb_utils

from vpp_deploy.errors import CapacityError, DependencyError, StreamError, UsageError, VideoError, VppDeployError

_log = logging.getLogger(__name__)
_OF_CLIENTS: Final = (UsageError, VideoError, StreamError)


def refuse_garbling_numpy() -> None:
    """See that arrays reach the server as they are: a server up to 24.10 silently garbles those of NumPy 2.

    Raises:
        DependencyError: they do not.
    """
    given = np.arange(1, 7, dtype=np.uint8).reshape(2, 3)
    # A tensor gives back the very array that it was made of; of another one's memory it makes an array itself.
    made = pb_utils.Tensor.from_dlpack("MADE", pb_utils.Tensor("GIVEN", given).to_dlpack())
    if not np.array_equal(made.as_numpy(), given):
        raise DependencyError(
            f"NumPy {np.__version__} does not fit this Triton server, which would garble frames and results: "
            "pip install 'numpy<2' for its Python, or take a server later than 24.10"
        )


def parameters_of(request: Any) -> dict[str, Any]:
    """The parameters of a request."""
    found: dict[str, Any] = json.loads(request.parameters() or "{}")
    return found


def inputs_of(request: Any) -> dict[str, Any]:
    """The tensors of a request by name, as arrays: views, which end with `execute`."""
    return {tensor.name(): tensor.as_numpy() for tensor in request.inputs()}


def picture_bytes(array: Any) -> bytes:
    """The one element of a tensor of bytes.

    Raises:
        UsageError: there are more, or none.
    """
    if array.size != 1:
        raise UsageError(f"JPEG holds {array.size} pictures; send one")
    return bytes(array.reshape(-1)[0])


def error_response(error: BaseException) -> Any:
    """A response with an error: what a client can mend is its fault, a full pool is for later, the rest is ours."""
    codes = pb_utils.TritonError
    if isinstance(error, CapacityError):
        code, text = codes.UNAVAILABLE, str(error)
    elif isinstance(error, _OF_CLIENTS):
        code, text = codes.INVALID_ARG, str(error)
    elif isinstance(error, CancelledError):
        code, text = codes.CANCELLED, "the stream has ended before this frame"
    elif isinstance(error, VppDeployError):
        code, text = codes.INTERNAL, str(error)
    else:
        code, text = codes.INTERNAL, f"internal error: {type(error).__name__}: {error}"
        _log.error("internal error", exc_info=error)
    return pb_utils.InferenceResponse(error=pb_utils.TritonError(text, code))


def text_tensor(name: str, texts: list[str]) -> Any:
    """A tensor of strings."""
    return pb_utils.Tensor(name, np.array([text.encode() for text in texts], np.object_))


class _ServerLog(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        write = pb_utils.Logger.log_info
        if record.levelno >= logging.WARNING:
            write = pb_utils.Logger.log_warn if record.levelno < logging.ERROR else pb_utils.Logger.log_error
        write(self.format(record))


def log_to_server() -> None:
    """Send what vpp_deploy logs, from INFO on, to the server's log."""
    logger = logging.getLogger("vpp_deploy")
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logger.handlers = [_ServerLog()]
