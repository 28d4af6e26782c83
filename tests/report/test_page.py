"""The page: complete, alone, and unmoved by names that are meant to move it."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

import vpp_deploy
from tests.bundle.tensors_factory import make_tensors
from tests.cli.conftest import Cli
from tests.report import results
from tests.report.conftest import HOSTILE
from tests.report.html import Page
from vpp_deploy.errors import ExitCode
from vpp_deploy.terminal.console import one_line

SECTIONS = {"model", "stages", "frames", "parity", "speed", "accuracy", "interface", "provenance", "video"}


@pytest.fixture(scope="module")
def page(full_page: Path) -> Page:
    return Page(full_page)


def test_every_section_is_there_and_linked(page: Page) -> None:
    assert set(page.values("id")) >= SECTIONS
    assert {value for tag, name, value in page.attributes if (tag, name) == ("a", "href")} == {
        f"#{s}" for s in SECTIONS
    }
    assert page.tags["svg"] == 5  # stages, differences twice, speed, accuracy; what is equal everywhere has no curve
    assert page.tags["img"] == 3 + 3 + 4 + 4  # three frames; the first has one stage less
    ids = page.values("id")
    assert len(ids) == len(set(ids))


def test_nothing_is_loaded_from_anywhere(page: Page) -> None:
    links = page.values("src", "href", "xlink:href", "action", "srcset", "data", "poster")
    assert all(link.startswith(("data:", "#")) for link in links)
    text = "".join(page.text)
    assert "@import" not in text
    assert "http:" not in text.replace("http://www.w3.org/", "")
    policy = next(value for value in page.values("content") if "default-src" in value)
    assert "default-src 'none'" in policy
    assert "script-src 'sha256-" in policy


def test_hostile_names_are_text(page: Page, full_page: Path) -> None:
    assert page.tags["script"] == page.tags["style"] == 1
    assert not [name for _, name, _ in page.attributes if name.startswith("on")]
    assert "x" not in page.values("src")
    text = " ".join(page.text)
    for name in HOSTILE:
        assert one_line(name) in text
    content = full_page.read_text(encoding="utf-8")
    assert all(char.isprintable() or char == "\n" for char in content)
    assert "49&amp;lt;" not in content  # nothing of a name is a template


def test_a_check_writes_its_own_page(check: Path) -> None:
    found = Page(check.with_name("page.html"))
    assert found.tags["img"] == 6 + 6 * 4 - 1  # all six frames of the clip
    assert "onnxruntime: passed" in " ".join(found.text)


def test_a_check_that_fails_writes_its_page_too(cli: Cli, wrong_engine: Path, clip: Path, tmp_path: Path) -> None:
    target = tmp_path / "page.html"
    outcome = cli("parity", wrong_engine, "--input", clip, "--frames", 2, "--report", target)
    assert outcome.code == ExitCode.PARITY
    text = " ".join(Page(target).text)
    assert "Parity failed: the onnxruntime engine does not compute what PyTorch computes." in text
    assert "onnxruntime: FAILED" in text
    assert "> 0.001 (teacher-forced)" in text


def test_a_bundle_alone_is_enough(cli: Cli, papr_bundle: vpp_deploy.Bundle, clip: Path, tmp_path: Path) -> None:
    bundle = shutil.copytree(papr_bundle.path, tmp_path / "own.bundle")
    shutil.rmtree(bundle / "parity", ignore_errors=True)
    target = tmp_path / "page.html"
    outcome = cli("report", bundle, "-o", target)
    assert (outcome.code, outcome.err) == (0, "")
    text = " ".join(Page(target).text)
    for words in ("Random weights (seed 0)", "Parity with PyTorch has not been measured.", "tokens in each block"):
        assert words in text
    assert "without pruning" not in text  # no block has all tokens
    assert cli("report", bundle, "-o", target, "--input", clip, "--frames", 2).code == 0
    assert Page(target).tags["img"] == 2 * 2


def test_a_model_of_plain_tensors_has_a_page_without_blocks(cli: Cli, tmp_path: Path) -> None:
    make_tensors(tmp_path / "b", "g (float[2] x) => (float[2] y) { y = Identity (x) }")
    assert cli("report", tmp_path / "b", "-o", tmp_path / "page.html").code == 0
    assert "stages" not in Page(tmp_path / "page.html").values("id")
    refused = cli("report", tmp_path / "b", "-o", tmp_path / "no.html", "--input", tmp_path / "x.mp4")
    assert refused.code in (ExitCode.USAGE, ExitCode.INCOMPATIBLE)
    assert not (tmp_path / "no.html").exists()


@pytest.mark.parametrize("option", ["--parity", "--benchmark", "--evaluate"])
@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"passed": true}', '{"candidates": []}', "null"])
def test_a_file_that_another_program_wrote_is_refused(
    cli: Cli,
    micro_bundle: vpp_deploy.Bundle,
    tmp_path: Path,
    option: str,
    content: str,
) -> None:
    given = tmp_path / "x.json"
    given.write_text(content)
    outcome = cli("report", micro_bundle.path, "-o", tmp_path / "page.html", option, given)
    outcome.assert_one_line_error(ExitCode.BAD_INPUT, "x.json")
    assert [path.name for path in tmp_path.iterdir()] == ["x.json"]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (lambda content: content["candidates"][0]["latency"].update(median=-1), "median"),
        (lambda content: content["candidates"][0]["latency"].update(median=10**400), "median"),
        (lambda content: content["candidates"][0].update(rate="fast"), "rate"),
        (lambda content: content["candidates"][0].update(engine=None), "engine"),
        (lambda content: content.update(candidates=101 * content["candidates"]), "candidates"),
    ],
)
def test_a_value_out_of_range_is_named(
    cli: Cli,
    micro_bundle: vpp_deploy.Bundle,
    tmp_path: Path,
    change: Any,
    field: str,
) -> None:
    content = results.benchmark("b")
    change(content)
    (tmp_path / "x.json").write_text(json.dumps(content))
    outcome = cli("report", micro_bundle.path, "-o", tmp_path / "page.html", "--benchmark", tmp_path / "x.json")
    outcome.assert_one_line_error(ExitCode.BAD_INPUT, "x.json", field)


@pytest.mark.parametrize(
    ("name", "content", "code", "words"),
    [
        ("x.mkv", b"", ExitCode.USAGE, "give an .mp4"),
        ("x.mp4", b"<script>", ExitCode.BAD_INPUT, "is no video"),
        ("none.mp4", None, ExitCode.BAD_INPUT, "none.mp4"),
    ],
)
def test_what_is_no_video_is_not_put_in(
    cli: Cli,
    own_bundle: Path,
    tmp_path: Path,
    name: str,
    content: bytes | None,
    code: ExitCode,
    words: str,
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    outcome = cli("report", own_bundle, "-o", tmp_path / "page.html", "--video", tmp_path / name)
    outcome.assert_one_line_error(code, words)
    assert not (tmp_path / "page.html").exists()


def test_nothing_that_is_read_is_written_over(cli: Cli, check: Path, own_bundle: Path) -> None:
    before = check.read_bytes()
    cli("report", own_bundle, "-o", check, "--parity", check).assert_one_line_error(ExitCode.USAGE, "would overwrite")
    cli("report", own_bundle, "-o", own_bundle / "x.html").assert_one_line_error(ExitCode.USAGE, "x.html")
    assert check.read_bytes() == before


def test_without_the_extra_a_report_says_what_to_install(
    cli: Cli,
    own_bundle: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    outcome = cli("report", own_bundle, "-o", tmp_path / "page.html")
    outcome.assert_one_line_error(ExitCode.MISSING, "pip install 'vpp-deploy[report]'")


def test_the_parity_of_another_bundle_is_refused(
    cli: Cli, check: Path, papr_bundle: vpp_deploy.Bundle, own_bundle: Path, tmp_path: Path
) -> None:
    outcome = cli("report", papr_bundle.path, "-o", tmp_path / "page.html", "--parity", check)
    outcome.assert_one_line_error(
        ExitCode.BAD_INPUT, f"is the parity of another bundle than {papr_bundle.path}, or of an earlier", "--json "
    )
    assert not (tmp_path / "page.html").exists()
    assert cli("report", own_bundle, "-o", tmp_path / "page.html", "--parity", check).code == 0


def test_an_engine_that_is_damaged_is_said_on_the_page(
    cli: Cli, micro_bundle: vpp_deploy.Bundle, tmp_path: Path
) -> None:
    bundle, out = Path(shutil.copytree(micro_bundle.path, tmp_path / "own.bundle")), tmp_path / "page.html"
    engine = bundle / "engines" / "onnxruntime"

    def text() -> str:
        assert cli("report", bundle, "-o", out).code == 0
        return " ".join(" ".join(Page(out).text).split())

    assert "is of no use" not in text()
    (engine / "step.onnx").write_bytes(b"cut")
    assert "The onnxruntime engine is of no use: its file 'step.onnx' has 3 bytes" in text()
    (engine / "engine.json").write_bytes(b"{")
    assert "The onnxruntime engine is of no use: its record cannot be read" in text()
    shutil.rmtree(engine)
    assert "is of no use" not in text()
