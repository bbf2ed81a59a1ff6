"""A model's folder or hub name -> its files on this disk.

A folder is read as it is: no network, and `huggingface_hub` is not imported. A hub name costs one request, which pins
the commit and tells which files there are; each file that is not in the cache yet is then downloaded from that commit.

    __init__   what a caller names, and the files of it
    reading    files that change while they are read
    remote     the hub: requests, downloads, and what its refusals mean
    cache      what of the hub is on this disk
"""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from ..errors import ArgumentError, InputError, NotFoundError, near
from .cache import folders_in
from .reading import note
from .remote import Remote, RevisionNotFoundError, UnreachableError

__all__ = ["RevisionNotFoundError", "Source", "UnreachableError", "hub_arguments", "locate"]

_PART = r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,94}[A-Za-z0-9_])?"
_HUB_NAME = re.compile(rf"(?:{_PART}/)?{_PART}")
_FILE_ENDINGS = (".json", ".bin", ".safetensors", ".txt", ".h5")
_KEYWORDS = ("revision", "subfolder", "cache_dir", "token", "local_files_only", "force_download", "proxies")
_OBSOLETE = (
    "resume_download",
    "etag_timeout",
    "mirror",
    "code_revision",
    "_from_auto",
    "_from_pipeline",
    "_commit_hash",
)
# Where the hub cache keeps contents, the second since huggingface_hub 2. Its snapshots, and folders that older versions
# downloaded to, are links to there.
_BLOB = re.compile(r".*/(?:models--[^/]+/blobs/[0-9a-f]{40,64}|blobs/[0-9a-f]{2}/[0-9a-f]{64})")


class Source:
    """The files of one model.

    Attributes:
        name: what the caller gave.
        is_local: whether that is a folder of the caller's own.
        commit: the 40-digit commit that every file comes from; None for folders.
        folder: the caller's folder, or the commit's folder in the cache, which fills as files are asked for.
        where: words for messages that say what was looked at.
    """

    name: str
    is_local: bool
    commit: str | None
    folder: Path
    where: str

    def file(self, filename: str) -> Path | None:
        """The local path of `filename` ('/' between folders), downloaded when needed; None when there is no such file.

        Raises InputError for a name that leaves the folder, NotFoundError when the file exists but cannot be had.
        """
        raise NotImplementedError

    def names(self) -> list[str]:
        """Every file that is there, relative to the model's folder, '/' between folders."""
        return list(self._names())

    def require(self, *filenames: str) -> Path:
        """The first of `filenames` that is there. Raises NotFoundError naming what was looked for and what is there."""
        for filename in filenames:
            if (path := self.file(filename)) is not None:
                return path
        there = list(itertools.islice(self._names(), 13))
        listing = ", ".join(there[:12]) + (", …" if len(there) > 12 else "")
        raise NotFoundError(
            f"{self.where} has no {' or '.join(filenames)}."
            + (f" It has {listing}." if there else " It is empty.")
            + near(filenames[0], there, cutoff=0.8)
        )

    def _names(self) -> Iterator[str]:
        raise NotImplementedError


class _Folder(Source):
    def __init__(self, name: str, root: Path, subfolder: str) -> None:
        self.name, self.root, self.folder = name, root, root / subfolder
        self.is_local, self.commit = True, None
        self.where = f"The folder {str(self.folder)!r}"

    def file(self, filename: str) -> Path | None:
        path = self.folder / _inside(filename, "file name")
        note(path)
        if os.path.isdir(path) or not os.path.lexists(path):
            return None
        target = Path(os.path.realpath(path))
        if not target.exists():
            raise NotFoundError(f"{str(path)!r} is a link to {str(target)!r}, which does not exist.")
        if not target.is_file():
            raise NotFoundError(f"{str(path)!r} is not a regular file, but a device, a pipe or a socket.")
        if not target.is_relative_to(os.path.realpath(self.root)) and not _BLOB.fullmatch(target.as_posix()):
            raise NotFoundError(
                f"{str(path)!r} is a link that leads out of the model's folder, to {str(target)!r}. If that is the file"
                " that you want, put a copy or a hard link of it into the folder, or load the folder that it is in."
            )
        return path

    def _names(self) -> Iterator[str]:
        yield from _walk(self.folder)


