"""Configurations: every mistake is named."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from geopanoptic.errors import UsageError
from geopanoptic.models.bundle import load_bundle
from geopanoptic.models.manifest import Manifest
from geopanoptic.training.config import read_config
from geopanoptic.training.datasets.settings import GeneratedData

MINIMAL = "steps: 5\ndata: [{kind: generated}]\n"
PARCEL = "{id: 1, name: parcel, kind: thing, colour: '#e6c229'}"
PIVOT = "{id: 2, name: pivot, kind: thing, colour: '#b04a5a'}"
CONFIGS = sorted((Path(__file__).parents[2] / "configs").glob("*.yaml"))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "run.yaml"
    file.write_text(MINIMAL)
    return file


@pytest.mark.parametrize("name", ["quick.yaml", "default-bundle.yaml", "series-bundle.yaml"])
def test_the_configurations_of_the_repository_are_valid(name: str) -> None:
    config = next(read_config(file) for file in CONFIGS if file.name == name)
    assert config.data


@pytest.mark.parametrize("name", ["fields-s", "fields-m", "fields-series"])
def test_a_bundle_that_is_exported_says_what_the_bundled_one_says(name: str) -> None:
    described = yaml.safe_load(next(file for file in CONFIGS if file.stem == name).read_text())
    bundled = load_bundle(name).manifest.model_dump(mode="json", exclude_none=True)
    again = Manifest.model_validate({**bundled, **described}).model_dump(mode="json", exclude_none=True)
    assert again == bundled


def test_changes_reach_any_level(path: Path) -> None:
    config = read_config(
        path,
        [
            "losses.centre=3",
            "data.0.share=0.25",
            "network.encoder_depth=3",
            "network.decoder_channels=[8, 8]",
        ],
        seed=9,
        name=None,
    )
    assert config.losses.centre == 3
    assert isinstance(config.data[0], GeneratedData)
    assert config.data[0].share == 0.25
    assert config.network.decoder_channels == (8, 8)
    assert (config.seed, config.name) == (9, "trained")


def test_a_length_takes_the_place_of_the_other(path: Path) -> None:
    assert read_config(path, minutes=2.5).steps is None
    assert read_config(path, ["minutes=2.5"]).minutes == 2.5
    assert read_config(path, ["steps=7"]).steps == 7


@pytest.mark.parametrize(
    ("text", "message", "remedy"),
    [
        ("minuts: 3\n", "there is no key 'minuts'", "'minutes'"),
        ("losses: {centr: 3}\n", "there is no key 'losses.centr'", "'centre'"),
        ("batch: many\n", "batch: Input should be a valid integer", ""),
        ("seed: NO\n", "false is no number for seed", ""),
        ("losses: {centre: yes}\n", "losses: true is no number for centre", ""),
        ("augmentation: {zoom: [yes, 2]}\n", "augmentation: true is no number for zoom", ""),
        ("network: {encoder_depth: yes}\n", "network: true is no number for encoder_depth", ""),
        ("minutes: 3\n", "give either steps or minutes", ""),
        ("augmentation: {zoom: [2, 1]}\n", "zoom is a range", ""),
        ("crop_px: 100\n", "crop_px", ""),
        ("network: {outputs: paps}\n", "paps knows one class of stuff; there are 5", ""),
        (f"classes: [{PARCEL[:-1]}, open_ground: yes}}]\n", "open_ground is for classes of kind stuff", ""),
        ("classes: []\n", "classes: .* at least 2 items", ""),
        ("bands: [red, red, green]\n", "bands repeat: red", ""),
        (f"classes: [{PARCEL}, {PARCEL}]\n", "class ids repeat: 1", ""),
        (f"classes: [{PARCEL}, {PARCEL.replace('1', '2')}]\n", "class names repeat: parcel", ""),
        (f"classes: [{PARCEL}, {PIVOT}]\n", "at least one thing and one stuff", ""),
        ("decoder_rate: .inf\n", "decoder_rate: Input should be a finite number", ""),
        ("losses: {field: .nan}\n", "losses.field: Input should be a finite number", ""),
        ("a: [\n", "is not YAML", ""),
        pytest.param(f"a: {'[' * 5000}\n", "is not YAML: .*nested too deeply", "", id="nested"),
        ("seed: !!python/object/apply:os.getcwd []\n", "is not YAML", ""),
    ],
)
def test_mistakes_are_named(path: Path, text: str, message: str, remedy: str) -> None:
    path.write_text(MINIMAL + text)
    with pytest.raises(UsageError, match=message) as refusal:
        read_config(path)
    assert remedy in refusal.value.remedy


@pytest.mark.parametrize(
    "data",
    [
        "[]",
        "[{kind: polygons}]",
        "[{kind: pool}]",
        "[{kind: generated, sed: 1}]",
        "[{kind: generated, seed: -1}]",
        "[{kind: generated, share: .inf}]",
    ],
)
def test_data_sets_that_cannot_be_meant_are_refused(path: Path, data: str) -> None:
    path.write_text(f"steps: 5\ndata: {data}\n")
    with pytest.raises(UsageError, match="data"):
        read_config(path)


def test_misspelt_kinds_and_keys_are_told_with_the_nearest(path: Path) -> None:
    path.write_text("steps: 5\ndata: [{kind: generatd}]\n")
    with pytest.raises(UsageError, match=r"data\.0\.kind: there is no 'generatd'\. Did you mean 'generated'"):
        read_config(path)
    path.write_text("steps: 5\ndatta: [{kind: generated}]\n")
    with pytest.raises(UsageError, match=r"there is no key 'datta'\. Did you mean 'data'"):
        read_config(path)


def test_keys_of_another_section_are_not_offered(path: Path) -> None:
    with pytest.raises(UsageError, match=r"no key 'data\.0\.generated\.frozen_norms'\. Leave it out"):
        read_config(path, ["data.0.frozen_norms=5"])
    with pytest.raises(UsageError, match=r"no key 'data\.0\.generated\.sed'\. Did you mean 'seed'"):
        read_config(path, ["data.0.sed=5"])


def test_what_describes_a_bundle_is_told_from_a_training() -> None:
    with pytest.raises(UsageError, match=r"describes a bundle, not a training.*default-bundle\.yaml"):
        read_config(next(file for file in CONFIGS if file.stem == "fields-m"))


def test_small_numbers_and_switches_are_read(path: Path) -> None:
    config = read_config(path, ["encoder_rate=1e-3", "tensorboard=yes"])
    assert (config.encoder_rate, config.tensorboard) == (0.001, True)


@pytest.mark.parametrize("change", ["batch", "data.7.share=1", "steps.deep=1", "batch=["])
def test_changes_that_fit_nothing_are_refused(path: Path, change: str) -> None:
    with pytest.raises(UsageError, match="--set"):
        read_config(path, [change])


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"none\.yaml cannot be read: No such file"):
        read_config(tmp_path / "none.yaml")


def test_folds_are_checked(path: Path) -> None:
    path.write_text("steps: 1\ndata: [{kind: vectors, scene: a.tif, labels: a.gpkg, folds: 4, fold: 4}]\n")
    with pytest.raises(UsageError, match="fold is 4 and counts from 0 to folds - 1 = 3"):
        read_config(path)
