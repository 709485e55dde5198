"""Numbers in sentences."""

from __future__ import annotations


def counted(number: int, noun: str) -> str:
    """``1 date``, ``2,000 dates``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
