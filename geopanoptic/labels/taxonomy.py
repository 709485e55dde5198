"""Class taxonomies: ids, names, colours, thing or stuff, parents; and mappings from one to another.

A taxonomy is a YAML file::

    name: worldcover
    title: ESA WorldCover
    source: https://...
    classes:
      - {id: 40, name: cropland, colour: "#f096ff", kind: thing}
      - {id: 80, name: permanent water bodies, colour: "#0064c8", kind: stuff, parent: water}

and a mapping names two of them and gives, per class of the first, the nearest class of the second that holds all
of it (or null: there is none).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import ConfigDict, Field, ValidationError, model_validator

from geopanoptic.errors import UsageError
from geopanoptic.strict import StrictModel, read_yaml
from geopanoptic.wording import did_you_mean, fault

Kind = Literal["thing", "stuff"]

UNCLASSIFIED = "unclassified"
"""Class of objects that have none, for formats that have no place for such."""

_SHIPPED = Path(__file__).parent / "taxonomies"
_LIMIT_BYTES = 2**20
_LONGEST_NAME = 120
# Okabe and Ito's palette, told apart by the colour-blind; classes without a colour take turns.
_PALETTE = ("#e69f00", "#56b4e9", "#009e73", "#f0e442", "#0072b2", "#d55e00", "#cc79a7", "#999999")


class LabelClass(StrictModel):
    """One class. ``parent`` is the name of a broader class of the same taxonomy."""

    id: int = Field(ge=0, le=2**31 - 1)
    name: str = Field(min_length=1, max_length=_LONGEST_NAME)
    kind: Kind = "thing"
    colour: str = Field(default="", pattern=r"^(#[0-9a-fA-F]{6})?$")
    parent: str | None = None
    code: str = ""
    """The class's own code, where that is no small number (HCAT's 3301010000)."""

    @property
    def rgb(self) -> tuple[int, int, int]:
        """Red, green, blue from 0 to 255; one of a fixed palette where no colour is stated."""
        colour = self.colour or _PALETTE[self.id % len(_PALETTE)]
        return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


class Taxonomy(StrictModel):
    """Classes with unique ids and names; parents exist and form no circle."""

    model_config = ConfigDict(ignored_types=(cached_property,))

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")
    title: str = ""
    source: str = ""
    """Where the classes are defined, and their terms."""
    classes: tuple[LabelClass, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for what in ("id", "name"):
            values = [getattr(each, what) for each in self.classes]
            if len(set(values)) < len(values):
                twice = next(value for value in values if values.count(value) > 1)
                raise ValueError(f"the class {what} {twice!r} occurs twice")
        parents = {each.name: each.parent for each in self.classes}
        for name in parents:
            seen, at = {name}, parents[name]
            while at is not None:
                if at not in parents:
                    raise ValueError(f"the parent {at!r} of {name!r} is no class")
                if at in seen:
                    raise ValueError(f"the parents of {name!r} go round in a circle")
                seen.add(at)
                at = parents[at]
        return self

    def __getitem__(self, name: str) -> LabelClass:
        """The class of a name. Raises ``UsageError`` with the nearest name where there is none."""
        found = self._by_name.get(name)
        if found is None:
            raise UsageError(
                f"{name!r} is no class of the taxonomy {self.name}.",
                remedy=did_you_mean(name, self._by_name, f"Its classes: {', '.join(self._by_name)}."),
            )
        return found

    def __contains__(self, name: object) -> bool:
        return name in self._by_name

    def ancestors(self, name: str) -> Iterator[str]:
        """The broader classes of a class, nearest first."""
        parent = self[name].parent
        while parent is not None:
            yield parent
            parent = self[parent].parent

    @cached_property
    def _by_name(self) -> dict[str, LabelClass]:
        return {each.name: each for each in self.classes}


@dataclass(frozen=True, slots=True, kw_only=True)
class Mapping:
    """What the classes of one taxonomy are in another; None: nothing there holds all of the class."""

    source: str
    target: str
    names: dict[str, str | None]

    def __getitem__(self, name: str) -> str | None:
        return self.names.get(name)


def list_taxonomies() -> tuple[str, ...]:
    """Names of the taxonomies that come with the package."""
    return tuple(sorted(path.stem for path in _SHIPPED.glob("*.yaml")))


def load_taxonomy(name_or_path: str | Path) -> Taxonomy:
    """A taxonomy that comes with the package, by name, or a YAML file.

    Raises ``UsageError`` for unknown names, files that are no taxonomy, repeated ids or names.
    """
    path = _SHIPPED / f"{name_or_path}.yaml" if str(name_or_path) in list_taxonomies() else Path(name_or_path)
    if not path.is_file():
        raise UsageError(
            f"There is no taxonomy {str(name_or_path)!r}, and no such file.",
            remedy=f"Name one of {', '.join(list_taxonomies())}, or a YAML file.",
        )
    if path.stat().st_size > _LIMIT_BYTES:
        raise UsageError(f"{path} is larger than 1 MiB.", remedy="Name a taxonomy's YAML file.")
    values = read_yaml(path, remedy="Name a YAML file with the keys name and classes.")
    return _validated(Taxonomy, values, path)


def taxonomy_of_names(
    names: Sequence[str], *, kinds: Sequence[Kind] | None = None, name: str = "labels"
) -> Taxonomy:
    """Classes numbered from 1 in the given order, all things unless ``kinds`` says otherwise.

    Raises ``UsageError`` for a name that is too long.
    """
    too_long = next((each for each in names if len(each) > _LONGEST_NAME), None)
    if too_long is not None:
        raise UsageError(
            f"A class has a name of {len(too_long)} characters, {too_long[:40]!r}...; {_LONGEST_NAME} are possible.",
            remedy="Shorten it, or name the column of the class with --class-column.",
        )
    each_kind = kinds or ["thing"] * len(names)
    classes = [
        LabelClass(id=n, name=each, kind=kind)
        for n, (each, kind) in enumerate(zip(names, each_kind, strict=True), 1)
    ]
    return Taxonomy(name=name, classes=tuple(classes))


def with_unclassified(taxonomy: Taxonomy) -> Taxonomy:
    """The classes and ``UNCLASSIFIED``."""
    if UNCLASSIFIED in taxonomy:
        return taxonomy
    number = 1 + max((each.id for each in taxonomy.classes), default=0)
    return Taxonomy(name=taxonomy.name, classes=(*taxonomy.classes, LabelClass(id=number, name=UNCLASSIFIED)))


def unclassified_notes(names: Iterable[str], source: str) -> tuple[str, ...]:
    """What is told of the objects that are ``UNCLASSIFIED`` because their class is empty."""
    lacking = sum(name == "" for name in names)
    return (f"{source}: {lacking:,} objects have no class and are {UNCLASSIFIED!r} now",) if lacking else ()


def load_mapping(source: Taxonomy, target: Taxonomy) -> Mapping:
    """From one taxonomy to another: a shipped mapping, else classes of equal name (or whose ancestor has it).

    Raises ``UsageError`` where the shipped file names classes that do not exist.
    """
    path = _SHIPPED / "mappings" / f"{source.name}_to_{target.name}.yaml"
    if path.is_file():
        names: dict[str, str | None] = read_yaml(path, remedy="It needs classes.")["classes"]
        for old, new in names.items():
            source[old]
            if new is not None:
                target[new]
        return Mapping(source=source.name, target=target.name, names=names)
    found = {
        each.name: next((name for name in (each.name, *source.ancestors(each.name)) if name in target), None)
        for each in source.classes
    }
    return Mapping(source=source.name, target=target.name, names=found)


def _validated(model: type[Taxonomy], values: dict[str, Any], path: Path) -> Taxonomy:
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise UsageError(f"{path}: {fault(error)}.", remedy="Correct the taxonomy.") from None
