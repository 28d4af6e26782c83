"""The example client on a real server, also one that is killed while it works."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import vpp_deploy as vd
from tests.media.clips import write_clip
from tests.serving.triton.on_server.clients import InferenceServerException, over_http, refused
from tests.serving.triton.on_server.conftest import LENGTH, Frames, Start
from tools.triton_server import ROOT, Server


@pytest.fixture(scope="module")
def example() -> ModuleType:
    path = ROOT / "examples" / "triton_client" / "track.py"
    spec = importlib.util.spec_from_file_location("track", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["track"] = module
    spec.loader.exec_module(module)
    return module


def instances(lines: list[str]) -> list[Any]:
    return [json.loads(line)["instances"] for line in lines]


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_a_video_gives_what_infer_gives(
    protocol: str,
    example: ModuleType,
    server: Server,
    model: vd.SegmentationModel,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    clip = write_clip(tmp_path / "clip.mp4", frames=5, size=(120, 180))
    expected = [result.to_dict()["instances"] for result in model.track(clip)]
    url = server.grpc if protocol == "grpc" else server.http
    example.main([str(clip), "--url", url, "--protocol", protocol])
    assert instances(capsys.readouterr().out.splitlines()) == json.loads(json.dumps(expected))
    example.main([str(clip), "--url", url, "--protocol", protocol, "--letterbox", "128x192"])
    small = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["size"] for line in small] == [[120, 180]] * 5
    with refused("must specify the START flag"):  # the sequence has ended
        over_http(server.http)(str(clip), next(example.frames(str(clip), None))[0])


@pytest.mark.parametrize("protocol", ["Grpc", "Http"])
def test_a_killed_server_costs_no_frame(
    protocol: str, example: ModuleType, start: Start, videos: list[Frames], expected: list[list[vd.FrameResult]]
) -> None:
    server = start()

    def frames() -> Iterator[tuple[Any, dict[str, Any]]]:
        for number, frame in enumerate(videos[3]):
            if number == 3:
                server.kill()
                server.__enter__()  # on the same ports
            yield frame, {}

    url = server.grpc if protocol == "Grpc" else server.http
    tracker = example.Tracker(lambda: getattr(example, protocol)(url, "vpp"), f"client {protocol}")
    lines = list(tracker.run(frames()))
    assert instances(lines) == json.loads(json.dumps([one.to_dict()["instances"] for one in expected[3]]))
    assert len(lines) == LENGTH


def test_an_error_of_the_model_is_not_tried_again(example: ModuleType, server: Server, videos: list[Frames]) -> None:
    tracker = example.Tracker(lambda: example.Http(server.http, "nothing"), "a")
    with pytest.raises(InferenceServerException, match="nothing"):
        next(tracker.run([(videos[0][0], {})]))
