"""The sheet of a bundle's worst images: which they are, what is said of them, how it looks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from geopanoptic.errors import OutputError
from geopanoptic.evaluation import __main__ as command
from geopanoptic.evaluation.outcome import Outcome
from geopanoptic.evaluation.pools.failures import draw_failures, judge, worst
from geopanoptic.evaluation.pools.samples import LabelledImage, Prediction

SIDE = 16
FIELDS = np.arange(1, 5).reshape(2, 2).repeat(SIDE, 0).repeat(SIDE, 1).astype(np.int32)
PANEL, BESIDE, CAPTIONED, LEFT = 384, 392, 200, 30
"""A panel's side, the way to the one beside it, and the corner of the first, in pixels of the sheet."""


def sample(name: str, *, available: int = 3, shape: tuple[int, int] = (SIDE, SIDE)) -> LabelledImage:
    """Four fields, green in natural colours; the last column is unknown."""
    image = np.zeros((10, *shape), np.float32)
    image[0], image[1], image[2] = 0.1, np.linspace(0.6, 0.9, shape[1]), 0.1
    instances = FIELDS[: 2 * shape[0], : 2 * shape[1]].copy()
    instances[:, -2:] = -1
    return LabelledImage(
        name=name,
        image=image,
        available=np.arange(10) < available,
        valid=np.ones(shape, bool),
        instances=instances,
    )


def mapped(labels: np.ndarray) -> Prediction:
    return Prediction(labels=labels.astype(np.int32), n_things=int(labels.max()), score=np.zeros(0))


MAPS = {
    "val-a/right": mapped(FIELDS),
    "val-a/merged": mapped(np.where(FIELDS < 4, 1, 2)),
    "val-a/missed": mapped(np.where(FIELDS == 1, 1, 0)),
    "val-a/empty": mapped(0 * FIELDS),
}


def of_maps(image: LabelledImage) -> Prediction:
    return MAPS[image.name]


def images() -> list[LabelledImage]:
    empty = sample("val-a/empty")
    named = [sample(name) for name in MAPS if name != empty.name]
    return [*named, replace(empty, instances=0 * FIELDS)]


@given(
    predicted=arrays(np.int32, (4, 6), elements=st.integers(0, 4)),
    true=arrays(np.int32, (4, 6), elements=st.integers(-1, 4)),
    n_things=st.integers(0, 4),
)
def test_an_image_is_judged_as_its_folder_is(predicted, true, n_things):
    image = replace(sample("x", shape=(2, 3)), instances=true)
    prediction = Prediction(labels=predicted, n_things=n_things, score=np.zeros(0))
    for protocol in ("coco", "pastis"):
        judged = judge(image, prediction, protocol=protocol)
        known = command.quality([image], lambda _: prediction, protocol=protocol)["known"]
        assert replace(known, recall_by_size={}) == judged.quality
        counts = judged.became.counts
        assert counts[Outcome.FOUND] == known.true_positives
        assert counts[Outcome.FALSE] == known.false_positives
        assert sum(counts.values()) - counts[Outcome.FOUND] == known.false_negatives + known.false_positives


def test_the_worst_come_first_and_images_without_parcels_not_at_all():
    found = worst(images(), of_maps)
    assert [each.image.name for each in found] == ["val-a/merged", "val-a/missed"]
    merged, missed = (each.became.counts for each in found)
    assert (missed[Outcome.FOUND], missed[Outcome.MISSED], missed[Outcome.FALSE]) == (1, 3, 0)
    assert (merged[Outcome.FOUND], merged[Outcome.MERGED], merged[Outcome.FALSE]) == (1, 3, 1)
    assert [each.image.name for each in worst(images(), of_maps, count=9)][-1] == "val-a/right"
    shore = sample("val-a/missed")
    shore = replace(shore, instances=np.where(np.arange(2 * SIDE) < 6, shore.instances, 0))
    found = worst([shore, sample("val-a/right")], of_maps)
    assert [each.image.name for each in found] == ["val-a/right", "val-a/missed"]


