"""A person's labels on a person's scene become a bundle that maps it better."""

from __future__ import annotations

import csv
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest
from shapely import box
from tiny_training import write_patchwork

import geopanoptic
from geopanoptic.cli.main import invoke
from geopanoptic.errors import OutputError, SceneError, UsageError
from geopanoptic.models.bundle import Bundle, load_bundle
from geopanoptic.training.datasets.settings import VectorData
from geopanoptic.training.finetuning import FineTuned, LabelledPair, fine_tune
from geopanoptic.training.held_out import HOW_MAPPED
from geopanoptic.training.labels import deal, survey_labels
from geopanoptic.training.tuned import staged_bundle

VISIBLE = ("blue", "green", "red", "nir")
QUICK = (
    "steps=10",
    "crop_px=64",
    "batch=2",
    "picture_steps=0",
    "log_steps=5",
    "decoder_rate=0.01",
    "encoder_rate=0.003",
    "average_decay=0.7",
)


@dataclass(frozen=True, kw_only=True)
class Labelled:
    """A patchwork and all its fields."""

    scene: Path
    fields: geopandas.GeoDataFrame

    def pair(self, folder: Path, count: int) -> LabelledPair:
        """The scene with ``count`` of its fields, in degrees."""
        path = folder / f"fields-{count}.gpkg"
        self.fields.sample(count, random_state=0).to_crs("EPSG:4326").to_file(path)
        return LabelledPair(scene=self.scene, labels=path)


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Labelled:
    scene, fields = write_patchwork(tmp_path_factory.mktemp("labelled"), bands=VISIBLE, size_px=160)
    return Labelled(scene=scene, fields=fields)


