"""Replacing the files of a folder at once: a reader finds all the old files or all the new ones, also after `kill -9`.

    with replacing(folder, stale=["model*.safetensors"]) as stage:
        (stage / "config.json").write_text("{}")

The files are written to a hidden stage beside the folder. What stays is hard-linked into the stage, the stage is synced
to the disk, and one system call exchanges the two names:

    out/                 old                            out/                 new
    .out.….formers-…/    new  ── RENAME_EXCHANGE ──▶    .out.….formers-…/    old, then removed

Where that cannot be done, the finished files are renamed into the folder one by one: a reader never sees half a file,
but for some milliseconds it may see old files beside new ones, and a kill in these leaves them so. That is the way on
systems other than Linux, on file systems without hard links or the exchange, for a folder that is a mount point, that
holds one, or whose parent cannot be written, and for the current directory of this process (exchanged, it would become
a deleted directory under the user's shell). Other processes whose current directory is the folder stay in the old one.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fnmatch
import os
import re
import secrets
import shutil
import sys
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

from .errors import ArgumentError, CheckpointError, FormersError, NotFoundError

if sys.platform != "win32":
    import fcntl

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
# Answers that mean "not here": another file system or mount, no hard links, no exchange, a sticky parent.
_UNSUPPORTED = {
    errno.EACCES,
    errno.EBUSY,
    errno.EINVAL,
    errno.EMLINK,
    errno.ENOSYS,
    errno.EOPNOTSUPP,
    errno.EPERM,
    errno.EXDEV,
}


@contextlib.contextmanager
def replacing(folder: str | os.PathLike[str], stale: Iterable[str] = ()) -> Iterator[Path]:
    """Give an empty folder to write into; on success its files are in `folder`, all at once.

    `stale`: patterns (as in `fnmatch`) of top-level files that the new ones supersede: those not written again are
    dropped. All else in the folder stays. A symbolic link to a folder is followed, `~` is the home folder. The folder
    keeps its mode and owner; a new one, and every file, follows the umask. Of two saves at once, the one that ends last
    wins. What a killed save left is removed by the next one.

    Errors: NotFoundError when `folder` is a file or cannot be made, ArgumentError for what is no name of one,
    CheckpointError when writing fails. All leave the folder as it was, as does any exception from the body.
    """
    target = target_folder(folder)
    _check(target)
    try:
        _tidy(target)
        beside = not target.exists() or (os.access(target.parent, os.W_OK) and not os.path.ismount(target))
        with _stage(target, target.parent if beside else target) as stage:
            yield stage
            _switch(stage, target, tuple(stale))
    except FormersError:
        raise
    except OSError as error:
        raise CheckpointError(
            f"Saving to {str(folder)!r} failed, and what was there is unchanged: {error.strerror or error}. "
            "Free some space, or save to a folder that can be written."
        ) from error


@contextlib.contextmanager
def saves_wait(folder: str, patience_s: float = 2.0) -> Iterator[None]:
    """Inside, saves to `folder` wait before they put their files in place, where the system has locks."""
    end = time.monotonic() + patience_s
    while True:
        with contextlib.ExitStack() as stack:
            try:
                held = stack.enter_context(_locked(Path(folder), wait=False, shared=True))
            except OSError:  # it is gone, or not to be opened
                held = False
            if held or time.monotonic() > end or sys.platform == "win32":
                yield
                return
        time.sleep(0.001)


def target_folder(folder: object) -> Path:
    """The folder that is meant, its links followed. Errors: ArgumentError and NotFoundError for what cannot be one."""
    if not isinstance(folder, (str, os.PathLike)) or isinstance(name := os.fspath(folder), bytes):
        raise ArgumentError(f"A folder to save to is a string or a Path; got {folder!r} ({type(folder).__name__}).")
    if not name:
        raise NotFoundError("A folder to save to is needed, and '' is none. The current folder is '.'.")
    try:
        path = Path(os.path.expanduser(name))
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        pass
    except ValueError as error:  # a NUL, or what no file system can write
        raise ArgumentError(f"{name!r} cannot be the name of a folder: {error}.") from error
    except OSError as error:
        raise NotFoundError(f"{name!r} cannot be a folder to save to: {error.strerror or error}.") from error
    return Path(os.path.realpath(path))


def _check(target: Path) -> None:
    if target.is_dir():
        if not os.access(target, os.W_OK | os.X_OK):
            raise CheckpointError(f"{str(target)!r} is read-only. Change its permissions, or save to another folder.")
    elif os.path.lexists(target):
        raise NotFoundError(f"{str(target)!r} is a file, and a folder is needed to save to. Give another name.")
    else:
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise NotFoundError(f"The folder {str(target)!r} cannot be made: {error.strerror or error}.") from error


# A stage's name ends in its own inode and birth time: a folder of such a name with another inode is an old folder
# that was exchanged and whose removal was cut short.


def _prefix(target: Path) -> str:
    return f".{target.name[:50]}.{zlib.crc32(os.fsencode(target.name)):08x}.formers-"


@contextlib.contextmanager
def _stage(target: Path, home: Path) -> Iterator[Path]:
    """Make an empty folder in `home`, locked; remove it at the end unless it has become the target by then."""
    stage = home / f"{_prefix(target)}new-{secrets.token_hex(8)}"
    stage.mkdir()  # not tempfile.mkdtemp, whose mode ignores the umask
    try:
        with _locked(stage):
            born = stage.stat()
            if target.is_dir():
                _dress(stage, target, at_least=0o700)
            stage = stage.rename(home / f"{_prefix(target)}{born.st_ino}-{born.st_ctime_ns}")
            yield stage
    finally:
        if _is_stage(stage):
            shutil.rmtree(stage, ignore_errors=True)


def _is_stage(path: Path) -> bool:
    inode = path.name.rpartition("formers-")[2].partition("-")[0]
    try:
        return inode in ("new", str(path.lstat().st_ino))
    except OSError:
        return False


def _dress(folder: Path, like: Path, at_least: int = 0) -> None:
    state = like.stat()
    with contextlib.suppress(OSError):  # only root may give a folder away
        os.chown(folder, state.st_uid, state.st_gid)
    folder.chmod(state.st_mode & 0o7777 | at_least)


@contextlib.contextmanager
def _locked(folder: Path, wait: bool = True, shared: bool = False) -> Iterator[bool]:
    """Hold the lock of a directory, which ends with the process; yields whether it is held (some systems have none)."""
    if sys.platform == "win32":
        yield False
        return
    held, current = False, False
    while not current:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            with contextlib.suppress(OSError):
                fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB))
                held = True
            current = os.path.samestat(os.fstat(descriptor), os.stat(folder))  # else another save has exchanged it
            if current:
                yield held
        finally:
            os.close(descriptor)


def _tidy(target: Path) -> None:
    """Remove what killed saves left behind, after moving back files that came into an old folder at the last moment."""
    for home in (target.parent, target):
        with contextlib.suppress(OSError):
            for left in [home / name for name in os.listdir(home) if name.startswith(_prefix(target))]:
                with contextlib.suppress(OSError, ValueError), _locked(left, wait=False) as held:
                    just_made = (
                        "formers-new-" in left.name and time.time() - left.stat().st_mtime < 60
                    )  # not yet locked
                    if not held or just_made:
                        continue
                    if not _is_stage(left):
                        _carry(left, target, partial(_came_after, born=int(left.name.rpartition("-")[2])))
                    shutil.rmtree(left, ignore_errors=True)


def _switch(stage: Path, target: Path, stale: tuple[str, ...]) -> None:
    written = _sync(stage)
    if not target.exists():
        try:
            os.rename(stage, target)
        except OSError:
            if not target.is_dir():  # else another save was quicker
                raise
        else:
            _sync_folder(target.parent)
            return

    def dropped(entry: os.DirEntry[str]) -> bool:
        if entry.is_dir(follow_symlinks=False):
            return entry.name.startswith(_prefix(target))
        return entry.name not in written and any(fnmatch.fnmatchcase(entry.name, pattern) for pattern in stale)

    def left_behind(entry: os.DirEntry[str], mate: Path) -> bool:
        name = os.path.relpath(entry.path, stage)
        return name not in written and not _same(entry, mate) and (os.sep in name or not dropped(entry))

    with _locked(target):
        try:
            if stage.parent == target or _is_here(target) or _holds_mounts(target):
                raise OSError(errno.EBUSY, "the folder itself must not be renamed")
            _link_rest(target, stage, dropped)
            _dress(stage, target)
            _exchange(stage, target)
        except OSError as error:
            if error.errno not in _UNSUPPORTED:
                raise
            _rename_each(stage, target, written, dropped)
        else:
            with contextlib.suppress(
                OSError
            ):  # the new files are in place; what fails from here on, the next save does
                _sync_folder(target.parent)
                _carry(stage, target, left_behind)
                shutil.rmtree(stage)


def _is_here(target: Path) -> bool:
    try:
        return Path.cwd().is_relative_to(target)
    except OSError:  # the current directory was removed
        return False


def _holds_mounts(target: Path) -> bool:
    """Whether something is mounted on a folder inside: it would go away with the old folder."""
    try:
        lines = Path("/proc/self/mountinfo").read_bytes().splitlines()
    except OSError:
        return False
    points = (re.sub(rb"\\([0-7]{3})", lambda code: bytes([int(code[1], 8)]), line.split(b" ")[4]) for line in lines)
    return any(point.startswith(os.fsencode(target) + b"/") for point in points)


def _sync(folder: Path) -> set[str]:
    """Sync what a finished stage holds to the disk; gives the paths of its files, relative to it."""
    written = set()
    for path in folder.iterdir():  # not os.walk, which passes over what it cannot list
        if path.is_dir() and not path.is_symlink():
            written |= {os.path.join(path.name, inner) for inner in _sync(path)}
        else:
            if path.is_file():
                _sync_file(path)
            written.add(path.name)
    _sync_folder(folder)
    return written


def _sync_file(path: Path) -> None:
    with open(path, "rb+" if sys.platform == "win32" else "rb") as file:  # Windows syncs only what is open for writing
        os.fsync(file.fileno())


def _sync_folder(path: Path) -> None:
    if sys.platform == "win32":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _link_rest(old: Path, new: Path, dropped: Callable[[os.DirEntry[str]], bool] = lambda entry: False) -> None:
    """Give `new` hard links of everything in `old` that it does not have itself."""
    with os.scandir(old) as entries:
        for entry in entries:
            mate = new / entry.name
            if dropped(entry):
                continue
            if entry.is_dir(follow_symlinks=False):
                mate.mkdir(exist_ok=True)
                _link_rest(Path(entry.path), mate)
                with contextlib.suppress(OSError):
                    _dress(mate, Path(entry.path))
                    shutil.copystat(entry.path, mate)
            elif not os.path.lexists(mate):
                with contextlib.suppress(FileNotFoundError):  # removed meanwhile
                    os.link(entry.path, mate, follow_symlinks=False)


def _exchange(one: Path, other: Path) -> None:
    call = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None) if sys.platform == "linux" else None
    if call is None:
        raise OSError(errno.ENOSYS, "no exchange of names on this system")
    if call(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def _rename_each(stage: Path, target: Path, written: set[str], dropped: Callable[[os.DirEntry[str]], bool]) -> None:
    try:
        for name in sorted(written, key=lambda name: (name.endswith(".json"), name)):  # an index after its shards
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            os.replace(stage / name, target / name)
        with os.scandir(target) as entries:
            for entry in entries:
                if dropped(entry) and not entry.is_dir(follow_symlinks=False):
                    os.unlink(entry.path)
        _sync_folder(target)
    except OSError as error:
        if error.errno != errno.EXDEV or stage.parent == target:
            raise CheckpointError(
                f"Saving to {str(target)!r} stopped half-way, so it may hold old files beside new ones: "
                f"{error.strerror or error}. Save again once that is repaired."
            ) from error
        with _stage(target, target) as inner:
            for name in written:
                (inner / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(stage / name, inner / name)
            _sync(inner)
            _rename_each(inner, target, written, dropped)


def _carry(old: Path, new: Path, wanted: Callable[[os.DirEntry[str], Path], bool]) -> None:
    """Move over what other programs put into the old folder while its successor was being made."""
    with os.scandir(old) as entries:
        for entry in list(entries):
            mate = new / entry.name
            if entry.is_dir(follow_symlinks=False) and mate.is_dir():
                _carry(Path(entry.path), mate, wanted)
            elif wanted(entry, mate):
                os.rename(entry.path, mate)


def _same(entry: os.DirEntry[str], mate: Path) -> bool:
    return os.path.lexists(mate) and os.path.samestat(os.lstat(entry.path), os.lstat(mate))


def _came_after(entry: os.DirEntry[str], mate: Path, born: int) -> bool:
    return not os.path.lexists(mate) and os.lstat(entry.path).st_ctime_ns > born
