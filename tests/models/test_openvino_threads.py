"""A loaded network may be used by several threads at once from its first call on."""

from __future__ import annotations

import subprocess
import sys

import pytest

# OpenVINO makes a table at its first conversion of a type. Threads that change places at every bytecode and all ask
# for it first stood still in two of three runs where the table had not been made while loading.
FIRST_CALLS = """
import sys, threading
from geopanoptic.models.bundle import load_bundle
from geopanoptic.models.runtimes import load_runtime
load_runtime(load_bundle(), "cpu", 1, "openvino", bands=("red", "green", "blue"), margin_px=96)
import openvino
sys.setswitchinterval(1e-6)
n_threads, ended = 12, threading.Event()
together = threading.Barrier(n_threads)
def first_call():
    together.wait()
    openvino.Type.f32.to_dtype()
def busy():
    while not ended.is_set():
        pass
others = [threading.Thread(target=busy, daemon=True) for _ in range(2)]
callers = [threading.Thread(target=first_call) for _ in range(n_threads)]
for thread in others + callers:
    thread.start()
for thread in callers:
    thread.join()
ended.set()
"""


def test_first_calls_at_the_same_moment_do_not_stand_still() -> None:
    pytest.importorskip("openvino")
    pytest.importorskip("onnx")
    subprocess.run([sys.executable, "-W", "ignore", "-c", FIRST_CALLS], check=True, timeout=300)
