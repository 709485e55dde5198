"""Limits of control groups, read from folders as Linux shows them."""

from __future__ import annotations

import math
import os
from pathlib import Path

import pytest

from geopanoptic import control_groups
from geopanoptic.control_groups import cores_given, memory_given, memory_left
from geopanoptic.cores import usable_cores

GB = 1 << 30


@pytest.fixture
def shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    """Show these files as the machine's, and this process in these groups."""

    def show(files: dict[str, str], membership: str = "0::/\n") -> None:
        for name, text in files.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text)
        (tmp_path / "membership").write_text(membership)

    monkeypatch.setattr(control_groups, "_FILES", tmp_path)
    monkeypatch.setattr(control_groups, "_MEMBERSHIP", tmp_path / "membership")
    return show


@pytest.mark.parametrize(
    ("files", "membership", "cores"),
    [
        ({"cpu.max": "max 100000\n"}, "0::/\n", math.inf),
        ({"cpu.max": "150000 100000\n"}, "0::/\n", 1.5),
        ({"a/cpu.max": "max 100000\n", "a/b/cpu.max": "50000 100000\n"}, "0::/a/b\n", 0.5),
        ({"a/cpu.max": "50000 100000\n", "a/b/cpu.max": "max 100000\n"}, "0::/a/b\n", 0.5),
        ({"other/cpu.max": "50000 100000\n"}, "0::/a\n", math.inf),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, "3:cpu:/\n", math.inf),
        ({"cpu/x/cpu.cfs_quota_us": "400000\n", "cpu/x/cpu.cfs_period_us": "200000\n"}, "3:cpu:/x\n", 2),
        (
            {"cpu,cpuacct/cpu.cfs_quota_us": "300000\n", "cpu,cpuacct/cpu.cfs_period_us": "200000\n"},
            "3:cpu,cpuacct:/docker/no-folder-here\n",
            1.5,
        ),
        ({}, "", math.inf),
        ({"cpu.max": "100000 0\n"}, "0::/\n", math.inf),
        ({"cpu.max": "100000\n", "a/cpu.max": "150000 100000\n"}, "no group\n0::/a\n", 1.5),
    ],
)
def test_cores_are_those_of_the_tightest_group_around(shown, files, membership, cores):
    shown(files, membership)
    assert cores_given() == cores


def test_a_part_of_a_core_is_one(shown):
    shown({"cpu.max": "20000 100000\n"})
    assert usable_cores() == 1


def test_no_control_groups_leave_the_cores_that_there_are(shown, monkeypatch, tmp_path):
    monkeypatch.setattr(control_groups, "_MEMBERSHIP", tmp_path / "none")
    assert (cores_given(), memory_given(), memory_left()) == (math.inf, math.inf, math.inf)
    assert 1 <= usable_cores() <= (os.cpu_count() or 1)


def test_memory_of_a_group_in_a_group(shown):
    shown(
        {
            "memory.stat": "inactive_file 0\n",
            "slice/memory.max": f"{8 * GB}\n",
            "slice/memory.current": f"{7 * GB}\n",
            "slice/memory.stat": f"anon 5\ninactive_file {2 * GB}\n",
            "slice/run/memory.max": f"{6 * GB}\n",
            "slice/run/memory.current": f"{GB}\n",
            "slice/run/memory.stat": "anon 5\ninactive_file 0\n",
        },
        "0::/slice/run\n",
    )
    assert memory_given() == 6 * GB
    # The group around has 7 GB in use, of which it can drop 2.
    assert memory_left() == 3 * GB


@pytest.mark.parametrize("used_bytes", [GB, 9 * GB])
def test_memory_of_version_1(shown, used_bytes):
    shown(
        {
            "memory/job/memory.limit_in_bytes": f"{4 * GB}\n",
            "memory/job/memory.usage_in_bytes": f"{used_bytes}\n",
            "memory/job/memory.stat": "inactive_file 1\ntotal_inactive_file 0\n",
        },
        "5:cpuset:/\n4:memory:/job\n0::/\n",
    )
    assert memory_given() == 4 * GB
    assert memory_left() == max(4 * GB - used_bytes, 0)


@pytest.mark.parametrize(
    ("told", "left"),
    [
        ({}, 4),
        ({"memory.current": f"{GB}\n"}, 3),
        ({"memory.current": f"{GB}\n", "memory.stat": "anon 5\ninactive_file what\n"}, 3),
        ({"memory.current": "what\n", "memory.stat": f"inactive_file {GB}\n"}, 4),
    ],
)
def test_a_limit_counts_where_its_use_is_not_told(shown, told, left):
    shown({"memory.max": f"{4 * GB}\n", **told})
    assert (memory_given(), memory_left()) == (4 * GB, left * GB)


def test_names_of_groups_may_be_any_bytes(shown, tmp_path):
    shown({"memory.max": f"{4 * GB}\n"})
    (tmp_path / "membership").write_bytes(b"0::/\xff\xfe\n")
    assert memory_given() == 4 * GB


def test_a_group_that_is_slowed_down_is_limited_too(shown):
    shown({"memory.max": "max\n", "memory.high": f"{2 * GB}\n", "memory.current": "\n"})
    assert (memory_given(), memory_left()) == (2 * GB, 2 * GB)


def test_groups_that_cannot_be_looked_into_are_left_out(shown):
    shown({"memory.max": f"{4 * GB}\n"}, f"0::/{'a' * 300}\n")
    assert memory_given() == 4 * GB