@pytest.fixture(scope="module")
def tuned(labelled: Labelled, tiny_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> FineTuned:
    folder = tmp_path_factory.mktemp("tuned")
    return fine_tune(
        [labelled.pair(folder, 20)],
        str(folder / "My fields"),
        base=str(tiny_bundle.path),
        device="cpu",
        changes=QUICK,
    )


@pytest.fixture(scope="module")
def unmeasured(
    labelled: Labelled, tiny_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory
) -> FineTuned:
    """Of fields that all lie in one block, so that the new weights are taken."""
    folder = tmp_path_factory.mktemp("unmeasured")
    together = [box(600_000 + 30 * n, 5_699_900, 600_020 + 30 * n, 5_699_980) for n in range(10)]
    geopandas.GeoDataFrame(geometry=together, crs="EPSG:32632").to_file(folder / "together.gpkg")
    shutil.copytree(tiny_bundle.path, folder / "few")
    return fine_tune(
        [LabelledPair(scene=str(labelled.scene), labels=folder / "together.gpkg")],
        folder / "few",
        base=str(tiny_bundle.path),
        known="full",
        device="cpu",
        changes=QUICK,
        overwrite=True,
    )


def test_the_loss_falls(unmeasured: FineTuned) -> None:
    with (unmeasured.bundle.path / "training" / "log.csv").open() as file:
        losses = [float(row["loss"]) - float(row["keeping"]) for row in csv.DictReader(file)]
    assert len(losses) == 2
    assert losses[-1] < losses[0]


def test_the_bundle_tells_where_it_comes_from(tuned: FineTuned, tiny_bundle: Bundle) -> None:
    bundle = tuned.bundle
    assert bundle.name == "my-fields"
    assert repr(tuned) == f"<FineTuned my-fields: {tuned.decision}>"
    assert (bundle.bands, bundle.classes, bundle.reach_px) == (
        tiny_bundle.bands,
        tiny_bundle.classes,
        tiny_bundle.reach_px,
    )
    assert tuned.after is not None
    assert tuned.after.fields == 20
    assert bundle.manifest.metrics["mean best IoU"] == pytest.approx(tuned.after.mean_best_iou, abs=1e-4)
    for text in ("tiny (sha256", "20 fields (sparse)", "On 20 fields", "Seed 0.", "steps: 10"):
        assert text in bundle.card


def test_the_bundle_maps_the_scene(tuned: FineTuned, labelled: Labelled) -> None:
    result = geopanoptic.run(labelled.scene, model=tuned.bundle.path)
    assert result.rasters is not None
    assert result.report["model"] == "my-fields"


def test_fields_that_cannot_be_held_out_are_all_learned(unmeasured: FineTuned, tiny_bundle: Bundle) -> None:
    assert unmeasured.before is unmeasured.after is None
    bundle = load_bundle(unmeasured.bundle.path)
    assert bundle.name == "few"
    assert bundle.sha256 != tiny_bundle.sha256
    assert "10 fields (full)" in bundle.manifest.training[-1].name
    assert "the fields lie too close together to hold some out" in unmeasured.decision
    for text in ("Fine-tuned from **tiny (sha256", "Not measured", "10 fields (full)", unmeasured.decision):
        assert text in bundle.card


def test_few_fields_on_a_second_scene_are_held_out_with_those_of_the_first(
    labelled: Labelled, tiny_bundle: Bundle, tmp_path: Path
) -> None:
    surveys = [
        survey_labels(
            VectorData(kind="vectors", scene=str(pair.scene), labels=Path(pair.labels)), tiny_bundle
        )
        for pair in (labelled.pair(tmp_path, 20), labelled.pair(tmp_path, 1))
    ]
    assert [set(each) for each in deal(surveys[1:], folds=3)] == [{0}]
    many, one = deal(surveys, folds=3)
    assert set(many) == {0, 1, 2}
    (again,) = surveys[1].frame.geometry
    assert one.tolist() == [many[surveys[0].frame.geom_equals_exact(again, 1e-3)].item()]
    tuned = fine_tune(
        [labelled.pair(tmp_path, 20), labelled.pair(tmp_path, 1)],
        tmp_path / "out",
        base=str(tiny_bundle.path),
        device="cpu",
        changes=[*QUICK, "steps=1"],
    )
    assert tuned.before is not None
    assert tuned.before.fields == 21


def test_the_folder_of_the_command_itself_is_not_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with (
        pytest.raises(OutputError, match="is the folder that the command runs in"),
        staged_bundle(Path(), overwrite=False),
    ):
        pass


def test_full_labels_give_panoptic_quality(labelled: Labelled, tiny_bundle: Bundle, tmp_path: Path) -> None:
    labels = tmp_path / "all.gpkg"
    labelled.fields.to_file(labels)
    tuned = fine_tune(
        [LabelledPair(scene=str(labelled.scene), labels=labels)],
        tmp_path / "full",
        base=str(tiny_bundle.path),
        known="full",
        device="cpu",
        changes=[*QUICK, "steps=1"],
    )
    assert tuned.after is not None
    assert list(tuned.after.to_metrics()) == ["PQ", "mean best IoU", "recall at IoU 0.5"]


def test_mistakes_are_refused_before_any_work(
    labelled: Labelled, tiny_bundle: Bundle, tmp_path: Path
) -> None:
    def refuse(pair: LabelledPair, **options: Any) -> str:
        with pytest.raises((UsageError, SceneError, OutputError)) as refusal:
            fine_tune([pair], tmp_path / "out", base=str(tiny_bundle.path), device="cpu", **options)
        assert refusal.value.remedy
        return str(refusal.value)

    good = labelled.pair(tmp_path, 12)
    assert "9 usable fields overlap the scene; fine-tuning needs at least 10" in refuse(
        labelled.pair(tmp_path, 9)
    )
    assert "no pair of a scene and its labels" in refuse((good.scene, good.labels))  # type: ignore[arg-type]
    assert "has no blue, green, red band" in refuse(good, bands="nir,swir16,swir22,rededge1")
    assert "there is no key 'bach'" in refuse(good, changes=["bach=3"])
    assert "changes classes, which fine-tuning takes over from tiny" in refuse(
        good, changes=["classes=pastis"]
    )
    assert "changes network" in refuse(good, changes=["network.encoder_depth=3"])
    far = tmp_path / "far.gpkg"
    labelled.fields.translate(50_000, 0).to_frame("geometry").to_file(far)
    assert "overlaps the scene" in refuse(LabelledPair(scene=good.scene, labels=far))
    labelled.fields.iloc[:1].to_file(far, layer="area")
    refusal = refuse(LabelledPair(scene=good.scene, labels=far), layer="area")
    assert "1 usable field of layer area overlap the scene" in refusal
    assert "--layer" in refusal
    with pytest.raises(UsageError, match="The file of labels is given as geopandas"):
        LabelledPair(scene=good.scene, labels=labelled.fields)  # type: ignore[arg-type]
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "notes.txt").write_text("mine")
    assert "exists" in refuse(good)
    assert "is no model bundle and is not replaced" in refuse(good, overwrite=True)
    assert (tmp_path / "out" / "notes.txt").read_text() == "mine"
    assert {path.name for path in tmp_path.iterdir()} == {
        "out",
        "far.gpkg",
        "fields-9.gpkg",
        "fields-12.gpkg",
    }


