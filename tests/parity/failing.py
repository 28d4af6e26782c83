"""A parity report that failed, as a user meets it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from vpp_deploy.errors import ExitCode, ParityError


def failure_of(report: Any, page: str) -> str:
    """The one line of the error, which also heads the problems on the report's page."""
    assert not report.passed
    with pytest.raises(ParityError) as caught:
        report.raise_for_failure()
    assert caught.value.exit_code == ExitCode.PARITY
    assert report.problems[0] in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "Parity: failed" in page
    json.dumps(report.to_dict(), allow_nan=False)
    return str(report.problems[0])
