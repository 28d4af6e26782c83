"""Engines and peers side by side, on tiny bundles of every task."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from PIL import Image

from tests.bundle.classifier_factory import CLIP, make_classifier
from tests.cli.conftest import Cli, cli  # noqa: F401 - a fixture
from tests.conftest import REPOSITORY
from vpp_deploy.benchmark.runner import alternate, benchmark, concurrent_rate
from vpp_deploy.bundle import Bundle
from vpp_deploy.engines import build_engine, load_engine
from vpp_deploy.errors import ExitCode, IncompatibleEngineError, UsageError, VppDeployError
from vpp_deploy.tasks.classification.workload import ClassificationWorkload

TINY_VIDEO_MODEL = REPOSITORY / "tests" / "bundle" / "data" / "v3-vpp"


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Bundle]:
    """A tiny bundle of each kind, with an ONNX Runtime engine."""
    folder = tmp_path_factory.mktemp("bundles")
    shutil.copytree(TINY_VIDEO_MODEL, folder / "video.bundle", ignore=shutil.ignore_patterns("engines"))
    made = {
        "video": Bundle.open(folder / "video.bundle"),
        "images": make_classifier(folder / "images.bundle"),
        "clips": make_classifier(folder / "clips.bundle", clip=CLIP),
    }
    for bundle in made.values():
        build_engine(bundle, "onnxruntime")
    return made


@pytest.mark.parametrize(
    ("kind", "unit", "items", "parts"),
    [
        ("video", "frames", 1, {"engine", "host"}),
        ("images", "images", 2, {"engine", "host"}),
        ("clips", "clips", 2, {"engine", "host"}),
    ],
)
def test_an_engine_and_a_peer(bundles: dict[str, Bundle], kind: str, unit: str, items: int, parts: set[str]) -> None:
    report = benchmark([bundles[kind]], peers=["naive-onnx"], rounds=7, streams=2, options={"threads": 1})
    engine, peer = report.candidates
    assert (engine.engine, peer.engine) == ("onnxruntime", "naive-onnx")
    for candidate in report.candidates:
        assert (candidate.unit, candidate.items, candidate.latency.calls) == (unit, items, 7)
        assert len(candidate.seconds) == 7
        assert candidate.parts.keys() == parts
        assert sum(part.minimum for part in candidate.parts.values()) <= candidate.latency.p99
        assert candidate.rate == pytest.approx(items / candidate.latency.median)
        assert candidate.concurrent_rate is not None
        assert candidate.concurrent_rate > 0
        assert candidate.start_up is not None
        assert candidate.start_up.seconds > candidate.latency.minimum
        assert 1e7 < candidate.start_up.peak_memory < 1e10
    assert engine.ratio is None
    assert peer.ratio is not None
    assert peer.ratio.low <= peer.ratio.value <= peer.ratio.high


def test_several_bundles_and_real_pictures(bundles: dict[str, Bundle], tmp_path: Path) -> None:
    photo = tmp_path / "photo.png"
    Image.new("RGB", (90, 60), (200, 40, 40)).save(photo)
    other = shutil.copytree(bundles["images"].path, tmp_path / "other.bundle")
    report = benchmark([bundles["images"], Bundle.open(other)], source=photo, rounds=5, measure_start_up=False)
    assert [candidate.bundle for candidate in report.candidates] == ["images.bundle", "other.bundle"]
    assert report.source == str(photo)
    assert all(candidate.start_up is None for candidate in report.candidates)


def test_every_candidate_is_called_once_a_round_in_changing_order() -> None:
    calls: list[int] = []

    def call(number: int) -> Callable[[], Mapping[str, float]]:
        def run() -> Mapping[str, float]:
            calls.append(number)
            return {"engine": float(number)}

        return run

    told: list[int] = []
    times, parts = alternate([call(0), call(1), call(2)], 20, told.append)
    rounds = [tuple(calls[start : start + 3]) for start in range(0, len(calls), 3)]
    assert all(sorted(order) == [0, 1, 2] for order in rounds)
    assert len(set(rounds)) == 6
    assert [len(of) for of in times] == [20, 20, 20]
    assert [of["engine"] for of in parts] == [[0.0] * 20, [1.0] * 20, [2.0] * 20]
    assert told[-1] == 20


def test_all_engines_of_a_bundle_take_part(bundles: dict[str, Bundle], tmp_path: Path) -> None:
    bundle = Bundle.open(shutil.copytree(bundles["video"].path, tmp_path / "video.bundle"))
    build_engine(bundle, "openvino")
    report = benchmark([bundle], rounds=5, streams=2, measure_start_up=False, options={"threads": 1})
    assert [candidate.engine for candidate in report.candidates] == ["onnxruntime", "openvino"]
    assert report.candidates[1].parts["engine"].minimum > 0


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"rounds": 4}, UsageError, "rounds is 4"),
        ({"streams": 0}, UsageError, "streams is 0"),
        ({"engines": ["abacus"]}, UsageError, "there is no engine 'abacus'; engines are onnxruntime,"),
        ({"engines": ["torch"]}, UsageError, r"there is no engine 'torch'; it is a peer here \(--peer torch\)"),
        ({"peers": ["openvino"]}, UsageError, r"there is no peer 'openvino'; it is an engine \(--engine openvino\)"),
        ({"peers": ["abacus"]}, UsageError, "there is no peer 'abacus'; peers are torch,"),
        ({"engines": ["tensorrt"]}, VppDeployError, "tensorrt"),
        ({"options": {"colour": 1}}, UsageError, "no engine that is compared knows the option 'colour'"),
        ({"source": Path("nothing.png")}, VppDeployError, "nothing.png"),
    ],
)
def test_what_cannot_be_measured_is_said(
    bundles: dict[str, Bundle], options: dict[str, object], error: type[VppDeployError], words: str
) -> None:
    with pytest.raises(error, match=words):
        benchmark([bundles["images"]], measure_start_up=False, **options)  # type: ignore[arg-type]


def test_a_bundle_without_an_engine_names_the_command(bundles: dict[str, Bundle], tmp_path: Path) -> None:
    bare = make_classifier(tmp_path / "bare.bundle")
    with pytest.raises(UsageError, match=r"has no engine; build one with: vpp-deploy build-engine .*bare\.bundle"):
        benchmark([bare])
    with pytest.raises(IncompatibleEngineError, match="has no onnxruntime engine"):
        benchmark([bare], engines=["onnxruntime"], measure_start_up=False)
    with pytest.raises(UsageError, match="a bundle is given twice"):
        benchmark([bundles["images"], bundles["images"]])


def test_the_command_prints_a_table_and_writes_every_time(
    bundles: dict[str, Bundle],
    cli: Cli,  # noqa: F811
    tmp_path: Path,
) -> None:
    out = tmp_path / "speed.json"
    words = ("--peer", "naive-onnx", "--rounds", "6", "--threads", "1", "--json", out)
    outcome = cli("benchmark", bundles["video"].path, *words)
    assert outcome.code == ExitCode.OK, outcome.err
    assert "time over onnxruntime" in outcome.out
    content = json.loads(out.read_text())
    assert [candidate["engine"] for candidate in content["candidates"]] == ["onnxruntime", "naive-onnx"]
    assert [len(candidate["seconds"]) for candidate in content["candidates"]] == [6, 6]
    assert set(content["candidates"][1]["ratio"]) == {"value", "low", "high", "decided"}
    assert content["machine"]["versions"]["python"] == sys.version.split()[0]


def test_the_pytorch_reference_is_a_peer(papr_bundle: Bundle) -> None:
    report = benchmark([papr_bundle], peers=["torch"], rounds=5, streams=2, measure_start_up=False)
    assert report.candidates[1].engine == "torch"
    assert [candidate.concurrent_rate is None for candidate in report.candidates] == [False, True]


def test_a_stream_that_fails_ends_the_measurement(bundles: dict[str, Bundle]) -> None:
    class Broken:
        items, unit = 1, "frames"

        def __call__(self) -> Mapping[str, float]:
            raise UsageError("out of order")

    sound = ClassificationWorkload(load_engine(bundles["images"]), None)
    with pytest.raises(UsageError, match="out of order"):
        concurrent_rate([sound, Broken()], 5)


def test_bundles_of_one_name_are_told_apart(bundles: dict[str, Bundle], cli: Cli, tmp_path: Path) -> None:  # noqa: F811
    places = [tmp_path / place / "same.bundle" for place in ("first", "second")]
    for place in places:
        shutil.copytree(bundles["images"].path, place)
    names = [f"{place.parent.name}/same.bundle" for place in places]
    report, scores, plot = tmp_path / "speed.json", tmp_path / "scores.json", tmp_path / "plot.svg"
    for label in ("dark", "bright"):
        (tmp_path / "data" / label).mkdir(parents=True)
        Image.new("RGB", (48, 32), {"dark": (9, 9, 9), "bright": (250, 250, 250)}[label]).save(
            tmp_path / "data" / label / "0.png"
        )
    outcome = cli("evaluate", *places, "--data", tmp_path / "data", "--json", scores)
    assert outcome.code == 0, outcome.err
    assert [run["bundle"] for run in json.loads(scores.read_text())["runs"]] == names
    assert all(name in outcome.out for name in names)
    outcome = cli("benchmark", *places, "--rounds", 5, "--json", report, "--plot", plot, "--scores", scores)
    assert outcome.code == 0, outcome.err
    assert [one["bundle"] for one in json.loads(report.read_text())["candidates"]] == names
    assert all(f"{name} onnxruntime" in outcome.out for name in names)
    words = ("report", places[1], "--benchmark", report, "--evaluate", scores, "-o", tmp_path / "page.html")
    outcome = cli(*words)
    assert (outcome.code, outcome.err) == (0, "")
    manifest = json.loads((places[1] / "manifest.json").read_text())
    manifest["class_names"].reverse()
    (places[1] / "manifest.json").write_text(json.dumps(manifest))
    assert cli("evaluate", places[0], "--data", tmp_path / "data", "--json", scores).code == 0
    outcome = cli("benchmark", places[1], "--plot", plot, "--scores", scores)  # of the other one, called the same
    outcome.assert_one_line_error(ExitCode.BAD_INPUT, "same.bundle is another bundle of that name, or was made anew")
    outcome = cli("report", places[1], "--evaluate", scores, "-o", tmp_path / "page.html")
    assert outcome.code == 0
    assert outcome.err.endswith("what `evaluate` measured is of same.bundle, not of same.bundle as it is now\n")
