"""Words of messages."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def counted(number: int, noun: str) -> str:
    """``1 date``, ``2,000 dates``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The name that a misspelt one stands for, if any: of several near ones that of the same letters, else the one that
    begins alike."""

    def unlike(each: str) -> tuple[bool, bool]:
        return sorted(each) != sorted(word), each[:1] != word[:1]

    return min(get_close_matches(word, list(known), n=3), key=unlike, default=None)


def did_you_mean(word: str, known: Iterable[str], otherwise: str) -> str:
    """The remedy for a misspelt name: the nearest one, or ``otherwise`` where none is near."""
    near = nearest(word, known)
    return otherwise if near is None else f"Did you mean {near!r}?"


def fault(error: Exception) -> str:
    """What is wrong with the content of a file that raised ``error``: the first of pydantic's findings with its key, the
    words of another ``ValueError``, and of exceptions without words of their own the name, too: ``KeyError 'images'``."""
    from pydantic import ValidationError  # a quarter of a second, which the command line's help does without

    if isinstance(error, ValidationError):
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"])) or "(whole)"
        return f"{key}: {first['msg'].removeprefix('Value error, ')}"
    return str(error) if isinstance(error, ValueError) else f"{type(error).__name__} {error}"
