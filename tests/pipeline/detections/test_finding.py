"""Scenes mapped by a network that states parcels one by one: no seams, and the choice that is made of a patch."""

from __future__ import annotations

from pathlib import Path

import geopandas
import matplotlib as mpl
import numpy as np
import pytest
import rioxarray  # noqa: F401  (registers .rio)
import shapely
import torch
import xarray
from numpy.typing import NDArray
from pyproj import CRS

import geopanoptic
from geopanoptic.errors import UsageError
from geopanoptic.grid import Window
from geopanoptic.models.bundle import Bundle, save_bundle
from geopanoptic.models.manifest import UNetSettings
from geopanoptic.models.networks.building import build_network, paps_heads_of
from geopanoptic.models.networks.paps import draw_parcels
from geopanoptic.models.paps_detector import load_detector
from geopanoptic.pipeline.detections import layout
from geopanoptic.pipeline.detections.stored import (
    FOUND_LAYERS,
    PARCELS,
    SHOWN,
    FoundParcels,
    packed,
    unpacked,
)
from geopanoptic.pipeline.detections.tile import Detection
from geopanoptic.pipeline.network.normalising import look_at
from geopanoptic.pipeline.network.reading import scene_dates
from geopanoptic.pipeline.network.skipping import leave_out
from geopanoptic.pipeline.progress import Silent
from geopanoptic.pipeline.record import Record
from geopanoptic.pipeline.result import Result
from geopanoptic.pipeline.run import plan
from geopanoptic.pipeline.store.run_store import RunStore

BANDS = ("blue", "green", "red", "nir")
SHAPE = (148, 210)  # neither is a multiple of the stride


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A small untrained network with outputs of all kinds: hundreds of parcels that overlap."""
    settings = UNetSettings(
        encoder_depth=3, decoder_channels=(8, 8), detail_channels=4, head_channels=8,
        temporal={"heads": 4, "key_channels": 2, "harmonics": 2}, outputs="paps",
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(5)
        network = build_network(settings, n_bands=len(BANDS), n_classes=3)
        heads = paps_heads_of(network)
        outputs = {name: each[0] for name, each in network.eval()(noise(), torch.tensor([[150.0]])).items()}
        spread(heads.heat, outputs["heat"], mean=-4.5, std=1.7)
        spread(heads.saliency, outputs["saliency"], mean=2.0, std=1.5)
        places = torch.randint(0, 128, (2, 400))
        stacked = {name: each for name, each in outputs.items() if name.startswith("level")}
        stated = heads.at({"heat": outputs["heat"], **stacked}, *places)
        spread(heads.size, stated.size_n2.T.expm1().log(), mean=20.0, std=6.0)
        spread(heads.semantic, stated.semantic_nk.T, mean=0.0, std=1.0)
        heads.shape[-1].bias.fill_(2.0)  # type: ignore[operator]
        heads.refining[-1].bias.fill_(2.0)  # type: ignore[index, operator]
    kinds = {"wheat": "thing", "meadow": "thing", "other": "stuff"}
    return save_bundle(
        tmp_path_factory.mktemp("bundles") / "tiny-paps",
        weights=network.state_dict(),
        card="",
        name="tiny-paps",
        network=settings,
        bands=BANDS,
        classes=[
            {"id": number, "name": name, "kind": kind, "colour": f"#0000{number:02x}"}
            for number, (name, kind) in enumerate(kinds.items(), 1)
        ],
        stride_px=network.stride_px,
        reach_px=64,
        licence="Apache-2.0",
    )


def noise() -> torch.Tensor:
    values = torch.rand(1, 1, len(BANDS), 64, 64)
    return torch.cat([values, torch.ones_like(values)], dim=2)


def spread(layers: torch.nn.Sequential, outputs: torch.Tensor, *, mean: float, std: float) -> None:
    """Make the last layer's outputs about as large as that, and as different."""
    last, of_channel = layers[-1], outputs.flatten(1)
    factor = std / of_channel.std(1)
    last.weight.mul_(factor.view(-1, *[1] * (last.weight.ndim - 1)))  # type: ignore[operator, union-attr]
    last.bias.sub_(of_channel.mean(1)).mul_(factor).add_(mean)  # type: ignore[operator]


@pytest.fixture(scope="module")
def scene() -> xarray.DataArray:
    rng = np.random.default_rng(3)
    fields = np.kron(rng.uniform(0, 3000, (2, 4, 15, 21)), np.ones((10, 10)))
    values = fields[..., : SHAPE[0], : SHAPE[1]] + rng.normal(0, 60, (2, 4, *SHAPE))
    values[..., 100:130, 60:90] = np.nan
    return xarray.DataArray(
        values.astype(np.float32),
        dims=("time", "band", "y", "x"),
        coords={
            "time": np.array(["2021-05-01", "2021-07-01"], "datetime64[ns]"),
            "band": list(BANDS),
            "y": 5_500_000 - 10 * (np.arange(SHAPE[0]) + 0.5),
            "x": 600_000 + 10 * (np.arange(SHAPE[1]) + 0.5),
        },
    ).rio.write_crs(CRS.from_epsg(32632))


@pytest.fixture(scope="module")
def whole(scene: xarray.DataArray, bundle: Bundle) -> Result:
    return geopanoptic.run(scene, model=bundle.path, memory="4GB", min_area_m2=0, threads=1)


