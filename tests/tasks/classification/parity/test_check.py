"""The check of classifiers on real exports: it passes, names what is wrong, and excuses ties that it can prove."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import vpp_deploy
from tests.parity.failing import failure_of
from tests.parity.terminal import on_a_terminal
from tests.tasks.classification.parity.classifiers import (
    BrightnessEngine,
    OtherChoice,
    TiedReference,
    keep_next,
    level,
    swap_first_two,
)
from tests.tasks.segmentation.parity.perturbed import Arrays, PerturbedEngine
from vpp_deploy.bundle import Bundle, ClassificationManifest
from vpp_deploy.bundle.classification_manifest import ClipSpec
from vpp_deploy.bundle.manifest import GraphSpec
from vpp_deploy.engines.protocols import Engine
from vpp_deploy.errors import UsageError
from vpp_deploy.families.papr.config import PaprConfig
from vpp_deploy.families.papr.export import export_papr
from vpp_deploy.families.papr.reference import PaprTorchEngine
from vpp_deploy.frames import Frame
from vpp_deploy.parity.report_common import store
from vpp_deploy.tasks.classification.parity.check import check_classification
from vpp_deploy.tasks.classification.parity.render import render_classification
from vpp_deploy.tasks.classification.parity.report import ClassificationParity
from vpp_deploy.tasks.engines import open_engine
from vpp_deploy.tasks.segmentation.parity.check import check_parity as check_video

pytestmark = pytest.mark.usefixtures("one_thread")
IMAGES = 3
PATCHES = 24


@pytest.fixture(scope="module")
def engine(papr_bundle: Bundle) -> Engine:
    return vpp_deploy.load_engine(papr_bundle, "onnxruntime", threads=1)


@pytest.fixture(scope="module")
def torch_engine(papr_bundle: Bundle) -> PaprTorchEngine:
    return PaprTorchEngine(papr_bundle)


def pictures(size: tuple[int, int], count: int = IMAGES) -> list[Frame]:
    generator = np.random.default_rng(7)
    images = generator.integers(0, 256, (count, *size, 3), np.uint8)
    return [Frame(image, size, image, index, name=f"{index}.png") for index, image in enumerate(images)]


@pytest.fixture(scope="module")
def frames(engine: Engine) -> list[Frame]:
    return pictures(engine.frame_size)


Export = Callable[[PaprConfig], Bundle]


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Export:
    def run(config: PaprConfig) -> Bundle:
        out = tmp_path_factory.mktemp("papr") / "model.bundle"
        return export_papr(config, out=out, random_weights=vpp_deploy.RandomWeights(0), batch=2)

    return run


@pytest.fixture(scope="module")
def merging(export: Export) -> tuple[Bundle, PaprTorchEngine]:
    bundle = export(PaprConfig("papr:vit_tiny_patch16_224", 0.5, merge=2, size=(64, 96)))
    return bundle, PaprTorchEngine(bundle)


@pytest.fixture(scope="module")
def report(
    papr_bundle: Bundle, engine: Engine, frames: list[Frame], torch_engine: PaprTorchEngine
) -> ClassificationParity:
    return check_classification(papr_bundle, engine, frames, reference=torch_engine)


def shown(report: ClassificationParity, width: int = 80) -> str:
    return on_a_terminal(render_classification(report), width)


def failure(report: ClassificationParity) -> str:
    return failure_of(report, shown(report))


def test_an_engine_that_computes_what_pytorch_computes_passes(report: ClassificationParity) -> None:
    assert report.problems == []
    report.raise_for_failure()
    assert [sample.where for sample in report.samples] == ["image 0 (0.png)", "image 1 (1.png)", "image 2 (2.png)"]
    worst = report.worst()
    assert set(worst) == {"logits", "significance_patches"}
    assert all(0 < tensor.maximum < 1e-4 and tensor.cosine > 0.999999 for tensor in worst.values())
    assert report.overlaps() == {"patches": {"mean": 1.0, "minimum": 1.0}}
    assert report.labels() == {"top1_agreement": 1.0, "top5_agreement": 1.0}
    assert len(report.slots) == 2
    assert all(difference < 1e-5 for difference in report.slot_differences().values())
    assert report.notes == ["the source has 3 of the 30 images asked for"]
    for kind in ("image", "clip"):
        words = shown(replace(report, kind=kind), 120).partition("Words")[2]
        assert (f"{kind}s of which both sides keep the same patches" in words, f"the worst {kind}" in words) == (
            True,
            True,
        )
        assert ("frame" in words, "token" in words) == (False, False)


def test_the_report_is_json_and_the_bundle_keeps_its_summary(
    report: ClassificationParity, papr_bundle: Bundle, tmp_path: Path
) -> None:
    whole = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert [(sample["indices"], sample["name"]) for sample in whole["per_sample"]] == [
        ([0], "0.png"),
        ([1], "1.png"),
        ([2], "2.png"),
    ]
    assert whole["per_sample"][1]["patches"]["patches"]["selection"]["overlap"] == 1.0
    assert len(whole["per_slot"]) == 2
    summary = json.loads(store(Bundle(tmp_path, papr_bundle.manifest), report).read_text())
    assert summary == {key: whole[key] for key in summary}
    assert (summary["passed"], summary["backend"], summary["samples"]) == (True, "onnxruntime", IMAGES)
    assert (summary["source"], summary["kind"]) == (None, "image")
    assert summary["tensors"]["logits"]["maximum"] < 1e-4
    assert summary["overlaps"]["patches"]["minimum"] == 1.0
    assert summary["labels"]["top1_agreement"] == 1.0
    assert {"vpp-deploy", "torch", "onnxruntime"} <= set(summary["versions"])


def test_the_table_fits_a_terminal(report: ClassificationParity) -> None:
    text = shown(report)
    assert max(len(line.rstrip()) for line in text.splitlines()) <= 80
    assert "…" not in text
    for part in ("3 images", "significance_patches", "12", "100.0% of the images", "2 slots", "Parity: passed"):
        assert part in text


def test_a_folder_of_images_is_read_for_the_model(
    papr_bundle: Bundle, engine: Engine, torch_engine: PaprTorchEngine, tmp_path: Path
) -> None:
    for frame in pictures((80, 90)):
        Image.fromarray(frame.image).save(tmp_path / frame.name)
    done: list[tuple[int, int | None]] = []
    report = check_classification(
        papr_bundle, engine, tmp_path, frames=3, reference=torch_engine, progress=lambda *counts: done.append(counts)
    )
    assert report.passed
    assert (report.source, report.notes, done) == (tmp_path.name, [], [(2, 3), (3, 3)])
    assert [sample.name for sample in report.samples] == ["0.png", "1.png", "2.png"]


def test_no_more_images_are_read_than_are_compared(papr_bundle: Bundle, engine: Engine) -> None:
    source = iter(pictures(engine.frame_size, 5))
    report = check_classification(papr_bundle, engine, source, frames=3, reference=engine)
    assert len(report.samples) == 3
    assert next(source).index == 3


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("logits", "logits: max |difference| 0.01 > 0.0001"),
        ("significance_patches", "significance_patches: max |difference| "),
    ],
)
def test_a_wrong_output_is_named(
    papr_bundle: Bundle, engine: Engine, frames: list[Frame], name: str, problem: str
) -> None:
    def add(outputs: Arrays) -> None:
        outputs[name][1] += 1e-2

    perturbed = PerturbedEngine(engine, add, first_frame=0)
    report = check_classification(papr_bundle, perturbed, frames, reference=engine)
    assert failure(report).startswith(f"image 1 (1.png), {problem}")


def test_significance_is_judged_by_the_scale_of_its_map(
    papr_bundle: Bundle, engine: Engine, frames: list[Frame]
) -> None:
    """A difference that would be rounding in a map of ones is an error in a small one, and the reverse."""

    def scaled(scale: float, error: float) -> PerturbedEngine:
        def change(outputs: Arrays) -> None:
            outputs["significance_patches"] *= scale
            outputs["significance_patches"][0, 0, 0] += error

        return PerturbedEngine(engine, change, first_frame=0)

    largest = float(np.abs(engine_outputs(engine, frames)["significance_patches"][0]).max())
    for scale in (1e-6, 1e6):
        unit = scale * largest
        reference = scaled(scale, 0)
        assert check_classification(papr_bundle, scaled(scale, 5e-5 * unit), frames, reference=reference).passed
        wrong = check_classification(papr_bundle, scaled(scale, 2e-4 * unit), frames, reference=reference)
        assert "significance_patches: max |difference| 0.0002 > 0.0001 of the largest" in failure(wrong)


def engine_outputs(engine: Engine, frames: list[Frame]) -> Arrays:
    return engine.open_stream().run({"images": np.stack([frame.image for frame in frames[:2]])})


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("name", ["logits", "significance_patches"])
def test_values_that_are_not_finite_are_named(
    papr_bundle: Bundle, engine: Engine, frames: list[Frame], name: str, value: float
) -> None:
    def break_one(outputs: Arrays) -> None:
        outputs[name][0].flat[3] = value

    perturbed = PerturbedEngine(engine, break_one, first_frame=0)
    report = check_classification(papr_bundle, perturbed, frames, reference=engine)
    assert failure(report) == f"image 0 (0.png), {name}: 1 NaN or infinite values"


def test_an_engine_that_gives_nothing_but_nan_fails_without_a_crash(
    papr_bundle: Bundle, engine: Engine, frames: list[Frame]
) -> None:
    def fill(outputs: Arrays) -> None:
        for array in outputs.values():
            array[:] = np.nan if np.issubdtype(array.dtype, np.floating) else -1

    broken = PerturbedEngine(engine, fill, first_frame=0)
    report = check_classification(papr_bundle, broken, frames, reference=engine)
    assert failure(report).startswith("image 0 (0.png), logits: ")
    assert "image 0 (0.png), patches: a value outside 0..23: -1..-1" in report.problems
    turned = check_classification(papr_bundle, engine, frames, reference=broken)
    assert failure(turned).endswith("NaN or infinite values in the PyTorch reference")


def test_a_repeated_patch_is_named(
    papr_bundle: Bundle, engine: Engine, frames: list[Frame], torch_engine: PaprTorchEngine
) -> None:
    def repeat(outputs: Arrays) -> None:
        outputs["kept_patches"][0, -1] = outputs["kept_patches"][0, 0]

    reference = TiedReference(torch_engine)
    perturbed = PerturbedEngine(engine, repeat, first_frame=0)
    report = check_classification(papr_bundle, perturbed, frames, reference=reference)
    assert failure(report) == "image 0 (0.png), patches: values that repeat"
    assert reference.reruns == 0


def test_a_patch_swapped_beyond_a_tie_is_named(
    papr_bundle: Bundle, frames: list[Frame], torch_engine: PaprTorchEngine
) -> None:
    """Though the engine's logits are those of its own choice."""
    reference = TiedReference(torch_engine)
    report = check_classification(
        papr_bundle, OtherChoice(torch_engine, keep_next(PATCHES)), frames, reference=reference
    )
    assert failure(report).startswith("image 0 (0.png), patches: kept patches differ beyond ties: patch ")
    assert not any("logits" in problem for problem in report.problems)
    assert reference.reruns == 0


