"""``geopanoptic models``."""

from __future__ import annotations

import json

import pytest

from geopanoptic.cli.main import invoke
from geopanoptic.models.bundle import list_bundles


def leave(*arguments: str) -> int:
    return invoke(["models", *arguments])


def test_list_names_every_bundled_model_and_its_classes(capsys):
    assert leave("list") == 0
    text = capsys.readouterr().out
    assert leave("list", "--json") == 0
    listed = json.loads(capsys.readouterr().out)
    assert [each["name"] for each in listed] == list(list_bundles())
    for each in listed:
        assert each["name"] in text
        assert all(kind["name"] in text for kind in each["classes"])


def test_show_prints_the_card_or_the_manifest(tiny_bundle, capsys):
    assert leave("show", str(tiny_bundle.path)) == 0
    assert capsys.readouterr().out.startswith("# tiny")
    assert leave("show", str(tiny_bundle.path), "--json") == 0
    assert json.loads(capsys.readouterr().out)["reach_px"] == 48


def test_an_unknown_model_is_refused(capsys):
    assert leave("show", "field-s") == 4
    assert "error: " in capsys.readouterr().err


def test_export_writes_a_file_and_names_it(tiny_bundle, tmp_path, capsys):
    pytest.importorskip("onnx")
    path = tmp_path / "tiny.onnx"
    assert leave("export", str(tiny_bundle.path), "--to", "onnx", "--out", str(path)) == 0
    assert str(path) in capsys.readouterr().out
    assert leave("export", str(tiny_bundle.path), "--to", "onnx", "--out", str(path)) == 5
    assert "--overwrite" in capsys.readouterr().err


def test_no_sentence_of_the_help_is_cut_off(capsys):
    assert invoke(["models", "--help"]) == 0
    assert "..." not in capsys.readouterr().out.replace("[ARGS]...", "")