class _Repository(Source):
    """A model on the hub at one commit.

    Attributes:
        listing: the names of its files; None until they are known.
        unasked: the reason, in words, why nothing but the cache is read; None as long as the hub can be asked.
    """

    def __init__(self, remote: Remote, revision: str, subfolder: str, commit: str) -> None:
        self.remote, self.revision, self.subfolder = remote, revision, subfolder
        self.name, self.is_local, self.commit = remote.name, False, commit
        self.snapshot = remote.cache.storage / "snapshots" / commit
        self.folder = self.snapshot / subfolder
        self.where = f"{self.name!r} on {remote.endpoint} (revision {revision!r})"
        self.listing = remote.cache.listing(commit)
        self.unasked: str | None = None
        self._fresh: set[str] = set()

    def cached_only(self, why: str) -> _Repository:
        """Read nothing but the cache from now on; `why` says the reason in messages."""
        self.unasked = why
        self.where = (
            f"The cached copy of {self.name!r} in {self.remote.cache.root} (revision {self.revision!r}; a load with a"
            f" connection would complete it, but {why})"
        )
        return self

    def file(self, filename: str) -> Path | None:
        full = str(PurePosixPath(self.subfolder, _inside(filename, "file name")))
        path = self.snapshot / full
        if not os.path.isfile(path) or (self.remote.force and full not in self._fresh):
            if full not in self._files():
                return path if os.path.isfile(path) else None
            if self.unasked is not None:  # it may be one that changes what the others mean
                raise NotFoundError(
                    f"{self.where} has no {full}, though this model has such a file."
                    f" It has {', '.join(itertools.islice(_walk(self.snapshot), 12)) or 'none yet'}."
                )
            path = self.remote.download(full, str(self.commit))
            self._fresh.add(full)
        self.remote.cache.remember(self.revision, str(self.commit), self.listing)
        return path

    def _files(self) -> frozenset[str]:
        if self.listing is None and self.unasked is None:
            try:
                self.listing = self.remote.ask(self.revision)[1]
            except NotFoundError as error:
                self.cached_only(str(error))
        return self.listing or frozenset()

    def _names(self) -> Iterator[str]:
        files = self._files()
        if self.unasked is not None:
            yield from _walk(self.folder)
            return
        start = f"{self.subfolder}/" if self.subfolder else ""
        for name in sorted(files, key=lambda name: (name.count("/"), name)):
            if name.startswith(start):
                yield name[len(start) :]


def locate(
    name_or_path: str | os.PathLike[str],
    *,
    revision: str | None = None,
    subfolder: str | None = "",
    cache_dir: str | os.PathLike[str] | None = None,
    token: str | bool | None = None,
    local_files_only: bool = False,
    force_download: bool = False,
    proxies: dict[str, str] | None = None,
) -> Source:
    """Find a model: a folder that exists is taken as it is, anything else is a name on the Hugging Face Hub.

    Args:
        name_or_path: a folder, `NAME` or `OWNER/NAME`.
        revision: branch, tag or commit on the hub ("main"); folders have none, so it is not used for them.
        subfolder: where in the folder or repository the files are.
        cache_dir: the hub cache (HF_HUB_CACHE, or HF_HOME/hub).
        token: an access token; True for the stored one, False for none, None for the stored one if there is any.
        local_files_only: use the cache only, as HF_HUB_OFFLINE=1 does.
        force_download: download again what the cache has.

    Raises:
        ArgumentError: for a value that is no name, token or revision.
        NotFoundError: (an OSError) when it does not exist, is refused, or cannot be reached and is not in the cache.
    """
    name = _name(name_or_path)
    subfolder = subfolder or "."
    inner = _inside(subfolder.replace(os.sep, "/") if isinstance(subfolder, str) else subfolder, "subfolder")
    inner = "" if inner == "." else inner
    path = Path(os.path.expanduser(name))
    if os.path.isdir(path):
        if inner and not os.path.isdir(path / inner):
            raise _no_folder(path / inner)
        return _Folder(name, path, inner)
    if os.path.isfile(path):
        raise NotFoundError(f"{name!r} is a file. Give the folder that holds it: {str(path.parent)!r}.")
    _check_hub_name(name_or_path, name, path)
    if proxies:
        raise ArgumentError("proxies= has no effect on downloads. Set the environment variable HTTPS_PROXY instead.")
    remote = Remote(name, cache_dir, _token(token), force_download)
    source = _resolve(remote, _revision(revision), inner, local_files_only)
    if inner and not source.folder.is_dir() and not source.names():
        raise NotFoundError(f"{source.where} has no folder {inner!r}.")
    return source


def hub_arguments(kwargs: dict[str, Any]) -> dict[str, Any]:
    """Take the hub's keywords out of a `from_pretrained` call's, ready for `locate(**…)`.

    `use_auth_token` is the older name of `token`; keywords that no longer mean anything are dropped.
    """
    for obsolete in _OBSOLETE:
        kwargs.pop(obsolete, None)
    found = {keyword: kwargs.pop(keyword) for keyword in _KEYWORDS if keyword in kwargs}
    older = kwargs.pop("use_auth_token", None)
    if older is not None and found.setdefault("token", older) not in (None, older):
        raise ArgumentError("token= and use_auth_token= differ. Give token= alone.")
    if older is not None:
        found["token"] = older
    return found


