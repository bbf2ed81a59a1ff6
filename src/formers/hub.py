"""A model's folder or hub name -> its files on this disk.

A folder is read as it is: no network, and `huggingface_hub` is not imported. A hub name costs one request, which pins
the commit and tells which files there are; each file that is not in the cache yet is then downloaded from that commit.
The cache is laid out as `huggingface_hub` does it, so files that other libraries downloaded are found and the reverse.
"""

from __future__ import annotations

import difflib
import inspect
import itertools
import logging
import os
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote, urlsplit

from .errors import ArgumentError, InputError, NotFoundError, near
from .version import __version__

_COMMIT = re.compile(r"[0-9a-f]{40}")
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

# A request that takes longer than the first is checked with a connection that may take as long as the second: together
# they stay under two seconds, and a hub that only thinks for long is still waited for.
_PATIENCE_S = 0.9
_PROBE_S = 0.6
_REMEMBER_STALL_S = 10.0
# A model is loaded as config, weights and tokenizer, one after the other: they share the answer, and so the commit.
_REMEMBER_ANSWER_S = 5.0
_STATUSES = {404: "no such model, or no Hugging Face Hub; check HF_ENDPOINT and proxies", 429: "too many requests"}
_stalled: dict[str, float] = {}
_answers: dict[tuple[object, ...], tuple[float, tuple[str, frozenset[str]]]] = {}


class RevisionNotFoundError(NotFoundError):
    """The hub knows the model and not the revision, so no cached file can stand in for it."""


class UnreachableError(NotFoundError):
    """No connection, no answer, or a server that failed: it says nothing about the model."""


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
    def __init__(self, name: str, folder: Path) -> None:
        self.name, self.folder = name, folder
        self.is_local, self.commit = True, None
        self.where = f"The folder {str(folder)!r}"

    def file(self, filename: str) -> Path | None:
        path = self.folder / _inside(filename, "file name")
        return path if path.is_file() else None

    def _names(self) -> Iterator[str]:
        yield from _walk(self.folder)


class _Repository(Source):
    """A model on the hub at one commit; `listing` is None until the hub was asked, empty when it cannot be asked."""

    def __init__(self, hub: _Hub, revision: str, subfolder: str, commit: str, listing: frozenset[str] | None) -> None:
        self.hub, self.revision, self.subfolder = hub, revision, subfolder
        self.name, self.is_local, self.commit = hub.name, False, commit
        self.snapshot = hub.storage / "snapshots" / commit
        self.folder = self.snapshot / subfolder
        self.where = f"{hub.name!r} on {hub.endpoint} (revision {revision!r})"
        self._listing = listing
        self._fresh: set[str] = set()

    def cached_only(self, why: str) -> _Repository:
        """Read nothing but the cache from now on; `why` says the reason in messages."""
        self._listing = frozenset()
        self.where = f"The cached copy of {self.name!r} (revision {self.revision!r}; not updated: {why})"
        return self

    def file(self, filename: str) -> Path | None:
        full = str(PurePosixPath(self.subfolder, _inside(filename, "file name")))
        path = self.snapshot / full
        if not path.is_file() or (self.hub.force and full not in self._fresh):
            if full not in self._files():
                return path if path.is_file() else None
            path = self.hub.download(full, str(self.commit))
            self._fresh.add(full)
        self.hub.remember(self.revision, str(self.commit))
        return path

    def _files(self) -> frozenset[str]:
        if self._listing is None:
            try:
                self._listing = self.hub.ask(self.revision)[1]
            except NotFoundError as error:
                self.cached_only(str(error))
        return self._listing or frozenset()

    def _names(self) -> Iterator[str]:
        files = sorted(self._files(), key=lambda name: (name.count("/"), name))
        if not files:
            yield from _walk(self.folder)
        start = f"{self.subfolder}/" if self.subfolder else ""
        yield from (name[len(start) :] for name in files if name.startswith(start))


