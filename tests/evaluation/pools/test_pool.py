"""Figures of a pool: the search, the classical methods, and the command."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geopanoptic.evaluation import __main__ as command
from geopanoptic.evaluation.pools.baselines import BASELINES
from geopanoptic.evaluation.pools.samples import (
    BundleMapper,
    LabelledImage,
    Prediction,
    read_images,
    rules_of,
)
from geopanoptic.evaluation.pools.tuning import best
from geopanoptic.models.bundle import load_bundle
from geopanoptic.models.runtimes import load_runtime

SIDE = 32


def fields() -> LabelledImage:
    """Sixteen fields of plain colours; a column of labels is unknown."""
    rng = np.random.default_rng(0)
    blocks = np.arange(1, 17).reshape(4, 4)
    image = np.zeros((10, SIDE, SIDE), np.float32)
    image[:3] = rng.permuted(np.linspace(0.05, 0.95, 16))[blocks - 1].repeat(8, 0).repeat(8, 1)
    instances = blocks.repeat(16, 0).repeat(16, 1).astype(np.int32)
    instances[:, :4] = -1
    return LabelledImage(
        name="fields",
        image=image,
        available=np.arange(10) < 3,
        valid=np.ones((SIDE, SIDE), bool),
        instances=instances,
    )


@pytest.fixture
def pool(tmp_path):
    image = replace(fields(), image=fields().image[:4], available=fields().available[:4])
    for folder in ("val-one", "val-two", "naip"):
        (tmp_path / folder).mkdir()
        np.savez_compressed(
            tmp_path / folder / "0.npz",
            **{name: getattr(image, name) for name in ("image", "available", "valid", "instances")},
        )
    return tmp_path


@given(peak=st.tuples(st.integers(0, 4), st.integers(0, 4)))
def test_the_search_finds_a_single_peak_and_asks_once(peak):
    asked = []

    def score(choice):
        asked.append(tuple(choice.items()))
        return -abs(choice["x"] - peak[0]) - abs(choice["y"] - peak[1])

    grid = {"x": (0, 1, 2, 3, 4), "y": (0, 1, 2, 3, 4)}
    assert best(grid, {"x": 2, "y": 2}, score) == {"x": peak[0], "y": peak[1]}
    assert len(asked) == len(set(asked))


@pytest.mark.parametrize(
    ("name", "choice"),
    [
        ("felzenszwalb", {"scale": 160, "sigma": 0.5, "min_size": 100}),
        ("slic+merging", {"segment_px": 100, "compactness": 3, "difference": 0.05}),
        ("edge-watershed", {"sigma": 2, "depth": 0.01, "min_size": 100}),
    ],
)
def test_classical_methods_find_plain_fields(name, choice):
    pytest.importorskip("skimage")
    baseline, image = BASELINES[name], fields()
    assert set(choice) == set(baseline.grid) == set(baseline.start)
    found = command.quality([image], lambda each: baseline(each, choice))
    assert found["known"].pq > 0.5
    assert found["known"].pq >= found["all"].pq
    image.valid[:4] = False
    assert not baseline(image, choice).labels[:8].any()


def test_unlabelled_ground_counts_or_is_ignored():
    image = fields()
    known = image.instances > 0
    wrong = np.where(known, image.instances, 17)
    found = command.quality([image], lambda each: Prediction(labels=wrong, n_things=17, score=np.zeros(0)))
    assert (found["known"].pq, found["known"].false_positives) == (1.0, 0)
    assert (found["all"].sq, found["all"].false_positives) == (1.0, 1)


def run(monkeypatch, *options: str) -> int:
    monkeypatch.setattr("sys.argv", ["evaluation", *options])
    return command.main()


def test_command(pool, monkeypatch, capsys, tiny_bundle):
    small = {"felzenszwalb": BASELINES["felzenszwalb"]}
    monkeypatch.setattr(command, "BASELINES", small)
    figures = pool / "figures.json"
    models = [str(tiny_bundle.path)] * 2
    asked = ("--pool", str(pool), "--model", *models, "--baselines", "felzenszwalb")
    assert run(monkeypatch, *asked, "--json", str(figures)) == 0
    found = json.loads(figures.read_text())
    assert set(found["folders"]) == {"val-one", "val-two"}
    assert set(found["folders"]["val-one"]) == set(found["methods"])
    assert len(found["methods"]) == 3
    assert found["spread"]["val-one"]["known"][1] == 0.0
    assert "recall by size" in capsys.readouterr().out
    assert run(monkeypatch, "--pool", str(pool / "naip")) == 2
    assert "no folder val-*" in capsys.readouterr().err


def test_only_validation_folders_are_read(pool):
    assert [each.name for each in read_images(pool / "val-one")] == ["val-one/0"]


def test_images_of_fine_pixels_are_mapped_as_a_run_maps_them(tmp_path):
    fine = fields()
    fine = replace(  # large enough that all of the reduction is made
        fine,
        image=np.tile(fine.image, (1, 2, 2)),
        valid=np.tile(fine.valid, (2, 2)),
        instances=np.tile(fine.instances, (2, 2)),
    )
    finer = replace(
        fine, image=fine.image.repeat(4, 1).repeat(4, 2), valid=fine.valid.repeat(4, 0).repeat(4, 1)
    )
    finer = replace(finer, name="finer", pixel_m=2.5, instances=fine.instances.repeat(4, 0).repeat(4, 1))
    np.testing.assert_allclose(finer.reduced(4).image, fine.image, rtol=1e-6)
    bundle = load_bundle()
    maps = BundleMapper(bundle, partial(load_runtime, device="cpu"), tmp_path, margin_px=16)
    coarse, enlarged = maps.as_run(fine, rules_of(bundle)), maps.as_run(finer, rules_of(bundle))
    np.testing.assert_array_equal(enlarged.labels, coarse.labels.repeat(4, 0).repeat(4, 1))


def test_folders_may_state_their_pixel(pool):
    (pool / "val-one").rename(pool / "val-one-2.5m")
    assert read_images(pool / "val-one-2.5m")[0].pixel_m == 2.5
    assert read_images(pool / "val-two")[0].pixel_m is None
