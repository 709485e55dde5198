"""The bundle that fine-tuning leaves: weights, manifest, card and the records of the run."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from geopanoptic.errors import OutputError
from geopanoptic.models.bundle import Bundle, save_with_grouping
from geopanoptic.models.manifest import TrainingData
from geopanoptic.products.staging import hidden_beside, replace_folder
from geopanoptic.training.card import write_card
from geopanoptic.training.config import TrainingConfig
from geopanoptic.training.held_out import HOW_MAPPED, HeldOutFigures
from geopanoptic.training.labels import LabelSurvey


def write_tuned(
    folder: Path,
    config: TrainingConfig,
    base: Bundle,
    checkpoint: Path,
    surveys: Sequence[LabelSurvey],
    before: HeldOutFigures | None = None,
    after: HeldOutFigures | None = None,
    decision: str = "",
) -> Bundle:
    """Write the bundle of ``checkpoint`` into ``folder``; what is not trained is that of ``base``.

    ``after`` is ``before`` itself where the old weights were kept; ``decision`` says why, for the card.
    """
    from geopanoptic.training.export import described_from, export_bundle

    manifest = base.manifest
    changes: dict[str, Any] = {"name": config.name}
    learned = [each.text for each in surveys]
    if after is not None and after is before:
        title = manifest.title or base.name
        origin, sources = "Same weights as", [f"none of its own; measured on {each}" for each in learned]
    else:
        fields = sum(each.fields for each in surveys)
        title = f"{manifest.title or base.name}, fine-tuned on {fields} fields"
        origin, sources = "Fine-tuned from", learned
        own = [TrainingData(name=each, licence="its owner's", role="fine-tuning") for each in learned]
        pixels = [*base.pixel_size_m, *(each.pixel_m for each in surveys)]
        changes |= {"training": [*manifest.training, *own], "pixel_size_m": (min(pixels), max(pixels))}
    metrics: dict[str, float | str] = {}
    if before is not None and after is not None:
        metrics["protocol"] = (
            f"{after.fields} fields, each by a training that saw none in its block of ground, {HOW_MAPPED}"
        )
        metrics |= {f"before: {name}": value for name, value in before.to_metrics().items()}
        metrics |= after.to_metrics()
    tuned = export_bundle(
        checkpoint,
        folder,
        network=config.network,
        reach_px=manifest.reach_px,
        described=described_from(base) | changes | {"title": title, "metrics": metrics},
        card=write_card(
            config,
            title=title,
            origin=f"{origin} **{base.name} (sha256 {base.sha256[:12]})**",
            sources=sources,
            before=before,
            after=after,
            notes=[decision] if decision else [],
        ),
    )
    return tuned if base.grouping is None else save_with_grouping(tuned, base.grouping, folder)


def decided(base: Bundle, before: HeldOutFigures, learned: HeldOutFigures) -> str:
    """Which weights the bundle gets, the old or the new ones, and why."""
    found = f"On {before.fields} fields, none of them shown to the weights that mapped it: {before.gain(learned)}."
    if before.is_beaten_by(learned):
        return (
            "The new weights are taken, as the gain is larger than twice its standard error; by chance alone it would "
            f"be in about one case of forty. {found}"
        )
    return (
        f"The weights of {base.name} are kept, as PQ does not gain or the mean best IoU by no more than twice its "
        f"standard error: label more, or where the map is worst. {found}"
    )


def keep_records(config: TrainingConfig, run: Path, folder: Path) -> None:
    """Put log, pictures and all settings of the run into the bundle's folder ``training``."""
    records = folder / "training"
    records.mkdir(exist_ok=True)
    (records / "settings.yaml").write_text(config.to_yaml(), encoding="utf-8")
    if (run / "log.csv").exists():
        shutil.copy(run / "log.csv", records)
    if (run / "pictures").is_dir():
        shutil.copytree(run / "pictures", records / "pictures")


@contextmanager
def staged_bundle(out: Path, *, overwrite: bool) -> Iterator[Path]:
    """A new folder beside ``out`` that takes its place when all went well, and is removed when not.

    Raises ``OutputError`` at once where ``out`` exists and may not be replaced or the place cannot be written.
    Only a bundle is ever replaced: ``out`` may have been meant to be something else.
    """
    out = out.resolve()
    if Path.cwd().is_relative_to(out):
        raise OutputError(
            f"{out} is the folder that the command runs in, or holds it, and cannot be replaced.",
            remedy="Name a new folder: --out my-model.",
        )
    occupied = out.exists() and (not out.is_dir() or any(out.iterdir()))
    if occupied and not overwrite:
        raise OutputError(f"{out} exists.", remedy="Give another --out, or --overwrite (overwrite=True).")
    if occupied and not (out / "bundle.json").is_file():
        raise OutputError(f"{out} is no model bundle and is not replaced.", remedy="Give another --out.")
    with hidden_beside(out, remedy="Give another --out.") as staged:
        staged.chmod(0o755)
        yield staged
        replace_folder(staged, out)
