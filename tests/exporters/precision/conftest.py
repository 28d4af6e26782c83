"""Room for precisions of a test's own."""

from __future__ import annotations

import pytest

from vpp_deploy.exporters.precision import PRECISIONS


@pytest.fixture
def room_for_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test registers is forgotten after it."""
    monkeypatch.setattr(PRECISIONS, "_records", dict(PRECISIONS._records))
