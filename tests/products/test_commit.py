"""Promise P2: the outputs are the old ones or the complete new ones, whatever kills the run."""

from __future__ import annotations

import errno
import json
import os
import random
import subprocess
import sys
import textwrap
import time
from contextlib import nullcontext, suppress
from pathlib import Path

import pytest

from geopanoptic.errors import LockedError, OutputError, UsageError
from geopanoptic.products import journal, staging
from geopanoptic.products.commit import Commit, full_disk
from geopanoptic.products.writing import writing

CRASHING_RUN = textwrap.dedent(
    """
    import os, sys, time
    from pathlib import Path
    from geopanoptic.products.commit import Commit

    folder, content, die_at, pause = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
    calls = 0

    def counted(function):
        def call(*arguments, **keywords):
            global calls
            calls += 1
            if calls == die_at:
                os.kill(os.getpid(), 9)
            time.sleep(pause)
            return function(*arguments, **keywords)
        return call

    for name in ("mkdir", "open", "fsync", "replace", "unlink", "rmdir"):
        setattr(os, name, counted(getattr(os, name)))
    targets = [folder / name for name in ("a.gpkg", "run.json", "rasters/c.tif", "other/d.tif")]
    print("started", flush=True)
    with Commit(targets, overwrite=True) as commit:
        for target in targets:
            commit.staged(target).parent.mkdir(exist_ok=True)
            with open(commit.staged(target), "w") as file:
                for letter in content * 50:
                    file.write(letter)
                    file.flush()
        commit.publish()
    print(calls, flush=True)
    """
)
NAMES = ("a.gpkg", "run.json", "rasters/c.tif", "other/d.tif")


def crashing_run(folder: Path, content: str, die_at: int = 0, pause: float = 0.0) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", CRASHING_RUN, str(folder), content, str(die_at), str(pause)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def put_set(folder: Path, content: str) -> None:
    for name in NAMES:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(content * 50)


def contents(folder: Path) -> set[str]:
    return {(folder / name).read_text() for name in NAMES}


