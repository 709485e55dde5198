"""What a run leaves to look at: ``log.csv``, pictures, and TensorBoard's files where asked for."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from geopanoptic.errors import UsageError
from geopanoptic.replacing import replacing
from geopanoptic.training.learning.batch import Batch
from geopanoptic.training.learning.checkpoint import Course
from geopanoptic.training.patches.patch import OUTPUT_SCALE

_PICTURED = 4
_RED_GREEN_BLUE = [2, 1, 0]


class Journal:
    """Writes into ``folder``; rows of a run that goes on from ``since`` follow those up to there."""

    def __init__(self, folder: Path, *, tensorboard: bool, since: Course) -> None:
        self._folder, self._log = folder, folder / "log.csv"
        _cut(self._log, since.step)
        self._board = _summary_writer(folder, since.step) if tensorboard else None

    def row(self, course: Course, terms: dict[str, float], *, rate: float, held_out: float | None) -> None:
        """One line of ``log.csv``: mean terms since the last one, and the held-out loss where it was taken."""
        values: dict[str, Any] = {
            "step": course.step,
            "minutes": course.elapsed_s / 60,
            "rate": rate,
            "loss": sum(terms.values()),
            **terms,
            "held_out": held_out,
        }
        new = not self._log.exists()
        names = list(values)
        if not new:
            with self._log.open(newline="", encoding="utf-8") as file:
                names = next(csv.reader(file))
        with self._log.open("a", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, fieldnames=names, extrasaction="ignore")
            if new:
                writer.writeheader()
            writer.writerow({k: f"{v:.5g}" if isinstance(v, float) else v for k, v in values.items()})
        if self._board is not None:
            for name, value in values.items():
                if isinstance(value, float):
                    self._board.add_scalar(name, value, course.step)

    def picture(
        self, course: Course, batch: Batch, logits: dict[str, torch.Tensor], things: Sequence[int]
    ) -> Path:
        """Rows of input (the date that shows most), true and predicted field with boundary, true and predicted heat, of a few crops.

        ``things`` are the channels of ``semantic`` that are fields. Unlabelled ground is grey.
        """
        from matplotlib.image import imsave

        panels = _panels(batch, logits, list(things))
        path = self._folder / "pictures" / f"{course.step:07d}.png"
        path.parent.mkdir(exist_ok=True)
        imsave(path, panels)
        if self._board is not None:
            self._board.add_image("crops", panels, course.step, dataformats="HWC")
        return path

    def close(self) -> None:
        if self._board is not None:
            self._board.close()


def _cut(log: Path, last_step: int) -> None:
    """Drop the rows of steps after ``last_step``, which are made again: the run was killed before it saved them."""
    if not log.exists():
        return
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
    kept = [line for line in lines[1:] if _is_whole(line) and int(line.partition(",")[0]) <= last_step]
    if not kept:
        log.unlink()
        return
    with replacing(log) as partial:
        partial.write_text("".join(lines[:1] + kept), encoding="utf-8")


def _is_whole(line: str) -> bool:
    """Whether it begins with a step and was not torn: a run may be killed, and a machine fail, while it is written."""
    return line.endswith("\n") and line.partition(",")[0].isdecimal()


def _panels(batch: Batch, logits: dict[str, torch.Tensor], things: list[int]) -> NDArray[np.uint8]:
    """uint8 (rows, cols, RGB): one row per crop, five panels each."""
    targets, count = batch.targets, min(_PICTURED, len(batch))
    n_bands = batch.input_btchw.shape[2] // 2
    shown = _RED_GREEN_BLUE if n_bands >= 3 else [0, 0, 0]
    clearest_b = batch.input_btchw[:, :, n_bands:].sum(dim=(2, 3, 4)).argmax(dim=1)
    image = (
        batch.input_btchw[torch.arange(count), clearest_b[:count]][:, shown]
        .float()
        .cpu()
        .numpy()
        .transpose(0, 2, 3, 1)
    )
    image = np.clip(image, 0, 1).repeat(OUTPUT_SCALE, 1).repeat(OUTPUT_SCALE, 2)

    def plane(values: torch.Tensor) -> NDArray[np.float32]:
        return values[:count].detach().float().cpu().numpy().reshape(image.shape[:3])  # type: ignore[no-any-return]

    unknown = plane(targets.weight_bhw) == 0
    field = plane(logits["semantic"].float().softmax(1)[:, things].sum(1))
    truth = np.stack(
        [plane(targets.field_bhw), plane(targets.boundary_bhw) == 1, np.zeros_like(field)], axis=-1
    )
    truth[unknown] = 0.4
    guess = np.stack([field, plane(logits["boundary"].sigmoid()), np.zeros_like(field)], axis=-1)
    heats = [np.repeat(plane(v)[..., None], 3, -1) for v in (targets.centre_bhw, logits["centre"].sigmoid())]
    rows = np.concatenate([image, truth, guess, *heats], axis=2)
    return (np.concatenate(list(rows), axis=0) * 255).clip(0, 255).astype(np.uint8)


def _summary_writer(folder: Path, last_step: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise UsageError(
            "TensorBoard is not installed.", remedy="Install tensorboard, or leave tensorboard: true out."
        ) from None
    return SummaryWriter(folder / "tensorboard", purge_step=last_step + 1 if last_step else None)  # type: ignore[no-untyped-call]
