"""Ctrl-C, SIGTERM and SIGHUP end a command wherever they arrive, and nothing but a command."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap

import pytest

from geopanoptic.cli.main import main

ARRIVALS = {
    "in ordinary code": "stop()",
    "in a callback of C code": "ctypes.CFUNCTYPE(None)(stop)()",
    "where a library makes another failure of it": """
        try:
            stop()
        except BaseException:
            raise RuntimeError("Error while accessing batch from stream.")
    """,
    "where a library takes it for one file's": """
        try:
            stop()
        except Exception:
            pass
    """,
}


def command_of(run: str) -> subprocess.CompletedProcess[str]:
    """What becomes of a command whose run is the source of a function of that name."""
    script = f"""
import ctypes, signal, sys, time, types
{textwrap.dedent(run)}
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
sys.modules["geopanoptic.pipeline.run"] = stub = types.ModuleType("geopanoptic.pipeline.run")
stub.run = stub.plan = run
from geopanoptic.cli.main import main
sys.argv = ["geopanoptic", "run", "scene.tif", "--out", "parcels.gpkg", "--quiet"]
main()
"""
    return subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=50, check=False
    )


@pytest.mark.parametrize(
    ("number", "code", "word"),
    [
        (signal.SIGTERM, 143, "Terminated"),
        (signal.SIGINT, 130, "Interrupted"),
        (signal.SIGHUP, 129, "The terminal was closed"),
    ],
    ids=["SIGTERM", "SIGINT", "SIGHUP"],
)
@pytest.mark.parametrize("arrival", ARRIVALS.values(), ids=ARRIVALS)
def test_a_signal_ends_a_run_wherever_it_arrives(arrival, number, code, word):
    ended = command_of(
        f"""
        def stop():
            signal.raise_signal({int(number)})
            time.sleep(1)

        def run(*_, **__):
{textwrap.indent(textwrap.dedent(arrival).strip(), " " * 12)}
            time.sleep(60)
        """
    )
    assert ended.returncode == code
    assert ended.stderr == (
        f"error: {word}; the output was not changed.\n"
        "  Continue with: geopanoptic run scene.tif --out parcels.gpkg --quiet --resume\n"
    )


def test_a_terminal_that_is_closed_is_told_twice_and_heard_once():
    ended = command_of(
        """
        def run(*_, **__):
            try:
                signal.raise_signal(signal.SIGHUP)
            finally:
                signal.raise_signal(signal.SIGHUP)
                time.sleep(0.1)
                print("cleaned up", flush=True)
        """
    )
    assert (ended.returncode, ended.stdout) == (129, "cleaned up\n")


def test_a_signal_that_is_ignored_stays_so_and_what_was_there_before_is_back_after(monkeypatch):
    def now() -> list[object]:
        numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGALRM)
        return [sys.unraisablehook, *map(signal.getsignal, numbers)]

    ignored = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        before = now()
        monkeypatch.setattr(sys, "argv", ["geopanoptic", "--version"])
        with pytest.raises(SystemExit):
            main()
        assert now() == before
    finally:
        signal.signal(signal.SIGINT, ignored)
