"""What libraries do by themselves: print lines of their own, send telemetry, start too many threads."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from vpp_deploy.machine import available_processors, processor_quota

_VERBOSITIES: Final = {"HF_HUB_VERBOSITY": "error", "TRANSFORMERS_VERBOSITY": "error"}
"""Libraries with handlers of their own read these when they are imported."""
_TELEMETRY: Final = "ORT_DISABLE_TELEMETRY"
"""Read by ONNX Runtime when it is imported; it would send data, and warn where it cannot store an identifier."""


@contextmanager
def quiet(*, debug: bool) -> Iterator[None]:
    """A block in which libraries neither warn nor log: that does not belong beside our one line.

    Args:
        debug: let them; so do `python -W` and `PYTHONWARNINGS`.
    """
    if debug or sys.warnoptions:
        yield
        return
    for name, value in _VERBOSITIES.items():
        os.environ.setdefault(name, value)
    handler = logging.NullHandler()  # without any, Python prints what is logged
    logging.getLogger().addHandler(handler)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            logging.getLogger().removeHandler(handler)


def send_nothing() -> None:
    """Let no library report what is run here, unless the user has said otherwise."""
    os.environ.setdefault(_TELEMETRY, "1")


def keep_to_quota() -> None:
    """Let libraries with threads of their own (PyTorch, numpy) start as many as a container's quota has time for.

    They read the number of processors, which a quota leaves as it is.
    """
    if processor_quota() is not None:
        os.environ.setdefault("OMP_NUM_THREADS", str(available_processors()))
