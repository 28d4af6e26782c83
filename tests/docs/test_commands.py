"""Every command that the documentation shows is one that the program takes; those that are cheap are run."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from tests.cli.conftest import Cli
from tests.conftest import REPOSITORY
from tests.docs import pages
from tests.docs.commands import check, is_shell, lines_of
from vpp_deploy.bundle import Bundle

BLOCKS = [block for page in pages.PAGES if page.name != "CHANGELOG.md" for block in pages.blocks(page)]
SHOWN = [(block, words) for block in BLOCKS if is_shell(block) for words in lines_of(block.text)]
SPANS = [
    (pages.name(page), span)
    for page in pages.PAGES
    if page.name != "CHANGELOG.md"
    for span in pages.spans(page)
    if re.match(r"(vpp-deploy|make|python -m|python [a-z]+/|pip install) ?", span) and "…" not in span
]


def test_there_are_commands_on_many_pages() -> None:
    assert len({block.page for block, _ in SHOWN}) >= 15
    assert len(SHOWN) >= 80
    assert len(SPANS) >= 40


@pytest.mark.parametrize(
    ("block", "words"), SHOWN, ids=lambda value: str(value) if isinstance(value, pages.Block) else ""
)
def test_a_shown_command_parses(block: pages.Block, words: list[str]) -> None:
    check(words, (REPOSITORY / block.page).parent, whole=True)


def test_no_command_hides_in_a_block_that_is_none() -> None:
    hidden = [
        str(block) for block in BLOCKS if not is_shell(block) and re.search(r"^vpp-deploy ", block.text, re.MULTILINE)
    ]
    assert hidden == []


@pytest.mark.parametrize(("page", "span"), SPANS)
def test_a_command_within_text_parses(page: str, span: str) -> None:
    for words in lines_of(re.sub(r"(?<=\w)\|\w+", "", span)):  # of choices the first
        check(words, (REPOSITORY / page).parent, whole=False)


@pytest.mark.parametrize(
    "wrong",
    [
        "vpp-deploy infer small.bundle street.mp4 --jsn lines",
        "vpp-deploy infer small.bundle",
        "vpp-deploy infer small.bundle street.mp4 --max-frames none",
        "vpp-deploy infer small.bundle street.mp4 --engine tensort",
        "vpp-deploy infr small.bundle street.mp4",
        "make demmo",
        "pip install '.[cpu,exprot]'",
        "python -m benchmarks.steps",
        "python -m benchmarks.host small.bundle --vdeo street.mp4",
    ],
)
def test_a_wrong_command_is_found(wrong: str) -> None:
    (words,) = lines_of(wrong)
    with pytest.raises(AssertionError):
        check(words, REPOSITORY, whole=True)


def test_the_quickstart_runs(
    cli: Cli, micro_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, one_thread: None
) -> None:
    """All but the installation and the export: the bundle is another small one."""
    shutil.copytree(micro_bundle.path, tmp_path / "demo.bundle")
    monkeypatch.chdir(tmp_path)
    calls = [
        words[1:]
        for block, words in SHOWN
        if block.page == "docs/quickstart.md" and words[0] == "vpp-deploy" and words[1] != "export"
    ]
    assert [call[0] for call in calls] == ["doctor", "inspect", "build-engine", "demo-data", "infer", "parity"]
    for call in calls:
        outcome = cli(*call)
        assert outcome.code == 0, (call, outcome)
    assert (tmp_path / "tracked.mp4").stat().st_size > 0
    assert len((tmp_path / "tracked.jsonl").read_text().splitlines()) == 12
