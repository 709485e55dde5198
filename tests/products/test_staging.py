"""A finished folder takes another's place, or that one stays."""

from __future__ import annotations

from pathlib import Path

import pytest

from geopanoptic.products.staging import replace_folder


@pytest.fixture
def target(tmp_path: Path) -> Path:
    folder = tmp_path / "labels"
    folder.mkdir()
    (folder / "a.txt").write_text("old")
    return folder


def test_a_folder_takes_the_place_of_another(target: Path) -> None:
    staged = target.with_name(".labels-1")
    for text in ("new", "newer"):
        staged.mkdir()
        (staged / "b.txt").write_text(text)
        replace_folder(staged, target)
        assert [(file.name, file.read_text()) for file in target.iterdir()] == [("b.txt", text)]
    assert list(target.parent.iterdir()) == [target]


def test_the_old_folder_stays_where_the_new_one_cannot_be_put(target: Path) -> None:
    with pytest.raises(FileNotFoundError):
        replace_folder(target.with_name("never-written"), target)
    assert (target / "a.txt").read_text() == "old"
    assert list(target.parent.iterdir()) == [target]