def files_in(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def recover(folder: Path) -> None:
    """What the next run does first; this one then fails, so it adds nothing of its own."""
    with pytest.raises(InterruptedError), Commit([folder / "a.gpkg"], overwrite=True):
        raise InterruptedError


def test_publishes_a_set_and_leaves_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    process = crashing_run(tmp_path, "n")
    process.communicate()
    assert process.returncode == 0
    assert contents(tmp_path) == {"n" * 50}
    assert files_in(tmp_path) == set(NAMES)
    assert not list(tmp_path.rglob(".*"))


def test_killed_at_every_system_call_the_set_is_old_or_new(tmp_path: Path) -> None:
    (tmp_path / "whole").mkdir()
    put_set(tmp_path / "whole", "o")
    process = crashing_run(tmp_path / "whole", "n")
    output, _ = process.communicate()
    calls = int(output.split()[-1])
    outcomes = set()
    for die_at in range(1, calls + 1):
        folder = tmp_path / str(die_at)
        folder.mkdir()
        put_set(folder, "o")
        process = crashing_run(folder, "n", die_at)
        process.communicate()
        assert process.returncode == -9
        recover(folder)
        found = contents(folder)
        assert found in ({"o" * 50}, {"n" * 50}), f"mixed after a kill at call {die_at}"
        assert files_in(folder) == set(NAMES)
        assert not list(folder.rglob(".*")), f"stray after a kill at call {die_at}"
        outcomes |= found
    assert len(outcomes) == 2


def test_killed_at_50_random_moments_the_set_is_old_or_new(tmp_path: Path) -> None:
    put_set(tmp_path, "0")
    dice = random.Random(20)
    for turn in range(50):
        before = contents(tmp_path)
        new = chr(ord("A") + turn)
        process = crashing_run(tmp_path, new, pause=0.002)
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(dice.uniform(0, 0.2))
        process.kill()
        process.communicate()
        recover(tmp_path)
        assert contents(tmp_path) in (before, {new * 50})
        assert files_in(tmp_path) == set(NAMES)
        assert not list(tmp_path.rglob(".*"))


def test_the_same_command_finishes_what_was_killed_between_two_renames(tmp_path: Path) -> None:
    (tmp_path / "rasters").mkdir()
    targets = [tmp_path / name for name in NAMES[:3]]
    renames = []
    commit = Commit(targets)
    commit.__enter__()
    for target in targets:
        commit.staged(target).write_text("n")
        renames.append(commit._renames[target])
    journal.decide(targets[0], renames)
    renames[0].source(targets[0]).replace(targets[0])
    commit._lock.release()  # as the death of the process does

    with (
        pytest.raises(OutputError, match=r"a\.gpkg is complete: an earlier run was stopped"),
        Commit(targets),
    ):
        pass
    assert {target.read_text() for target in targets} == {"n"}
    assert not list(tmp_path.rglob(".*"))
    with pytest.raises(OutputError, match="exists already"), Commit(targets):
        pass


def test_what_appears_during_a_run_is_not_replaced(tmp_path: Path) -> None:
    mine, theirs, shared = (tmp_path / name for name in ("a.gpkg", "b.gpkg", "class.tif"))
    with Commit([theirs, shared]) as other:
        for target in (theirs, shared):
            other.staged(target).write_text("theirs")
        with Commit([mine, shared], resumable=True) as commit:
            commit.work.mkdir(parents=True)
            for target in (mine, shared):
                commit.staged(target).write_text("mine")
            other.publish()
            with pytest.raises(OutputError, match=r"class\.tif was made by something else"):
                commit.publish()
    assert (theirs.read_text(), shared.read_text()) == ("theirs", "theirs")
    assert not mine.exists()
    # Nothing is lost: what was computed is there for the same command with another name for the rasters.
    assert commit.work.is_dir()


def test_second_run_on_the_same_output_is_refused_and_a_killed_one_blocks_nothing(tmp_path: Path) -> None:
    out = tmp_path / "a.gpkg"
    link = tmp_path / "link.gpkg"
    link.symlink_to(out)
    with Commit([out]) as first:
        first.staged(out).write_text("first")
        for same in (out, link):
            with pytest.raises(LockedError, match=r"a\.gpkg"), Commit([same]):
                pass
            with pytest.raises(LockedError, match=r"a\.gpkg"):
                Commit([same]).refuse()
        with Commit([tmp_path / "b.gpkg"]):
            pass
        assert first.staged(out).read_text() == "first"
        first.publish()
    assert out.read_text() == "first"
    (tmp_path / ".a.gpkg.geopanoptic").mkdir()
    (tmp_path / ".a.gpkg.geopanoptic" / "lock").touch()
    Commit([out], overwrite=True).refuse()
    with Commit([out], overwrite=True):
        pass
    assert files_in(tmp_path) == {"a.gpkg", "link.gpkg"}


def test_existing_output_is_kept_without_overwrite_and_until_publication(tmp_path: Path) -> None:
    out = tmp_path / "a.gpkg"
    out.write_text("old")
    with pytest.raises(OutputError, match="--overwrite"), Commit([out]):
        pass
    assert files_in(tmp_path) == {"a.gpkg"}
    with Commit([out], overwrite=True) as commit:
        commit.staged(out).write_text("new")
        assert out.read_text() == "old"
        commit.publish()
    assert out.read_text() == "new"


def test_failed_check_keeps_the_old_output(tmp_path: Path) -> None:
    out = tmp_path / "a.gpkg"
    out.write_text("old")

    def check(path: Path) -> None:
        raise OutputError(f"{path.name} is damaged.")

    def run() -> None:
        with Commit([out], overwrite=True) as commit:
            commit.staged(out).write_text("half")
            commit.publish({out: check})

    with pytest.raises(OutputError, match="damaged"):
        run()
    assert out.read_text() == "old"
    assert files_in(tmp_path) == {"a.gpkg"}


def test_publishing_an_unwritten_target_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="never written"), Commit([tmp_path / "a.gpkg"]) as commit:
        commit.publish()
    assert not files_in(tmp_path)


def test_link_survives_and_its_target_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    real = tmp_path / "store" / "real.gpkg"
    real.write_text("old")
    link = tmp_path / "link.gpkg"
    link.symlink_to(real)
    with Commit([link], overwrite=True) as commit:
        assert commit.staged(link).parent.parent == real.parent
        commit.staged(link).write_text("new")
        commit.publish()
    assert link.is_symlink()
    assert real.read_text() == "new"


