"""The laws by which golden data are found and compared."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests import golden_data
from tests.golden_data import GoldenSet, by_place, check_choice

SCORES = np.asarray([[0.9, 0.1, 0.5, 0.5 + 1e-7, 0.0]])


@pytest.mark.parametrize("have", [[0, 3, 2], [0, 2, 3]])
def test_scores_that_are_nearly_equal_have_no_order(have: list[int]) -> None:
    check_choice(np.asarray([have]), np.asarray([[0, 3, 2]]), SCORES)


def test_another_order_of_different_scores_is_found() -> None:
    with pytest.raises(AssertionError, match=r"kept: another order at \(row, rank\) \[\[0, 0\], \[0, 1\]\]"):
        check_choice(np.asarray([[3, 0, 2]]), np.asarray([[0, 3, 2]]), SCORES, "kept")


def test_another_set_is_found_even_between_nearly_equal_scores() -> None:
    with pytest.raises(AssertionError, match="as sets"):
        check_choice(np.asarray([[0, 2]]), np.asarray([[0, 3]]), SCORES)


def test_tokens_by_place_do_not_depend_on_their_order() -> None:
    tokens = np.asarray([[[9.0], [1.0], [2.0], [3.0]]])
    np.testing.assert_array_equal(by_place(tokens, np.asarray([[5, 2, 7]]), 1).ravel(), [9, 2, 1, 3])


def test_a_folder_that_lacks_models_gives_one_skipped_parameter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOME_DIR", str(tmp_path))
    one = GoldenSet("vpp", "SOME_DIR")
    for found in (one.cases("vit*", family="EViT"), one.parameters("vit*")):
        (parameter,) = found
        assert parameter.values in ((None, None), (None,))
        assert "set SOME_DIR" in parameter.marks[0].kwargs["reason"]


def test_cases_are_those_of_the_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("b", "a"):
        (tmp_path / name).mkdir()
        config = {"family": f"Kind {name}", "cases": {"z1": {"z": 1}, "gaps": {"min": 0}, "note": 0.5}}
        (tmp_path / name / "config.json").write_text(json.dumps(config))
        np.savez(tmp_path / name / "data.npz", image=np.zeros(1))
    monkeypatch.setenv("SOME_DIR", str(tmp_path))
    one = GoldenSet("vpp", "SOME_DIR")
    assert [found.id for found in one.cases("*", wanted=lambda case: "z" in case)] == ["a-z1", "b-z1"]
    assert [found.id for found in one.parameters("*", family="Kind b")] == ["b"]


def test_a_missing_file_skips(tmp_path: Path) -> None:
    with pytest.raises(pytest.skip.Exception, match=r"no x\.npz"):
        golden_data.read_arrays(tmp_path / "x.npz")


def test_the_end_of_the_run_tells_of_the_small_subset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VPP_GOLDEN_DIR", raising=False)
    monkeypatch.setattr(golden_data, "FULL", Path("/nowhere"))
    monkeypatch.setattr(golden_data, "SETS", (GoldenSet("vpp", "VPP_GOLDEN_DIR"), GoldenSet("papr", "PAPR_DIR")))
    line = "golden tests ran on the small subset in tests/golden; set VPP_GOLDEN_DIR, PAPR_DIR for all"
    assert golden_data.summary() == line


def test_the_small_subset_is_small_and_says_where_it_is_from() -> None:
    files = [path for path in golden_data.SMALL.rglob("*") if path.is_file() and path.suffix != ".pyc"]
    assert sum(path.stat().st_size for path in files) < 3_000_000
    for one in golden_data.SETS:
        assert "official code" in (golden_data.SMALL / one.name / "README.md").read_text()