class _Hub:
    """One model on the hub: how to ask for it, and where the cache keeps it."""

    def __init__(self, name: str, cache_dir: str | os.PathLike[str] | None, token: Any, force: bool) -> None:
        from huggingface_hub import constants  # constants alone: the rest of it takes ten times as long to import

        self.name, self.token, self.force = name, token, force
        self.cache = Path(cache_dir or constants.HF_HUB_CACHE).expanduser()
        self.storage = self.cache / f"models--{name.replace('/', '--')}"
        self.endpoint = (os.environ.get("HF_ENDPOINT") or constants.ENDPOINT).rstrip("/")
        self._tried = False
        self.timeout_s = float(constants.HF_HUB_ETAG_TIMEOUT)

    def ask(self, revision: str) -> tuple[str, frozenset[str]]:
        """The commit of `revision` and the names of its files, in one request. Raises NotFoundError."""
        asked, answer = _answers.get((self.endpoint, self.name, revision, self.token), (0.0, None))
        recent = time.monotonic() - asked < _REMEMBER_ANSWER_S
        if answer is not None and not self.force and (recent or answer[0] == revision):  # a commit never changes
            return answer
        response = self._get(f"{self.endpoint}/api/models/{self.name}/revision/{quote(revision, safe='')}")
        if response.status_code != 200:
            raise self._refusal(response, revision)
        try:
            answer = response.json()
            commit, files = answer["sha"], frozenset(entry["rfilename"] for entry in answer["siblings"])
        except (ValueError, KeyError, TypeError) as error:
            raise self._failure("its answer is not the Hugging Face Hub's; check HF_ENDPOINT and proxies") from error
        if not isinstance(commit, str) or not _COMMIT.fullmatch(commit):
            raise self._failure(f"its answer names no commit, but {commit!r}")
        for name in (revision, commit):
            _answers[self.endpoint, self.name, name, self.token] = time.monotonic(), (commit, files)
        return commit, files

    def _get(self, url: str) -> Any:
        from huggingface_hub import get_token
        from huggingface_hub.utils import build_hf_headers, get_session  # type: ignore[attr-defined]

        def get() -> Any:
            headers = build_hf_headers(token=self.token, library_name="formers", library_version=__version__)
            return get_session().get(url, headers=headers, timeout=self.timeout_s)

        if self.token is True and get_token() is None:
            raise ArgumentError("token=True, but no token is stored. Run `hf auth login`, or set HF_TOKEN.")
        if time.monotonic() - _stalled.get(self.endpoint, -_REMEMBER_STALL_S) < _REMEMBER_STALL_S:
            raise self._failure("it did not answer a moment ago")
        started = time.monotonic()
        request = _start(get)
        wait([request], _PATIENCE_S)
        if not request.done() and _connects(self.endpoint):
            wait([request], self.timeout_s)
        try:
            if not request.done():
                raise TimeoutError(f"no answer within {time.monotonic() - started:.1f} s")
            return request.result()
        # requests' or httpx's errors, by huggingface_hub's version: they share no base class
        except Exception as error:
            if time.monotonic() - started > _PATIENCE_S:
                _stalled[self.endpoint] = time.monotonic()
            raise self._failure(f"{type(error).__name__}: {error}" if str(error) else type(error).__name__) from error

    def download(self, filename: str, commit: str) -> Path:
        """Put one file of `commit` into the cache. Raises NotFoundError naming the file and what went wrong."""
        from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url

        options: dict[str, Any] = {}
        if "tqdm_class" in inspect.signature(hf_hub_download).parameters:
            options["tqdm_class"] = _patient_bar()
        try:
            with _quiet_logs():
                if not self._tried:  # hf_hub_download retries a failing server for half a minute; this does not
                    url = hf_hub_url(self.name, filename, revision=commit, endpoint=self.endpoint)
                    get_hf_file_metadata(url, token=self.token, timeout=self.timeout_s)
                    self._tried = True
                path = hf_hub_download(
                    self.name,
                    filename,
                    revision=commit,
                    cache_dir=self.cache,
                    token=self.token,
                    endpoint=self.endpoint,
                    force_download=self.force,
                    library_name="formers",
                    library_version=__version__,
                    **options,
                )
        except Exception as error:  # as in `_get`
            for cause in (error, error.__cause__):
                if (response := getattr(cause, "response", None)) is not None:
                    raise self._refusal(response, commit, filename) from error
            raise NotFoundError(
                f"{filename} of {self.name!r} could not be downloaded from {self.endpoint} to {self.cache}: {error}"
            ) from error
        return Path(path)

    def remember(self, revision: str, commit: str) -> None:
        """Note in the cache what `revision` stands for now, so that it can be found without the network."""
        reference = self.storage / "refs" / revision
        with suppress(OSError):  # a read-only cache still serves its files
            if revision == commit or (reference.is_file() and reference.read_text() == commit):
                return
            reference.parent.mkdir(parents=True, exist_ok=True)
            stage = reference.with_name(f"{reference.name}.{os.getpid()}.{threading.get_ident()}.tmp")
            stage.write_text(commit)
            stage.replace(reference)

    def cached_commit(self, revision: str) -> str | None:
        """The commit that the cache has for `revision` (a branch, a tag, a commit or its first digits), if any."""
        commit = revision
        with suppress(OSError, UnicodeDecodeError):
            commit = (self.storage / "refs" / revision).read_text().strip()
        if not re.fullmatch(r"[0-9a-f]{7,40}", commit):
            return None
        found = [path.name for path in (self.storage / "snapshots").glob(f"{commit}*") if _COMMIT.fullmatch(path.name)]
        return found[0] if len(found) == 1 else None

    def cached_names(self) -> list[str]:
        """The hub names of which the cache has something."""
        return sorted(name[8:].replace("--", "/") for name in _folders(self.cache) if name.startswith("models--"))

    def folders_beside(self) -> list[str]:
        """The folders on this disk that a slip of the pen may have meant."""
        parent = Path(self.name).parent
        return [(parent / name).as_posix() for name in _folders(parent)]

    def missing(self, revision: str, why: str) -> NotFoundError:
        """The error for a model that is neither reachable (because of `why`) nor cached."""
        known = self.cached_names()
        if self.name in known:
            kept = sorted(
                str(path.relative_to(self.storage / "refs"))
                for path in self.storage.glob("refs/**/*")
                if path.is_file()
            )
            commits = sorted(path.name for path in self.storage.glob("snapshots/*"))
            held = f"The cache has it at {', '.join(kept + commits) or 'no revision'}. Give one of these,"
        elif known:
            closest = difflib.get_close_matches(self.name, known, n=5, cutoff=0.0)
            held = f"The nearest names in the cache are {', '.join(map(repr, closest))}. Give one of these,"
        else:
            held = "The cache is empty. Give"
        return NotFoundError(
            f"{self.name!r} (revision {revision!r}) is neither a folder here nor in the cache {self.cache}, and {why}."
            f" {held} a folder, or load it once with a connection.{near(self.name, self.folders_beside())}"
        )

    def _failure(self, why: str) -> NotFoundError:
        return UnreachableError(f"{self.endpoint} could not be asked for {self.name!r} ({why})")

    def _refusal(self, response: Any, revision: str, filename: str = "") -> NotFoundError:
        status, code = response.status_code, response.headers.get("X-Error-Code", "")
        page = f"{self.endpoint}/{self.name}"
        if code == "RevisionNotFound":
            return RevisionNotFoundError(
                f"{self.name!r} has no revision {revision!r}. Its branches, tags and commits: {page}/commits/main"
            )
        access = "give token=, set HF_TOKEN or run `hf auth login`"
        if code == "GatedRepo":
            return NotFoundError(
                f"{self.name!r} is gated. Accept its terms at {page}, then {access}"
                + (" (the token that was sent has no access)." if self.token else ".")
            )
        if code == "EntryNotFound":
            return NotFoundError(
                f"{self.name!r} has no {filename} at revision {revision!r}, though it is listed there."
            )
        if code == "RepoNotFound" or status == 401:
            beside = {*self.cached_names(), *self.folders_beside()} - {self.name}
            return NotFoundError(
                f"There is no model {self.name!r} on {self.endpoint}, and no folder of that name in {Path.cwd()}."
                f"{near(self.name, beside)} If the model is private, {access}."
            )
        said = (
            response.headers.get("X-Error-Message")
            or _STATUSES.get(status)
            or ("the server failed, try again later" if status >= 500 else "refused")
        )
        return self._failure(f"it answered {status}{f' for {filename}' if filename else ''}: {said}")


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
    inner = _inside((subfolder or "").replace(os.sep, "/") or ".", "subfolder")
    inner = "" if inner == "." else inner
    path = Path(os.path.expanduser(name))
    if os.path.isdir(path):
        if inner and not (path / inner).is_dir():
            raise _no_folder(path / inner)
        return _Folder(name, path / inner)
    if os.path.isfile(path):
        raise NotFoundError(f"{name!r} is a file. Give the folder that holds it: {str(path.parent)!r}.")
    _check_hub_name(name_or_path, name, path)
    if proxies:
        raise ArgumentError("proxies= has no effect on downloads. Set the environment variable HTTPS_PROXY instead.")
    hub = _Hub(name, cache_dir, _token(token), force_download)
    source = _resolve(hub, _revision(revision), inner, local_files_only)
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


