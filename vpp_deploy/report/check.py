"""The page of a parity check that was just made."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from vpp_deploy.engines.protocols import Engine
from vpp_deploy.media.input_file import InputFile
from vpp_deploy.report.measurements import from_content
from vpp_deploy.report.page import Measured
from vpp_deploy.report.parity import Parity
from vpp_deploy.report.pictures import SHOWS, run_frames

_FRAMES: Final = 12


def measured_by(report: Mapping[str, Any], engine: Engine, source: InputFile) -> Measured:
    """What a page shows of a check: the check, and frames of its source, if that can be read a second time.

    Args:
        report: what `to_dict` gave.
        engine: that was checked.
        source: what it was checked on.

    Raises:
        VideoError: the source can no longer be read.
        EngineOutputError: the engine gives NaN or infinity.
    """
    check = from_content(report, Parity, "parity", "the report")
    again = engine.manifest.task in SHOWS and Path(source).exists()
    moments = run_frames(engine, source, _FRAMES) if again else ()
    return Measured(parity=[check], moments=moments, source=Path(source).name)
