"""Progress that tests listen to."""

from __future__ import annotations

from geopanoptic.pipeline.progress import Silent


class Heard(Silent):
    """Keeps the warnings."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def warn(self, text: str) -> None:
        self.warnings.append(text)
