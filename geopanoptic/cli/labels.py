"""``geopanoptic labels``: a group of commands, one module each."""

from __future__ import annotations

import click

from geopanoptic.cli.groups import LazyGroup
from geopanoptic.cli.sections import exit_code_lines

COMMANDS = {
    "convert": "From any label format to any other.",
    "check": "Look for defects in labels, and repair what is safe.",
    "prelabel": "A model's map as pre-annotations, with pictures, for an annotation tool.",
    "next": "Which parcels or tiles to label next.",
    "log": "How labels came to be: their history, and files changed since.",
    "diff": "Objects added, removed and changed between two states of labels.",
    "merge": "Several annotators' parts as one map again, and their conflicts.",
}


EPILOG = f"""\b
Once round:
  geopanoptic labels prelabel scene.tif --out work/ --to label-studio   a map as a first draft, with pictures
  ... correct it in the tool, and save its export as work/export.json ...
  geopanoptic labels convert work/export.json labels.gpkg --to gpkg     back on the map
  geopanoptic labels check labels.gpkg --image scene.tif                what is wrong with it
  geopanoptic labels log labels.gpkg                                    who did what
  geopanoptic train --from default --data labels.gpkg --scene scene.tif --out my-fields

{exit_code_lines(3, 4, 8)}
"""


@click.group(cls=LazyGroup, texts=COMMANDS, home="geopanoptic.cli.labels_", epilog=EPILOG)
def labels() -> None:
    """Labels in, labels out, labels checked."""
