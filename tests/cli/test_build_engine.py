"""What `build-engine` passes on: options of backends, typed one way and named another."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Cli
from vpp_deploy.bundle import Bundle
from vpp_deploy.cli import build_engine
from vpp_deploy.errors import BuildError, ExitCode


def test_options_of_a_backend_reach_it(cli: Cli, micro_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    passed: dict[str, Any] = {}

    def refuse(bundle: Bundle, backend: str, **options: Any) -> None:
        passed.update(options)
        raise BuildError("enough")

    monkeypatch.setattr(build_engine, "build_engine", refuse)
    words = "--workspace 256 --compute-capability 8.9 --compute-capability 12.0 --tf32 --timing-cache t --force"
    cli("build-engine", micro_bundle.path, "--engine", "tensorrt-rtx", *words.split())
    assert {name: value for name, value in passed.items() if name not in ("progress", "looked_up")} == {
        "compute_capabilities": ("8.9", "12.0"),
        "workspace_bytes": 256 << 20,
        "tf32": True,
        "timing_cache": Path("t"),
        "force": True,
    }


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--compute-capability", "8.9"], "compute capabilities: for tensorrt and tensorrt-rtx, not for onnxruntime"),
        (["--engine", "onnxruntime-cuda", "--tf32"], "tf32: for tensorrt and tensorrt-rtx, not for onnxruntime-cuda"),
        (["--workspace", "0"], "invalid value for '--workspace'"),
        (["--engine", "abacus", "--tf32"], "unknown engine 'abacus'; use one of onnxruntime, onnxruntime-cuda, openv"),
    ],
)
def test_what_an_engine_does_not_have_is_refused(
    words: list[str], message: str, cli: Cli, micro_bundle: Bundle
) -> None:
    cli("build-engine", micro_bundle.path, *words).assert_one_line_error(ExitCode.USAGE, message)
