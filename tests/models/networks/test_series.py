"""The network of series: what one date, many, unseen and unknown ones do to it."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from geopanoptic.models.bundle import Bundle
from geopanoptic.models.manifest import TemporalSettings, UNetSettings
from geopanoptic.models.networks.building import build_network
from geopanoptic.models.networks.reach import measure_reach_px
from geopanoptic.models.networks.series import PanopticUNetSeries
from geopanoptic.models.networks.unet import HEADS

SETTINGS = UNetSettings(
    encoder_depth=3,
    decoder_channels=(8, 8),
    detail_channels=4,
    head_channels=4,
    temporal=TemporalSettings(heads=4, key_channels=2, harmonics=2),
)
ROUNDING = 2e-5


@pytest.fixture(scope="module")
def untrained() -> PanopticUNetSeries:
    torch.manual_seed(2)
    network = build_network(SETTINGS, n_bands=4, n_classes=3)
    assert isinstance(network, PanopticUNetSeries)
    return network.eval()


@pytest.fixture(scope="module")
def network(tiny_series_bundle: Bundle) -> PanopticUNetSeries:
    network = tiny_series_bundle.network()
    assert isinstance(network, PanopticUNetSeries)
    return network


def season(n_dates: int, *, seed: int = 0, size_px: int = 32) -> tuple[torch.Tensor, torch.Tensor]:
    """Network input (1, T, 8, size, size) of random dates, the third of each unseen, and their days."""
    generator = torch.Generator().manual_seed(seed)
    values = torch.rand(1, n_dates, 4, size_px, size_px, generator=generator)
    flags = (torch.rand(1, n_dates, 1, size_px, size_px, generator=generator) > 1 / 3).expand_as(values)
    days = torch.rand(1, n_dates, generator=generator) * 365 + 1
    return torch.cat([values * flags, flags.float()], dim=2), days


def logits(network: PanopticUNetSeries, input_btchw: torch.Tensor, day_bt: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        outputs = network(input_btchw, day_bt)
    assert tuple(outputs) == HEADS
    return torch.cat(list(outputs.values()), dim=1)


def test_untrained_it_is_on_one_date_the_network_it_is_made_of(untrained: PanopticUNetSeries) -> None:
    tiles = torch.rand(2, 8, 32, 48)
    tiles[:, 4:] = 1
    with torch.inference_mode():
        expected = torch.cat(list(untrained.unet(tiles).values()), dim=1)
    found = logits(untrained, tiles[:, None], torch.tensor([[30.0], [float("nan")]]))
    torch.testing.assert_close(found, expected, rtol=0, atol=ROUNDING)


@pytest.mark.parametrize("n_dates", [1, 2, 7])
def test_a_date_read_alone_is_as_good_as_all_at_once(network: PanopticUNetSeries, n_dates: int) -> None:
    input_btchw, day_bt = season(n_dates)
    with torch.inference_mode():
        totals = network.read(input_btchw[:, 0], day_bt[:, 0])
        for number in range(1, n_dates):
            for total, share in zip(
                totals, network.read(input_btchw[:, number], day_bt[:, number]), strict=True
            ):
                total += share
        outputs = torch.cat(list(network.decode(totals).values()), dim=1)
    torch.testing.assert_close(outputs, logits(network, input_btchw, day_bt), rtol=0, atol=ROUNDING)


@settings(max_examples=12)
@given(order=st.permutations(range(5)))
def test_the_order_of_dates_does_not_matter(network: PanopticUNetSeries, order: list[int]) -> None:
    input_btchw, day_bt = season(5)
    expected = logits(network, input_btchw, day_bt)
    found = logits(network, input_btchw[:, order], day_bt[:, order])
    torch.testing.assert_close(found, expected, rtol=0, atol=ROUNDING)


@settings(max_examples=25)
@given(
    place=st.integers(0, 3), value=st.floats(-1, 2, width=32), day=st.sampled_from([1.0, 200.0, float("nan")])
)
def test_an_unseen_date_changes_no_bit(
    network: PanopticUNetSeries, place: int, value: float, day: float
) -> None:
    input_btchw, day_bt = season(3)
    padding = torch.cat([torch.full((1, 1, 4, 32, 32), value), torch.zeros(1, 1, 4, 32, 32)], dim=2)
    totals = totals_of(network, input_btchw, day_bt)
    padded = totals_of(
        network,
        torch.cat([input_btchw[:, :place], padding, input_btchw[:, place:]], dim=1),
        torch.cat([day_bt[:, :place], torch.tensor([[day]]), day_bt[:, place:]], dim=1),
    )
    assert all(torch.equal(one, other) for one, other in zip(totals, padded, strict=True))


def totals_of(
    network: PanopticUNetSeries, input_btchw: torch.Tensor, day_bt: torch.Tensor
) -> list[torch.Tensor]:
    with torch.inference_mode():
        shares = [network.read(*date) for date in zip(input_btchw.unbind(1), day_bt.unbind(1), strict=True)]
    return [sum(level, torch.zeros(())) for level in zip(*shares, strict=True)]


def test_samples_of_a_batch_do_not_meet(network: PanopticUNetSeries) -> None:
    (first, days), (second, others) = season(3, seed=1), season(3, seed=2)
    both = logits(network, torch.cat([first, second]), torch.cat([days, others]))
    torch.testing.assert_close(both[:1], logits(network, first, days), rtol=0, atol=ROUNDING)


def test_days_and_dates_matter_once_learned(network: PanopticUNetSeries) -> None:
    input_btchw, day_bt = season(3)
    base = logits(network, input_btchw, day_bt)
    assert not torch.allclose(base, logits(network, input_btchw, day_bt + 60), atol=1e-3)
    assert not torch.allclose(base, logits(network, input_btchw[:, :2], day_bt[:, :2]), atol=1e-3)
    year_later = logits(network, input_btchw, day_bt + 365.25)
    torch.testing.assert_close(base, year_later, rtol=0, atol=1e-3)


def test_ground_that_no_date_shows_gives_numbers(network: PanopticUNetSeries) -> None:
    assert logits(network, torch.zeros(1, 2, 8, 32, 32), torch.full((1, 2), float("nan"))).isfinite().all()


def test_training_reaches_everything(untrained: PanopticUNetSeries) -> None:
    learner = build_network(SETTINGS, n_bands=4, n_classes=3).train()
    optimiser = torch.optim.SGD(learner.parameters(), lr=0.05)
    input_btchw, day_bt = season(4)
    for _ in range(3):
        optimiser.zero_grad()
        sum(values.square().mean() for values in learner(input_btchw, day_bt).values()).backward()
        optimiser.step()
    still = [
        name
        for name, parameter in learner.named_parameters()
        if parameter.grad is None or not parameter.grad.any()
    ]
    assert not still


def test_it_looks_little_farther_than_the_network_it_is_made_of(network: PanopticUNetSeries) -> None:
    reach_px, alone_px = (
        measure_reach_px(each, n_channels=8, stride_px=8, output_scale=2) for each in (network, network.unet)
    )
    assert alone_px <= reach_px <= alone_px + network.stride_px


def test_pixels_beyond_the_reach_change_nothing(
    network: PanopticUNetSeries, tiny_series_bundle: Bundle
) -> None:
    input_btchw, day_bt = season(2, size_px=160)
    changed = input_btchw.clone()
    changed[:, :, :4, 0] += 1
    same = (logits(network, input_btchw, day_bt) == logits(network, changed, day_bt)).all(dim=(0, 1, 3))
    assert int((~same).nonzero().max()) // 2 <= tiny_series_bundle.reach_px
