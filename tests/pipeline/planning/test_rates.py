"""What runs took is remembered by what decides it; nothing about the file can make a run fail."""

from __future__ import annotations

import pytest

from geopanoptic.pipeline.planning.rates import Rate, remember, remembered

RATE = Rate(start_s=2.0, network_s_per_px=1e-6, after_s_per_px=1e-7)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "geopanoptic" / "rates.json"


def test_the_latest_rate_of_a_key_counts(cache):
    assert remembered("a") is None
    remember("a", Rate(start_s=9.0, network_s_per_px=9.0, after_s_per_px=9.0))
    remember("b", RATE)
    remember("a", RATE)
    assert remembered("a") == remembered("b") == RATE
    assert RATE.seconds(4_000_000, 10_000_000) == pytest.approx(7.0)
    assert [file.name for file in cache.parent.iterdir()] == ["rates.json"]


def test_only_so_many_are_kept():
    for number in range(70):
        remember(str(number), RATE)
    assert remembered("5") is None
    assert remembered("6") == remembered("69") == RATE


@pytest.mark.parametrize(
    "content", ["", "[]", "[1, 2]", '{"a": 1}', '{"a": {"x": 1}}', '{"a": {"start_s": "x"}}']
)
def test_a_damaged_file_says_nothing_and_is_replaced(cache, content):
    cache.parent.mkdir()
    cache.write_text(content)
    assert remembered("a") is None
    remember("a", RATE)
    assert remembered("a") == RATE


def test_a_folder_that_cannot_be_written_is_no_failure(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    remember("a", RATE)
    assert remembered("a") is None
