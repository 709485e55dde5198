"""What is given to the package from Python, refused at the door where it cannot be meant."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import wraps
from inspect import Parameter, signature
from typing import Any, ParamSpec, TypeVar

from geopanoptic.errors import UsageError
from geopanoptic.wording import did_you_mean

_P = ParamSpec("_P")
_R = TypeVar("_R")


def options_of(other: Callable[..., Any]) -> Callable[[Callable[_P, _R]], Callable[_P, _R]]:
    """For a function that hands its further keywords on to ``other``: its signature names all of them, and one that
    neither knows is a UsageError."""

    def with_options(function: Callable[_P, _R]) -> Callable[_P, _R]:
        stated, handed_on = signature(function), signature(other).parameters.values()
        own = [each for each in stated.parameters.values() if each.kind is not Parameter.VAR_KEYWORD]
        taken = {each.name for each in own}
        own += [each for each in handed_on if each.kind is Parameter.KEYWORD_ONLY and each.name not in taken]
        known = [each.name for each in own]

        @wraps(function)
        def checked(*args: _P.args, **keywords: _P.kwargs) -> _R:
            for name in keywords:
                if name not in known:
                    raise UsageError(
                        f"geopanoptic.{function.__name__} has no parameter {name!r}.",
                        remedy=did_you_mean(name, known, f"There are {', '.join(known)}."),
                    )
            return function(*args, **keywords)

        checked.__signature__ = stated.replace(parameters=own)  # type: ignore[attr-defined]
        return checked

    return with_options


def path_text(given: Any, what: str, *, remedy: str) -> str:
    """A path as text. Raises UsageError for other objects: ``what`` they were given as, and a ``remedy``."""
    if isinstance(given, str | os.PathLike) and isinstance(text := os.fspath(given), str):
        return text
    module = type(given).__module__.partition(".")[0]
    if module == "rasterio" and not str(given.name).startswith("/vsimem/"):
        remedy = f"Give its file, {given.name!r}."
    elif module == "shapely":
        remedy = "Say which CRS it is in: geopandas.GeoDataFrame(geometry=[polygon], crs='EPSG:<code>')."
    kind = ("" if module == "builtins" else f"{module}.") + type(given).__qualname__
    raise UsageError(f"{what} is given as {kind}, where a path is expected.", remedy=remedy)
