"""Runs of a few steps: repeatable, resumable to the bit, the same in two processes, exportable."""

from __future__ import annotations

import csv
import io
import json
import os
import socket
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from PIL import Image
from safetensors import safe_open
from safetensors.torch import save_file
from tiny_training import TINY_NETWORK, same, tensors_of, tiny_config, write_pool

from geopanoptic.errors import LockedError, ModelError, OutputError, UsageError
from geopanoptic.models.bundle import load_bundle, save_with_grouping
from geopanoptic.models.manifest import UNetSettings
from geopanoptic.pipeline.progress import Silent
from geopanoptic.training.config import FIELDS_CLASSES, read_config
from geopanoptic.training.export import export_bundle, network_of
from geopanoptic.training.learning.checkpoint import best_loss
from geopanoptic.training.learning.start import build_network
from geopanoptic.training.learning.trainer import train
from geopanoptic.training.recipe import train_bundle
from geopanoptic.training.synthetic import BANDS

CONFIGS = Path(__file__).parents[3] / "configs"
DESCRIPTION = CONFIGS / "fields-s.yaml"


@pytest.fixture
def data(tmp_path: Path) -> list[dict[str, Any]]:
    return [{"kind": "pool", "folder": str(write_pool(tmp_path / "pool"))}]


class _Pulls(Silent):
    """Pulls the plug when the run tells of a step."""

    def __init__(self, step: int) -> None:
        self._step = step

    def note(self, text: str) -> None:
        if text.startswith(f"step {self._step} "):
            raise KeyboardInterrupt


