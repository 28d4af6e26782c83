"""A corpus and its results in an object store: moto's S3 server, on loopback."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Cli
from tests.corpus.corpora import lines, without_seconds, write_videos
from vpp_deploy.bundle import Bundle
from vpp_deploy.errors import ExitCode

NAMES = ("a.mp4", "sub/b.mp4")


@pytest.fixture(scope="module")
def store() -> Iterator[Any]:
    """The file system of a server that has the empty buckets `corpus` and `out`."""
    s3fs = pytest.importorskip("s3fs")
    server_module = pytest.importorskip("moto.server")
    server = server_module.ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", "http://{}:{}".format(*server.get_host_and_port()))
        patch.setenv("AWS_ACCESS_KEY_ID", "testing")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        s3fs.S3FileSystem.clear_instance_cache()
        found = s3fs.S3FileSystem()
        found.mkdir("corpus")
        found.mkdir("out")
        try:
            yield found
        finally:
            s3fs.S3FileSystem.clear_instance_cache()
            server.stop()


@pytest.fixture
def filled(store: Any, tmp_path: Path) -> Iterator[Any]:
    """The store with two videos in it."""
    videos = write_videos(tmp_path / "videos", NAMES)
    for name in NAMES:
        store.put_file(str(videos / name), f"corpus/{name}")
    yield store
    for bucket in ("corpus", "out"):
        store.invalidate_cache()
        for path in store.find(bucket):
            store.rm_file(path)


def test_from_bucket_to_bucket_and_again(cli: Cli, micro_bundle: Bundle, filled: Any, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    words = ["batch", micro_bundle.path, "s3://corpus", "-o", "s3://out/first", "--overlays"]
    first = cli(*words)
    assert first.code == 0, first.err
    filled.invalidate_cache()
    found = {path.removeprefix("out/first/") for path in filled.find("out")}
    assert {name for name in found if not name.startswith("markers/")} == {
        *("overlays/a.mp4.mp4", "overlays/sub/b.mp4.mp4", "results.parquet"),
        *("results/a.mp4.jsonl.gz", "results/sub/b.mp4.jsonl.gz"),
    }
    assert len([name for name in found if name.startswith("markers/")]) == len(NAMES) + 1  # and the table's

    for name in NAMES:
        assert cli("infer", micro_bundle.path, tmp_path / "videos" / name, "--json", tmp_path / "x.jsonl").code == 0
        stored = gzip.decompress(filled.cat_file(f"out/first/results/{name}.jsonl.gz"))
        assert [json.loads(line) for line in stored.splitlines()] == without_seconds(tmp_path / "x.jsonl")
    with filled.open("out/first/results.parquet") as file:
        assert set(parquet.read_table(file)["video"].to_pylist()) == set(NAMES)

    assert "0 to run; 2 done before" in cli(*words).out
    filled.put_file(str(write_videos(tmp_path / "new", ["a.mp4"], frames=3) / "a.mp4"), "corpus/a.mp4")
    filled.pipe_file("out/first/results/sub/b.mp4.jsonl.gz", b"")
    again = cli(*words)
    assert "2 to run (1 its source has changed, 1 its result is damaged); 0 done before" in again.out
    assert len(gzip.decompress(filled.cat_file("out/first/results/a.mp4.jsonl.gz")).splitlines()) == 3


def test_images_of_a_bucket(cli: Cli, papr_bundle: Bundle, filled: Any, tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    for number in range(3):
        image.new("RGB", (90, 60), (50 * number, 90, 30)).save(tmp_path / "x.png")
        filled.put_file(str(tmp_path / "x.png"), f"corpus/photos/{number}.png")
    words = ["batch", papr_bundle.path, "s3://corpus/photos", "-o", tmp_path / "out", "--shard", 2, "--no-parquet"]
    outcome = cli(*words)
    assert outcome.code == 0, outcome.err
    assert [line["name"] for line in lines(tmp_path / "out", "pictures/pictures-000000")] == ["0.png", "1.png"]


def test_a_list_whose_files_are_not_all_there(cli: Cli, micro_bundle: Bundle, filled: Any, tmp_path: Path) -> None:
    del filled
    (tmp_path / "list.txt").write_text("s3://corpus/a.mp4\ns3://corpus/gone.mp4\n")
    outcome = cli("batch", micro_bundle.path, tmp_path / "list.txt", "-o", tmp_path / "out", "--no-parquet")
    assert outcome.code == 1
    assert "corpus/gone.mp4: s3://corpus/gone.mp4: cannot be copied" in outcome.err
    assert "1 of 2 done, 1 failed" in outcome.out


@pytest.mark.parametrize(
    ("corpus", "out", "code", "word"),
    [
        ("s3://corpus", "s3://nowhere/x", ExitCode.BAD_INPUT, "cannot be"),
        ("s3://nowhere", "s3://out", ExitCode.BAD_INPUT, "s3://nowhere: "),
        ("s3://corpus", "s3://corpus/out", ExitCode.USAGE, "which is read"),
    ],
)
def test_places_that_will_not_do(
    corpus: str, out: str, code: ExitCode, word: str, cli: Cli, micro_bundle: Bundle, filled: Any
) -> None:
    del filled
    outcome = cli("batch", micro_bundle.path, corpus, "-o", out, "--no-parquet")
    outcome.assert_one_line_error(code, word)
