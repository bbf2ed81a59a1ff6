"""A small server on 127.0.0.1 that answers as the Hugging Face Hub does, over folders.

A model `org/name` is the folder `ROOT/org/name` (or `ROOT/name`); its branch `b` is the folder `ROOT/org/name@b` beside
it. Commits are made from the files' contents, and a commit once seen is served as it was. In a test:

    with HubServer(tmp_path / "models") as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)

From the shell: `python tests/hub_server.py ROOT --port 8000`, then set HF_ENDPOINT to the address that it prints.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from urllib.parse import unquote, urlsplit

API_PATH = re.compile(
    r"/api/models/([^/]+(?:/(?!(?:revision|tree|refs)(?:/|$))[^/]+)?)(?:/(revision|tree|refs)(?:/(.*))?)?"
)
LFS_ENDINGS = (".safetensors", ".bin", ".h5", ".msgpack", ".onnx")
KEPT_BYTES = 4_000_000  # a file up to this size is kept in memory, and so served as it was at its commit


@dataclass
class Request:
    """One line of the server's log."""

    method: str
    path: str
    status: int
    token: str | None


@dataclass
class Trouble:
    """What goes wrong with the requests whose path contains `match`, `times` times."""

    match: str = ""
    status: int | None = None  # answer this status instead
    delay_s: float = 0.0  # wait before answering
    drop_after: int | None = None  # close the connection after so many bytes of the body
    size_error: int = 0  # announce a size that is wrong by so many bytes
    body: bytes | None = None  # answer 200 with this body
    bytes_per_s: int | None = None  # send the body slowly
    then: Callable[[], object] | None = None  # do this before answering
    times: int = 1_000_000


@dataclass
class StoredFile:
    path: Path
    size: int
    git_id: str
    sha256: str
    data: bytes | None = field(repr=False)

    @property
    def is_lfs(self) -> bool:
        return self.path.name.endswith(LFS_ENDINGS)

    @property
    def etag(self) -> str:
        return self.sha256 if self.is_lfs else self.git_id

    def read(self, start: int = 0) -> bytes:
        return (self.path.read_bytes() if self.data is None else self.data)[start:]


class HubServer:
    """Context manager; `url` is the endpoint.

    Attributes that a test may change at any time:
        gated, private: names of such models.     tokens: access tokens that open them.
        renamed: old name -> new name.            troubles: failures to answer with.
        headers: sent with every answer.          requests: the log, oldest first.
    """

    def __init__(self, root: str | Path, port: int = 0) -> None:
        self.root = Path(root)
        self.gated: set[str] = set()
        self.private: set[str] = set()
        self.tokens: set[str] = set()
        self.renamed: dict[str, str] = {}
        self.headers: dict[str, str] = {}
        self.troubles: list[Trouble] = []
        self.requests: list[Request] = []
        self._seen: dict[tuple[Path, int, int], StoredFile] = {}
        self._commits: dict[str, dict[str, dict[str, StoredFile]]] = {}
        self._lock = threading.Lock()
        handler = type("Handler", (_Handler,), {"hub": self})
        self._server = _Server(("127.0.0.1", port), handler)
        self.port = self._server.server_port
        self.url = f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> HubServer:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()

    def serve_forever(self) -> None:
        self._server.serve_forever()

    def commit(self, repo: str, revision: str = "main") -> str:
        """The commit that a branch or a (short) commit stands for; KeyError when there is none."""
        with self._lock:
            commits = self._commits.setdefault(repo, {})
            branches = self.branches(repo)
            heads = {branch: self._freeze(folder, commits) for branch, folder in branches.items()}
            if revision in heads:
                return heads[revision]
            matches = [commit for commit in commits if len(revision) >= 7 and commit.startswith(revision)]
            return matches[0] if matches else _missing(revision)

    def files(self, repo: str, commit: str) -> dict[str, StoredFile]:
        return self._commits[repo][commit]

    def branches(self, repo: str) -> dict[str, Path]:
        """Branch name -> folder, 'main' first; empty when there is no such model."""
        main = self.root / repo
        if not main.is_dir() or "@" in repo or ".." in repo:
            return {}
        others = {path.name.split("@", 1)[1]: path for path in sorted(main.parent.glob(f"{main.name}@*"))}
        return {"main": main, **others}

    def paths(self, match: str = "") -> list[str]:
        """'METHOD path' of the requests so far whose path contains `match`."""
        return [f"{request.method} {request.path}" for request in self.requests if match in request.path]

    def _freeze(self, folder: Path, commits: dict[str, dict[str, StoredFile]]) -> str:
        names = (path for path in sorted(folder.rglob("*")) if path.is_file() and ".git" not in path.parts)
        files = {path.relative_to(folder).as_posix(): self._store(path) for path in names}
        text = "\n".join(f"{name} {stored.sha256}" for name, stored in files.items())
        commit = hashlib.sha1(text.encode()).hexdigest()
        commits.setdefault(commit, files)
        return commit

    def _store(self, path: Path) -> StoredFile:
        status = path.stat()
        key = (path, status.st_size, status.st_mtime_ns)
        if key not in self._seen:
            data = path.read_bytes()
            git_id = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
            kept = data if len(data) <= KEPT_BYTES else None
            self._seen[key] = StoredFile(path, len(data), git_id, hashlib.sha256(data).hexdigest(), kept)
        return self._seen[key]


