"""Kinds of parcels: what they leave as it was, and on what they depend."""

from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError

from geopanoptic.models.manifest import ClassSpec, TemporalSettings, UNetSettings, check_kinds
from geopanoptic.models.networks.season_kinds import SeasonKinds, share_out, weights_of_parts
from geopanoptic.models.networks.series import encoded_days

N_BANDS, HARMONICS = 3, 2


@pytest.fixture
def kinds() -> SeasonKinds:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        return SeasonKinds(n_kinds=3, n_channels=6, n_bands=N_BANDS, harmonics=HARMONICS).eval()


def date(seed: int, size_px: int = 8) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    bands = torch.rand(1, 2 * N_BANDS, size_px, size_px, generator=generator)
    seen = (torch.rand(1, 1, size_px, size_px, generator=generator) > 0.3).float()
    day = torch.rand(1, generator=generator) * 365 + 1
    return bands * seen, encoded_days(day, HARMONICS)[..., None, None], seen


def test_kinds_share_the_probability_of_a_parcel_and_no_more() -> None:
    semantic, kinds = torch.randn(2, 5, 8, 8), torch.randn(2, 3, 2, 2)
    before, after = semantic.softmax(1), share_out(semantic, kinds).softmax(1)
    torch.testing.assert_close(after[:, :3].sum(1), before[:, :3].sum(1))
    torch.testing.assert_close(after[:, 3:], before[:, 3:])
    shares = after[:, :3] / after[:, :3].sum(1, keepdim=True)
    torch.testing.assert_close(shares[:, :, ::4, ::4], kinds.softmax(1))
    torch.testing.assert_close(shares[:, :, 3::4, 3::4], kinds.softmax(1))


def test_a_pixel_s_kind_depends_on_its_own_season_alone(kinds: SeasonKinds) -> None:
    dates = [date(seed) for seed in range(3)]
    with torch.inference_mode():
        whole = kinds.decode(sum(kinds.read(*each) for each in dates))
        alone = kinds.decode(
            sum(kinds.read(bands[..., 2:4, 4:6], day, seen[..., 2:4, 4:6]) for bands, day, seen in dates)
        )
    torch.testing.assert_close(whole[..., 1:2, 2:3], alone)


def test_a_date_that_shows_nothing_changes_nothing(kinds: SeasonKinds) -> None:
    bands, day, seen = date(7)
    with torch.inference_mode():
        assert kinds.read(torch.zeros_like(bands), day, torch.zeros_like(seen)).count_nonzero() == 0


def test_a_day_counts_in_the_part_of_the_year_it_lies_in(kinds: SeasonKinds) -> None:
    days = torch.tensor([0.0, 365.25 / 8, 365.25 / 2, 365.25 * 15 / 16, float("nan")])
    nearness = torch.nn.functional.conv2d(encoded_days(days, HARMONICS)[..., None, None], kinds.parts)
    weights = weights_of_parts(nearness)[..., 0, 0]
    assert weights[:3].argmax(1).tolist() == [0, 1, 4]
    torch.testing.assert_close(weights[:3].amax(1), torch.ones(3))
    torch.testing.assert_close(weights[3, 7], weights[3, 0])  # between the last part and the first
    assert (weights[4] == weights[4, 0]).all()


def test_kinds_are_all_the_things_and_come_first() -> None:
    network = UNetSettings(temporal=TemporalSettings(kinds=2))
    thing, stuff = (ClassSpec(id=1, name="a", kind=kind, colour="#000000") for kind in ("thing", "stuff"))
    check_kinds(network, [thing, thing, stuff])
    for classes in ([thing, stuff, thing], [thing, stuff], [thing, thing, thing, stuff]):
        with pytest.raises(ValueError, match="first 2 classes"):
            check_kinds(network, classes)
    with pytest.raises(ValidationError, match="outputs: dense"):
        UNetSettings(temporal=TemporalSettings(kinds=2), outputs="paps")