def test_the_scene_gets_the_parcels_that_are_drawn_of_one_image(
    whole: Result, scene: xarray.DataArray, bundle: Bundle
) -> None:
    planned = plan(scene, model=bundle.path, memory="4GB")
    dates = scene_dates(planned, look_at(planned, skip_unreadable=False).normalisation)
    padded = Window(0, 0, 152, 216)
    detector = load_detector(bundle, device="cpu")
    outputs = detector.outputs((date(padded)[0][None], date.day) for date in dates)
    drawn, _ = draw_parcels(paps_heads_of(detector.network), outputs, things=detector.things)
    expected = drawn.numpy()[: 2 * SHAPE[0], : 2 * SHAPE[1]] > 0
    found = ids_of(whole) > 0
    expected[200:260, 120:180] = False
    assert len(whole.parcels) > 30
    # A parcel that falls apart keeps its largest part, and none has its centre where there is no data.
    assert (found & ~expected).mean() < 0.002
    assert (expected & ~found).mean() < 0.05
    assert (np.asarray(whole.rasters["class"])[200:260, 120:180] == 0).all()  # type: ignore[index]


def test_the_result_draws_itself(whole: Result) -> None:
    mpl.use("agg")
    import matplotlib.pyplot as plt

    axes = whole.plot()
    left, right = axes.get_xlim()
    assert left < 600_000 + 1000 < right
    assert {text.get_text() for text in axes.get_legend().get_texts()} == {"wheat", "meadow", "other"}
    in_legend = {mpl.colors.to_hex(patch.get_facecolor()) for patch in axes.get_legend().get_patches()}
    drawn = {mpl.colors.to_hex(colour) for layer in axes.collections for colour in layer.get_facecolors()}
    assert in_legend == drawn == {each.colour for each in whole.classes}
    assert whole.plot(ax=axes) is axes
    plt.close("all")


def test_no_block_changes_a_parcel(
    whole: Result, scene: xarray.DataArray, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layout, "BLOCK_PX", 64)
    cut = geopanoptic.run(scene, model=bundle.path, memory="4GB", min_area_m2=0, threads=2)
    assert cut.report["parcels"] == len(whole.parcels)
    # Tiles of other sizes may be rounded differently in the last bit.
    assert (ids_of(cut) != ids_of(whole)).mean() < 1e-3


def test_a_run_continues_and_is_the_same_for_any_layout(
    scene: xarray.DataArray, bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layout, "BLOCK_PX", 128)
    common = {"model": bundle.path, "keep_work": True, "memory": "4GB"}
    first = geopanoptic.run(scene, tmp_path / "a.gpkg", work=tmp_path / "work", threads=1, **common)
    (lost,) = (tmp_path / "work").glob("**/parcels/000000000_000000256.npy")
    lost.unlink()
    again = geopanoptic.run(
        scene, tmp_path / "b.gpkg", work=tmp_path / "work", resume=True, threads=2, tile_px=64, **common
    )
    assert first.report["parcels"] > 0
    assert (tmp_path / "a.gpkg").read_bytes() == (tmp_path / "b.gpkg").read_bytes()
    assert again.report["fusion"] == "deeplab"


def test_blocks_outside_the_area_are_not_computed(
    scene: xarray.DataArray, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layout, "BLOCK_PX", 64)
    corner = geopandas.GeoSeries([shapely.box(600_000, 5_499_500, 600_500, 5_500_000)], crs=32632)
    part = geopanoptic.run(scene, aoi=corner, model=bundle.path, memory="4GB", min_area_m2=0, threads=1)
    assert len(part.parcels) > 0
    assert (np.asarray(part.rasters["class"])[:, 100:] == 0).all()  # type: ignore[index]
    # One of twelve blocks: the network sees no more than the scene once, on both dates.
    assert 0 < part.report["network_px"] <= 2 * 152 * 216


def test_a_block_that_is_left_out_has_no_parcels_and_is_tried_again(tmp_path: Path) -> None:
    store = RunStore(folder=tmp_path, shape=(8, 16), block_px=8, seal="a", sealed=frozenset(FOUND_LAYERS))
    (block, _), parcels = store.blocks(), FoundParcels(store=store)
    found = Detection(label=1, score=0.5, window=Window(1, 1, 3, 3), mask=np.ones((2, 2), np.int32))
    store.write(SHOWN, block, np.zeros(block.shape, np.uint8))
    store.write(PARCELS, block, packed([found]))
    assert len(parcels.read(0).detections) == 1
    leave_out([block], store, Record(Silent()))
    assert parcels.read(0).detections == ()
    assert not parcels.shown(block).any()
    assert not store.holds(FOUND_LAYERS, block)
    assert {each.name for each in tmp_path.iterdir()} == set(FOUND_LAYERS)
    store.write(PARCELS, block, packed([found]))
    assert len(parcels.read(0).detections) == 1


def test_other_runtimes_are_refused(scene: xarray.DataArray, bundle: Bundle) -> None:
    with pytest.raises(UsageError, match="torch computes in f32 only"):
        geopanoptic.run(scene, model=bundle.path, memory="4GB", precision="bf16")


def test_parcels_are_stored_as_they_are() -> None:
    rng = np.random.default_rng(0)
    parcels = [
        Detection(
            label=label,
            score=float(np.float32(rng.random())),
            window=Window(row, 70_000, row + height, 70_003),
            mask=rng.integers(-4096, 4096, (height, 3)).astype(np.int32),
        )
        for label, (row, height) in enumerate([(-3, 4), (90_000, 1)])
    ]
    for each, read in zip(parcels, unpacked(packed(parcels)), strict=True):
        assert (each.label, each.score, each.window) == (read.label, read.score, read.window)
        np.testing.assert_array_equal(each.mask, read.mask)
    assert unpacked(packed([])) == ()


def ids_of(result: Result) -> NDArray[np.int32]:
    return np.asarray(result.rasters["parcel_id"])  # type: ignore[index]