def test_a_tie_is_excused_when_pytorch_agrees_with_the_choice(
    papr_bundle: Bundle, frames: list[Frame], torch_engine: PaprTorchEngine
) -> None:
    tied = level(torch_engine.manifest)
    engine = OtherChoice(torch_engine, keep_next(PATCHES), tied)
    report = check_classification(papr_bundle, engine, frames, reference=TiedReference(torch_engine, tied))
    assert report.problems == []
    assert report.samples[0].difference.rerun
    assert not report.samples[1].difference.rerun
    # of the batches with images 0 and 1, and with image 2 and its padding
    assert (report.summary()["ties"], report.summary()["reruns"]) == (4, 2)
    assert report.notes[0].startswith("image 0 (0.png), patches: tie of patches ")
    assert any("engine's choice among ties in 2 of 3 images" in note for note in report.notes)


def test_a_tie_does_not_excuse_other_logits(
    papr_bundle: Bundle, frames: list[Frame], torch_engine: PaprTorchEngine
) -> None:
    """The engine says that it kept another patch, and computes with the one that PyTorch kept."""
    tied = level(torch_engine.manifest)

    def lie(outputs: Arrays) -> None:
        tied(outputs)
        keep_next(PATCHES)(outputs["kept_patches"])

    engine = PerturbedEngine(torch_engine, lie, first_frame=0)
    report = check_classification(papr_bundle, engine, frames, reference=TiedReference(torch_engine, tied))
    assert failure(report).startswith("image 0 (0.png), logits: max |difference| ")
    assert failure(report).endswith("> 0.0001, even with the patches that the engine kept: no tie explains it")


