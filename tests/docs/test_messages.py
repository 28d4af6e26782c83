"""Every message of an error has its entry in the documentation, and those that it explains exist."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import Cli
from tests.conftest import REPOSITORY
from tools import docs_messages
from vpp_deploy.errors import ExitCode

RAISED = re.compile(rf"^\s+raise (?:{'|'.join(docs_messages.ERRORS)})\(\s*f?\"([^\"\\]{{12,}})\"", re.MULTILINE)
"""A call whose first words stand on its first or second line."""


def troubleshooting() -> list[str]:
    text = (REPOSITORY / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    return re.findall(r"^### `(.+)`$", text, re.MULTILINE)


def test_every_place_that_raises_is_listed() -> None:
    """Found in the text, not in the syntax tree from which the list is made."""
    places = [
        (path.relative_to(docs_messages.PACKAGE).as_posix(), match[1])
        for path in docs_messages.PACKAGE.rglob("*.py")
        for match in RAISED.finditer(path.read_text(encoding="utf-8"))
    ]
    assert len(places) > 400
    for module, text in places:
        part = max(re.split(r"\{(?:[^{}]|\{[^{}]*\})*\}", text), key=len)
        if not re.search(r"[a-z]{2}", part):
            continue  # the text of somebody else
        assert any(module in one.modules and part in one.pattern for one in docs_messages.messages()), (module, text)


def test_every_exit_code_but_those_without_an_error_has_messages() -> None:
    assert {one.exit_code for one in docs_messages.messages()} >= set(ExitCode) - {ExitCode.OK, ExitCode.INTERNAL}


def test_anchors_are_unique_and_texts_say_something() -> None:
    assert len({one.anchor for one in docs_messages.messages()}) == len(docs_messages.messages())
    for one in docs_messages.messages():
        assert re.fullmatch(r"[a-z0-9-]+", one.anchor)
        assert re.search(r"[a-z]{2}", one.text), one


def test_the_messages_that_are_explained_exist() -> None:
    explained = troubleshooting()
    known = {one.text.replace("`", "'") for one in docs_messages.messages()}
    assert len(explained) >= 20
    assert [one for one in explained if one not in known] == []


def calls(folder: Path, own: Path, clip: Path) -> Iterator[tuple[list[object], str]]:
    """Commands with a mistake, and the beginning of the anchor of what they say."""
    garbage = folder / "garbage.pth"
    garbage.write_bytes(bytes(range(256)) * 10)
    text = folder / "text.mp4"
    text.write_text("not a video\n" * 100)
    (folder / "empty").mkdir()
    (folder / "cut.bundle").mkdir()
    yield ["export", "vpp-small", "-o", folder / "a.bundle"], "usage-comes-without-weights"
    yield ["export", "vpp-smal", "--random-weights", "-o", folder / "a.bundle"], "export-unknown-model"
    yield ["export", "vpp-demo", "--size", "100", "-o", folder / "a.bundle"], "usage-size-is-not"
    yield ["export", "vpp-demo", "--size", "100x100", "-o", folder / "a.bundle"], "export-frame-size"
    yield ["export", "vpp-demo", "--keep", "2,1,1,1", "-o", folder / "a.bundle"], "config-keep-schedule"
    yield (
        ["export", "vpp-small", "--checkpoint", garbage, "-o", folder / "a.bundle"],
        "checkpoint-checkpoint-is-neither-a-safetensors-file",
    )
    yield ["infer", folder / "none.bundle", text], "bundle-bundle-does-not-exist"
    yield ["infer", folder / "cut.bundle", text], "bundle-bundle-has-no-manifest-json"
    yield ["infer", own, folder / "none.mp4"], "video-no-such-file-or-folder"
    yield ["infer", own, text], "video-not-a-video-or-its-header-is-missing"
    yield ["infer", own, folder / "empty"], "video-no-images-in-this-folder"
    yield ["infer", own, clip, "-o", folder / "none" / "a.mp4"], "output-is-not-a-folder-that-exists"
    yield ["infer", own, clip, "-o", folder / "a.gif"], "output-cannot-write-use"
    yield ["infer", own, clip, "--engine", "openvino"], "incompatibleengine-bundle-has-no-engine"
    yield ["infer", own, clip, "--engine", "none"], "usage-unknown-engine"
    yield ["evaluate", own, "--data", folder / "empty"], "dataset-no-annotation-file"
    (own / "weights.safetensors").write_bytes(b"altered")
    yield ["infer", own, text], "bundle-bundle-file"


def test_what_commands_say_is_found(cli: Cli, bundle: Path, clip: Path, tmp_path: Path) -> None:
    for words, anchor in calls(tmp_path, bundle, clip):
        outcome = cli(*words)
        lines = [line for line in outcome.err.splitlines() if line.startswith("error: ")]
        assert len(lines) == 1, (words, outcome)
        found = docs_messages.find(lines[0].removeprefix("error: "))
        assert found is not None, lines[0]
        assert found.anchor.startswith(anchor), (lines[0], found)
        assert outcome.code == found.exit_code


@pytest.mark.parametrize("code", ExitCode)
def test_the_page_of_exit_codes_has_every_code_and_its_errors(code: ExitCode) -> None:
    text = (REPOSITORY / "docs" / "exit_codes.md").read_text(encoding="utf-8")
    (row,) = re.findall(rf"^\| {int(code)} \|.*$", text, re.MULTILINE)
    expected = {
        name for name, kind in docs_messages.ERRORS.items() if kind.exit_code == code and name != docs_messages.ANY
    }
    assert set(re.findall(r"`(\w+Error)`", row)) == expected
