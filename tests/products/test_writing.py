"""Texts that are whole at their path, or not there."""

from __future__ import annotations

import os
import pickle
import shutil
import sqlite3
from pathlib import Path
from threading import Thread
from types import SimpleNamespace

import pytest

from geopanoptic.errors import OutputError
from geopanoptic.products.writing import damaged, put_text, writing


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


def test_modes_stay_and_a_folder_that_takes_no_new_file_is_none_that_takes_no_text(tmp_path, monkeypatch):
    path = tmp_path / "a.json"
    put_text(path, "first")
    path.chmod(0o600)
    put_text(path, "second")
    assert path.stat().st_mode & 0o777 == 0o600
    inode = path.stat().st_ino
    # The superuser may write anywhere, so that a folder's mode alone would show nothing.
    monkeypatch.setattr(os, "access", lambda *_: False)
    put_text(path, "third")
    assert (path.read_text(), path.stat().st_ino) == ("third\n", inode)


def test_a_disk_without_room_is_named_whatever_a_library_says(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=4096))
    with (
        pytest.raises(OutputError, match=r"a\.gpkg could not be written to .*: the disk is full\."),
        writing(tmp_path / "a.gpkg"),
    ):
        raise sqlite3.OperationalError("no such table: gpkg_contents")


def test_a_refusal_crosses_processes(tmp_path):
    refusal = pickle.loads(pickle.dumps(damaged(tmp_path / "a", "half of it")))
    assert isinstance(refusal, OutputError)
    assert refusal.message == "a was written but does not read back whole: half of it."


def test_a_link_to_nothing_is_written_through(tmp_path):
    (tmp_path / "link.json").symlink_to("later.json")
    put_text(tmp_path / "link.json", "first")
    assert (tmp_path / "later.json").read_text() == "first\n"


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
