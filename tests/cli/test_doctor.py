"""``geopanoptic doctor``."""

from __future__ import annotations

import json

import pytest

from geopanoptic.cli.main import invoke
from geopanoptic.cores import usable_cores
from geopanoptic.errors import ModelError


def leave(*arguments: str) -> int:
    return invoke(["doctor", *arguments])


@pytest.fixture
def default_model(monkeypatch, tiny_bundle):
    monkeypatch.setattr("geopanoptic.models.bundle.load_bundle", lambda name=None: tiny_bundle)


@pytest.mark.usefixtures("default_model")
def test_a_sound_installation(capsys):
    assert leave() == 0
    lines = capsys.readouterr().out.splitlines()
    assert all(line.startswith("ok ") for line in lines)
    assert leave("--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert report["good"]
    subjects = {finding["subject"] for finding in report["findings"]}
    assert {"packages", "GDAL", "PROJ", "network", "models", "machine", "temporary"} <= subjects


@pytest.mark.parametrize(
    ("installed", "told"),
    [
        (("torch",), "in f32; openvino is several times faster than torch: pip install 'geopanoptic[cpu]'"),
        (("onnxruntime", "torch"), "; also torch "),
    ],
)
@pytest.mark.usefixtures("default_model")
def test_what_computes_networks_is_told(installed, told, monkeypatch, capsys):
    from geopanoptic.models.runtimes import loading

    monkeypatch.setattr(loading, "installed_runtimes", lambda: installed)
    monkeypatch.setattr("importlib.metadata.version", lambda name: "1.2.3")
    assert leave("--json") == 0
    findings = json.loads(capsys.readouterr().out)["findings"]
    (text,) = [each["text"] for each in findings if each["subject"] == "runtime"]
    assert text.startswith(f"on the CPU {installed[0]} 1.2.3 in f32")
    assert told in text


def test_a_damaged_model_is_found(monkeypatch, capsys):
    def load_bundle(name):
        raise ModelError("The weights do not match their checksum.", remedy="Install again.")

    monkeypatch.setattr("geopanoptic.models.bundle.load_bundle", load_bundle)
    assert leave("--json") == 7
    bad = [each for each in json.loads(capsys.readouterr().out)["findings"] if not each["good"]]
    assert [each["subject"] for each in bad] == ["models"]
    assert "Install again." in bad[0]["text"]


@pytest.mark.usefixtures("default_model")
def test_a_run_may_use_the_cores_that_the_process_may(monkeypatch, capsys):
    monkeypatch.setattr("os.sched_getaffinity", lambda process: {0, 1, 2}, raising=False)
    monkeypatch.setattr("os.cpu_count", lambda: 8)
    leave()
    assert f"a run may use {usable_cores()} of 8 cores" in capsys.readouterr().out
