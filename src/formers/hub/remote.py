"""The Hugging Face Hub: requests, downloads, and what its refusals mean."""

from __future__ import annotations

import inspect
import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from ..errors import ArgumentError, NotFoundError, near
from ..version import __version__
from .cache import COMMIT, Cache, folders_in

# A request that takes longer than the first is checked with a connection that may take as long as the second: together
# they stay under two seconds, and a hub that only thinks for long is still waited for.
_PATIENCE_S = 0.9
_PROBE_S = 0.6
_REMEMBER_STALL_S = 10.0
_BAR_DELAY_S = 1.0
# A model is loaded as config, weights and tokenizer, one after the other: they share the answer, and so the commit.
_REMEMBER_ANSWER_S = 5.0
_STATUSES = {404: "no such model, or no Hugging Face Hub; check HF_ENDPOINT and proxies", 429: "too many requests"}
_stalled: dict[str, float] = {}
_answers: dict[tuple[object, ...], tuple[float, tuple[str, frozenset[str]]]] = {}


class RevisionNotFoundError(NotFoundError):
    """The hub knows the model and not the revision, so no cached file can stand in for it."""


class UnreachableError(NotFoundError):
    """No connection, no answer, or a server that failed: it says nothing about the model."""


class Remote:
    """One model on the hub."""

    def __init__(self, name: str, cache_dir: str | os.PathLike[str] | None, token: Any, force: bool) -> None:
        from huggingface_hub import constants  # constants alone: the rest of it takes ten times as long to import

        self.name, self.token, self.force = name, token, force
        self.cache = Cache(name, Path(cache_dir or constants.HF_HUB_CACHE).expanduser())
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
        if not isinstance(commit, str) or not COMMIT.fullmatch(commit):
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
            options["tqdm_class"] = _patient_bar(filename)
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
                    cache_dir=self.cache.root,
                    token=self.token,
                    endpoint=self.endpoint,
                    force_download=self.force,
                    library_name="formers",
                    library_version=__version__,
                    **options,
                )
            self.cache.check(Path(path))
        except Exception as error:  # as in `_get`
            for cause in (error, error.__cause__):
                if (response := getattr(cause, "response", None)) is not None:
                    raise self._refusal(response, commit, filename) from error
            raise NotFoundError(
                f"{filename} of {self.name!r} could not be downloaded from {self.endpoint} to {self.cache.root}:"
                f" {str(error) or type(error).__name__}"
            ) from error
        for key, (_, answer) in list(_answers.items()):  # what is loaded next belongs to this file
            if key[:2] == (self.endpoint, self.name) and answer[0] == commit:
                _answers[key] = time.monotonic(), answer
        return Path(path)

    def folders_beside(self) -> list[str]:
        """The folders on this disk that a slip of the pen may have meant."""
        parent = Path(self.name).parent
        return [(parent / name).as_posix() for name in folders_in(parent)]

    def missing(self, revision: str, why: str) -> NotFoundError:
        """The error for a model that is neither reachable (because of `why`) nor cached."""
        return NotFoundError(
            f"{self.name!r} (revision {revision!r}) is neither a folder here nor in the cache {self.cache.root}, and"
            f" {why}. {self.cache.held()} a folder, or load it once with a connection."
            f"{near(self.name, self.folders_beside())}"
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
            beside = {*self.cache.models(), *self.folders_beside()} - {self.name}
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


def _patient_bar(filename: str) -> type:
    from huggingface_hub.utils import tqdm  # type: ignore[attr-defined]

    class PatientBar(tqdm):
        """A progress bar that shows only when the download takes longer than a second."""

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **{**kwargs, "desc": filename, "delay": _BAR_DELAY_S})  # type: ignore[no-untyped-call]
            # the bar itself looks at the clock only when a chunk has come, which may be ten megabytes
            self._show = threading.Timer(_BAR_DELAY_S, self._show_now)
            self._show.daemon = True
            if not self.disable:
                self._show.start()

        def _show_now(self) -> None:
            self.delay = 0.0
            self.refresh()

        def close(self) -> None:
            if hasattr(self, "_show"):
                self._show.cancel()
            super().close()

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
