"""A file is the old one or the new one, and nothing else is left."""

from __future__ import annotations

from pathlib import Path

import pytest

from geopanoptic.replacing import replacing


def test_the_old_file_stands_until_the_new_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / ("n" * 255)
    path.write_text("old")
    with replacing(path) as partial:
        partial.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("begun", [False, True])
def test_what_fails_leaves_nothing(tmp_path: Path, begun: bool) -> None:
    path = tmp_path / "a.json"
    path.write_text("old")

    def write() -> None:
        with replacing(path) as partial:
            if begun:
                partial.write_text("hal")
            raise OSError("the disk is full")

    with pytest.raises(OSError, match="full"):
        write()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
