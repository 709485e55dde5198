"""Arrays in files: as numpy reads them, from any thread, and what is wrong with damaged ones."""

from __future__ import annotations

import ast
import threading

import numpy as np
import pytest

from geopanoptic.npy import load_npz, map_npy


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


def test_an_archive_holds_the_arrays(tmp_path):
    arrays = {
        "one": np.arange(6).reshape(2, 3),
        "other": np.zeros((0, 2), np.float16),
        "flag": np.array(True),
    }
    np.savez_compressed(tmp_path / "a.npz", **arrays)
    found = load_npz(tmp_path / "a.npz")
    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)
    assert load_npz(tmp_path / "a.npz", ["one"]).keys() == {"one"}
    with pytest.raises(ValueError, match=r"no item named 'third\.npy'"):
        load_npz(tmp_path / "a.npz", ["third"])


@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.99])
@pytest.mark.parametrize("load", [map_npy, load_npz])
def test_files_cut_short_are_value_errors(tmp_path, load, share):
    path = tmp_path / ("a.npy" if load is map_npy else "a.npz")
    array = np.arange(5000)
    np.save(path, array) if load is map_npy else np.savez(path, array=array)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(ValueError, match=r"cannot|File is not a zip file|EOF|mmap length|header|magic"):
        load(path)


@pytest.mark.parametrize("load", [map_npy, load_npz])
def test_no_two_threads_parse_a_header_at_once(tmp_path, monkeypatch, load):
    path = tmp_path / ("a.npy" if load is map_npy else "a.npz")
    np.save(path, np.arange(3)) if load is map_npy else np.savez(path, array=np.arange(3))
    parsing, most, parse = [], [], ast.literal_eval

    def counted(text):
        parsing.append(1)
        most.append(len(parsing))
        threading.Event().wait(0.005)
        parsing.pop()
        return parse(text)

    monkeypatch.setattr(ast, "literal_eval", counted)
    threads = [threading.Thread(target=load, args=(path,)) for _ in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len(most) == 8
    assert max(most) == 1


def test_arrays_of_an_archive_come_back_as_they_were(tmp_path):
    path = tmp_path / "a.npz"
    arrays = {
        "columns": np.asfortranarray(np.arange(12.0).reshape(3, 4)),
        "empty": np.zeros((0, 3), np.int16),
        "one": np.array(7),
        "big endian": np.arange(5, dtype=">i4"),
        "long": np.random.default_rng(0).integers(0, 255, 3_000_001).astype(np.uint8),
    }
    np.savez_compressed(path, **arrays)
    loaded = load_npz(path)
    assert loaded.keys() == arrays.keys()
    for name, expected in arrays.items():
        assert loaded[name].dtype == expected.dtype
        np.testing.assert_array_equal(loaded[name], expected)
    np.savez(path, objects=np.array([{}], object))
    with pytest.raises(ValueError, match="objects holds Python objects"):
        load_npz(path)


def test_a_flipped_byte_in_an_archive_is_noticed(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, array=np.arange(1000))
    content = bytearray(path.read_bytes())
    content[4000] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match="CRC"):
        load_npz(path)
