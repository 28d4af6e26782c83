"""What paths are called in tables."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from vpp_deploy.files.names import distinct_names, is_called

PART = st.sampled_from(["a", "b", "a.bundle", "0"])
PATHS = st.lists(st.lists(PART, min_size=1, max_size=4).map(lambda parts: Path("/", *parts)), min_size=1, unique=True)


@given(PATHS)
def test_names_are_distinct_ends_and_no_longer_than_they_must_be(paths: list[Path]) -> None:
    names = distinct_names(paths)
    assert len(set(names)) == len(paths)
    for path, name in zip(paths, names, strict=True):
        assert is_called(path, name)
        shorter = Path(name).parts[1:]
        if shorter and not name.startswith("/"):
            assert any(other != path and other.parts[-len(shorter) :] == shorter for other in paths)


def test_the_working_folder_has_a_name() -> None:
    assert distinct_names([Path()]) == [Path.cwd().name]
    assert is_called(Path(), Path.cwd().name)
    assert not is_called(Path("/a/b"), "")
