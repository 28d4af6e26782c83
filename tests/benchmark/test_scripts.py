"""The measurements that are programs of their own: each starts, and the one that counts arithmetic counts right."""

from __future__ import annotations

import runpy
import sys

import pytest

from benchmarks import step
from tests.conftest import REPOSITORY
from vpp_deploy.bundle import Bundle
from vpp_deploy.families.vpp.config import DetectorConfig

SCRIPTS = sorted(
    path.stem for path in (REPOSITORY / "benchmarks").glob("*.py") if "__main__" in path.read_text(encoding="utf-8")
)


@pytest.mark.parametrize("name", SCRIPTS)
def test_it_starts(name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", [name, "--help"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(REPOSITORY / "benchmarks" / f"{name}.py"), run_name="__main__")
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith("usage:")


def test_the_arithmetic_of_the_blocks_is_what_transformers_take(micro_bundle: Bundle) -> None:
    config = DetectorConfig.from_dict(micro_bundle.manifest.model.config).backbone
    (height, width), d = micro_bundle.manifest.frame_size, config.width
    tokens = height * width // 256
    kept = {point.block: point.kept for point in micro_bundle.manifest.pruning_points}
    active, expected = tokens, tokens * 3 * 16 * 16 * d  # the patch embedding
    for block in range(micro_bundle.manifest.blocks):
        active = kept.get(block, active)
        expected += active * (4 * d * d + 2 * d * 4 * d) + 2 * active * active * d
    found = step.arithmetic(micro_bundle)
    assert found[step.BLOCKS] == expected
    assert found["other"] < 0.01 * sum(found.values())