def test_circular_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.gpkg").symlink_to(tmp_path / "b.gpkg")
    (tmp_path / "b.gpkg").symlink_to(tmp_path / "a.gpkg")
    with pytest.raises(OutputError, match="circle"):
        Commit([tmp_path / "a.gpkg"])


def test_overlong_name_is_refused(tmp_path: Path) -> None:
    out = tmp_path / ("x" * 250 + ".gpkg")
    told = r"name of the output x+\.\.\.x+\.run\.json is too long: 259 bytes of at most 255"
    with pytest.raises(OutputError, match=told) as refusal:
        Commit([out, out.with_suffix(".run.json")])
    shorter = out.with_name(out.name[4:])
    assert "4 bytes shorter" in refusal.value.remedy
    Commit([shorter, shorter.with_suffix(".run.json")]).refuse()
    with pytest.raises(OutputError, match="path of the output is too long"):
        Commit([tmp_path.joinpath(*["x" * 100] * 100, "x.gpkg")])


def test_rasters_under_a_name_that_gdal_cannot_write_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"latin\xe4")
    folder.mkdir()
    with Commit([folder / "map.gpkg"]):
        pass
    with (
        pytest.raises(OutputError, match="not in UTF-8"),
        Commit([folder / "map.gpkg", folder / "class.tif"]),
    ):
        pass


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOTSUP, errno.EIO])
def test_a_file_system_that_syncs_no_folders_is_no_failure(
    tmp_path: Path, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(OSError, match="Input") if number == errno.EIO else nullcontext():
        staging.sync_folder(tmp_path)


def test_refusals_before_any_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(OutputError, match="does not exist"), Commit([tmp_path / "none" / "a.gpkg"]):
        pass
    (tmp_path / "folder.gpkg").mkdir()
    with pytest.raises(OutputError, match="not a file"), Commit([tmp_path / "folder.gpkg"], overwrite=True):
        pass
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="not a folder"), Commit([tmp_path / "file" / "a.gpkg"]):
        pass
    scene = tmp_path / "scene.tif"
    scene.touch()
    with pytest.raises(UsageError, match="input"), Commit([scene], overwrite=True, inputs=[scene]):
        pass
    with pytest.raises(UsageError, match="same path"), Commit([scene, tmp_path / "." / "scene.tif"]):
        pass

    def read_only(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "mkdir", read_only)
    with pytest.raises(OutputError, match="Permission denied"), Commit([tmp_path / "a.gpkg"]):
        pass


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write anywhere")
def test_read_only_folder_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError, match="cannot be written"), Commit([tmp_path / "a.gpkg"]):
        pass
    tmp_path.chmod(0o700)


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="Linux has such a folder")
def test_a_folder_in_which_nothing_can_be_made_is_refused() -> None:
    with pytest.raises(OutputError, match="/proc cannot be written"), Commit([Path("/proc/a.gpkg")]):
        pass


def test_geopackage_with_unsaved_edits_elsewhere_is_refused_and_stale_sidecars_go(tmp_path: Path) -> None:
    out = tmp_path / "a.gpkg"
    out.write_text("old")
    wal = tmp_path / "a.gpkg-wal"
    wal.write_text("edits")
    with pytest.raises(OutputError, match="open in another program"), Commit([out], overwrite=True):
        pass
    wal.write_text("")
    with Commit([out], overwrite=True) as commit:
        commit.staged(out).write_text("new")
        commit.publish()
    assert files_in(tmp_path) == {"a.gpkg"}


@pytest.mark.parametrize(
    "name",
    [
        "with space.gpkg",
        "quo'te\".gpkg",
        "ünï#cödé.gpkg",
        "-dash.gpkg",
        "new\nline.gpkg",
        "x" * 250 + ".gpkg",
    ],
)
def test_any_file_name(tmp_path: Path, name: str) -> None:
    out = tmp_path / name
    for content in ("one", "two"):
        with Commit([out], overwrite=True) as commit:
            commit.staged(out).write_text(content)
            commit.publish()
        assert out.read_text() == content
    assert len(files_in(tmp_path)) == 1


