"""The cores of a process: no more than it may run on, nor than its container's share of time."""

from __future__ import annotations

import math

import pytest

from geopanoptic.cores import quota_of, usable_cores


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({"cpu.max": "max 100000\n"}, math.inf),
        ({"cpu.max": "150000 100000\n"}, 1.5),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, math.inf),
        ({"cpu/cpu.cfs_quota_us": "400000\n", "cpu/cpu.cfs_period_us": "200000\n"}, 2),
        ({}, math.inf),
    ],
)
def test_the_share_of_a_control_group(tmp_path, files, cores):
    (tmp_path / "cpu").mkdir()
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    assert quota_of(tmp_path) == cores


def test_a_part_of_a_core_is_one(tmp_path, monkeypatch):
    monkeypatch.setattr("geopanoptic.cores._CONTROL_GROUP", tmp_path)
    assert usable_cores() >= 1
    (tmp_path / "cpu.max").write_text("20000 100000\n")
    assert usable_cores() == 1
