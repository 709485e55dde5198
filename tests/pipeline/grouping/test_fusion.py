"""P1 for every rule of fusion: labels do not depend on tiles, blocks or threads."""

from __future__ import annotations

from dataclasses import replace

import cc3d
import numpy as np
import pytest
import rasterio
from affine import Affine
from noisy_maps import LAYOUTS, noisy_maps
from oracle import segment_maps, truth_maps

import geopanoptic
from geopanoptic.errors import UsageError
from geopanoptic.panoptic.fusion.rules import FUSION_RULES
from geopanoptic.pipeline.grouping.rules import rules_of_bundle
from geopanoptic.training.synthetic import BANDS, generate_scene

NOISE = {"field": 0.15, "drop_field": 0.1, "merge_boundary": 0.45, "min_area_px": 12, "centre": 0.3}


@pytest.mark.parametrize("fusion", FUSION_RULES)
def test_every_rule_gives_the_same_labels_for_every_layout(fusion, tmp_path):
    maps, valid = noisy_maps(1)
    results = [
        segment_maps(maps, valid, tmp_path / str(number), fusion=fusion, **layout, **NOISE)
        for number, layout in enumerate(LAYOUTS[:3])
    ]
    labels, final = results[0]
    assert 1 < final.n_things < final.n_regions
    for other_labels, other in results[1:]:
        np.testing.assert_array_equal(other_labels, labels)
        assert other.score.tobytes() == final.score.tobytes()
        np.testing.assert_array_equal(other.class_index, final.class_index)


@pytest.mark.parametrize("fusion", FUSION_RULES)
def test_labels_are_connected_and_only_rules_with_unknown_ground_leave_any(fusion, tmp_path):
    maps, valid = noisy_maps(5)
    labels, final = segment_maps(maps, valid, tmp_path, fusion=fusion, **NOISE)
    assert not labels[~valid].any()
    empty = int((labels[valid] == 0).sum())
    if fusion not in ("upsnet", "lps"):
        assert empty == 0
    assert cc3d.connected_components(labels, connectivity=4, return_N=True)[1] == final.n_regions
    counts = np.bincount(labels.ravel(), minlength=final.n_regions + 1)[1:]
    np.testing.assert_array_equal(counts, final.area_px)
    assert (final.class_index[final.n_things :] < 5).all()


def test_rules_differ_where_the_evidence_is_doubtful(tmp_path):
    maps, valid = noisy_maps(5)
    maps_of = {
        fusion: segment_maps(maps, valid, tmp_path / fusion, fusion=fusion, **NOISE)[0].tobytes()
        for fusion in FUSION_RULES
    }
    assert len(set(maps_of.values())) == len(FUSION_RULES)


@pytest.mark.parametrize("fusion", FUSION_RULES)
def test_a_perfect_network_gives_the_true_parcels_by_every_rule(fusion, tmp_path):
    scene = generate_scene((110, 95), seed=9)
    maps = truth_maps(scene.instances, scene.cover)
    valid = np.ones(scene.instances.shape, bool)
    labels, final = segment_maps(maps, valid, tmp_path, fusion=fusion, centre_radius_px=1, merge_boundary=0.0)
    things = labels * (labels <= final.n_things)
    assert final.n_things == scene.instances.max()
    np.testing.assert_array_equal(things > 0, scene.instances > 0)


def test_an_unknown_rule_is_refused_with_the_nearest(tiny_bundle):
    with pytest.raises(UsageError, match="upsnet"):
        rules_of_bundle(tiny_bundle, min_area_px=1, fusion="upsnett")


def test_a_kept_run_is_fused_again_by_another_rule(tiny_bundle, tmp_path):
    image = generate_scene((96, 80), seed=7).image
    path = tmp_path / "scene.tif"
    with rasterio.open(
        path, "w", driver="GTiff", height=96, width=80, count=len(BANDS), dtype="float32",
        crs="EPSG:32633", transform=Affine(10, 0, 500_000, 0, -10, 5_800_000),
    ) as file:  # fmt: skip
        file.write(image.astype(np.float32))
        file.descriptions = BANDS
    asked = {"model": tiny_bundle.path, "threads": 1, "runtime": "torch", "simplify_m": 0}
    work = {"work": tmp_path / "work", "keep_work": True}
    geopanoptic.run(path, tmp_path / "ours.gpkg", **work, **asked)
    again = geopanoptic.run(path, tmp_path / "lps.gpkg", resume=True, fusion="lps", **work, **asked)
    fresh = geopanoptic.run(path, tmp_path / "fresh.gpkg", fusion="lps", **asked)
    assert (tmp_path / "lps.gpkg").read_bytes() == (tmp_path / "fresh.gpkg").read_bytes()
    assert (tmp_path / "lps.gpkg").read_bytes() != (tmp_path / "ours.gpkg").read_bytes()
    assert again.report["fusion"] == fresh.report["fusion"] == "lps"
    assert again.report["network_px"] == 0


def test_thresholds_are_rounded_up(tiny_bundle):
    rules = replace(rules_of_bundle(tiny_bundle, min_area_px=1), centre=0.5, field=0.5)
    assert (rules.centre_u16, rules.field_u8) == (32768, 128)
    assert replace(rules, centre=0.0).centre_u16 == 1
