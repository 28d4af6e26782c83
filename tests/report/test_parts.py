"""What a page is made of: counts, curves and files, one by one."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from tests.fuzz.mutation import damaged_json
from tests.report import results
from vpp_deploy.bundle import Bundle
from vpp_deploy.engines.arithmetic import Arithmetic, count_arithmetic
from vpp_deploy.errors import DatasetError
from vpp_deploy.families.vpp.config import DetectorConfig
from vpp_deploy.report.about_measured import accuracy, parity, speed
from vpp_deploy.report.figures import Scored, draw_shares, pareto_front, thinned
from vpp_deploy.report.measurements import Benchmark, Evaluation, Part, from_content
from vpp_deploy.report.parity import Parity


def test_the_arithmetic_is_what_a_transformer_takes(micro_bundle: Bundle) -> None:
    width = DetectorConfig.from_dict(micro_bundle.manifest.model.config).backbone.width
    height, length = micro_bundle.manifest.frame_size
    kept = {point.block: point.kept for point in micro_bundle.manifest.pruning_points}
    tokens = [height * length // 256]
    for block in range(micro_bundle.manifest.blocks):
        tokens.append(kept.get(block, tokens[-1]))
    found = count_arithmetic(micro_bundle)
    assert list(found.tokens) == tokens[1:]
    assert list(found.blocks) == [n * 12 * width**2 + 2 * n * n * width for n in tokens[1:]]
    assert found.dense == len(found.blocks) * found.blocks[0]
    assert found.other > sum(found.blocks)  # the head of so small a model


def test_dense_is_not_claimed_where_the_first_block_prunes() -> None:
    assert Arithmetic((1, 2), (3, 4), 0).dense is None
    assert Arithmetic((2, 2), (3, 3), 0).dense is None  # all blocks run on what was chosen before them
    assert Arithmetic((2, 1), (3, 2), 0).dense == 4
    assert Arithmetic((), (), 5).dense is None


def test_long_curves_keep_their_extremes() -> None:
    points = [(index, float(index % 1000 == 567)) for index in range(100_000)]
    most = thinned(points)
    assert len(most) <= 400
    assert sum(value for _, value in most) == 100
    assert min(value for _, value in thinned(points, least=True)) == 0.0
    assert thinned(points[:300]) == points[:300]


def test_the_front_is_what_no_other_beats() -> None:
    runs = [
        Scored("a", 0.5, 60),
        Scored("b", 0.3, 50),
        Scored("c", 0.4, 45),
        Scored("d", 1.0, 60),
        Scored("e", 0.5, 55),
    ]
    assert [run.name for run in pareto_front(runs)] == ["b", "a"]


def test_a_share_below_one_is_drawn() -> None:
    drawn = draw_shares({"point": [(0, 1.0), (1, 0.5)]}, "frame", "x")
    assert "at least 50.0%" in drawn
    assert 'id="x-' in drawn


def test_the_checks_of_all_tasks_have_one_form(check: Path, papr_check: Any) -> None:
    video = Parity.model_validate_json(check.read_bytes())
    assert video.differences("teacher_forced").keys() == video.tensors["teacher_forced"].keys()
    assert [index for index, _ in video.differences("free_running")["class_logits"]] == [0, 1, 2]
    assert video.tolerance == pytest.approx(1e-3)
    assert {share for points in video.overlaps().values() for _, share in points} == {1.0}
    image = Parity.model_validate(papr_check)
    assert image.tensors.keys() == {"teacher_forced"}
    assert len(image.differences("teacher_forced")["logits"]) == 3
    assert image.overlaps().keys() == {"patches"}
    assert image.agreement == 1.0
    assert image.tolerance == pytest.approx(1e-4)


@pytest.fixture(scope="module")
def papr_check(papr_bundle: Bundle, clip: Path) -> Any:
    import vpp_deploy

    engine = vpp_deploy.load_engine(papr_bundle, threads=1)
    return json.loads(json.dumps(vpp_deploy.check_parity(papr_bundle, engine, clip, frames=3).to_dict()))


def test_damaged_files_are_shown_or_refused(check: Path, micro_bundle: Bundle) -> None:
    kinds: list[tuple[type[Part], Any]] = [
        (Parity, json.loads(check.read_text())),
        (Benchmark, results.benchmark("b")),
        (Evaluation, results.evaluation("b")),
    ]
    refused = 0
    for seed in range(60):
        generator = random.Random(seed)
        kind, content = kinds[seed % 3]
        for _ in range(1 + seed % 3):
            content = damaged_json(content, generator)
        try:
            found = from_content(content, kind, "x", "x.json")
        except DatasetError:
            refused += 1
            continue
        if isinstance(found, Parity):
            assert parity(micro_bundle, [found])
        elif isinstance(found, Benchmark):
            assert speed(found, "x").table
        elif isinstance(found, Evaluation):
            assert accuracy([found])
    assert 10 < refused < 50
