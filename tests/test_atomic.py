"""`replacing`: all the old files or all the new ones, whatever happens in between."""

from __future__ import annotations

import contextlib
import errno
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from formers import atomic
from formers.atomic import replacing
from formers.errors import ArgumentError, CheckpointError, FormersError, NotFoundError

SOURCE = Path(atomic.__file__).parents[1]
CALLS = (
    "mkdir",
    "rename",
    "replace",
    "link",
    "fsync",
    "chmod",
    "chown",
    "unlink",
    "rmdir",
    "scandir",
    "listdir",
    "open",
)


def content(folder: Path) -> dict[str, str]:
    return {str(p.relative_to(folder)): p.read_text() for p in sorted(folder.rglob("*")) if p.is_file()}


def write(stage: Path, version: str) -> None:
    for name in ("config.json", "model.safetensors"):
        (stage / name).write_text(version)


def save(folder: Path, version: str) -> None:
    with replacing(folder, stale=["model*.safetensors"]) as stage:
        write(stage, version)


@pytest.fixture
def old(tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    (folder / "sub" / "deep").mkdir(parents=True)
    write(folder, "old")
    (folder / "model-00001-of-00002.safetensors").write_text("old")
    (folder / "notes.txt").write_text("mine")
    (folder / "sub" / "deep" / "run").write_text("mine")
    (folder / "link").symlink_to("nowhere")
    return folder


OLD = {
    "config.json": "old",
    "model.safetensors": "old",
    "model-00001-of-00002.safetensors": "old",
    "notes.txt": "mine",
    "sub/deep/run": "mine",
}
NEW = {"config.json": "new", "model.safetensors": "new", "notes.txt": "mine", "sub/deep/run": "mine"}


def alone(folder: Path) -> bool:
    return os.listdir(folder.parent) == [folder.name] and not list(folder.glob(".*"))


def no_exchange(one: Path, other: Path) -> None:
    raise OSError(errno.ENOSYS, "none")


def test_new_folder(tmp_path: Path) -> None:
    save(tmp_path / "a" / "b", "new")
    assert content(tmp_path / "a" / "b") == {"config.json": "new", "model.safetensors": "new"}
    assert alone(tmp_path / "a" / "b")


@pytest.mark.parametrize("way", ["exchange", "one by one", "mount point", "holds one", "here"])
def test_the_rest_of_the_folder_stays_and_stale_files_go(old: Path, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if way == "one by one":
        monkeypatch.setattr(atomic, "_exchange", no_exchange)
    elif way == "mount point":
        monkeypatch.setattr(os.path, "ismount", lambda path: True)
    elif way == "holds one":
        monkeypatch.setattr(atomic, "_holds_mounts", lambda target: target == old)
    elif way == "here":
        monkeypatch.chdir(old / "sub")
    inode = old.stat().st_ino
    save(old, "new")
    assert content(old) == NEW
    assert (old / "link").is_symlink()
    assert alone(old)
    assert (old.stat().st_ino == inode) == (way != "exchange")
    if way == "here":
        assert Path.cwd() == old / "sub"


MOUNTED = """
import os, sys
from pathlib import Path
from formers.atomic import _holds_mounts, replacing
folder = Path(sys.argv[1])
os.mkdir(folder / "a mount")
os.system(f"mount -t tmpfs none '{folder}/a mount'")
assert _holds_mounts(folder) and not _holds_mounts(folder / "sub") and not _holds_mounts(Path(f"{folder}/a"))
for _ in range(2):
    with replacing(folder, stale=["model*.safetensors"]) as stage:
        (stage / "config.json").write_text("new")
    (folder / "a mount" / "file").write_text("mine")
assert os.path.ismount(folder / "a mount") and (folder / "a mount" / "file").read_text() == "mine"
assert (folder / "config.json").read_text() == "new" and not (folder / "model.safetensors").exists()
"""


def test_a_mount_inside_stays_where_it_is(old: Path) -> None:
    if shutil.which("unshare") is None or subprocess.run(["unshare", "-rm", "true"], capture_output=True).returncode:
        pytest.skip("needs a name space of mounts of its own")
    command = ["unshare", "-rm", sys.executable, "-S", "-c", MOUNTED, str(old)]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": str(SOURCE)}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert sorted(os.listdir(old.parent)) == [old.name] and (old / "sub" / "deep" / "run").read_text() == "mine"


def test_the_home_folder(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(old.parent))
    save(Path("~") / old.name, "new")
    assert content(old) == NEW
    assert alone(old)


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("", NotFoundError),
        ("a" * 300, NotFoundError),
        ("a\0b", ArgumentError),
        ("a\ud800", ArgumentError),
        (b"bytes", ArgumentError),
        (None, ArgumentError),
        (3, ArgumentError),
    ],
)
def test_what_is_no_name_of_a_folder(
    name: Any, error: type[Exception], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error), replacing(name):
        raise AssertionError
    assert not list(tmp_path.iterdir())


