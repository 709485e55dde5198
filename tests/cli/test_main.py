"""The command line as a whole: help, suggestions, and what every kind of failure leaves behind."""

from __future__ import annotations

import errno
import importlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import dask.config
import pytest
from click.shell_completion import ShellComplete

from geopanoptic import errors
from geopanoptic.cli.main import COMMANDS, cli, invoke
from geopanoptic.cli.map_options import FUSION_NAMES
from geopanoptic.cli.run import EPILOG
from geopanoptic.panoptic.fusion.rules import FUSION_RULES

REFUSALS = [
    errors.UsageError,
    errors.SceneError,
    errors.ModelError,
    errors.OutputError,
    errors.ResourceError,
    errors.LockedError,
]
RUN = ["run", "scene.tif", "--out", "parcels.gpkg"]
REPOSITORY = Path(__file__).resolve().parents[2]


def leave(*arguments: str) -> int:
    return invoke(list(arguments))


def commands_of(group: click.Group) -> Iterator[click.Command]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        yield from commands_of(command) if isinstance(command, click.Group) else [command]


@pytest.fixture
def failing_run(monkeypatch):
    """Makes ``geopanoptic run`` raise what is given."""

    def fail_with(failure: BaseException) -> None:
        def run(*arguments, **parameters):
            raise failure

        # Whoever imports run by name has to have done so before it is another.
        importlib.import_module("geopanoptic.pipeline.batch")
        monkeypatch.setattr("geopanoptic.pipeline.run.run", run)

    return fail_with


@pytest.mark.parametrize(
    "command", [[], *([name] for name in COMMANDS), ["models", "list"], ["models", "show"]]
)
def test_every_command_has_help(command, capsys):
    assert leave(*command, "--help") == 0
    assert capsys.readouterr().out.startswith(" ".join(["Usage: geopanoptic", *command]))


@pytest.mark.parametrize(
    ("command", "leaves_out"), [(["run"], {8}), (["labels", "diff"], {4, 6, 8, 75}), ([], set())]
)
def test_help_lists_the_exit_codes_that_a_command_has(command, leaves_out, capsys):
    leave(*command, "--help")
    listed = capsys.readouterr().out.partition("Exit codes:")[2]
    assert set(map(int, re.findall(r"(?m)^ +(\d+)  ", listed))) == set(errors.EXIT_CODES) - leaves_out


def test_help_lists_every_option_of_run_under_a_heading(capsys):
    leave("run", "--help")
    other = capsys.readouterr().out.split("Other options:")[1].split("Examples:")[0]
    assert re.findall(r"--[a-z-]+", other) == ["--help"]


def test_quiet_and_the_rules_of_fusion_are_the_same_for_every_command():
    options = [
        each for command in commands_of(cli) for each in command.params if isinstance(each, click.Option)
    ]
    assert {tuple(each.opts) for each in options if each.name == "quiet"} == {("--quiet", "-q")}
    assert tuple(FUSION_RULES) == FUSION_NAMES


def test_version(capsys):
    assert leave("--version") == 0
    assert capsys.readouterr().out == "geopanoptic, version 0.1.0\n"


@pytest.mark.parametrize(
    ("mistake", "suggestion"),
    [
        (["rnu"], "run"),
        (["modls"], "models"),
        (["labels", "chek"], "check"),
        (["models", "exprot"], "export"),
        (["run", "a.tif", "--simplfy", "3"], "--simplify"),
    ],
)
def test_a_typing_mistake_gets_a_suggestion(mistake, suggestion, capsys):
    assert leave(*mistake) == 2
    assert f"Did you mean '{suggestion}'?" in capsys.readouterr().err


def test_a_mistake_does_not_end_the_completion_of_a_shell():
    found = ShellComplete(cli, {}, "geopanoptic", "").get_completions(["rnu"], "lab")
    assert [each.value for each in found] == ["labels"]


@pytest.mark.parametrize("refusal", REFUSALS)
def test_a_refusal_shows_message_and_remedy_and_has_its_exit_code(refusal, failing_run, capsys):
    failing_run(refusal("What is wrong.", remedy="What to do."))
    assert leave(*RUN) == refusal.exit_code
    assert capsys.readouterr().err == "error: What is wrong.\n  What to do.\n"
    assert refusal.exit_code in errors.EXIT_CODES