@pytest.mark.parametrize("resumable", [True, False])
def test_work_survives_a_failure_only_where_resumable(tmp_path: Path, resumable: bool) -> None:
    out = tmp_path / "a.gpkg"

    def fail() -> None:
        with Commit([out], resumable=resumable) as commit:
            commit.work.mkdir()
            (commit.work / "block").write_text("kept")
            commit.staged(out).write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    kept = {f".a.gpkg.geopanoptic/{name}" for name in ("lock", "work/block")}
    assert files_in(tmp_path) == (kept if resumable else set())
    with Commit([out], resumable=True) as commit:
        assert (commit.work / "block").exists() == resumable
        commit.staged(out).write_text("whole")
        commit.publish()
    assert files_in(tmp_path) == {"a.gpkg"}


@pytest.mark.parametrize("call", ["fsync", "replace"])
@pytest.mark.parametrize("nth", range(1, 12))
def test_full_disk_at_any_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, nth: int
) -> None:
    put_set(tmp_path, "o")
    real, calls = getattr(os, call), 0

    def full(*arguments: object) -> object:
        nonlocal calls
        calls += 1
        if calls == nth:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(*arguments)

    monkeypatch.setattr(os, call, full)
    targets = [tmp_path / name for name in NAMES]
    # Only an OutputError may come out; in the late moments there is no call left to fail.
    with suppress(OutputError), Commit(targets, overwrite=True) as commit:
        for target in targets:
            commit.staged(target).write_text("n" * 50)
        commit.publish()
    monkeypatch.undo()
    assert contents(tmp_path) in ({"o" * 50}, {"n" * 50})
    assert files_in(tmp_path) == set(NAMES)


@pytest.mark.parametrize(
    ("named", "where"),
    [(None, "/scratch"), (3, "/scratch"), ("/tmp/x/a.npy", "/tmp/x"), (b"/tmp/x", "/scratch")],
)
def test_the_disk_that_is_full_is_named(named: object, where: str) -> None:
    refusal = full_disk(OSError(errno.ENOSPC, "No space", named), folder=Path("/scratch"), kept=None)
    assert refusal is not None
    assert f"The disk of {where} is full" in refusal.message
    assert full_disk(OSError(errno.EIO, "Input/output error"), folder=Path("/scratch"), kept=None) is None


def test_journal_of_a_stranger_cannot_reach_outside(tmp_path: Path) -> None:
    out, precious = tmp_path / "here" / "a.gpkg", tmp_path / "precious"
    out.parent.mkdir()
    precious.write_text("mine")
    own = staging.staging_folder(out)
    own.mkdir()
    (own / "evil").write_text("evil")
    for hostile in (
        [[str(out.parent), "evil", "../precious"]],
        [[str(out.parent), "evil", str(precious)]],
        [[str(tmp_path), "../here/.a.gpkg.geopanoptic/evil", "precious"]],
        {"no": "list"},
    ):
        (own / journal.COMMIT).write_text(json.dumps(hostile))
        with pytest.raises(OutputError, match="does not come from"), Commit([out]):
            pass
    (own / journal.COMMIT).write_text(json.dumps([[str(tmp_path), "evil", "precious"]]))
    with Commit([out]):
        pass
    assert precious.read_text() == "mine"


def test_products_are_on_disk_before_they_are_in_place(tmp_path, monkeypatch):
    synced, fsync = set(), os.fsync
    monkeypatch.setattr(os, "fsync", lambda each: synced.add(os.fstat(each).st_ino) or fsync(each))
    out = tmp_path / "map.gpkg"
    with Commit([out]) as commit:
        commit.staged(out).write_text("a map")
        commit.publish()
    assert out.stat().st_ino in synced


def test_shared_memory_of_a_reader_is_no_unsaved_change(tmp_path):
    out = tmp_path / "map.gpkg"
    out.write_text("old")
    (tmp_path / "map.gpkg-shm").write_text("of a reader")
    with Commit([out], overwrite=True) as commit:
        commit.staged(out).write_text("new")
        commit.publish()
    assert out.read_text() == "new"


def test_what_cannot_be_written_is_told_by_its_own_name(tmp_path):
    out = tmp_path / "map.gpkg"
    with (
        pytest.raises(
            OutputError, match=rf"^map\.gpkg could not be written to {tmp_path}: no room"
        ) as refusal,
        Commit([out, tmp_path / "map.run.json"]) as commit,
        writing(commit.staged(out)),
    ):
        raise OSError(errno.EIO, "no room")
    assert "product-0" not in str(refusal.value)
    assert not list(tmp_path.iterdir())
