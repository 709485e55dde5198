"""The card of a model that was trained here: what it learned from, how, and how well it does."""

from __future__ import annotations

from geopanoptic.training.config import TrainingConfig
from geopanoptic.training.held_out import HOW_MAPPED, HeldOutFigures


def write_card(
    config: TrainingConfig,
    *,
    title: str,
    origin: str | None,
    sources: list[str],
    before: HeldOutFigures | None,
    after: HeldOutFigures | None,
    notes: list[str],
) -> str:
    """Markdown. ``origin`` says which model it started from, or still is; ``sources`` are sentences about the training data;
    ``before`` is ``after`` where the old weights stayed."""
    parts = [f"# {config.name}\n\n{title}\n"]
    if origin:
        parts.append(f"{origin}, whose card says what it was trained on before.\n")
    parts.append("## Training data\n\n" + "\n".join(f"- {source}" for source in sources) + "\n")
    parts.append("## Accuracy\n\n" + _accuracy(before, after))
    if notes:
        parts.append("## Notes\n\n" + "\n".join(f"- {note}" for note in notes) + "\n")
    settings = config.to_yaml(without=frozenset({"start", "data", "validation", "bands", "classes"}))
    parts.append(f"## Settings\n\nSeed {config.seed}.\n\n```yaml\n{settings}```\n")
    return "\n".join(parts)


def _accuracy(before: HeldOutFigures | None, after: HeldOutFigures | None) -> str:
    if after is None:
        return "Not measured: no labels were held out.\n"
    if after is before:
        rows = [f"| {name} | {value:.3f} |" for name, value in after.to_metrics().items()]
        return (
            f"These weights, on {after.fields} fields, {HOW_MAPPED}:\n\n| figure | value |\n|---|---|\n"
            + "\n".join(rows)
            + "\n"
        )
    first = before.to_metrics() if before is not None else {}
    rows = [
        f"| {name} | {first[name]:.3f} | {value:.3f} |" if name in first else f"| {name} | - | {value:.3f} |"
        for name, value in after.to_metrics().items()
    ]
    return (
        f"On {after.fields} held-out fields in blocks of ground whose labels training did not see, "
        f"{HOW_MAPPED}:\n\n| figure | before | after |\n|---|---|---|\n" + "\n".join(rows) + "\n"
    )
