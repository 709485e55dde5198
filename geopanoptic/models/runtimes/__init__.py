"""Runs a bundle's network on arrays: torch, OpenVINO or ONNX Runtime behind one callable."""

from geopanoptic.models.runtimes.loading import RUNTIMES, Device, Precision, RuntimeName, load_runtime
from geopanoptic.models.runtimes.runtime import Runtime

__all__ = ["RUNTIMES", "Device", "Precision", "Runtime", "RuntimeName", "load_runtime"]
