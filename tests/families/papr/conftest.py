"""Fixtures of these tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import huggingface_hub.constants
import pytest

Hub = Callable[[str], Path]


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    """No network, and the hub's cache of its own; gives the folder in it of a repository's snapshot."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)

    def snapshot(repository: str) -> Path:
        folder = tmp_path / f"models--{repository.replace('/', '--')}"
        revision = "0" * 40
        (folder / "refs").mkdir(parents=True, exist_ok=True)
        (folder / "refs" / "main").write_text(revision)
        (made := folder / "snapshots" / revision).mkdir(parents=True, exist_ok=True)
        return made

    return snapshot