def test_a_tie_that_nobody_can_prove_is_a_problem(
    papr_bundle: Bundle, frames: list[Frame], torch_engine: PaprTorchEngine
) -> None:
    tied = level(torch_engine.manifest)
    engine = OtherChoice(torch_engine, keep_next(PATCHES), tied)
    reference = PerturbedEngine(torch_engine, tied, first_frame=0)
    report = check_classification(papr_bundle, engine, frames, reference=reference)
    assert failure(report).startswith("image 0 (0.png): kept patches differ by ties")


@pytest.mark.parametrize("merged", [False, True])
def test_a_wrong_order_is_named(
    papr_bundle: Bundle,
    torch_engine: PaprTorchEngine,
    merging: tuple[Bundle, PaprTorchEngine],
    frames: list[Frame],
    merged: bool,
) -> None:
    bundle, reference = merging if merged else (papr_bundle, torch_engine)
    report = check_classification(bundle, OtherChoice(reference, swap_first_two), frames, reference=reference)
    assert failure(report).startswith("image 0 (0.png), patches: kept patches out of order by ")


def test_the_order_of_ties_needs_a_proof_where_tokens_are_merged(
    merging: tuple[Bundle, PaprTorchEngine], frames: list[Frame]
) -> None:
    bundle, torch_engine = merging
    tied = level(torch_engine.manifest)
    reference = TiedReference(torch_engine, tied)
    report = check_classification(bundle, OtherChoice(torch_engine, swap_first_two, tied), frames, reference=reference)
    assert report.problems == []
    assert (report.summary()["order_ties"], report.summary()["reruns"]) == (2, 2)

    def lie(outputs: Arrays) -> None:
        tied(outputs)
        swap_first_two(outputs["kept_patches"])

    liar = PerturbedEngine(torch_engine, lie, first_frame=0)
    assert "no tie explains it" in failure(check_classification(bundle, liar, frames, reference=reference))


