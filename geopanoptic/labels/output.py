"""Labels appear at their path at once and complete, or not at all; nothing is replaced that is not labels."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from geopanoptic.errors import OutputError
from geopanoptic.labels.sidecar import SIDECAR
from geopanoptic.products.staging import hidden_beside, replace_folder


@contextmanager
def staged_output(target: Path, *, overwrite: bool) -> Iterator[Path]:
    """A path to write ``target`` to, in a hidden folder beside it, with what else belongs beside ``target``.

    When the block ends well, everything in that folder takes its place beside ``target``. Raises ``OutputError``
    where something is there and may not be replaced, or the place cannot be written.
    """
    parent = target.parent
    _refuse(target, overwrite=overwrite)
    with hidden_beside(target, remedy="Name another output.") as hidden:
        yield hidden / target.name
        arrivals = sorted(hidden.iterdir())
        for arrival in arrivals:
            _refuse(parent / arrival.name, overwrite=overwrite)
        for arrival in arrivals:
            place = parent / arrival.name
            if place.is_dir():
                replace_folder(arrival, place)
            else:
                arrival.replace(place)


def _refuse(path: Path, *, overwrite: bool) -> None:
    if not path.exists() or (path.is_dir() and not any(path.iterdir())):
        return
    if not overwrite:
        raise OutputError(
            f"{path} exists.", remedy="Name another output, or give --overwrite (overwrite=True)."
        )
    if path.is_dir() and not (path / SIDECAR).is_file():
        raise OutputError(
            f"{path} is a folder without {SIDECAR}, so not one of labels, and is not replaced.",
            remedy="Name another output, or remove the folder yourself.",
        )