def test_the_starting_weights_stay_where_training_only_harms(
    labelled: Labelled, tiny_bundle: Bundle, tmp_path: Path
) -> None:
    harmful = [*QUICK, "steps=3", "decoder_rate=1.0", "encoder_rate=1.0", "warm_up_steps=1"]
    tuned = fine_tune(
        [labelled.pair(tmp_path, 24)],
        tmp_path / "out",
        base=str(tiny_bundle.path),
        device="cpu",
        changes=harmful,
    )
    kept = load_bundle(tuned.bundle.path).network().state_dict()
    for name, value in tiny_bundle.network().state_dict().items():
        np.testing.assert_array_equal(kept[name].numpy(), value.numpy())
    assert tuned.before is not None
    assert tuned.after is not None
    np.testing.assert_array_equal(tuned.before.best_iou, tuned.after.best_iou)
    assert tuned.decision.startswith("The weights of tiny are kept, as ")
    assert re.search(r"gain [+-]\d\.\d{3}, standard error \d\.\d{3}", tuned.decision)
    assert tuned.decision in tuned.bundle.card
    assert HOW_MAPPED in tuned.bundle.card
    assert "Same weights as **tiny (sha256" in tuned.bundle.card
    assert "Fine-tuned" not in tuned.bundle.card
    manifest = tuned.bundle.manifest
    assert (manifest.training, manifest.pixel_size_m) == ((), tiny_bundle.pixel_size_m)
    assert not (tuned.bundle.path / "training").exists()


def test_a_command_that_learned_nothing_names_no_next_one(
    labelled: Labelled, tiny_bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pair = labelled.pair(tmp_path, 24)
    files = ["--data", str(pair.labels), "--scene", str(pair.scene), "--out", str(tmp_path / "out")]
    harmful = [*QUICK, "steps=1", "decoder_rate=1.0", "encoder_rate=1.0", "warm_up_steps=1"]
    settings = [word for change in harmful for word in ("--set", change)]
    assert invoke(["train", "--from", str(tiny_bundle.path), *files, "--device", "cpu", *settings]) == 0
    told = capsys.readouterr().out
    assert "Next" not in told
    assert told.splitlines()[-1] == f"Model out in {tmp_path / 'out'} maps as before."


def test_the_command_ends_with_what_was_decided_and_how_it_was_measured(
    labelled: Labelled, tiny_bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pair = labelled.pair(tmp_path, 24)
    files = ["--data", str(pair.labels), "--scene", str(pair.scene), "--out", str(tmp_path / "out")]
    settings = [word for change in (*QUICK, "steps=1") for word in ("--set", change)]
    assert invoke(["train", "--from", str(tiny_bundle.path), *files, "--device", "cpu", *settings]) == 0
    lines = capsys.readouterr().out.splitlines()
    *figures, mapping, decision, model = lines[:-1] if "Next" in lines[-2] else lines
    assert figures[-1] == "on 24 fields, none of them shown to the weights that mapped it,"
    assert mapping == HOW_MAPPED
    assert re.search(r"^The (new )?weights .*On 24 fields, .*standard error \d\.\d{3}\)\.$", decision)
    assert model.startswith("Model out i")


def test_a_model_of_series_learns_from_all_dates(
    labelled: Labelled, tiny_series_bundle: Bundle, tmp_path: Path
) -> None:
    dates = tuple(str(tmp_path / f"S2_{day}.tif") for day in ("20210401", "20210701"))
    for path in dates:
        shutil.copy(labelled.scene, path)
    pair = LabelledPair(scene=dates, labels=labelled.pair(tmp_path, 20).labels)
    quick = [*QUICK, "steps=2"]
    tuned = fine_tune(
        [pair], tmp_path / "tuned", base=str(tiny_series_bundle.path), device="cpu", changes=quick
    )
    assert tuned.bundle.takes_series
    assert tuned.after is not None
    with pytest.raises(SceneError, match="2 dates"):
        fine_tune([pair], tmp_path / "other", device="cpu", changes=quick)
