"""Fixtures that every test may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parent.parent
SHARED = REPOSITORY.parent / "shared"


@pytest.fixture(scope="session")
def vpp_golden() -> Path:
    """The folder of reference data of the original VPP model."""
    folder = Path(os.environ.get("VPP_GOLDEN_DIR", SHARED / "golden" / "vpp"))
    if not (folder / "config.json").is_file():
        pytest.skip(f"no golden data: {folder} has no config.json (set VPP_GOLDEN_DIR)")
    return folder