def _resolve(hub: _Hub, revision: str, subfolder: str, local_files_only: bool) -> _Repository:
    cached = hub.cached_commit(revision)
    offline = "local_files_only=True is given" if local_files_only else _offline()
    if offline:
        if hub.force:
            raise ArgumentError(f"force_download=True needs the network, but {offline}.")
        if cached is None:
            raise hub.missing(revision, offline)
        return _Repository(hub, revision, subfolder, cached, None).cached_only(offline)
    if cached == revision and not hub.force:
        return _Repository(hub, revision, subfolder, cached, None)
    try:
        commit, listing = hub.ask(revision)
    except RevisionNotFoundError:
        raise
    except NotFoundError as error:
        if cached is not None and not hub.force:
            return _Repository(hub, revision, subfolder, cached, None).cached_only(str(error))
        if isinstance(error, UnreachableError) and not hub.force:
            raise hub.missing(revision, str(error)) from error
        raise
    return _Repository(hub, revision, subfolder, commit, listing)


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
        f"{near(missing.name, _folders(missing.parent))}"
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


def _folders(folder: Path) -> list[str]:
    try:
        return [entry.name for entry in os.scandir(folder) if entry.is_dir()]
    except OSError:
        return []


def _walk(folder: Path) -> Iterator[str]:
    for base, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if os.path.exists(path := os.path.join(base, name)):  # a cached file's link may have lost its blob
                yield Path(path).relative_to(folder).as_posix()


