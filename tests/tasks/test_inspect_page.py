"""A parity summary in a bundle is a stranger's: it is shown, or said to be unreadable, whatever it holds."""

from __future__ import annotations

import json
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.cli.conftest import Cli, cli
from tests.fuzz.hostile_bundles import DATA, KINDS
from vpp_deploy.bundle import Bundle
from vpp_deploy.errors import ExitCode
from vpp_deploy.tasks import TASKS

__all__ = ["cli"]
TENSORS = {"logits": {"maximum": 1e-5}}
SOUND: dict[str, Any] = {
    "passed": True,
    "frames": 3,
    "samples": 3,
    "video": "a.mp4",
    "source": "a",
    "created": "2026",
    "overlaps": {"point": {"minimum": 1.0}},
    "tracks": {"agreement": 1.0},
    "labels": {"top1_agreement": 0.5},
}
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.just(10**400) | st.floats() | st.text(max_size=3),
    lambda values: st.lists(values, max_size=2) | st.dictionaries(st.sampled_from(["maximum", "minimum", "x"]), values),
    max_leaves=4,
)


@pytest.mark.parametrize("kind", KINDS)
@given(changes=st.dictionaries(st.sampled_from([*SOUND, "tensors"]), VALUES, max_size=2), nested=VALUES)
def test_whatever_a_summary_holds(kind: str, changes: dict[str, Any], nested: Any) -> None:
    page = TASKS[kind].page(Bundle.open(DATA / KINDS[kind], verify=False))
    tensors = TENSORS if kind == "classification" else {"teacher_forced": TENSORS}
    assert "1.0e-05" in page.parity(SOUND | {"tensors": tensors})
    other = SOUND | {"tensors": {"teacher_forced": nested}}
    for summary in (SOUND | {"tensors": tensors} | changes, other | changes, nested):
        with suppress(KeyError, TypeError, ValueError):  # what whoever shows the page expects
            assert isinstance(page.parity(summary), str)


@pytest.mark.parametrize(
    ("content", "code", "words"),
    [
        ("[1]", ExitCode.OK, "cannot be read; measure it again"),
        ('{"passed": true, "tensors": []}', ExitCode.OK, "cannot be read; measure it again"),
        ('{"passed": NaN}', ExitCode.BAD_INPUT, "is not JSON"),
        ("[" * 100_000, ExitCode.BAD_INPUT, "nested too deep"),
        ("9" * 10_000, ExitCode.BAD_INPUT, "is not JSON"),
    ],
)
def test_inspect_of_a_strange_summary(content: str, code: ExitCode, words: str, cli: Cli, tmp_path: Path) -> None:
    bundle = Path(shutil.copytree(DATA / "v3-tensors", tmp_path / "b"))
    (bundle / "parity").mkdir()
    (bundle / "parity" / "onnxruntime.json").write_text(content)
    outcome = cli("inspect", bundle)
    assert outcome.code == code
    assert words in outcome.out + outcome.err
    if content == "[1]":
        assert json.loads(cli("inspect", bundle, "--json").out)["parity"] == {"onnxruntime": [1]}
