"""A configured run from its data to a bundle that ``geopanoptic run`` takes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from geopanoptic.models.bundle import Bundle, bundle_called, load_bundle, save_with_grouping
from geopanoptic.models.manifest import Normalisation, TrainingData
from geopanoptic.pipeline.progress import Progress
from geopanoptic.training.card import write_card
from geopanoptic.training.config import TrainingConfig
from geopanoptic.training.datasets.labelled_scene import scene_of
from geopanoptic.training.datasets.pastis import normalisation_of
from geopanoptic.training.datasets.settings import (
    DataSettings,
    GeneratedData,
    PoolData,
    SeasonPoolData,
    VectorData,
)
from geopanoptic.training.held_out import HeldOutFigures, check_validation, held_out_scenes, score_held_out
from geopanoptic.training.tuned import staged_bundle


def train_bundle(config: TrainingConfig, out: Path, *, progress: Progress | None = None) -> Bundle | None:
    """Train in the folder ``out``, going on with what lies there, and write the bundle ``out/bundle``.

    Its grouping is that of the bundle it started from; without one or with ``new_heads``, thresholds only (what was
    learned about another network's outputs does not hold for a new one; ``geopanoptic.training.grouping`` learns it).
    ``out/settings.yaml`` are the settings. Returns None in all processes of a ``torchrun`` but the first. Raises as
    ``trainer.train`` and ``check_validation``.
    """
    from geopanoptic.training.learning.trainer import train

    check_validation(config)
    pixels_m = [max(scene_of(e).grid.pixel_size_m()) for e in config.data if isinstance(e, VectorData)]
    normalisation = normalisation_of(config.data, config.bands) or Normalisation()
    checkpoint = train(config, out, progress=progress)
    if int(os.environ.get("RANK", 0)):
        return None
    (out / "settings.yaml").write_text(config.to_yaml(), encoding="utf-8")
    described = {"normalisation": normalisation.model_dump()}
    with staged_bundle(out / "bundle", overwrite=True) as folder:
        bundle = _export(config, checkpoint, folder, pixels_m, described)
        held_out = held_out_scenes(config)
        if held_out:
            figures = score_held_out(bundle, held_out, threads=config.threads)
            described["metrics"] = figures.to_metrics()
            _export(config, checkpoint, folder, pixels_m, described, figures, bundle.manifest.reach_px)
    return load_bundle(out / "bundle")


def _export(
    config: TrainingConfig,
    checkpoint: Path,
    folder: Path,
    pixels_m: Sequence[float],
    changes: dict[str, Any],
    figures: HeldOutFigures | None = None,
    reach_px: int | None = None,
) -> Bundle:
    from geopanoptic.training.export import described_from, export_bundle

    from_checkpoint = config.start.endswith(".safetensors")
    starts_anew = from_checkpoint or config.start in ("random", "imagenet")
    parent = bundle_called("default" if starts_anew else config.start)
    total = sum(each.share for each in config.data)
    title = "Trained on " + ", ".join(sorted({each.kind for each in config.data})) + " data"
    pixels_m = [*parent.pixel_size_m, *pixels_m]
    learned = [
        TrainingData(
            name=_described(each), licence="its owner's", role="train", share=round(each.share / total, 4)
        )
        for each in config.data
    ]
    notes = [] if config.teacher is None else [_taught_by(config.teacher)]
    if figures is not None:
        notes.append(
            "The held-out fields also chose these weights among those of the run, which flatters them."
        )
    if from_checkpoint:
        name = f"checkpoint {Path(config.start).name}"
        learned.append(TrainingData(name=name, licence="its trainer's", role="initial weights"))
        notes.append(f"It started from the weights of {name}.")
    taken_over: dict[str, Any] = {"licence": "its trainer's"}
    if not starts_anew:
        learned = [*parent.manifest.training, *learned]
        taken_over = described_from(parent)
        if config.network.temporal is not None and not parent.takes_series:
            taken_over |= {"views": 1, "two_scales": False}
    bundle = export_bundle(
        checkpoint,
        folder,
        network=config.network,
        reach_px=reach_px,
        described={
            **taken_over,
            "name": config.name,
            "title": title,
            "bands": config.bands,
            "classes": [each.model_dump() for each in config.classes],
            "pixel_size_m": (min(pixels_m), max(pixels_m)),
            "thresholds": (config.thresholds or parent.thresholds).model_dump(),
            "training": learned,
            "metrics": {},
            **changes,
        },
        card=write_card(
            config,
            title=title,
            origin=None if starts_anew else f"Fine-tuned from **{parent.name}**",
            sources=[f"{_described(each)}, share {each.share / total:.2f}" for each in config.data],
            before=None,
            after=figures,
            notes=notes,
        ),
    )
    if starts_anew or config.new_heads or config.thresholds is not None or parent.grouping is None:
        return bundle
    return save_with_grouping(bundle, parent.grouping, folder)


def _taught_by(name: str) -> str:
    teacher = bundle_called(name)
    return f"Taught by **{teacher.name}** (sha256 {teacher.sha256[:12]}), whose card says what that was trained on."


def _described(settings: DataSettings) -> str:
    if isinstance(settings, GeneratedData):
        return f"generated scenes of geopanoptic, seed {settings.seed}"
    if isinstance(settings, PoolData | SeasonPoolData):
        return f"samples of {settings.folder.name}"
    where = {"vectors": "labels", "coco": "annotations", "pastis": "folder"}[settings.kind]
    return f"{settings.kind}: {Path(getattr(settings, where)).name}"