def test_the_order_of_ties_needs_none_elsewhere(
    papr_bundle: Bundle, frames: list[Frame], torch_engine: PaprTorchEngine
) -> None:
    tied = level(torch_engine.manifest)
    reference = TiedReference(torch_engine, tied)
    engine = OtherChoice(torch_engine, swap_first_two, tied)
    report = check_classification(papr_bundle, engine, frames, reference=reference)
    assert (report.problems, reference.reruns) == ([], 0)
    assert report.notes[0] == "patches: patches that tie are listed in another order in 2 of 3 images (within 0)"


def test_the_stages_of_a_hierarchical_model_are_judged_one_by_one(export: Export) -> None:
    bundle = export(PaprConfig("papr:convnext_atto", 0.5, size=(64, 64)))
    torch_engine = PaprTorchEngine(bundle)
    frames = pictures(torch_engine.frame_size)
    tied = level(torch_engine.manifest, point=1)
    engine = OtherChoice(torch_engine, keep_next(64), tied, point=1)
    report = check_classification(bundle, engine, frames, reference=TiedReference(torch_engine, tied))
    assert report.problems == []
    assert {name for name, points in report.patches().items() if points[0].selection.differing} == {"stage_1"}
    wrong = check_classification(bundle, engine, frames, reference=torch_engine)
    assert failure(wrong).startswith("image 0 (0.png), significance_stage_1: ")
    assert any("stage_1: kept patches differ beyond ties" in problem for problem in wrong.problems)


def test_a_result_that_depends_on_the_slot_is_named(papr_bundle: Bundle, engine: Engine, frames: list[Frame]) -> None:
    """Even if the reference does the same."""

    def drift(outputs: Arrays) -> None:
        outputs["logits"][1] += 1e-2

    perturbed = PerturbedEngine(engine, drift, first_frame=0)
    report = check_classification(papr_bundle, perturbed, frames, reference=perturbed)
    assert report.problems == ["slot 1 of a batch of 2 with the same content, logits: max |difference| 0.01 > 0.0001"]
    failure(report)


def test_a_result_that_depends_on_the_neighbours_is_named(
    papr_bundle: Bundle, engine: Engine, frames: list[Frame]
) -> None:
    def mix(outputs: Arrays) -> None:
        outputs["logits"] = (outputs["logits"] + outputs["logits"][::-1]) / 2

    perturbed = PerturbedEngine(engine, mix, first_frame=0)
    report = check_classification(papr_bundle, perturbed, frames, reference=perturbed)
    assert [problem.partition(",")[0] for problem in report.problems] == [
        "slot 0 of a batch of 2 with the same content",
        "slot 1 of a batch of 2 with the same content",
    ]