def _start(call: Callable[[], Any]) -> Future[Any]:
    """Run `call` in a thread that may be left behind: looking up a host's address has no time limit of its own."""
    future: Future[Any] = Future()

    def run() -> None:
        try:
            future.set_result(call())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return future


def _connects(endpoint: str) -> bool:
    from urllib.request import getproxies, proxy_bypass

    url = urlsplit(endpoint)
    proxies = {} if proxy_bypass(url.netloc) else getproxies()
    through = urlsplit(proxies.get(url.scheme) or proxies.get("all") or endpoint)
    address = (through.hostname or "", through.port or (443 if through.scheme == "https" else 80))
    probe = _start(lambda: socket.create_connection(address, timeout=_PROBE_S).close())
    return bool(wait([probe], _PROBE_S).done) and probe.exception() is None


def _patient_bar() -> type:
    from huggingface_hub.utils import tqdm  # type: ignore[attr-defined]

    class PatientBar(tqdm):
        """A progress bar that shows only when the download takes longer than a second."""

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **{"delay": 1.0, **kwargs})  # type: ignore[no-untyped-call]

    return PatientBar


@contextmanager
def _quiet_logs() -> Iterator[None]:
    """Keep huggingface_hub's warnings of this thread out of the log: what matters in them comes as our errors."""
    thread = threading.get_ident()
    loggers = [logging.getLogger(f"huggingface_hub.{name}") for name in ("file_download", "utils._http")]

    def other_threads(record: logging.LogRecord) -> bool:
        return record.thread != thread or record.levelno >= logging.ERROR

    for logger in loggers:
        logger.addFilter(other_threads)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeFilter(other_threads)