def _resolve(remote: Remote, revision: str, subfolder: str, local_files_only: bool) -> _Repository:
    cached = remote.cache.commit(revision)
    offline = "local_files_only=True is given" if local_files_only else _offline()
    if offline:
        if remote.force:
            raise ArgumentError(f"force_download=True needs the network, but {offline}.")
        if cached is None:
            raise remote.missing(revision, offline)
        return _Repository(remote, revision, subfolder, cached).cached_only(offline)
    if cached == revision and not remote.force:
        return _Repository(remote, revision, subfolder, cached)
    try:
        commit, listing = remote.ask(revision)
    except RevisionNotFoundError:
        raise
    except NotFoundError as error:
        if cached is not None and not remote.force:
            return _Repository(remote, revision, subfolder, cached).cached_only(str(error))
        if isinstance(error, UnreachableError) and not remote.force:
            raise remote.missing(revision, str(error)) from error
        raise
    source = _Repository(remote, revision, subfolder, commit)
    source.listing = listing
    return source


def _offline() -> str | None:
    """Why the network must not be used, read now: huggingface_hub reads the variables once, when it is imported."""
    from huggingface_hub import constants

    for variable in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        if value := os.environ.get(variable):
            if value.upper() in ("1", "ON", "YES", "TRUE"):
                return f"{variable} is set"
            break
    return "huggingface_hub is in offline mode" if constants.HF_HUB_OFFLINE else None


def _name(name_or_path: object) -> str:
    if not isinstance(name_or_path, (str, os.PathLike)) or isinstance(name := os.fspath(name_or_path), bytes):
        raise ArgumentError(
            f"A model is named by a folder or by its name on the hub, such as 'bert-base-cased'; got {name_or_path!r}"
            f" ({type(name_or_path).__name__})."
        )
    if not name.strip() or "\0" in name:
        raise ArgumentError(f"A model's name cannot be {name!r}. Give a folder, or a name such as 'bert-base-cased'.")
    return name


def _check_hub_name(given: object, name: str, path: Path) -> None:
    if url := re.fullmatch(r"(?:https?://[^/]+|hf:/)/(.+?)/?(?:/(?:tree|blob|resolve)/.*)?", name):
        raise NotFoundError(f"{name!r} is a URL. Give the model's name alone: {url[1]!r}.")
    likely_path = name.startswith((".", "~")) or name.endswith(("/", *_FILE_ENDINGS)) or name.count("/") > 1
    if not isinstance(given, str) or likely_path or path.is_absolute() or "\\" in name:
        raise _no_folder(path)
    if not _HUB_NAME.fullmatch(name) or "--" in name or ".." in name:
        raise NotFoundError(
            f"{name!r} is neither a folder in {Path.cwd()} nor a name that the hub allows: NAME or OWNER/NAME, of"
            " letters, digits, '-', '_' and '.'."
        )


def _no_folder(path: Path) -> NotFoundError:
    missing = path.absolute()
    while not os.path.isdir(missing.parent):
        missing = missing.parent
    return NotFoundError(
        f"The folder {str(path)!r} does not exist: there is no {missing.name!r} in {str(missing.parent)!r}."
        f"{near(missing.name, folders_in(missing.parent))}"
    )


def _token(token: object) -> str | bool | None:
    if isinstance(token, str):
        token = token.strip()  # tokens are often read from a file with its line's end
        if token and token.isascii() and token.isprintable() and " " not in token:
            return token
    elif token is None or isinstance(token, bool):
        return token
    raise ArgumentError(f"token is an access token (a string), True, False or None; got {type(token).__name__}.")


def _revision(revision: object) -> str:
    if revision is None:
        return "main"
    if not isinstance(revision, str) or not revision:
        raise ArgumentError(f"revision is a branch, tag or commit, such as 'main'; got {revision!r}.")
    return _inside(revision, "revision")  # it names a file in the cache


def _inside(name: object, what: str) -> str:
    """`name` in its plain form, once it is sure to stay inside of the folder it is joined to."""
    if not isinstance(name, str) or not name or "\\" in name or "\0" in name:
        raise InputError(f"The {what} {name!r} is not a relative path with '/' between folders.")
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or Path(name).drive:
        raise InputError(
            f"The {what} {name!r} leads out of the model's folder. Give one that is relative and has no '..'."
        )
    return str(path)


def _walk(folder: Path) -> Iterator[str]:
    for base, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if os.path.exists(path := os.path.join(base, name)):  # a cached file's link may have lost its blob
                yield Path(path).relative_to(folder).as_posix()
