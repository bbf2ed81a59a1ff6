"""What of the hub is on this disk: the cache, laid out as `huggingface_hub` does it.

Files that other libraries downloaded are found, and the reverse. Of our own there is `.formers/COMMIT.json` in the
folder of a model, the names of the commit's files: without a network it tells a file that was never downloaded from one
that does not exist.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import os
import re
import threading
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from ..errors import NotFoundError

COMMIT = re.compile(r"[0-9a-f]{40}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


class Cache:
    """One model in the cache.

    Attributes:
        root: the folder of the whole cache.
        storage: the model's folder in it, which need not exist.
    """

    def __init__(self, name: str, root: Path) -> None:
        self.name, self.root = name, root
        self.storage = root / f"models--{name.replace('/', '--')}"

    def commit(self, revision: str) -> str | None:
        """The commit that `revision` (a branch, a tag, a commit or its first digits) stood for when last seen."""
        commit = revision
        with suppress(OSError, UnicodeDecodeError):
            commit = (self.storage / "refs" / revision).read_text().strip()
        if not re.fullmatch(r"[0-9a-f]{7,40}", commit):
            return None
        found = [path.name for path in (self.storage / "snapshots").glob(f"{commit}*") if COMMIT.fullmatch(path.name)]
        return found[0] if len(found) == 1 else None

    def listing(self, commit: str) -> frozenset[str] | None:
        """The names of all files of `commit`, also of those that are not in the cache; None when they are not known."""
        with suppress(OSError, ValueError, RecursionError):
            names = json.loads((self.storage / f".formers/{commit}.json").read_text(encoding="utf-8"))
            if isinstance(names, list) and all(isinstance(name, str) for name in names):
                return frozenset(names)
        return None

    def remember(self, revision: str, commit: str, listing: Iterable[str] | None) -> None:
        """Note what `revision` stands for now and which files it has, for when there is no network."""
        with suppress(OSError):  # a read-only cache still serves its files
            if listing is not None and not (names := self.storage / f".formers/{commit}.json").is_file():
                _write(names, json.dumps(sorted(listing)))
            reference = self.storage / "refs" / revision
            if revision != commit and not (reference.is_file() and reference.read_text() == commit):
                _write(reference, commit)

    def check(self, path: Path) -> None:
        """Compare a file that was just downloaded with its SHA-256, where it has one: Git LFS names contents by it.

        Takes about a second per gigabyte. Raises NotFoundError, and removes the file, when it is another one.
        """
        if not path.is_symlink():  # a file system without links: nothing tells the name of the content
            return
        blob = path.parent / os.readlink(path)
        if not _SHA256.fullmatch(blob.name):
            return
        digest = hashlib.sha256()
        with open(path, "rb") as file:
            while chunk := file.read(1 << 20):
                digest.update(chunk)
        if digest.hexdigest() != blob.name:
            path.unlink(missing_ok=True)
            blob.unlink(missing_ok=True)
            raise NotFoundError(
                f"what came has the SHA-256 {digest.hexdigest()}, and {blob.name} was announced. It was removed. Try"
                " again; if it happens again, the server or a proxy on the way changes files."
            )

    def models(self) -> list[str]:
        """The hub names of which the cache has something."""
        return sorted(name[8:].replace("--", "/") for name in folders_in(self.root) if name.startswith("models--"))

    def held(self) -> str:
        """What could be loaded from the cache instead, as the start of a sentence that goes on with other advice."""
        known = self.models()
        if self.name in known:
            branches = (path for path in self.storage.glob("refs/**/*") if path.is_file())
            kept = sorted(str(path.relative_to(self.storage / "refs")) for path in branches)
            commits = sorted(path.name for path in self.storage.glob("snapshots/*"))
            return f"The cache has it at {', '.join(kept + commits) or 'no revision'}. Give one of these,"
        if known:
            closest = difflib.get_close_matches(self.name, known, n=5, cutoff=0.0)
            return f"The nearest names in the cache are {', '.join(map(repr, closest))}. Give one of these,"
        return "The cache is empty. Give"


def folders_in(folder: Path) -> list[str]:
    """The names of the folders in a folder; none when it cannot be read."""
    try:
        return [entry.name for entry in os.scandir(folder) if entry.is_dir()]
    except OSError:
        return []


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    stage = path.with_name(f"{path.name}.{os.getpid()}.{threading.get_ident()}.tmp")
    try:
        stage.write_text(text, encoding="utf-8")
        stage.replace(path)
    except OSError:
        stage.unlink(missing_ok=True)
        raise
