"""Texts that are whole at their path, or not there."""

from __future__ import annotations

import os
from pathlib import Path
from threading import Thread

import pytest

from geopanoptic.errors import OutputError
from geopanoptic.products.writing import put_text


def test_a_text_takes_the_place_of_the_one_before_and_leaves_nothing_else(tmp_path):
    put_text(tmp_path / "a.json", "first")
    put_text(tmp_path / "a.json", "second")
    assert (tmp_path / "a.json").read_text() == "second\n"
    assert list(tmp_path.iterdir()) == [tmp_path / "a.json"]


def test_what_was_there_stays_where_writing_fails(tmp_path, monkeypatch):
    put_text(tmp_path / "a.json", "first")

    def full(path, *_arguments, **_options):
        path.touch()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OutputError, match=r"a\.json could not be written .*No space left"):
        put_text(tmp_path / "a.json", "second")
    assert (tmp_path / "a.json").read_text() == "first\n"
    assert list(tmp_path.iterdir()) == [tmp_path / "a.json"]


def test_a_link_stays_a_link_and_a_pipe_is_written_to(tmp_path):
    put_text(tmp_path / "a.json", "first")
    (tmp_path / "link.json").symlink_to("a.json")
    put_text(tmp_path / "link.json", "second")
    assert (tmp_path / "link.json").is_symlink()
    assert (tmp_path / "a.json").read_text() == "second\n"
    os.mkfifo(tmp_path / "pipe")
    heard: list[str] = []
    reader = Thread(target=lambda: heard.append((tmp_path / "pipe").read_text()))
    reader.start()
    put_text(tmp_path / "pipe", "third")
    reader.join(timeout=10)
    assert heard == ["third\n"]
