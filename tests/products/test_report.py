"""run.json: plain JSON, no secrets, a stable order."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pytest

from geopanoptic.errors import OutputError
from geopanoptic.products.report import peak_memory_bytes, redact, versions, write_run_report


def test_values_become_plain_json_in_the_given_order(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    report = {
        "zeta": np.int64(3),
        "alpha": {"path": Path("/a b/ü.tif"), "nan": float("nan"), "rate": np.float32(0.5)},
        "when": datetime(2026, 6, 15, 12, tzinfo=timezone(timedelta(hours=2))),
        "dates": (date(2021, 6, 15), None),
        "flags": {"b", "a"},
        "array": np.arange(3),
        "yes": np.True_,
    }
    write_run_report(path, report)
    read = json.loads(path.read_text(encoding="utf-8"))
    assert list(read) == list(report)
    assert read["alpha"] == {"path": "/a b/ü.tif", "nan": None, "rate": 0.5}
    assert read["when"] == "2026-06-15T10:00:00+00:00"
    assert datetime.fromisoformat(read["when"]).tzinfo == UTC
    assert read["dates"] == ["2021-06-15", None]
    assert read["flags"] == ["a", "b"]
    assert read["array"] == [0, 1, 2]
    assert read["yes"] is True


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("https://user:hunter2@host/scene.tif", "hunter2"),
        ("s3://AKIA:hunter2@bucket/scene.tif", "hunter2"),
        ("https://host/scene.tif?sv=2020&sig=hunter2%3D&se=2026", "hunter2"),
        ("https://host/a.tif?X-Amz-Credential=hunter2&X-Amz-Signature=hunter2", "hunter2"),
        ("/vsicurl/https://host/a.tif?access_token=hunter2", "hunter2"),
        ("failed: https://host/a?api_key=hunter2 (403)", "hunter2"),
        ("https://host/a?subscription-key=hunter2#top", "hunter2"),
        ("https://host/a?GoogleAccessId=hunter2&b=1", "hunter2"),
    ],
)
def test_secrets_are_redacted(text: str, secret: str, tmp_path: Path) -> None:
    assert secret not in redact(text)
    assert "host" in redact(text) or "bucket" in redact(text)
    write_run_report(tmp_path / "run.json", {"scene": [text], "warnings": {"a": text}})
    assert secret not in (tmp_path / "run.json").read_text()


@pytest.mark.parametrize(
    "text", ["https://host/a.tif?page=2&bands=red", "C:/data/me@work/a.tif", "a & b = c"]
)
def test_other_text_stays(text: str) -> None:
    assert redact(text) == text


def test_versions_and_memory() -> None:
    found = versions()
    assert {"python", "system", "numpy", "shapely", "rasterio"} <= set(found)
    peak = peak_memory_bytes()
    assert peak is None or peak > 10 * 2**20


PEAKS = """
import numpy as np
from geopanoptic.products.report import peak_memory_bytes, restart_peak
restart_peak()
before, held = peak_memory_bytes(), np.ones(300 << 20, np.uint8)
during = peak_memory_bytes()
del held
restart_peak()
print(before, during, peak_memory_bytes())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux begins a peak again")
def test_a_peak_begins_again() -> None:
    # In a process of its own: of a large one the system may take idle pages away meanwhile.
    told = subprocess.run([sys.executable, "-c", PEAKS], check=True, capture_output=True, text=True).stdout
    before, during, after = map(int, told.split())
    assert during - before > 250 << 20
    assert during - after > 250 << 20


def test_unwritable_report_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"run\.json"):
        write_run_report(tmp_path / "none" / "run.json", {})
