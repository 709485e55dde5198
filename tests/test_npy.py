"""Mapped files: as numpy reads them, from any thread."""

from __future__ import annotations

import ast
import threading

import numpy as np
import pytest

from geopanoptic.npy import map_npy


@pytest.mark.parametrize("shape", [(0,), (0, 6), (1,), (3, 4)])
def test_a_mapped_file_is_the_array(tmp_path, shape):
    array = np.arange(np.prod(shape), dtype=np.int16).reshape(shape)
    np.save(tmp_path / "a.npy", array)
    found = map_npy(tmp_path / "a.npy")
    assert found.dtype == array.dtype
    np.testing.assert_array_equal(found, array)


def test_objects_are_refused(tmp_path):
    np.save(tmp_path / "a.npy", np.array([{}], dtype=object))
    with pytest.raises(ValueError, match=r"pickle|Python objects"):
        map_npy(tmp_path / "a.npy")


def test_no_two_threads_parse_a_header_at_once(tmp_path, monkeypatch):
    np.save(tmp_path / "a.npy", np.arange(3))
    parsing, most, parse = [], [], ast.literal_eval

    def counted(text):
        parsing.append(1)
        most.append(len(parsing))
        threading.Event().wait(0.005)
        parsing.pop()
        return parse(text)

    monkeypatch.setattr(ast, "literal_eval", counted)
    threads = [threading.Thread(target=map_npy, args=(tmp_path / "a.npy",)) for _ in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len(most) == 8
    assert max(most) == 1
