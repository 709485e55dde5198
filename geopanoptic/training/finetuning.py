"""A person's own labels improve an existing model, in minutes and without making it forget.

Few minutes have to do, so steps are small and fast and the person's scenes are hardly recoloured. What keeps the
model from forgetting: frozen batch norm statistics, some generated scenes among the person's own, and of the way to
the new weights only as much as maps held-out fields best, none of it if nothing gains. The grouping stays as it is: fitted again to a hundred fields it drew other fields worse.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from geopanoptic.errors import UsageError
from geopanoptic.models.bundle import Bundle, load_bundle
from geopanoptic.pipeline.progress import Progress, Silent
from geopanoptic.training.config import configured
from geopanoptic.training.datasets.settings import VectorData
from geopanoptic.training.held_out import HeldOutFigures, best_way, held_out_scenes, score_held_out
from geopanoptic.training.labels import survey_labels
from geopanoptic.training.synthetic import BANDS
from geopanoptic.training.tuned import keep_records, no_better_than, staged_bundle, write_tuned

LEAST_FIELDS = 10
HELD_OUT_FROM_FIELDS = 20
"""With as many fields or more, one fold of them is held out."""
FOLDS = 4
SHARES = (0.25, 0.5, 1.0)
"""How much of the way from the old weights to the new ones is tried on the held-out fields."""
UNMEASURED_SHARE = 0.25
"""How much of it is gone where no fields are held out."""
_REPLAY_SHARE = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledPair:
    """A scene, as ``open_scene`` takes it, and the vector file of its fields."""

    scene: str | tuple[str, ...]
    labels: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class FineTuned:
    """The new bundle, and its figures and the old one's on the held-out fields (None: too few to hold out)."""

    bundle: Bundle
    before: HeldOutFigures | None
    after: HeldOutFigures | None


def fine_tune(
    pairs: Sequence[LabelledPair],
    out: Path,
    *,
    base: str | None = None,
    known: Literal["sparse", "full"] = "sparse",
    minutes: float = 10.0,
    name: str | None = None,
    seed: int = 0,
    bands: str | None = None,
    dates: str | None = None,
    assume_crs: str | None = None,
    device: Literal["auto", "cpu", "cuda"] = "auto",
    changes: Sequence[str] = (),
    overwrite: bool = False,
    tell: Progress | None = None,
) -> FineTuned:
    """Teach the bundle ``base`` (default: the default one) the fields of ``pairs`` and write a bundle to ``out``.

    ``bands``, ``dates`` and ``assume_crs`` are those of ``open_scene``, for every scene. ``changes`` are
    ``key=value`` of the configuration. The scenes are normalised as ``geopanoptic run`` normalises them.

    Raises
    ------
    UsageError
        No polygon overlaps its scene, labels without polygons or CRS, too few fields.
    SceneError, ModelError
        A scene that cannot be read or lacks the model's bands; no such model.
    OutputError
        ``out`` exists and ``overwrite`` is not set, is no bundle, or cannot be written.
    """
    from geopanoptic.training.blending import blended
    from geopanoptic.training.trainer import LAST, train

    tell = tell or Silent()
    bundle = load_bundle(base)
    data = [
        VectorData(
            kind="vectors",
            scene=pair.scene,
            labels=pair.labels,
            known=known,
            bands=bands,
            dates=dates,
            assume_crs=assume_crs,
            pixel_m=bundle.working_pixel_m,
            folds=FOLDS,
        )
        for pair in pairs
    ]
    surveys = [survey_labels(each, bundle, folds=FOLDS) for each in data]
    total = sum(survey.fields for survey in surveys)
    if total < LEAST_FIELDS:
        raise UsageError(
            f"{total} usable field{'s' * (total != 1)} overlap the scene; fine-tuning needs at least "
            f"{LEAST_FIELDS}, and {HELD_OUT_FROM_FIELDS} to measure what it gains.",
            remedy="Draw more fields; 50 are a good start.",
        )
    holds_out = total >= HELD_OUT_FROM_FIELDS and all(survey.can_hold_out for survey in surveys)
    config = configured(
        _settings(bundle, data, holds_out=holds_out, minutes=minutes)
        | {"name": name or _name_of(out), "seed": seed, "device": device},
        changes,
        source="The settings",
    )
    tell.note(_announcement(total, pairs, bundle, holds_out))

    with staged_bundle(out, overwrite=overwrite) as folder, tempfile.TemporaryDirectory() as scratch:
        before, held_out = None, held_out_scenes(config)
        if held_out:
            before = score_held_out(bundle, held_out, threads=config.threads)
            tell.note(f"before: {_figures(before)}")
        train(config, Path(scratch), tell=tell)
        trained = Path(scratch) / LAST  # a loss hardly tells which weights map best

        def moved(share: float, to: Path, *measured: HeldOutFigures | None) -> Bundle:
            checkpoint = blended(bundle, trained, share, Path(scratch) / "moved.safetensors")
            return write_tuned(to, config, bundle, checkpoint, surveys, *measured, share=share)

        share, after = UNMEASURED_SHARE, None
        if before is not None:
            ways = {}
            for each in SHARES:
                tried = moved(each, Path(scratch) / "moved")
                ways[each] = score_held_out(tried, held_out, threads=config.threads)
                tell.note(f"{each:.0%} of the way: {_figures(ways[each])}")
            share, after = best_way(before, ways)
        moved(share, folder, before, after)
        keep_records(config, Path(scratch), folder)
    if before is not None and share == 0:
        tell.warn(no_better_than(bundle))
    return FineTuned(bundle=load_bundle(out), before=before, after=after)


