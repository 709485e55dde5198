"""A season in every runtime: the trained network's answer, and promise P1 with any number of dates."""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from geopanoptic.errors import ModelError, UsageError
from geopanoptic.models.bundle import Bundle, save_bundle
from geopanoptic.models.manifest import TemporalSettings, UNetSettings
from geopanoptic.models.networks.building import build_network
from geopanoptic.models.networks.series import PanopticUNetSeries
from geopanoptic.models.runtimes import Runtime, RuntimeName, load_runtime

PARITY = 1e-5
"""Greatest difference of a probability between a runtime and the trained network as it is."""
MARGIN_PX = 56
BANDS = ("blue", "green", "nir")

Season = list[tuple[NDArray[np.float32], float]]


@pytest.fixture(scope="module")
def load(tiny_series_bundle: Bundle) -> Callable[..., Runtime]:
    """``load_runtime`` of the small network of series, each kind once."""

    @functools.cache
    def loaded(name: RuntimeName, threads: int = 1, **settings: Any) -> Runtime:
        return load_runtime(tiny_series_bundle, "cpu", threads, name, **settings)

    return loaded


def season(bundle: Bundle, n_dates: int, size_px: int, *, seed: int = 0) -> Season:
    """Random images with clouds, without the red band; the last day is unknown."""
    rng = np.random.default_rng(seed)
    n_bands = len(bundle.bands)
    absent = [number for number, band in enumerate(bundle.bands) if band not in BANDS]
    dates = []
    for number in range(n_dates):
        values = rng.random((1, n_bands, size_px, size_px), dtype=np.float32)
        row, col = rng.integers(0, size_px, 2)
        flags = np.ones_like(values)
        flags[:, :, row : row + size_px // 2, col : col + size_px // 3] = 0
        flags[:, absent] = 0
        day = float("nan") if number == n_dates - 1 else float(rng.integers(1, 367))
        dates.append((np.concatenate([values * flags, flags], axis=1), day))
    return dates


def as_trained(bundle: Bundle, dates: Season) -> dict[str, NDArray[np.float32]]:
    """Probabilities of the network as it was trained, in torch, with all dates at once."""
    network = bundle.network()
    assert isinstance(network, PanopticUNetSeries)
    images, days = zip(*dates, strict=True)
    with torch.inference_mode():
        logits = network(torch.from_numpy(np.stack(images, axis=1)), torch.tensor([days]))
    return {
        name: (values.softmax(1) if name == "semantic" else values.sigmoid()).numpy()
        for name, values in logits.items()
    }


def windows(dates: Season, origins: list[tuple[int, int]], size_px: int) -> Season:
    """The same season of square windows, as a batch."""
    return [
        (
            np.stack([image[0, :, row : row + size_px, col : col + size_px] for row, col in origins]),
            day,
        )
        for image, day in dates
    ]


def assert_same_bits(found: dict[str, NDArray], expected: dict[str, NDArray]) -> None:
    for name, values in found.items():
        np.testing.assert_array_equal(values, expected[name], err_msg=name)


@pytest.mark.parametrize("n_dates", [1, 4])
@pytest.mark.parametrize("bands", [None, BANDS])
def test_probabilities_and_labels_are_those_of_the_trained_network(
    runtime: RuntimeName,
    load: Callable[..., Runtime],
    tiny_series_bundle: Bundle,
    n_dates: int,
    bands: tuple[str, ...] | None,
) -> None:
    bundle, size_px = tiny_series_bundle, 128
    dates = season(bundle, n_dates, size_px)
    expected = as_trained(bundle, dates)
    for margin_px in (0, MARGIN_PX):
        inner = np.s_[
            :, :, 2 * margin_px : 2 * (size_px - margin_px), 2 * margin_px : 2 * (size_px - margin_px)
        ]
        found = load(runtime, bands=bands, margin_px=margin_px).over(dates)
        for name, values in found.items():
            np.testing.assert_allclose(values, expected[name][inner], rtol=0, atol=PARITY, err_msg=name)
        labels, theirs = found["semantic"].argmax(1), expected["semantic"][inner].argmax(1)
        assert (labels == theirs).mean() > 0.999


@pytest.mark.parametrize("bands", [None, BANDS])
def test_kinds_are_those_of_the_trained_network(
    runtime: RuntimeName, full_size_bundle: Bundle, bands: tuple[str, ...] | None
) -> None:
    dates = season(full_size_bundle, 3, 32 + 2 * 192)
    expected = as_trained(full_size_bundle, dates)["semantic"][:, :, 384:-384, 384:-384]
    found = load_runtime(full_size_bundle, "cpu", 1, runtime, bands=bands, margin_px=192).over(dates)
    np.testing.assert_allclose(found["semantic"], expected, rtol=0, atol=PARITY)
    assert np.ptp(found["semantic"][:, 0] / found["semantic"][:, :2].sum(1)) > 0.01


def test_cores_equal_the_whole_scene_bit_for_bit(
    runtime: RuntimeName, load: Callable[..., Runtime], tiny_series_bundle: Bundle
) -> None:
    dates = season(tiny_series_bundle, 5, 104 + 2 * MARGIN_PX)
    whole = load(runtime, bands=BANDS, margin_px=MARGIN_PX)
    tiled = load(runtime, 2, bands=BANDS, margin_px=MARGIN_PX)
    assert_cores_equal_the_whole(whole, tiled, dates, [(8, 3), (40, 2), (72, 1)])


def test_cores_of_the_default_size_do_likewise(runtime: RuntimeName, full_size_bundle: Bundle) -> None:
    dates = season(full_size_bundle, 2, 64 + 2 * 192)
    whole, tiled = (
        load_runtime(full_size_bundle, "cpu", threads, runtime, bands=BANDS, margin_px=192)
        for threads in (1, 2)
    )
    assert_cores_equal_the_whole(whole, tiled, dates, [(16, 2), (48, 1)])


@pytest.fixture(scope="module", params=[{}, {"fine_convolution": False, "head_channels": 48}])
def full_size_bundle(
    request: pytest.FixtureRequest, tiny_series_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory
) -> Bundle:
    """A network of the default sizes with two kinds of parcels; what it learned of dates is random."""
    described = tiny_series_bundle.manifest.model_dump(exclude={"weights"})
    settings = UNetSettings(temporal=TemporalSettings(kinds=2), **request.param)
    described["classes"] = [
        {"id": number, "name": name, "kind": kind, "colour": "#000000"}
        for number, (name, kind) in enumerate(
            {"winter crop": "thing", "summer crop": "thing", "water": "stuff"}.items(), 1
        )
    ]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(6)
        network = build_network(
            settings, n_bands=len(described["bands"]), n_classes=len(described["classes"])
        )
        assert isinstance(network, PanopticUNetSeries)
        for parameter in (network.queries, *network.seasons.parameters(), *network.values.parameters()):
            torch.nn.init.normal_(parameter, std=0.2)
    described |= {"network": settings, "stride_px": network.stride_px, "reach_px": 186}
    return save_bundle(
        tmp_path_factory.mktemp("full-size"), weights=network.state_dict(), card="", **described
    )


def assert_cores_equal_the_whole(
    whole_network: Runtime, tiled: Runtime, dates: Season, sizes: list[tuple[int, int]]
) -> None:
    """Tiles of these core sizes and batches have the bits of the whole."""
    scale, margin_px = tiled.bundle.output_scale, tiled.margin_px
    whole_px = dates[0][0].shape[-1] - 2 * margin_px
    whole = whole_network.over(dates)
    for core_px, batch in sizes:
        last = whole_px - core_px
        origins = [(0, 0), (last, last), (0, last)][:batch]
        found = tiled.over(windows(dates, origins, core_px + 2 * margin_px))
        for name, values in found.items():
            for number, (row, col) in enumerate(origins):
                rows, cols = (np.s_[at * scale : (at + core_px) * scale] for at in (row, col))
                np.testing.assert_array_equal(values[number], whole[name][0][:, rows, cols], err_msg=name)


def test_dates_that_show_nothing_change_no_bit(
    runtime: RuntimeName, load: Callable[..., Runtime], tiny_series_bundle: Bundle
) -> None:
    network = load(runtime, bands=None, margin_px=MARGIN_PX)
    dates = season(tiny_series_bundle, 3, 152)
    expected = network.over(dates)
    nothing = np.zeros_like(dates[0][0])
    # Seen, but farther from the core than the decoder looks: computed by some, left out by others.
    far = nothing.copy()
    far[:, :, :32] = 1
    for more in (nothing, far):
        assert_same_bits(network.over([(more, 17.0), *dates]), expected)
        assert_same_bits(network.over([dates[0], (more, float("nan")), *dates[1:]]), expected)


def test_ground_that_no_date_shows_gives_numbers(runtime: RuntimeName, load: Callable[..., Runtime]) -> None:
    nothing = np.zeros((1, 8, 32, 32), np.float32)
    outputs = load(runtime, bands=None, margin_px=0).over([(nothing, 3.0), (nothing, 50.0)])
    assert all(np.isfinite(values).all() for values in outputs.values())


@settings(max_examples=10)
@given(order=st.permutations(range(4)))
def test_the_order_of_dates_is_rounding(
    load: Callable[..., Runtime], tiny_series_bundle: Bundle, order: list[int]
) -> None:
    network = load("torch", bands=None, margin_px=0)
    dates = season(tiny_series_bundle, 4, 32)
    expected = network.over(dates)
    for name, values in network.over([dates[number] for number in order]).items():
        np.testing.assert_allclose(values, expected[name], rtol=0, atol=PARITY)


def test_one_image_is_a_season_of_a_date_unknown(
    runtime: RuntimeName, load: Callable[..., Runtime], tiny_series_bundle: Bundle
) -> None:
    network = load(runtime, bands=None, margin_px=0)
    ((image, _),) = season(tiny_series_bundle, 1, 40)
    assert_same_bits(network(image), network.over([(image, float("nan"))]))


def test_four_views_are_the_mean_over_mirror_images(
    runtime: RuntimeName, load: Callable[..., Runtime], tiny_series_bundle: Bundle
) -> None:
    dates = season(tiny_series_bundle, 2, 64)
    one = load(runtime, bands=None, margin_px=0)
    manifest = tiny_series_bundle.manifest.model_copy(update={"views": 4})
    four = load_runtime(replace(tiny_series_bundle, manifest=manifest), "cpu", 1, runtime).over(dates)
    seen = []
    for axes in ((), (2,), (3,), (2, 3)):
        outputs = one.over([(np.flip(image, axes).copy(), day) for image, day in dates])
        seen.append({name: np.flip(values, axes) for name, values in outputs.items()})
    for name, values in four.items():
        np.testing.assert_allclose(values, np.mean([each[name] for each in seen], axis=0), atol=1e-6)


def test_dates_are_taken_one_at_a_time(load: Callable[..., Runtime], tiny_series_bundle: Bundle) -> None:
    alive: list[int] = []
    references: list[weakref.ref] = []

    def dates() -> Iterator[tuple[NDArray[np.float32], float]]:
        for image, day in season(tiny_series_bundle, 4, 32):
            taken = image.copy()
            alive.append(sum(each() is not None for each in references))
            references.append(weakref.ref(taken))
            yield taken, day
            del taken

    load("torch", bands=None, margin_px=0).over(dates())
    assert max(alive) <= 1


def test_nan_is_refused(
    runtime: RuntimeName, load: Callable[..., Runtime], tiny_series_bundle: Bundle
) -> None:
    dates = season(tiny_series_bundle, 3, 32)
    dates[1][0][0, 0, 5, 5] = np.nan
    with pytest.raises(ModelError, match="NaN"):
        load(runtime, bands=None, margin_px=0).over(dates)


def test_dates_that_cannot_be_meant(tiny_series_bundle: Bundle, tiny_bundle: Bundle) -> None:
    network, single = (load_runtime(each, "cpu", 1) for each in (tiny_series_bundle, tiny_bundle))
    image = np.zeros((1, 8, 32, 32), np.float32)
    with pytest.raises(ModelError, match="no date"):
        network.over([])
    with pytest.raises(ModelError, match="after tiles"):
        network.over([(image, 1.0), (image[:, :, :24], 2.0)])
    with pytest.raises(ModelError, match="takes one image, not 2 dates"):
        single.over([(image, 1.0), (image, 2.0)])
    with pytest.raises(ModelError, match="takes one image, not 0 dates"):
        single.over([])


def test_a_network_of_one_image_ignores_the_day(tiny_bundle: Bundle) -> None:
    single = load_runtime(tiny_bundle, "cpu", 1)
    ((image, _),) = season(tiny_bundle, 1, 32)
    assert_same_bits(single.over([(image, 100.0)]), single(image))


def test_bfloat16_is_close_where_it_is_asked_for(tiny_series_bundle: Bundle) -> None:
    dates = season(tiny_series_bundle, 3, 64)
    exact = load_runtime(tiny_series_bundle, "cpu", runtime="torch").over(dates)
    coarse = load_runtime(tiny_series_bundle, "cpu", runtime="torch", precision="bf16").over(dates)
    for name, values in coarse.items():
        np.testing.assert_allclose(values, exact[name], atol=0.03)
    for runtime in {"openvino", "onnxruntime"}:
        pytest.importorskip(runtime)
        with pytest.raises(UsageError, match="float32 only"):
            load_runtime(tiny_series_bundle, "cpu", runtime=runtime, precision="bf16")  # type: ignore[arg-type]