@pytest.mark.parametrize("agreement", [0.0, 1.0])
def test_an_interrupted_run_goes_on_to_identical_weights(
    agreement: float, data: list[dict[str, Any]], tmp_path: Path
) -> None:
    config = tiny_config(data, checkpoint_minutes=1e-9, losses={"agreement": agreement})
    whole = train(config, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train(config, tmp_path / "parts", progress=_Pulls(4))
    assert not same(whole, tmp_path / "parts" / "last.safetensors")
    assert same(whole, train(config, tmp_path / "parts"))
    assert torch.get_num_threads() >= 1


def test_rows_of_steps_that_a_killed_run_had_not_saved_are_written_once(
    data: list[dict[str, Any]], tmp_path: Path
) -> None:
    config = tiny_config(data, steps=3, log_steps=1, checkpoint_minutes=1e-9)
    train(config, tmp_path)
    log = tmp_path / "log.csv"
    expected = [line.split(",")[0] for line in log.read_text().splitlines()]
    with log.open("a") as file:
        file.write("\n4,0.1,0.1,1,1\n5,0.2")
    train(tiny_config(data, steps=4, log_steps=1), tmp_path)
    assert [line.split(",")[0] for line in log.read_text().splitlines()] == [*expected, "4"]


def test_two_runs_do_not_train_in_one_folder(data: list[dict[str, Any]], tmp_path: Path) -> None:
    met = []

    class Meets(Silent):
        def note(self, text: str) -> None:
            met.append(text)
            with pytest.raises(LockedError, match="Another run is training in"):
                train(config, tmp_path)

    config = tiny_config(data, steps=2, log_steps=1)
    train(config, tmp_path, progress=Meets())
    assert met
    assert not (tmp_path / ".lock").exists()
    train(tiny_config(data, steps=3), tmp_path)


def test_a_folder_that_cannot_be_is_refused(data: list[dict[str, Any]], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot be written"):
        train(tiny_config(data, steps=1), tmp_path / "file" / "run")


def test_a_run_goes_on_only_under_its_own_configuration(data: list[dict[str, Any]], tmp_path: Path) -> None:
    train(tiny_config(data, steps=2), tmp_path)
    with pytest.raises(UsageError, match="another configuration: batch was 4, is 2"):
        train(tiny_config(data, steps=2, batch=2), tmp_path)
    train(tiny_config(data, steps=3, picture_steps=3), tmp_path)
    assert [path.name for path in (tmp_path / "pictures").iterdir()] == ["0000003.png"]


def test_a_run_does_not_go_on_with_other_data(data: list[dict[str, Any]], tmp_path: Path) -> None:
    train(tiny_config(data, steps=1), tmp_path / "run")
    (tmp_path / "pool" / "b.npz").unlink()
    with pytest.raises(UsageError, match=r"learned from other data: .*pool, files: was 2, is 1"):
        train(tiny_config(data, steps=1), tmp_path / "run")


def test_best_weights_are_those_of_the_run_that_lies_beside_them(
    data: list[dict[str, Any]], tmp_path: Path
) -> None:
    settings = {"validation": data, "validation_crops": 3, "validation_steps": 1, "log_steps": 1}
    with pytest.raises(KeyboardInterrupt):
        train(tiny_config(data, **settings, decoder_rate=1e-2, steps=60), tmp_path, progress=_Pulls(5))
    other = tiny_config(data, **settings, seed=9, steps=1)
    with pytest.raises(UsageError, match="another configuration"):
        train(other, tmp_path)
    (tmp_path / "last.safetensors").unlink()
    assert same(train(other, tmp_path), train(other, tmp_path / "anew"))


def test_a_run_that_lost_patience_is_over(data: list[dict[str, Any]], tmp_path: Path) -> None:
    settings = {"validation": data, "validation_crops": 3, "validation_steps": 2, "patience": 2}
    config = tiny_config(data, **settings, steps=2000, encoder_rate=0.3, decoder_rate=0.3)
    train(config, tmp_path)
    before, log = tensors_of(tmp_path / "last.safetensors"), (tmp_path / "log.csv").read_text()
    train(config, tmp_path)
    after = tensors_of(tmp_path / "last.safetensors")
    assert all(torch.equal(after[name], value) for name, value in before.items())
    assert (tmp_path / "log.csv").read_text() == log


@pytest.mark.parametrize(("steps", "said"), [(9, "of 9 batches were left out"), (99, "20 batches in a row")])
def test_a_run_whose_losses_are_not_finite_is_refused(
    data: list[dict[str, Any]], tmp_path: Path, steps: int, said: str
) -> None:
    told = []

    class Hears(Silent):
        def warn(self, text: str) -> None:
            told.append(text)

    config = tiny_config(data, steps=steps, encoder_rate=1e12, decoder_rate=1e12, warm_up_steps=1)
    with pytest.raises(UsageError, match=said):
        train(config, tmp_path, progress=Hears())
    assert len(told) == 1
    assert "the loss is not finite; such batches are left out" in told[0]


def test_the_log_has_every_term_and_the_loss_falls(data: list[dict[str, Any]], tmp_path: Path) -> None:
    quiet = dict.fromkeys(("gain", "shift", "noise", "zoom_chance", "visible_only", "visible_and_nir"), 0)
    config = tiny_config(data, steps=30, log_steps=5, decoder_rate=1e-2, augmentation=quiet)
    train(config, tmp_path)
    with (tmp_path / "log.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["step"]) for row in rows] == [5, 10, 15, 20, 25, 30]
    terms = ("field", "classes", "centre", "boundary", "distance")
    for row in rows:
        assert float(row["loss"]) == pytest.approx(sum(float(row[term]) for term in terms), rel=1e-3)
    assert float(rows[-1]["loss"]) < 0.9 * float(rows[0]["loss"])


def test_validation_keeps_the_weights_of_least_loss(data: list[dict[str, Any]], tmp_path: Path) -> None:
    config = tiny_config(data, validation=data, validation_crops=3, validation_steps=2, steps=4)
    best = train(config, tmp_path)
    assert best.name == "best.safetensors"
    with (tmp_path / "log.csv").open() as file:
        losses = [float(row["held_out"]) for row in csv.DictReader(file) if row["held_out"]]
    assert len(losses) == 2
    assert best_loss(best) <= min(losses) + 1e-4


def test_harmful_rates_leave_the_starting_weights_and_end_the_run(
    data: list[dict[str, Any]], tmp_path: Path
) -> None:
    harmful = tiny_config(
        data,
        validation=data,
        validation_crops=3,
        steps=9,
        validation_steps=1,
        patience=2,
        encoder_rate=50.0,
        decoder_rate=50.0,
        warm_up_steps=1,
    )
    torch.manual_seed(harmful.seed)
    start = build_network(harmful).state_dict()
    kept = tensors_of(train(harmful, tmp_path))
    assert all(torch.equal(kept[f"average/{name}"], value) for name, value in start.items())
    with safe_open(tmp_path / "last.safetensors", framework="pt") as stored:
        assert json.loads(stored.metadata()["progress"])["step"] == 2


@pytest.mark.skipif(find_spec("tensorboard") is not None, reason="TensorBoard is installed")
def test_tensorboard_is_asked_for_where_it_is_missing(data: list[dict[str, Any]], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="TensorBoard is not installed"):
        train(tiny_config(data, tensorboard=True), tmp_path)


def test_tensorboard_gets_every_term_and_the_pictures(data: list[dict[str, Any]], tmp_path: Path) -> None:
    reading = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    config = tiny_config(data, tensorboard=True, picture_steps=2, validation=data, validation_steps=4)
    train(config, tmp_path)
    train(config.model_copy(update={"steps": 8}), tmp_path)
    board = reading.EventAccumulator(str(tmp_path / "tensorboard"))
    board.Reload()
    with (tmp_path / "log.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert set(board.Tags()["scalars"]) == set(rows[0]) - {"step"}
    for name in board.Tags()["scalars"]:
        logged = {int(row["step"]): float(row[name]) for row in rows if row[name]}
        assert {each.step: each.value for each in board.Scalars(name)} == pytest.approx(logged, rel=1e-3)
    assert [each.step for each in board.Images("crops")] == [2, 4, 6, 8]
    picture = board.Images("crops")[-1]
    with Image.open(tmp_path / "pictures" / "0000008.png") as written:
        assert (picture.width, picture.height) == written.size
        with Image.open(io.BytesIO(picture.encoded_image_string)) as shown:
            assert shown.convert("RGB").tobytes() == written.convert("RGB").tobytes()


def test_frozen_norms_keep_their_statistics(data: list[dict[str, Any]], tmp_path: Path) -> None:
    frozen, free = (
        tensors_of(train(tiny_config(data, steps=2, frozen_norms=flag), tmp_path / str(flag)))
        for flag in (True, False)
    )
    names = [name for name in frozen if name.endswith("running_mean")]
    assert names
    assert not any(frozen[name].any() for name in names)
    assert any(free[name].any() for name in names)


@pytest.mark.slow
def test_two_processes_learn_what_one_learns(
    data: list[dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"steps": 3, "losses": {"agreement": 1.0}}
    together = train(tiny_config(data, threads=2, **settings), tmp_path / "one")
    config = tiny_config(data, threads=1, **settings)
    recipe = tmp_path / "run.yaml"
    recipe.write_text(yaml.safe_dump(config.model_dump(mode="json", by_alias=True, exclude_defaults=True)))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    world = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    second = subprocess.Popen(
        [sys.executable, "-m", "geopanoptic", "train", str(recipe), "--out", str(tmp_path / "two")],
        env={**os.environ, **world, "RANK": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    for name, value in {**world, "RANK": "0"}.items():
        monkeypatch.setenv(name, value)
    shared = train(config, tmp_path / "two")
    told = second.communicate(timeout=240)[0].decode()
    assert (second.returncode, told) == (0, "")
    assert same(together, shared, tolerance=1e-5)


def test_a_run_becomes_a_bundle_and_the_start_of_another(data: list[dict[str, Any]], tmp_path: Path) -> None:
    bundle = train_bundle(tiny_config(data, steps=2, name="tiny"), tmp_path / "run")
    assert bundle is not None
    assert bundle.name == "tiny"
    assert "share 1.00" in bundle.card
    assert bundle.network()(torch.zeros(1, 20, 16, 16))["semantic"].isfinite().all()
    for start in (tmp_path / "run" / "last.safetensors", tmp_path / "run" / "bundle"):
        network = build_network(tiny_config(data, **{"from": str(start)}))
        for name, value in bundle.network().state_dict().items():
            assert torch.equal(network.state_dict()[name], value)
    with pytest.raises(UsageError, match="another network"):
        build_network(
            tiny_config(data, bands=["red"], **{"from": str(tmp_path / "run" / "last.safetensors")})
        )
    with pytest.raises(UsageError, match="The network of the configuration"):
        build_network(tiny_config(data, **{"from": "default"}))
    with pytest.raises(ModelError, match="cannot be read"):
        build_network(tiny_config(data, **{"from": str(tmp_path / "none.safetensors")}))


@pytest.mark.parametrize("head_channels", [8, 6])
def test_heads_begin_anew_where_asked_for(
    head_channels: int, data: list[dict[str, Any]], tmp_path: Path
) -> None:
    first = train_bundle(tiny_config(data, steps=2), tmp_path / "run")
    assert first is not None
    start = {
        "from": str(first.path),
        "new_heads": True,
        "network": TINY_NETWORK | {"head_channels": head_channels, "fine_convolution": False},
    }
    before = first.network().state_dict()
    after = build_network(tiny_config(data, **start)).state_dict()
    kept = {name for name in after if name in before and torch.equal(before[name], after[name])}
    # Eight channels came out before pixels were shuffled, and are taken over as well; six are other ones.
    anew = ("heads.",) if head_channels == 8 else ("heads.", "finer.")
    assert {name for name in after if not name.startswith(anew)} <= kept
    assert after["heads.semantic.weight"].shape == (4 * len(FIELDS_CLASSES), head_channels, 1, 1)
    with pytest.raises(UsageError, match=r"head_channels=8|head_channels=6.*new_heads: true"):
        build_network(tiny_config(data, **start | {"new_heads": False}))
    wider = TINY_NETWORK | {"detail_channels": 8}
    with pytest.raises(UsageError, match="network of the configuration"):
        build_network(tiny_config(data, **start | {"network": wider}))
    with pytest.raises(ValueError, match="they have no old outputs"):
        tiny_config(data, losses={"keeping": 1.0}, **start)


def test_a_teacher_is_named_on_the_card_and_its_trees_are_not_inherited(
    data: list[dict[str, Any]], tmp_path: Path
) -> None:
    teacher = train_bundle(tiny_config(data, steps=2, name="old-hand"), tmp_path / "run")
    assert teacher is not None
    grouping = load_bundle(None).grouping
    assert grouping is not None
    with_trees = save_with_grouping(teacher, grouping, tmp_path / "with-trees")
    asked = {"steps": 2, "losses": {"agreement": 1.0}, "teacher": str(with_trees.path)}
    asked |= {"from": str(with_trees.path), "network": TINY_NETWORK | {"fine_convolution": False}}
    taught = train_bundle(tiny_config(data, new_heads=True, **asked), tmp_path / "taught")
    assert taught is not None
    assert not taught.manifest.network.fine_convolution
    assert taught.grouping is None
    assert f"Taught by **old-hand** (sha256 {with_trees.sha256[:12]})" in taught.card


def test_the_default_bundle_teaches_a_smaller_network(data: list[dict[str, Any]], tmp_path: Path) -> None:
    taught = train_bundle(
        tiny_config(data, steps=1, losses={"agreement": 1.0}, teacher="default"), tmp_path / "taught"
    )
    assert taught is not None
    assert f"Taught by **{load_bundle(None).name}**" in taught.card


def test_the_network_of_series_can_start_as_its_configuration_says() -> None:
    build_network(read_config(CONFIGS / "series-bundle.yaml"))


def test_a_teacher_that_cannot_see_or_name_the_same_is_refused(
    data: list[dict[str, Any]], tmp_path: Path
) -> None:
    teacher = train_bundle(tiny_config(data, steps=1), tmp_path / "run")
    assert teacher is not None
    asked = {"losses": {"agreement": 1.0}, "teacher": str(teacher.path)}
    temporal = {"network": TINY_NETWORK | {"detail_channels": 8, "temporal": {"heads": 4}}}
    for change, said in (
        ({"classes": FIELDS_CLASSES[:3]}, r"classes of the configuration .* teacher"),
        ({"bands": BANDS[:4]}, r"bands of the configuration .* teacher"),
        (temporal, "takes single images"),
    ):
        with pytest.raises(UsageError, match=said):
            train(tiny_config(data, **asked | change), tmp_path / "taught")
    deep = {"encoder_depth": 5, "decoder_channels": [8, 8, 8, 8]}
    for change, said in (
        ({"teacher": "default"}, "a teacher needs"),
        ({"losses": {"agreement": 1.0}, "crop_px": 96, "network": deep}, "multiples of 64"),
        (
            {"losses": {"agreement": 1.0}, "network": TINY_NETWORK | {"outputs": "paps"}},
            "needs dense outputs",
        ),
    ):
        with pytest.raises(ValueError, match=said):
            tiny_config(data, **change)


def test_checkpoints_of_earlier_versions_are_exported(data: list[dict[str, Any]], tmp_path: Path) -> None:
    weights = build_network(tiny_config(data)).state_dict()
    old = tmp_path / "old.safetensors"
    save_file({f"average/{name}": value for name, value in weights.items()}, old, metadata={"progress": "{}"})
    recipe = tmp_path / "old.yaml"
    recipe.write_text(yaml.safe_dump({"pool": "pool", "minutes": 3, "network": TINY_NETWORK}))
    bundle = export_bundle(
        old,
        tmp_path / "bundle",
        network=network_of(recipe),
        described=yaml.safe_load(DESCRIPTION.read_text()),
    )
    assert bundle.reach_px < 64
    assert load_bundle(tmp_path / "bundle").bands == bundle.bands
    with pytest.raises(UsageError, match="does not hold the network described"):
        export_bundle(
            old,
            tmp_path / "other",
            network=UNetSettings(),
            described=yaml.safe_load(DESCRIPTION.read_text()),
            reach_px=100,
        )
