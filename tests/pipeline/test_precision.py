"""In which precision a run computes when it is left to choose, and that a map hardly depends on it."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import geopanoptic
from geopanoptic.errors import ResourceError
from geopanoptic.models.bundle import Bundle
from geopanoptic.pipeline import preparing
from geopanoptic.pipeline.parameters import Parameters

pytest.importorskip("openvino")
from geopanoptic.models.runtimes.openvino_runtime import computes_in_bf16

needs_bf16 = pytest.mark.skipif(
    not computes_in_bf16(), reason="this processor has no instructions for bfloat16"
)


@pytest.fixture(scope="module")
def scene_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("scene") / "scene.tif"
    geopanoptic.synthesize((256, 256), seed=7).to_geotiff(path)
    return path


@needs_bf16
def test_a_map_in_bfloat16_is_that_in_float32_but_for_a_few_pixels(scene_file: Path) -> None:
    exact = geopanoptic.run(scene_file, precision="f32")
    coarse = geopanoptic.run(scene_file)
    assert ", f32 on cpu" in exact.report["runtime"]
    assert ", bf16 on cpu" in coarse.report["runtime"]
    same = np.asarray(exact.rasters["class"]) == np.asarray(coarse.rasters["class"])
    assert same.mean() > 0.95
    assert geopanoptic.evaluate(coarse, exact.parcels).mean_best_iou > 0.9


@needs_bf16
def test_a_run_goes_on_in_the_precision_that_it_began_in(
    scene_file: Path, tiny_bundle: Bundle, tmp_path: Path
) -> None:
    common = {"model": tiny_bundle.path, "work": tmp_path / "work", "keep_work": True}
    for began in ("f32", "bf16"):
        first = geopanoptic.run(scene_file, tmp_path / "first.gpkg", precision=began, **common)
        again = geopanoptic.run(scene_file, tmp_path / "again.gpkg", resume=True, **common)
        assert again.report["runtime"] == first.report["runtime"]
        assert f", {began} on cpu" in again.report["runtime"]
        assert (tmp_path / "again.gpkg").read_bytes() == (tmp_path / "first.gpkg").read_bytes()
        shutil.rmtree(tmp_path / "work")
        for path in tmp_path.glob("*.*"):
            path.unlink()


@needs_bf16
def test_an_older_machine_is_told_that_it_cannot_go_on(
    scene_file: Path, tiny_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    geopanoptic.run_shard(scene_file, "1/2", work=tmp_path / "work", model=tiny_bundle.path)
    monkeypatch.setattr(preparing, "PrefersBf16", lambda **_: _never)
    with pytest.raises(
        ResourceError, match=r"work began by openvino .* does not compute in bfloat16"
    ) as told:
        geopanoptic.run_shard(scene_file, "2/2", work=tmp_path / "work", model=tiny_bundle.path)
    assert "afresh with --precision f32" in told.value.remedy


@needs_bf16
def test_a_shard_adopts_what_another_settled_while_it_looked_at_the_scene(
    scene_file: Path, tiny_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shard = {"work": tmp_path / "work", "model": tiny_bundle.path}
    look, others = preparing._first_look, [{"precision": "f32"}]

    def look_slowly(*asked: object) -> object:
        if others:
            geopanoptic.run_shard(scene_file, "2/2", **shard, **others.pop())
        return look(*asked)  # type: ignore[arg-type]

    monkeypatch.setattr(preparing, "_first_look", look_slowly)
    geopanoptic.run_shard(scene_file, "1/2", **shard)
    finished = geopanoptic.run(scene_file, tmp_path / "out.gpkg", finish=True, **shard)
    assert ", f32 on cpu" in finished.report["runtime"]


class Answering:
    """An executor whose processes answer so, the first one that is asked and all that are there."""

    def __init__(self, first: bool, others: list[bool]) -> None:
        self._first, self._others = first, others

    def map(self, *_: object, **__: object) -> list[bool]:
        return [self._first]

    def everywhere(self, _: object) -> list[bool]:
        return self._others


@pytest.mark.parametrize(
    ("first", "others", "takes_series", "expected"),
    [
        (True, [True, True], False, "bf16"),
        (True, [True, False], False, "f32"),
        (True, [], False, "f32"),
        (False, [True], False, "f32"),
        (True, [True], True, "f32"),
    ],
)
def test_one_process_without_bfloat16_decides_for_all(
    first: bool, others: list[bool], takes_series: bool, expected: str
) -> None:
    bundle = SimpleNamespace(takes_series=takes_series, finds_parcels=False, name="made up")
    planned = SimpleNamespace(bundle=bundle)
    assert preparing._precision(planned, Parameters(), Answering(first, others), None) == expected  # type: ignore[arg-type]


def _never(_: object = None) -> bool:
    return False