def panel(sheet: np.ndarray, *, row: int = 0, column: int = 0) -> np.ndarray:
    """The ``column``-th of the four panels of a row."""
    top = CAPTIONED + row * (PANEL + CAPTIONED - 110)
    left = LEFT + (column // 2) * (BESIDE + PANEL + 32) + (column % 2) * BESIDE
    return sheet[top : top + PANEL, left : left + PANEL]


def test_the_sheet(tmp_path):
    found = worst(images(), of_maps)
    grey = judge(sample("val-b/grey", available=1), MAPS["val-a/right"])
    folders = {"val-a": found, "val-b": [grey], "val-c": []}
    for name in ("one.png", "two.png"):
        draw_failures(folders, bundle="fields", path=tmp_path / name)
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()
    assert (tmp_path / "one.png").stat().st_size < 100_000
    with Image.open(tmp_path / "one.png") as stored:
        assert stored.mode == "P"
        sheet = np.asarray(stored.convert("RGB")).astype(int)
    shown = [
        [bool((panel(sheet, row=row, column=column) < 250).any(axis=2).mean() > 0.5) for column in range(4)]
        for row in range(2)
    ]
    assert shown == [[True] * 4, [True, True, False, False]]
    assert sheet.shape[0] == CAPTIONED + 2 * PANEL + (CAPTIONED - 110) + 130  # no row for an empty folder
    middle = slice(PANEL // 8, PANEL // 3)
    of_image, of_outcome = (panel(sheet, column=column) for column in (2, 3))
    red, green, blue = of_image[middle, PANEL // 2 + 20 : -40].mean(axis=(0, 1))
    assert green > max(red, blue) + 60
    red, green, blue = of_outcome[middle, middle].mean(axis=(0, 1))
    assert green > red + 30  # found
    red, green, blue = of_outcome[middle, PANEL // 2 + 20 : -40].mean(axis=(0, 1))
    assert red > green + 60  # missed
    unknown = of_outcome[:, -10:].mean(axis=(0, 1))
    assert np.ptp(unknown) < 12
    of_grey = panel(sheet, row=1)[middle, middle]
    assert np.ptp(of_grey, axis=2).max() <= 2


def test_images_that_are_not_square_keep_their_shape(tmp_path):
    wide = judge(sample("val-a/wide", shape=(5, 16)), mapped(FIELDS[:10]))
    draw_failures({"val-a": [wide]}, bundle="fields", path=tmp_path / "sheet.png")
    with Image.open(tmp_path / "sheet.png") as stored:
        sheet = np.asarray(stored.convert("RGB"))
    assert (panel(sheet, column=1)[:119] < 250).any(axis=2).mean() > 0.9
    assert (panel(sheet, column=1)[121:] == 255).all()


def test_a_sheet_that_cannot_be_written_is_told(tmp_path):
    with pytest.raises(OutputError, match=r"sheet\.png could not be written"):
        draw_failures({}, bundle="fields", path=tmp_path / "nowhere" / "sheet.png")


def run(monkeypatch, pool: Path, *options: str) -> int:
    monkeypatch.setattr("sys.argv", ["evaluation", "--pool", str(pool), "--baselines", *options])
    return command.main()


def test_command(tmp_path, monkeypatch, capsys, tiny_bundle):
    image = sample("val-a/0")
    (tmp_path / "val-a").mkdir()
    np.savez_compressed(
        tmp_path / "val-a" / "0.npz",
        image=image.image[:4],
        available=image.available[:4],
        valid=image.valid,
        instances=image.instances,
    )
    sheet = tmp_path / "failures.png"
    one = ("--model", str(tiny_bundle.path))
    assert run(monkeypatch, tmp_path, *one, "--failures", str(sheet)) == 0
    with Image.open(sheet) as stored:
        stored.verify()
    assert run(monkeypatch, tmp_path, *one, str(tiny_bundle.path), "--failures", str(sheet)) == 2
    assert "--failures shows one bundle with one rule, 2 were asked for" in capsys.readouterr().err