def test_a_refusal_as_json(failing_run, capsys):
    failing_run(errors.SceneError("What is wrong.", remedy="What to do."))
    assert leave(*RUN, "--json") == 3
    shown = capsys.readouterr()
    expected = {"error": "What is wrong.", "remedy": "What to do.", "exit_code": 3, "warnings": []}
    assert json.loads(shown.err) == expected
    assert shown.out == ""


def test_a_wrong_option_as_json(capsys):
    assert leave("run", "--json", "--nothing") == 2
    assert json.loads(capsys.readouterr().err)["exit_code"] == 2


def test_a_variable_of_the_environment_that_nothing_reads_is_told(monkeypatch, capsys):
    monkeypatch.setenv("GEOPANOPTIC_DEBG", "1")
    assert leave("models", "list") == 0
    assert "warning: GEOPANOPTIC_DEBG is set" in capsys.readouterr().err
    monkeypatch.setenv("GEOPANOPTIC_DEBUG", "1")
    monkeypatch.delenv("GEOPANOPTIC_DEBG")
    assert leave("models", "list") == 0
    assert capsys.readouterr().err == ""


def test_a_bug_says_so_and_keeps_the_traceback_in_a_file(failing_run, capsys):
    failing_run(ZeroDivisionError("division by zero"))
    assert leave(*RUN) == 1
    shown = capsys.readouterr().err
    assert "Traceback" not in shown
    assert "This is a bug" in shown
    log = Path(re.search(r"report it with (\S+\.log)\.", shown)[1])
    assert "ZeroDivisionError: division by zero" in log.read_text()
    log.unlink()


def test_debugging_shows_the_traceback(failing_run, monkeypatch):
    monkeypatch.setenv("GEOPANOPTIC_DEBUG", "1")
    failing_run(ZeroDivisionError())
    with pytest.raises(ZeroDivisionError):
        invoke(RUN)


@pytest.mark.parametrize(
    ("failure", "code"),
    [
        (MemoryError(), 7),
        (OSError(errno.ENOSPC, "No space left on device", "x.gpkg"), 5),
        (KeyboardInterrupt(), 130),
    ],
)
def test_what_the_machine_does_is_no_bug(failure, code, failing_run, capsys):
    failing_run(failure)
    assert leave(*RUN) == code
    assert "bug" not in capsys.readouterr().err


@pytest.mark.parametrize(("gone", "code"), [(True, 129), (False, 1)])
def test_a_terminal_that_is_gone_is_told_from_a_disk_that_fails(gone, code, failing_run, monkeypatch):
    failing_run(OSError(errno.EIO, "Input/output error"))
    ours, theirs = os.openpty()
    with os.fdopen(theirs, "w") as terminal:
        if gone:
            os.close(ours)
        monkeypatch.setattr(sys, "stdout", terminal)
        assert leave(*RUN) == code
    if not gone:
        os.close(ours)


def test_a_malformed_setting_of_dask_is_named(failing_run, tmp_path, capsys):
    settings = tmp_path / "dask.yaml"
    settings.write_text("a: [1\n b: {")
    with pytest.raises(ValueError, match="malformed") as failure:
        dask.config.collect([str(settings)], env={})
    failing_run(failure.value)
    assert leave(*RUN) == 2
    told = capsys.readouterr().err
    assert str(settings) in told
    assert "DASK_CONFIG" in told


def test_a_reader_that_leaves_is_no_error():
    with subprocess.Popen(
        [sys.executable, "-m", "geopanoptic", "run", "--help"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        process.stdout.close()
        assert process.stderr.read() == b""


def _documented_commands() -> list[str]:
    readme = (REPOSITORY / "README.md").read_text()
    blocks = re.findall(r"```(?:sh|bash|console)\n(.*?)```", readme, re.DOTALL)
    texts = [*blocks, EPILOG, cli.help or ""]
    lines = [line.strip() for text in texts for line in text.splitlines()]
    return [line.split("#")[0].strip() for line in lines if line.startswith("geopanoptic ")]


@pytest.mark.parametrize("line", _documented_commands())
def test_documented_commands_parse(line):
    command: click.Command = cli
    arguments = line.split()[1:]
    while isinstance(command, click.Group):
        command = command.get_command(click.Context(command), arguments.pop(0))
    command.make_context("geopanoptic", arguments)
