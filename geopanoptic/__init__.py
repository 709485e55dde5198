"""geopanoptic: from satellite scenes to panoptic maps, parcels as polygons and land cover as layers.

>>> import geopanoptic                                          # doctest: +SKIP
>>> result = geopanoptic.run("scene.tif", "parcels.gpkg")       # doctest: +SKIP
>>> result.parcels.plot("class_name")                           # doctest: +SKIP
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from geopanoptic.kernel_cache import ensure_kernel_cache

if TYPE_CHECKING:
    from geopanoptic.change.compare import Comparison, compare
    from geopanoptic.evaluation.evaluate import evaluate
    from geopanoptic.evaluation.evaluation import Evaluation
    from geopanoptic.models.bundle import Bundle, list_bundles, load_bundle
    from geopanoptic.pipeline.planning.plan import Plan
    from geopanoptic.pipeline.result import Result
    from geopanoptic.pipeline.run import plan, run
    from geopanoptic.pipeline.sharding import run_shard
    from geopanoptic.scene import Scene, open_scene
    from geopanoptic.statistics.stats import Statistics, stats
    from geopanoptic.training.finetuning import LabelledPair, fine_tune
    from geopanoptic.training.synthetic import (
        SyntheticScene,
        SyntheticSeries,
        synthesize,
        synthesize_series,
    )

__version__ = "0.1.0"
__all__ = [
    "Bundle",
    "Comparison",
    "Evaluation",
    "LabelledPair",
    "Plan",
    "Result",
    "Scene",
    "Statistics",
    "SyntheticScene",
    "SyntheticSeries",
    "compare",
    "evaluate",
    "fine_tune",
    "list_bundles",
    "load_bundle",
    "open_scene",
    "plan",
    "run",
    "run_shard",
    "stats",
    "synthesize",
    "synthesize_series",
]

# Imported on first use: `import geopanoptic` and `geopanoptic --help` need neither torch nor GDAL.
_HOME = {
    "Bundle": "geopanoptic.models.bundle",
    "list_bundles": "geopanoptic.models.bundle",
    "load_bundle": "geopanoptic.models.bundle",
    "Evaluation": "geopanoptic.evaluation.evaluation",
    "evaluate": "geopanoptic.evaluation.evaluate",
    "LabelledPair": "geopanoptic.training.finetuning",
    "fine_tune": "geopanoptic.training.finetuning",
    "Plan": "geopanoptic.pipeline.planning.plan",
    "Result": "geopanoptic.pipeline.result",
    "plan": "geopanoptic.pipeline.run",
    "run": "geopanoptic.pipeline.run",
    "run_shard": "geopanoptic.pipeline.sharding",
    "Scene": "geopanoptic.scene",
    "SyntheticScene": "geopanoptic.training.synthetic",
    "SyntheticSeries": "geopanoptic.training.synthetic",
    "synthesize": "geopanoptic.training.synthetic",
    "synthesize_series": "geopanoptic.training.synthetic",
    "compare": "geopanoptic.change.compare",
    "Comparison": "geopanoptic.change.compare",
    "stats": "geopanoptic.statistics.stats",
    "Statistics": "geopanoptic.statistics.stats",
    "open_scene": "geopanoptic.scene",
}

ensure_kernel_cache()


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'geopanoptic' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted({*__all__, *(name for name in globals() if name.startswith("__"))})