def _missing(revision: str) -> str:
    raise KeyError(revision)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of a client that went away."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


class _Handler(BaseHTTPRequestHandler):
    hub: HubServer
    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 16  # one packet for a short answer: the second one of two would wait for an acknowledgement

    def do_GET(self) -> None:
        trouble = self._trouble()
        time.sleep(trouble.delay_s)
        if trouble.then is not None:
            trouble.then()
        if trouble.status is not None:
            return self._answer(trouble.status, b"something broke")
        if trouble.body is not None:
            return self._answer(200, trouble.body)
        path = urlsplit(self.path).path
        if match := API_PATH.fullmatch(path):
            return self._api(unquote(match[1]), match[2] or "revision", (match[3] or "main").split("/"))
        if match := re.fullmatch(r"/((?:[^/]+/)?[^/]+)/resolve/([^/]+)/(.+)", path):
            return self._resolve(unquote(match[1]), unquote(match[2]), unquote(match[3]), trouble)
        if match := re.fullmatch(r"/cdn/((?:[^/]+/)?[^/]+)/([0-9a-f]{40})/(.+)", path):
            return self._body(self.hub.files(match[1], match[2])[unquote(match[3])], {}, trouble)
        return self._error(404, "", "Not Found")

    do_HEAD = do_GET

    def _api(self, repo: str, kind: str, rest: list[str]) -> None:
        if not self._may_read(repo, gate=False):
            return
        if kind == "refs":
            branches = [
                {"name": name, "ref": f"refs/heads/{name}", "targetCommit": self.hub.commit(repo, name)}
                for name in self.hub.branches(repo)
            ]
            return self._json({"branches": branches, "tags": [], "converts": []})
        commit = self._commit(repo, unquote(rest[0]))
        if commit is None:
            return
        files = self.hub.files(repo, commit)
        if kind == "tree":
            return self._tree(files, "/".join(map(unquote, rest[1:])))
        siblings = [{"rfilename": name} for name in files]
        access = {"private": repo in self.hub.private, "gated": "auto" if repo in self.hub.gated else False}
        self._json({"id": repo, "modelId": repo, "sha": commit, "siblings": siblings, "tags": []} | access)

    def _tree(self, files: dict[str, StoredFile], under: str) -> None:
        start = f"{under}/" if under else ""
        inside = {name: stored for name, stored in files.items() if name.startswith(start)}
        if not inside:
            return self._error(404, "EntryNotFound", f"{under} does not exist")
        recursive = "recursive=" in self.path and "recursive=false" not in self.path.lower()
        entries: list[dict[str, object]] = []
        for name, stored in inside.items():
            if "/" in name[len(start) :] and not recursive:
                folder = start + name[len(start) :].split("/")[0]
                if {"type": "directory", "oid": "0" * 40, "size": 0, "path": folder} not in entries:
                    entries.append({"type": "directory", "oid": "0" * 40, "size": 0, "path": folder})
                continue
            entry = {"type": "file", "oid": stored.git_id, "size": stored.size, "path": name}
            lfs = {"lfs": {"oid": stored.sha256, "size": stored.size, "pointerSize": 130}} if stored.is_lfs else {}
            entries.append(entry | lfs)
        self._json(entries)

    def _resolve(self, repo: str, revision: str, filename: str, trouble: Trouble) -> None:
        if not self._may_read(repo, gate=True) or (commit := self._commit(repo, revision)) is None:
            return
        stored = self.hub.files(repo, commit).get(filename)
        if stored is None:
            return self._error(404, "EntryNotFound", "Entry not found", {"X-Repo-Commit": commit})
        headers = {"X-Repo-Commit": commit, "ETag": f'"{stored.git_id}"'}
        if not stored.is_lfs:
            return self._body(stored, headers, trouble)
        headers |= {"X-Linked-Etag": f'"{stored.sha256}"', "X-Linked-Size": str(stored.size + trouble.size_error)}
        self._answer(
            302, b"", headers | {"Location": f"http://localhost:{self.hub.port}/cdn/{repo}/{commit}/{filename}"}
        )

    def _body(self, stored: StoredFile, headers: dict[str, str], trouble: Trouble) -> None:
        start = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        data = stored.read(int(start[1]) if start else 0)
        headers = {"ETag": f'"{stored.etag}"', "Accept-Ranges": "bytes"} | headers
        if start:
            headers["Content-Range"] = f"bytes {start[1]}-{stored.size - 1}/{stored.size}"
        self._answer(206 if start else 200, data, headers, trouble)

    def _may_read(self, repo: str, gate: bool) -> bool:
        hub, token = self.hub, self._token()
        if repo in hub.renamed:
            self._answer(307, b"", {"Location": self.path.replace(f"/{repo}", f"/{hub.renamed[repo]}", 1)})
            return False
        known = token in hub.tokens
        if not hub.branches(repo) or (repo in hub.private and not known):
            self._error(404 if token else 401, "RepoNotFound", "Repository not found")
            return False
        if gate and repo in hub.gated and not known:
            self._error(403 if token else 401, "GatedRepo", f"Access to model {repo} is restricted")
            return False
        return True

    def _commit(self, repo: str, revision: str) -> str | None:
        try:
            return self.hub.commit(repo, revision)
        except KeyError:
            self._error(404, "RevisionNotFound", f"Invalid rev id: {revision}")
            return None

    def _token(self) -> str | None:
        given = self.headers.get("Authorization", "")
        return given[len("Bearer ") :] if given.startswith("Bearer ") else None

    def _trouble(self) -> Trouble:
        for trouble in self.hub.troubles:
            if trouble.match in self.path and trouble.times > 0:
                trouble.times -= 1
                return trouble
        return Trouble()

    def _json(self, answer: object) -> None:
        self._answer(200, json.dumps(answer).encode(), {"Content-Type": "application/json"})

    def _error(self, status: int, code: str, message: str, headers: dict[str, str] | None = None) -> None:
        told = {"X-Error-Message": message} | ({"X-Error-Code": code} if code else {})
        self._answer(status, json.dumps({"error": message}).encode(), told | (headers or {}))

    def _answer(
        self, status: int, body: bytes, headers: dict[str, str] | None = None, trouble: Trouble | None = None
    ) -> None:
        trouble = trouble or Trouble()
        self.hub.requests.append(Request(self.command, self.path, status, self._token()))
        self.send_response(status)
        for key, value in (self.hub.headers | (headers or {})).items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(body) + trouble.size_error))
        self.end_headers()
        if self.command == "HEAD":
            return
        if trouble.drop_after is not None or trouble.size_error:
            self.close_connection = True
        body = body[: trouble.drop_after]
        step = len(body) if trouble.bytes_per_s is None else trouble.bytes_per_s // 20
        for start in range(0, len(body), max(step, 1)):
            time.sleep(0.05 if trouble.bytes_per_s is not None else 0.0)
            self.wfile.write(body[start : start + step])
            self.wfile.flush()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: `HubServer.requests` is the log."""


def main() -> None:
    parser = argparse.ArgumentParser(description="Serve folders of models as the Hugging Face Hub does.")
    parser.add_argument("root", help="folder that holds NAME/ or ORG/NAME/ with the files of each model")
    parser.add_argument("--port", type=int, default=8000, help="0 takes any free port (default: 8000)")
    arguments = parser.parse_args()
    server = HubServer(arguments.root, arguments.port)
    print(server.url, flush=True)
    with suppress(KeyboardInterrupt):
        server.serve_forever()


if __name__ == "__main__":
    main()
