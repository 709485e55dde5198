"""A user who can write neither the package nor a home."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

import pytest

from geopanoptic import kernel_cache
from geopanoptic.kernel_cache import ensure_kernel_cache


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No folder can be written but that for temporary files."""
    monkeypatch.setenv("NUMBA_CACHE_DIR", "")  # what is set here is undone, also where it was not set before
    monkeypatch.delenv("NUMBA_CACHE_DIR")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(kernel_cache, "_may_write", lambda _: False)
    return tmp_path


def test_numba_is_given_a_folder_of_this_user_alone(nowhere: Path) -> None:
    ensure_kernel_cache()
    folder = Path(os.environ["NUMBA_CACHE_DIR"])
    assert folder.parent == nowhere
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    os.environ.pop("NUMBA_CACHE_DIR")
    ensure_kernel_cache()
    assert os.environ["NUMBA_CACHE_DIR"] == str(folder)


def test_a_folder_that_others_can_write_is_not_trusted(nowhere: Path) -> None:
    planted = nowhere / f"geopanoptic-kernels-{os.getuid()}"
    planted.mkdir(mode=0o777)
    planted.chmod(0o777)
    ensure_kernel_cache()
    assert Path(os.environ["NUMBA_CACHE_DIR"]) != planted


def test_what_can_be_written_is_left_to_numba(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", "")  # what is set here is undone, also where it was not set before
    monkeypatch.delenv("NUMBA_CACHE_DIR")
    ensure_kernel_cache()
    assert "NUMBA_CACHE_DIR" not in os.environ
    assert kernel_cache._may_write(tmp_path / "new" / "folder")
    assert not kernel_cache._may_write(Path("/proc/1/nothing"))
