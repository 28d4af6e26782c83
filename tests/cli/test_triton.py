from __future__ import annotations

from pathlib import Path

from tests.cli.conftest import Cli
from vpp_deploy import Bundle
from vpp_deploy.errors import ExitCode


def test_a_repository_is_written_and_said(cli: Cli, micro_bundle: Bundle, papr_bundle: Bundle, tmp_path: Path) -> None:
    repository = tmp_path / "models"
    done = cli("triton", micro_bundle.path, repository, "--max-streams", 4, "--snapshots", "/var/lib/vpp")
    assert done.code == 0, done.err
    assert done.out.splitlines() == [
        f"{repository / 'vpp'}: written",
        f"next: tritonserver --model-repository={repository}",
    ]
    text = (repository / "vpp" / "config.pbtxt").read_text()
    assert 'key: "max_streams"\n  value {\n    string_value: "4"' in text
    assert 'string_value: "/var/lib/vpp"' in text
    assert cli("triton", papr_bundle.path, repository, "--name", "papr", "--top", 3).code == 0
    assert "max_batch_size: 2" in (repository / "papr" / "config.pbtxt").read_text()
    assert sorted(path.name for path in repository.iterdir()) == ["papr", "vpp"]


def test_what_cannot_be_is_one_line(
    cli: Cli, bundle: Path, micro_bundle: Bundle, papr_bundle: Bundle, tmp_path: Path
) -> None:
    models = tmp_path / "models"
    for words, code, parts in (
        ((micro_bundle.path, models, "--graphs", "c++"), ExitCode.USAGE, ["--graphs 'c++'", "choose from python"]),
        ((micro_bundle.path, models, "--graphs", "tensorrt"), ExitCode.INCOMPATIBLE, ["has no tensorrt engine"]),
        ((micro_bundle.path, models, "--engine", "x"), ExitCode.USAGE, ["'x'"]),
        ((micro_bundle.path, models, "--snapshots", "relative"), ExitCode.USAGE, ["is not an absolute path"]),
        ((micro_bundle.path, models, "--name", "a/b"), ExitCode.USAGE, ["name 'a/b' is none for a model"]),
        ((micro_bundle.path, models, "--workers", "0"), ExitCode.USAGE, ["--workers"]),
        ((papr_bundle.path, models, "--graphs", "onnxruntime"), ExitCode.USAGE, ["is a classifier"]),
        (
            (micro_bundle.path, models, "--top", "5"),
            ExitCode.USAGE,
            ["--top: for classification models, not for vpp"],
        ),
        (
            (papr_bundle.path, models, "--max-streams", "64", "--snapshots", "/x"),
            ExitCode.USAGE,
            ["--max-streams, --snapshots: for instance segmentation models, not for "],
        ),
        (
            (micro_bundle.path, models, "--graphs", "onnxruntime", "--threads", "2"),
            ExitCode.USAGE,
            ["--threads: for --graphs python, not for onnxruntime"],
        ),
        ((micro_bundle.path, models, "--snapshot-every", "2"), ExitCode.USAGE, ["--snapshot-every: for --snapshots"]),
        ((bundle, bundle), ExitCode.USAGE, ["lies in", "which is read"]),
        ((tmp_path / "none", models), ExitCode.BAD_INPUT, ["does not exist"]),
        ((micro_bundle.path, tmp_path / "no" / "such" / "folder"), ExitCode.BAD_INPUT, ["cannot write into"]),
        ((micro_bundle.path, "/dev/null"), ExitCode.BAD_INPUT, ["cannot write into"]),
    ):
        cli("triton", *words).assert_one_line_error(code, *parts)
    assert not models.exists()
    assert cli("triton", micro_bundle.path, models).code == 0
    cli("triton", micro_bundle.path, models).assert_one_line_error(ExitCode.BAD_INPUT, "--overwrite")
    assert cli("triton", micro_bundle.path, models, "--overwrite").code == 0
