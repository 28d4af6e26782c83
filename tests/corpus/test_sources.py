from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import pytest

from vpp_deploy.corpus.items import Item, SourceFile, make_items
from vpp_deploy.corpus.locations import fixed_part
from vpp_deploy.corpus.markers import marker_of
from vpp_deploy.corpus.plan import result_name
from vpp_deploy.corpus.sources import find_files
from vpp_deploy.errors import DependencyError, UsageError, VideoError


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode())
    return folder


def items_of(corpus: object, shard: int | None = None) -> list[Item]:
    return make_items(find_files(str(corpus)), shard)[0]


def names_of(corpus: object, shard: int | None = None) -> list[str]:
    return [item.name for item in items_of(corpus, shard)]


def test_a_folder_has_its_videos_in_natural_order_and_those_of_the_folders_in_it(tmp_path: Path) -> None:
    touch(tmp_path, "10.mp4", "2.MKV", "a/b/c.webm", "notes.csv", "readme.txt", ".hidden/x.mp4", ".y.mp4")
    os.mkfifo(tmp_path / "pipe.mp4")
    items, left_out = make_items(find_files(str(tmp_path)), None)
    assert [item.name for item in items] == ["a/b/c.webm", "2.MKV", "10.mp4"]
    assert left_out == "left out 1 .csv, 1 .txt"
    assert items[1].size == len("2.MKV")


def test_images_of_a_folder_are_a_video_or_shards(tmp_path: Path) -> None:
    touch(tmp_path, *(f"cat/{number}.jpg" for number in range(5)), "cat/film.mp4", "dog/1.png")
    whole = items_of(tmp_path)
    assert [(item.name, item.pictures, item.whole) for item in whole] == [
        ("cat", True, True),
        ("cat/film.mp4", False, False),
        ("dog", True, True),
    ]
    assert names_of(tmp_path, 2) == [
        *("cat/film.mp4", "cat/pictures-000000", "cat/pictures-000002", "cat/pictures-000004"),
        "dog/pictures-000000",
    ]
    shards = [item for item in items_of(tmp_path, 2) if item.pictures]
    assert [len(item.files) for item in shards] == [2, 2, 1, 1]


def test_a_pattern_takes_what_it_names_whatever_the_names_end_in(tmp_path: Path) -> None:
    touch(tmp_path, "in/a.film", "in/sub/b.film", "in/c.mp4", "in/frames/1.png")
    assert names_of(tmp_path / "in" / "*.film") == ["a.film"]
    assert names_of(tmp_path / "in" / "**" / "*.film") == ["a.film", "sub/b.film"]
    assert names_of(tmp_path / "in" / "f*") == ["frames"]
    assert fixed_part("/data/clips/*/x.mp4") == "/data/clips"
    assert fixed_part("*.mp4") == ""
    assert fixed_part("/*") == "/"


def test_a_list_names_paths_from_its_own_folder_and_keeps_its_names_when_it_grows(tmp_path: Path) -> None:
    touch(tmp_path, "clips/a.mp4", "other/b.bin", "frames/1.png", "frames/2.png")
    listing = tmp_path / "clips.txt"
    listing.write_text(f"# mine\nclips/a.mp4\n\n{tmp_path}/other/b.bin\nframes\n")
    before = names_of(listing)
    outside = f"{tmp_path}/other/b.bin".lstrip("/")
    assert sorted(before) == sorted(["clips/a.mp4", outside, "frames"])
    listing.write_text(listing.read_text() + "gone.mp4\n../x.mp4\n")
    after = items_of(listing)
    assert set(before) < {item.name for item in after}
    assert [item.files[0].size for item in after if item.name == "gone.mp4"] == [-1]
    listing.write_bytes(b"\xef\xbb\xbf# from Windows\r\nclips/a.mp4\r\n")
    assert names_of(listing) == before[:1]
    listing.write_text("clips/a.mp4\n./clips/a.mp4\n")
    with pytest.raises(UsageError, match=r"'clips/a.mp4' is in the corpus 2 times"):
        items_of(listing)


def test_one_file_is_a_corpus(tmp_path: Path) -> None:
    touch(tmp_path, "any.name", "one.jpg")
    assert names_of(tmp_path / "any.name") == ["any.name"]
    assert [item.pictures for item in items_of(tmp_path / "one.jpg")] == [True]


def test_names_that_are_not_text(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"\xff.mp4")).write_bytes(b"x")
    (item,) = items_of(tmp_path)
    assert marker_of(item, "0" * 16).name.startswith("markers/")


def test_names_of_a_store_lead_nowhere_else_and_stay_apart() -> None:
    names = ("../../x.mp4", "a//b.mp4", "a/b.mp4", "a/./b.mp4", "/a/b.mp4")
    items, _ = make_items([SourceFile(f"s3://corpus/{name}", name, 1, "1") for name in names], None)
    found = {os.path.normpath(result_name(item)) for item in items}
    assert len(found) == len(names)
    assert all(path.startswith("results/") for path in found)


def test_what_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(VideoError, match="no such file or folder"):
        names_of(tmp_path / "gone")


def test_a_store_is_searched_as_a_folder_is() -> None:
    fsspec = pytest.importorskip("fsspec")
    memory = fsspec.filesystem("memory")
    for name in ("corpus/a.mp4", "corpus/sub/b.mp4", "corpus/.git/c.mp4", "corpus/frames/1.png", "corpus/list.csv"):
        memory.pipe_file(name, b"x")
    memory.pipe_file("lists/all.txt", b"memory://corpus/a.mp4\n# no\nmemory://corpus/gone.mp4\n")
    try:
        assert names_of("memory://corpus") == ["a.mp4", "frames", "sub/b.mp4"]
        assert names_of("memory://corpus/**/*.mp4") == ["a.mp4", "sub/b.mp4"]
        assert names_of("memory://corpus/a.mp4") == ["a.mp4"]
        named = items_of("memory://lists/all.txt")
        assert [(item.name, item.files[0].size) for item in named] == [("corpus/a.mp4", 1), ("corpus/gone.mp4", -1)]
        with pytest.raises(VideoError, match="there is nothing"):
            names_of("memory://nowhere")
        before = marker_of(items_of("memory://corpus/a.mp4")[0], "0" * 16)
        memory.pipe_file("corpus/a.mp4", b"y")
        assert marker_of(items_of("memory://corpus/a.mp4")[0], "0" * 16) != before
    finally:
        memory.rm("/corpus", recursive=True)
        memory.rm("/lists", recursive=True)


def test_what_a_url_needs_is_said() -> None:
    pytest.importorskip("fsspec")
    with pytest.raises(UsageError, match="give a path, or a URL that fsspec knows"):
        names_of("nothing://x")
    if importlib.util.find_spec("s3fs") is None:
        with pytest.raises(DependencyError, match=r"pip install vpp-deploy\[s3\]"):
            names_of("s3://bucket/x")