def _settings(
    bundle: Bundle, data: Sequence[VectorData], *, holds_out: bool, minutes: float
) -> dict[str, Any]:
    own = [each.model_dump(mode="json") for each in data]
    fold = {"fold": 0} if holds_out else {}
    # Scenes of other bands or classes would teach the wrong thing.
    replays = set(bundle.bands) <= set(BANDS) and bundle.classes[0].kind == "thing"
    replay = {"kind": "generated", "share": _REPLAY_SHARE / (1 - _REPLAY_SHARE) * len(own)}
    return {
        "from": str(bundle.path),
        "bands": list(bundle.bands),
        "classes": [each.model_dump() for each in bundle.classes],
        "network": bundle.manifest.network.model_dump(),
        "data": [{**each, **fold} for each in own] + ([replay] if replays else []),
        "validation": [{**each, **fold, "part": "held-out"} for each in own] if holds_out else [],
        "minutes": minutes,
        "validation_crops": 12,
        "validation_minutes": minutes / 6,
        "crop_px": 96,
        "batch": 4,
        "encoder_rate": 3e-4,
        "decoder_rate": 1e-3,
        "average_decay": 0.95,
        "warm_up_steps": 10,
        "frozen_norms": True,
        "augmentation": {
            "zoom_chance": 0.3,
            "zoom": (0.8, 1.5),
            "gain": 0.08,
            "shift": 0.03,
            "grey_chance": 0.0,
            "permute_chance": 0.0,
            "noise": 0.02,
            "visible_only": 0.1,
            "visible_and_nir": 0.1,
            "nodata_chance": 0.0,
        },
        "picture_steps": 100,
        "log_steps": 10,
    }


def _announcement(total: int, pairs: Sequence[LabelledPair], bundle: Bundle, holds_out: bool) -> str:
    scenes = f"{len(pairs)} scene{'s' * (len(pairs) > 1)}"
    held_out = (
        f"one block fold of {FOLDS} is held out to choose the weights and to measure"
        if holds_out
        else f"too few or too close together to hold some out ({HELD_OUT_FROM_FIELDS} would do)"
    )
    return f"{total} fields on {scenes} for {bundle.name}; {held_out}"


def _figures(figures: HeldOutFigures) -> str:
    named = ", ".join(f"{name} {value:.3f}" for name, value in figures.to_metrics().items())
    return f"{named} on {figures.fields} held-out fields"


def _name_of(out: Path) -> str:
    """The folder's name as a bundle may be called."""
    name = re.sub(r"[^a-z0-9._-]+", "-", out.resolve().name.lower()).strip("-._")[:64]
    return name or "fine-tuned"