def test_padding_is_not_judged(papr_bundle: Bundle, engine: Engine, frames: list[Frame]) -> None:
    def break_padding(outputs: Arrays) -> None:
        outputs["logits"][1] = np.nan

    perturbed = PerturbedEngine(engine, break_padding, first_frame=2)  # the third run, with image 2 alone
    report = check_classification(papr_bundle, perturbed, frames, reference=engine)
    assert report.passed
    assert len(report.samples) == 3


def test_another_label_is_noted(papr_bundle: Bundle, engine: Engine, frames: list[Frame]) -> None:
    def turn(outputs: Arrays) -> None:
        outputs["logits"] *= -1

    perturbed = PerturbedEngine(engine, turn, first_frame=0)
    report = check_classification(papr_bundle, perturbed, frames, reference=engine)
    assert report.labels() == {"top1_agreement": 0.0, "top5_agreement": 0.0}
    best = report.samples[0].difference.best
    assert best is not None
    reference, other = best
    assert f"image 0 (0.png): label {other}, not {reference}" in report.notes


def test_a_lower_precision_has_a_lower_bar(papr_bundle: Bundle, engine: Engine, frames: list[Frame]) -> None:
    def add(outputs: Arrays) -> None:
        outputs["logits"] += 1e-2

    half = PerturbedEngine(engine, add, first_frame=0)
    half.precision = "float16"
    assert check_classification(papr_bundle, half, frames, reference=engine).passed
    half.precision = "int4"
    with pytest.raises(UsageError, match="no parity tolerances for precision 'int4'"):
        check_classification(papr_bundle, half, frames, reference=engine)


def clip_manifest(manifest: ClassificationManifest) -> ClassificationManifest:
    """The manifest of a model of clips, 2 frames each, every second frame of the video."""
    graph = manifest.graphs["model"]
    images = graph.inputs[0]
    clips = images.model_copy(update={"name": "clips", "shape": (2, 2, *images.shape[1:])})
    graphs: dict[str, GraphSpec] = {"model": graph.model_copy(update={"inputs": (clips,)})}
    return manifest.model_copy(update={"clip": ClipSpec(frames=2, sampling=2), "graphs": graphs})


def test_clips_are_compared_and_reading_stops_after_the_last(papr_bundle: Bundle, engine: Engine) -> None:
    bundle = Bundle(papr_bundle.path, clip_manifest(ClassificationManifest.of(papr_bundle.manifest, "this test")))
    brightness = BrightnessEngine(ClassificationManifest.of(bundle.manifest, "this test"))
    video = iter(pictures(engine.frame_size, 12))
    report = check_classification(bundle, brightness, video, frames=3, reference=brightness)
    assert report.problems == []
    assert [sample.indices for sample in report.samples] == [(0, 2), (2, 4), (4, 6)]
    assert [sample.where for sample in report.samples] == ["clip at frame 0", "clip at frame 2", "clip at frame 4"]
    assert next(video).index == 7
    assert "3 clips" in shown(report)


def test_a_damaged_source_is_noted(report: ClassificationParity) -> None:
    assert "source: frame 3 is damaged" in replace(report, source_problem="frame 3 is damaged").notes


def test_bundles_of_the_other_family_and_impossible_calls_are_refused(
    papr_bundle: Bundle, micro_bundle: Bundle, engine: Engine, frames: list[Frame]
) -> None:
    video_engine = vpp_deploy.load_engine(micro_bundle, "onnxruntime", threads=1)
    with pytest.raises(UsageError, match="needs a bundle for classification"):
        check_classification(micro_bundle, video_engine, frames, reference=video_engine)
    with pytest.raises(UsageError, match="needs a bundle for segmentation"):
        check_video(papr_bundle, engine, frames, reference=engine)
    other = Bundle(papr_bundle.path, papr_bundle.manifest.model_copy(update={"class_names": ("a",)}))
    with pytest.raises(UsageError, match="was not made from bundle"):
        check_classification(other, engine, frames, reference=engine)
    with pytest.raises(UsageError, match="frames is 0"):
        check_classification(papr_bundle, engine, frames, frames=0, reference=engine)
    with pytest.raises(UsageError, match="no frame to compare"):
        check_classification(papr_bundle, engine, [], reference=engine)


def test_the_reference_of_a_papr_bundle_is_its_own(papr_bundle: Bundle) -> None:
    assert isinstance(open_engine(papr_bundle, "torch"), PaprTorchEngine)
    with pytest.raises(UsageError, match=r"threshold: papr:vit_tiny_patch16_224 keeps a fixed number"):
        open_engine(papr_bundle, "torch", "threshold")
