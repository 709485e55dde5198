"""Files that people write: what cannot be meant is refused, with its place, instead of being taken for something else."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ConfigDict, model_validator

from geopanoptic.errors import UsageError


class StrictModel(BaseModel):
    """Settings that refuse unknown keys, numbers that are none (.inf, .nan) and yes or no for a number, and do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _truth_is_no_number(cls, given: Any) -> Any:
        """Refuses ``steps: yes``, which pydantic takes for 1. Its strict numbers would refuse 1e-3 as well, which is text
        in YAML; and a validator of every field those that tell kinds of data apart."""
        for name, value in given.items() if isinstance(given, dict) else ():
            field = cls.model_fields.get(name)
            for each in value if isinstance(value, list | tuple) else (value,):
                if isinstance(each, bool) and field and _leaves(field.annotation) & {int, float}:
                    word, also = ("true", "yes and on") if each else ("false", "no and off")
                    raise ValueError(f"{word} is no number for {name} (YAML reads {also} so)")
        return given


def _leaves(annotation: Any) -> set[Any]:
    """What an annotation such as ``tuple[Annotated[int, Field(ge=1)], ...] | None`` is made of."""
    parts = get_args(annotation)
    return set().union(*map(_leaves, parts)) if parts else {annotation}


def read_yaml(path: Path, *, remedy: str) -> dict[str, Any]:
    """The keys and values of a YAML file. Raises UsageError, with the line, for one that cannot be read, is none, or has a
    key twice; ``remedy`` says what to give instead."""
    try:
        values = parse_yaml(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"{path} cannot be read: {getattr(error, 'strerror', None) or error}.", remedy=remedy
        ) from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise UsageError(f"{path} is not YAML: {_fault(error)}.", remedy="Correct the file.") from None
    if not isinstance(values, dict):
        raise UsageError(f"{path} holds no keys.", remedy=remedy)
    return values


def parse_yaml(text: str) -> Any:
    """The value of a YAML text. Raises YAMLError, also for a key that is there twice, RecursionError, and ValueError for
    dates that are none."""
    return yaml.load(text, _OneOfEachKey)


class _OneOfEachKey(yaml.SafeLoader):
    """YAML forbids a second key of one name; PyYAML forgets the first."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        # Here, before keys of merged mappings (<<) come to stand beside those that replace them.
        node = super().compose_mapping_node(anchor)
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise yaml.composer.ComposerError(
                        None, None, f"the key {key.value!r} is there twice", key.start_mark
                    )
                seen.add(key.value)
        return node


def _fault(error: Exception) -> str:
    """In one line, with its place in the file."""
    if isinstance(error, RecursionError):
        return "nested too deeply"
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        return f"line {error.problem_mark.line + 1}: {error.problem}"
    return str(error)
