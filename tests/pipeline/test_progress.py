"""What a run shows: plain lines for logs, bars for people, warnings always."""

from __future__ import annotations

import errno
import io

import pytest

import geopanoptic
from geopanoptic.errors import UsageError
from geopanoptic.pipeline.progress import (
    Bars,
    Lines,
    Progress,
    Silent,
    duration_text,
    progress_for,
    progress_of,
    rate,
)


def tell(progress: Progress) -> None:
    with progress.stage("network", total=4e6, unit="px") as stage:
        stage.advance(1e6)
        stage.advance(3e6)
    progress.note("20 m bands resampled")
    progress.warn("[taken] as RGB")


def test_lines_are_plain_text():
    stream = io.StringIO()
    tell(Lines(stream))
    lines = stream.getvalue().splitlines()
    assert len(lines) == 3
    assert lines[0].startswith("network: 0.0 s, ")
    assert lines[1:] == ["20 m bands resampled", "warning: [taken] as RGB"]
    assert "\x1b" not in stream.getvalue()


def test_a_log_says_now_and_then_how_long_it_still_takes():
    stream = io.StringIO()
    tell(Lines(stream, every_s=0.0))
    first, last, *_ = stream.getvalue().splitlines()
    assert first.startswith("network: 25%, ")
    assert first.endswith(" s left")
    assert last.startswith("network: 0.0 s, ")


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (99.0, "99 s"), (100.0, "2 min"), (3600.0, "1 h 0 min")]
)
def test_duration(seconds, text):
    assert duration_text(seconds) == text


def test_quiet_keeps_the_warnings():
    stream = io.StringIO()
    tell(progress_for(stream, quiet=True))
    assert stream.getvalue() == "warning: [taken] as RGB\n"


@pytest.mark.parametrize("given", [None, False, True])
def test_from_python_warnings_are_shown_and_all_else_where_it_is_asked_for(given, capsys):
    tell(progress_of(given))
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.endswith("warning: [taken] as RGB\n")
    assert ("20 m bands resampled" in shown.err) == bool(given)


def test_who_is_told_has_to_listen(tmp_path):
    listener = Silent()
    assert progress_of(listener) is listener
    with pytest.raises(UsageError, match="has no stage, note and warn"):
        geopanoptic.run(tmp_path / "scene.tif", progress=print)


def test_silence(capsys):
    tell(Silent())
    assert capsys.readouterr() == ("", "")


def test_a_pipe_gets_lines_and_a_terminal_gets_bars(monkeypatch):
    stream = io.StringIO()
    assert isinstance(progress_for(stream, quiet=False), Lines)
    monkeypatch.setattr(stream, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    bars = progress_for(stream, quiet=False)
    assert isinstance(bars, Bars)
    tell(bars)
    assert "network" in stream.getvalue()
    assert "100 %" in stream.getvalue()
    assert "[taken] as RGB" in stream.getvalue()


@pytest.mark.parametrize(
    ("per_second", "text"), [(1_900_000, "1.9 Mpx/s"), (4_200, "4.2 kpx/s"), (31.4, "31 px/s")]
)
def test_rate(per_second, text):
    assert rate(per_second, "px") == text


@pytest.mark.parametrize("terminal", [True, False])
def test_nobody_need_listen(terminal):
    class Closed(io.StringIO):
        def write(self, text):
            raise OSError(errno.EIO, "Input/output error")

        flush = isatty = None

    closed = Closed()
    closed.isatty, closed.flush = (lambda: terminal), (lambda: closed.write(""))
    progress = progress_for(closed, quiet=False)
    assert isinstance(progress, Bars if terminal else Lines)
    tell(progress)
