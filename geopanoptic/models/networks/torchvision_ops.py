"""Makes torchvision importable beside a CPU build of torch.

segmentation-models-pytorch and timm import torchvision unconditionally, and torchvision registers
meta kernels for its detection operators at import. Where its compiled library does not fit the
installed torch (a CUDA wheel beside CPU torch), that registration fails with "operator
torchvision::nms does not exist". Nothing here needs those operators: declaring their schemas is enough.
"""

from __future__ import annotations

import functools
import importlib.util
import sys
from pathlib import Path

import torch

_SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"


def ensure_torchvision_imports() -> None:
    """Declare torchvision's operators where its own library cannot; does nothing where it can."""
    if "torchvision" in sys.modules or _registered("nms"):
        return
    spec = importlib.util.find_spec("torchvision")
    if spec is None or not spec.submodule_search_locations:
        return
    package = Path(next(iter(spec.submodule_search_locations)))
    library = next((path for path in sorted(package.glob("_C*")) if path.suffix in {".so", ".pyd"}), None)
    if library is not None:
        try:
            torch.ops.load_library(str(library))
        except OSError:
            library = None
    if library is None:
        _declared_operators()


def _registered(name: str) -> bool:
    return hasattr(torch.ops.torchvision, name)


@functools.cache
def _declared_operators() -> torch.library.Library:
    # The declarations live as long as this object does; the cache keeps it alive.
    operators = torch.library.Library("torchvision", "FRAGMENT")
    for name in ("nms", "qnms"):
        if not _registered(name):
            operators.define(f"{name}{_SCHEMA}")
    return operators
