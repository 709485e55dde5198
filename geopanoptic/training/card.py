"""The card of a model that was trained here: what it learned from, how, and how well it does."""

from __future__ import annotations

import yaml

from geopanoptic.training.config import TrainingConfig
from geopanoptic.training.held_out import HOW_MAPPED, HeldOutFigures


def write_card(
    config: TrainingConfig,
    *,
    title: str,
    base: str | None,
    sources: list[str],
    before: HeldOutFigures | None,
    after: HeldOutFigures | None,
    notes: list[str],
) -> str:
    """Markdown. ``base`` names the model it started from; ``sources`` are sentences about the training data."""
    parts = [f"# {config.name}\n\n{title}\n"]
    if base:
        parts.append(f"Fine-tuned from **{base}**, whose card says what it was trained on before.\n")
    parts.append("## Training data\n\n" + "\n".join(f"- {source}" for source in sources) + "\n")
    parts.append("## Accuracy\n\n" + _accuracy(before, after))
    if notes:
        parts.append("## Notes\n\n" + "\n".join(f"- {note}" for note in notes) + "\n")
    told_above = {"start", "data", "validation", "bands", "classes"}
    settings = yaml.safe_dump(
        config.model_dump(mode="json", by_alias=True, exclude_defaults=True, exclude=told_above),
        sort_keys=False,
    )
    parts.append(f"## Settings\n\nSeed {config.seed}.\n\n```yaml\n{settings}```\n")
    return "\n".join(parts)


def _accuracy(before: HeldOutFigures | None, after: HeldOutFigures | None) -> str:
    if after is None:
        return "Not measured: no labels were held out.\n"
    first = before.to_metrics() if before is not None else {}
    rows = [
        f"| {name} | {first[name]:.3f} | {value:.3f} |" if name in first else f"| {name} | - | {value:.3f} |"
        for name, value in after.to_metrics().items()
    ]
    return (
        f"On {after.fields} held-out fields in blocks of ground whose labels training did not see, "
        f"{HOW_MAPPED}:\n\n| figure | before | after |\n|---|---|---|\n" + "\n".join(rows) + "\n"
    )
