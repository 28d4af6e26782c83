"""Whatever is given to a public function: an error of our own, with the value, before anything is done."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import vpp_deploy as vd
from tests.media.clips import write_clip
from vpp_deploy.arguments import checked
from vpp_deploy.errors import UsageError

WRONG = (
    None, "text", b"bytes", 3, -1, 2.5, float("nan"), True, [], ["a"], {}, object(), np.zeros(3), (1, "x"),
)  # fmt: skip
"""What an argument can be mistaken for. Where one of them is good, nothing is said."""
Call = tuple[Callable[..., Any], dict[str, Any]]


def _opened(function: Callable[..., AbstractContextManager[Any]]) -> Callable[..., None]:
    def call(**arguments: Any) -> None:
        with function(**arguments):
            pass

    return call


@pytest.fixture(scope="module")
def calls(papr_bundle: vd.Bundle, micro_bundle: vd.Bundle, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Call]:
    """Public functions with arguments that do, as far as the work that only good arguments come to is cheap."""
    folder = tmp_path_factory.mktemp("calls")
    clip = write_clip(folder / "clip.mp4", frames=2, size=(64, 96))
    engine, options = vd.load_engine(papr_bundle, threads=1), vd.QuantizeOptions(precision="float16", frames=8)
    nowhere = folder / "none" / "out"
    quiet: Callable[..., None] = lambda *words: None  # noqa: E731
    frame = np.zeros((64, 96, 3), np.uint8)

    def quantize_with(**fields: Any) -> None:
        vd.quantize(papr_bundle, clip, nowhere, vd.QuantizeOptions(**fields))

    return {
        "Bundle.open": (vd.Bundle.open, {"path": papr_bundle.path, "verify": False, "max_memory": 10**9}),
        "load": (vd.load, {"bundle": papr_bundle, "engine": "onnxruntime", "max_memory": None, "threads": 1, "top": 3}),
        "load_engine": (vd.load_engine, {"bundle": papr_bundle, "backend": "onnxruntime", "threads": 1}),
        "build_engine": (
            vd.build_engine,
            {
                "bundle": papr_bundle, "backend": "onnxruntime", "options": None, "force": False, "looked_up": quiet,
                "progress": quiet,
            },
        ),
        "open_session": (vd.open_session, {"engine": engine, "top": 3, "hop": None}),
        "open_reference": (vd.open_reference, {"bundle": nowhere, "selection": "topk"}),
        "check_parity": (
            vd.check_parity,
            {
                "bundle": papr_bundle, "engine": engine, "source": clip, "frames": 1, "reference": engine,
                "progress": quiet, "interrupted": quiet,
            },
        ),
        "evaluate": (
            vd.evaluate,
            {
                "bundle": papr_bundle, "data": nowhere, "engines": "onnxruntime", "annotations": None, "limit": None,
                "keep_going": False, "mode": "topk", "work": None, "keep_work": True, "progress": quiet,
            },
        ),
        "quantize": (
            vd.quantize,
            {
                "bundle": papr_bundle, "data": None, "out": nowhere, "options": options, "overwrite": True,
                "progress": quiet,
            },
        ),
        "QuantizeOptions": (
            quantize_with,
            {
                "precision": "int8", "frames": 8, "ranges": "max", "percentile": 99.0, "convolutions": False,
                "bound": None,
            },
        ),
        "export": (
            vd.export,
            {
                "model": "papr:vit_tiny_patch16_224", "out": nowhere, "checkpoint": folder / "none.pth", "keep": 0.5,
                "weights": None, "state_dict": None, "random_weights": None, "size": (64, 96), "precision": "float32",
                "overwrite": False, "allow_nonfinite": False, "progress": quiet,
            },
        ),
        "RandomWeights": (vd.RandomWeights, {"seed": 0}),
        "read_video": (
            _opened(vd.read_video),
            {"path": clip, "size": (64, 96), "max_frames": 1, "stream": None, "max_pixels": None},
        ),
        "read_pictures": (
            _opened(vd.read_pictures),
            {"path": clip, "manifest": papr_bundle.manifest, "max_frames": 1, "stream": None},
        ),
        "letterbox": (vd.letterbox, {"image": frame, "size": (32, 48)}),
        "VideoWriter": (vd.VideoWriter, {"path": nowhere.with_suffix(".mp4"), "size": (64, 96), "frame_rate": None}),
        "VideoSession": (vd.VideoSession, {"engine": vd.load_engine(micro_bundle, threads=1), "noise_seed": None}),
        "ClassificationSession": (vd.ClassificationSession, {"engine": engine, "top": 3, "hop": None}),
        "SessionPool": (
            _opened(vd.SessionPool),
            {"model": vd.load(micro_bundle), "workers": 1, "max_streams": 1, "max_waiting": 1, "idle_seconds": None},
        ),
    }  # fmt: skip


FUNCTIONS = (
    "Bundle.open", "load", "load_engine", "build_engine", "open_session", "open_reference", "check_parity", "evaluate",
    "quantize", "QuantizeOptions", "export", "RandomWeights", "read_video", "read_pictures", "letterbox", "VideoWriter",
    "VideoSession", "ClassificationSession", "SessionPool",
)  # fmt: skip


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_wrong_value_is_an_error_of_ours(
    name: str, calls: dict[str, Call], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # a name that does is written to
    function, arguments = calls[name]
    for argument in arguments:
        refused = 0
        for value in WRONG:
            try:
                function(**arguments | {argument: value})
            except vd.VppDeployError as error:
                refused += str(error) != ""
        assert refused > 0, (name, argument)


def test_sessions_take_frames(calls: dict[str, Call]) -> None:
    for name in ("VideoSession", "ClassificationSession"):
        make, arguments = calls[name]
        session = make(**arguments)
        for value in WRONG:
            with pytest.raises(UsageError, match=r"takes frames, as read_video gives them, not a|given|list"):
                session.prepare([[value]] if name == "ClassificationSession" else value)


@given(st.one_of(st.integers(), st.floats(), st.text(), st.binary(), st.booleans(), st.none()))
@settings(max_examples=50)
def test_annotations_are_what_is_checked(value: object) -> None:
    @checked
    def call(
        whole: int, number: float | None, text: str, path: str | Path, flag: bool, anything: Any, *more: int
    ) -> tuple[object, ...]:
        return whole, number, text, path, flag, anything

    fine: dict[str, Any] = {"whole": 1, "number": 1.5, "text": "a", "path": Path("a"), "flag": True, "anything": 1}
    is_bool, is_int = isinstance(value, bool), isinstance(value, int) and not isinstance(value, bool)
    fits = {
        "whole": is_int,
        "number": value is None or isinstance(value, float) or is_int,
        "text": isinstance(value, str),
        "path": isinstance(value, str),
        "flag": is_bool,
        "anything": True,
    }
    for name, does in fits.items():
        if does:
            assert call(**fine | {name: value})
        else:
            with pytest.raises(UsageError, match=f"^{name} is .*; give "):
                call(**fine | {name: value})