def test_other_mount_of_the_same_disk(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def replace(source: Path, target: Path, real=os.replace) -> None:
        if Path(source).parent.parent != Path(target).parent:
            raise OSError(errno.EXDEV, "cross-device")
        real(source, target)

    monkeypatch.setattr(atomic, "_exchange", no_exchange)
    monkeypatch.setattr(os, "replace", replace)
    save(old, "new")
    assert content(old) == NEW
    assert alone(old)


def test_files_in_sub_folders_are_merged(old: Path) -> None:
    with replacing(old) as stage:
        (stage / "sub" / "deep").mkdir(parents=True)
        (stage / "sub" / "deep" / "run").write_text("new")
        (stage / "sub" / "more").write_text("new")
    assert content(old) == {**OLD, "sub/deep/run": "new", "sub/more": "new"}
    assert alone(old)


def test_symlinked_folder(old: Path, tmp_path: Path) -> None:
    (tmp_path / "alias").symlink_to(old)
    save(tmp_path / "alias", "new")
    assert (tmp_path / "alias").is_symlink()
    assert content(old) == NEW


def test_long_name(tmp_path: Path) -> None:
    folder = tmp_path / ("ü" * 120)
    save(folder, "old")
    save(folder, "new")
    assert alone(folder)


def test_exception_in_the_body_changes_nothing(old: Path) -> None:
    for error in (KeyError, KeyboardInterrupt):
        with pytest.raises(error), replacing(old) as stage:  # noqa: PT012
            write(stage, "new")
            raise error
    assert content(old) == OLD
    assert alone(old)


def test_modes(old: Path, tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        old.chmod(0o2750)
        (old / "sub").chmod(0o711)
        save(old, "new")
        save(tmp_path / "fresh", "new")
    finally:
        os.umask(before)
    assert old.stat().st_mode & 0o7777 == 0o2750
    assert (old / "sub").stat().st_mode & 0o777 == 0o711
    assert (old / "config.json").stat().st_mode & 0o777 == 0o640
    assert (tmp_path / "fresh").stat().st_mode & 0o777 == 0o750


def test_plain_file_in_the_way(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("mine")
    with pytest.raises(NotFoundError, match="is a file"):
        save(file, "new")
    with pytest.raises(NotFoundError, match="cannot be made"):
        save(file / "below", "new")
    assert file.read_text() == "mine"
    assert alone(file)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_read_only_folder(old: Path) -> None:
    old.chmod(0o555)
    with pytest.raises(CheckpointError, match="read-only"):
        save(old, "new")
    old.chmod(0o755)
    assert content(old) == OLD


def test_read_only_folder_as_told_by_the_system(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(CheckpointError, match="read-only"):
        save(old, "new")
    assert content(old) == OLD


def test_full_disk(old: Path) -> None:
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limit[1]))
    try:
        with pytest.raises(CheckpointError, match="unchanged"):
            save(old, "new" * 1000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert content(old) == OLD
    assert alone(old)


def test_files_that_come_meanwhile_are_kept(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def exchange(one: Path, other: Path, real=atomic._exchange) -> None:
        (old / "late.txt").write_text("mine")  # after the links were made
        (old / "sub" / "late.txt").write_text("mine")
        (old / "notes.new").write_text("changed")
        os.replace(old / "notes.new", old / "notes.txt")
        (old / "config.json").write_text("superseded")
        real(one, other)

    monkeypatch.setattr(atomic, "_exchange", exchange)
    with replacing(old, stale=["model*.safetensors"]) as stage:
        write(stage, "new")
        (old / "early.txt").write_text("mine")
    late = {"late.txt": "mine", "sub/late.txt": "mine", "early.txt": "mine", "notes.txt": "changed"}
    assert content(old) == {**NEW, **late}
    assert alone(old)


def test_two_savers_at_once(tmp_path: Path) -> None:
    folder, errors = tmp_path / "out", []

    def work(number: int) -> None:
        try:
            for turn in range(10):
                save(folder, f"{number} {turn}")
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(3)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        with contextlib.suppress(FileNotFoundError):
            assert (folder / "config.json").read_text()
    assert not errors
    assert len(set(content(folder).values())) == 1
    assert alone(folder)


def arm(monkeypatch: pytest.MonkeyPatch, nth: int, crash) -> list[int]:
    """Let the nth of all calls to the file system crash; gives the count of calls."""
    count = [0]

    def wrap(real):
        def call(*args, **kwargs):
            count[0] += 1
            if count[0] == nth:
                crash()
            return real(*args, **kwargs)

        return call

    for name in CALLS:
        monkeypatch.setattr(os, name, wrap(getattr(os, name)))
    monkeypatch.setattr(atomic, "_exchange", wrap(atomic._exchange))
    return count


@pytest.mark.parametrize("fresh", [False, True])
def test_killed_at_every_call(old: Path, tmp_path: Path, fresh: bool) -> None:
    template = tmp_path.with_name(tmp_path.name + "-template")
    old.rename(template)
    seen, nth = set(), 0
    while True:
        nth += 1
        if not fresh:
            shutil.copytree(template, old, symlinks=True)
        child = os.fork()
        if child == 0:
            with pytest.MonkeyPatch.context() as patch:
                arm(patch, nth, lambda: os._exit(9))
                save(old, "new")
            os._exit(0)
        died = os.waitpid(child, 0)[1] != 0
        found = content(old) if old.exists() else {}
        assert found in (({}, {k: NEW[k] for k in ("config.json", "model.safetensors")}) if fresh else (OLD, NEW))
        seen.add(found.get("config.json"))
        for leftover in tmp_path.glob(".out*formers-new-*"):  # a name not yet taken: spared for a minute
            os.utime(leftover, (0, 0))
        save(old, "next")
        assert content(old) == {k: v.replace("new", "next") for k, v in NEW.items() if not fresh or v == "new"}
        assert alone(old)
        if not died:
            break
        shutil.rmtree(old)
    assert nth > 10
    assert seen == ({None, "new"} if fresh else {"old", "new"})


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EPERM])
def test_error_at_every_call(old: Path, tmp_path: Path, code: int) -> None:
    template = tmp_path.with_name(tmp_path.name + "-template")
    shutil.copytree(old, template, symlinks=True)

    def crash() -> None:
        raise OSError(code, os.strerror(code))

    nth, failed = 0, 0
    while True:
        nth += 1
        error = None
        with pytest.MonkeyPatch.context() as patch:
            count = arm(patch, nth, crash)
            try:
                save(old, "new")
            except FormersError as caught:
                error = caught
        failed += error is not None
        assert content(old) == (OLD if error else NEW), (nth, count, error)
        if count[0] < nth:
            break
        shutil.rmtree(old)
        shutil.copytree(template, old, symlinks=True)
        for leftover in tmp_path.glob(".*"):
            shutil.rmtree(leftover)
    assert failed > 3


def test_a_file_that_came_just_before_a_kill_is_not_lost(old: Path) -> None:
    child = os.fork()
    if child == 0:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(atomic, "_carry", lambda *args: os._exit(9))
            real = atomic._exchange

            def exchange(one: Path, other: Path) -> None:
                (old / "late.txt").write_text("mine")
                real(one, other)

            patch.setattr(atomic, "_exchange", exchange)
            time.sleep(0.02)  # the file system's clock ticks every few milliseconds
            save(old, "new")
        os._exit(0)
    os.waitpid(child, 0)
    assert content(old) == NEW
    save(old, "next")
    assert content(old) == {**{k: v.replace("new", "next") for k, v in NEW.items()}, "late.txt": "mine"}
    assert alone(old)


LOOP = """
import sys
from pathlib import Path
from formers.atomic import replacing
n = 0
while True:
    n += 1
    with replacing(sys.argv[1], stale=["*.bin"]) as stage:
        for name in ("a", "b"):
            (stage / name).write_text(f"{n}" * 3000)
        (stage / f"{n}.bin").write_text(f"{n}" * 3000)
    print(n, flush=True)
"""


def test_sigkill_at_random_moments(tmp_path: Path) -> None:
    folder, rng = tmp_path / "out", random.Random(0)
    save(folder, "first")
    environment = {**os.environ, "PYTHONPATH": str(SOURCE)}
    for _ in range(20):
        with subprocess.Popen(
            [sys.executable, "-S", "-c", LOOP, folder], env=environment, stdout=subprocess.PIPE
        ) as child:
            assert child.stdout is not None
            child.stdout.readline()
            time.sleep(rng.random() * 0.05)
            child.send_signal(signal.SIGKILL)
        first, second = (folder / "a").read_text(), (folder / "b").read_text()
        assert first == second
        (shard,) = folder.glob("*.bin")
        assert shard.read_text() == first
        assert shard.stem * 3000 == first
        assert (folder / "config.json").read_text() == "first"
    save(folder, "last")
    assert [p for p in tmp_path.iterdir() if "-new-" not in p.name] == [folder]
