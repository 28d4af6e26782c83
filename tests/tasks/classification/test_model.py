"""A classifier as a Python program uses it: any number of pictures in, labels out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image

import vpp_deploy as vd
from vpp_deploy.engines.protocols import Engine
from vpp_deploy.errors import UsageError


def pictures(count: int) -> list[np.ndarray]:
    generator = np.random.default_rng(0)
    return [generator.integers(0, 256, (30 + number, 40, 3), np.uint8) for number in range(count)]


@pytest.mark.parametrize("count", [0, 1, 2, 3, 5])
def test_any_number_of_pictures_is_classified(images: Engine, count: int) -> None:
    """In batches of two, the last one filled up."""
    model = vd.ClassificationModel(images)
    found = model(list(pictures(count)))
    assert len(found) == count
    for result, picture in zip(found, pictures(count), strict=True):
        alone = model(picture)
        assert result.names == alone.names
        assert_allclose(result.scores, alone.scores, atol=1e-6)
        assert result.best == (model.names[result.labels[0]], float(result.scores[0]))


def test_files_are_classified_and_results_draw_save_and_convert(images: Engine, tmp_path: Path) -> None:
    model = vd.ClassificationModel(images, top=2)
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number, picture in enumerate(pictures(3)):
        Image.fromarray(picture).save(folder / f"{number}.png")
    found = list(model.run(folder))
    assert [result.name for result in found] == ["0.png", "1.png", "2.png"]
    assert len(list(model.run(folder, max_frames=2))) == 2
    assert_array_equal(model(folder / "1.png").labels, found[1].labels)
    assert model(folder / "1.png").name == "1.png"
    assert found[0].plot(header=False).shape == pictures(1)[0].shape
    with pytest.raises(UsageError, match="there is no 'masks'"):
        found[0].plot("masks")
    found[0].save(tmp_path / "a.png")
    told = json.loads(found[0].to_json())
    assert [label["class"] for label in told["labels"]] == list(found[0].names)
    assert len(told["labels"]) == 2


def test_the_frames_of_a_clip_are_one_video(videos: Engine) -> None:
    model = vd.ClassificationModel(videos)
    clip = model.manifest.clip
    assert clip is not None
    frames = pictures(1) * (clip.frames * clip.sampling)
    (result, *_) = model(list(frames))
    assert len(result.indices) == clip.frames
    assert result.plot(header=False).shape == frames[0].shape


def test_a_session_gives_no_names_and_says_so(images: Engine) -> None:
    session = vd.ClassificationSession(images)
    image = np.zeros((*images.frame_size, 3), np.uint8)
    (result,) = session([(vd.Frame(image, images.frame_size, image, 0),)])
    with pytest.raises(UsageError, match="take the result of a model"):
        _ = result.best


def test_a_result_has_a_picture_of_its_own(images: Engine) -> None:
    (picture,) = pictures(1)
    result = vd.ClassificationModel(images)(picture)
    drawn = result.plot()
    picture[:] = 0
    assert_array_equal(result.plot(), drawn)


@pytest.mark.parametrize("source", [np.zeros((6, 8, 3), np.uint8), ["a.png"], None, True])
def test_what_is_in_memory_is_no_source(images: Engine, source: Any) -> None:
    with pytest.raises(UsageError, match=f"of type {type(source).__name__}; give a path"):
        vd.ClassificationModel(images).run(source)


def test_the_method_of_the_other_kind_of_models_names_ones_own(images: Engine) -> None:
    model = vd.ClassificationModel(images)
    with pytest.raises(AttributeError, match=r"no attribute 'track'.*use run\(source\)"):
        model.track  # type: ignore[attr-defined]  # noqa: B018
    assert not hasattr(model, "track")
