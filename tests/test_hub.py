"""Folders and hub names -> files, against a local server that answers as the hub does."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
from hub_server import HubServer, Trouble
from huggingface_hub import constants

from formers.errors import ArgumentError, FormersError, InputError, NotFoundError
from formers.hub import RevisionNotFoundError, UnreachableError, hub_arguments, locate, remote

SOURCES = Path(remote.__file__).parents[2]


def write(folder: Path, **files: str | bytes) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        path = folder / name.replace("__", "/").replace("_dot_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


@pytest.fixture
def models(tmp_path: Path) -> Path:
    root = tmp_path / "served"
    weights = bytes(range(256)) * 400
    write(
        root / "acme/tiny",
        config_dot_json='{"model_type": "bert"}',
        model_dot_safetensors=weights,
        vocab_dot_txt="a\nb",
    )
    write(root / "acme/tiny@dev", config_dot_json='{"model_type": "distilbert"}')
    write(root / "acme/nested", README_dot_md="x", inner__config_dot_json="{}", inner__deep__vocab_dot_txt="a")
    write(root / "bert-tiny", config_dot_json="{}")
    return root


@pytest.fixture
def cache(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(remote, "_REMEMBER_ANSWER_S", 0.0)
    return cache


@pytest.fixture
def hub(models: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    with HubServer(models) as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        yield server


@pytest.fixture
def closed_port(cache: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
    monkeypatch.setenv("HF_ENDPOINT", url)
    return url


def python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `code` in a fresh interpreter: huggingface_hub reads its variables when it is imported."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "TRANSFORMERS_"))}
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**kept, "PYTHONPATH": str(SOURCES), **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )


class TestFolders:
    def test_a_folder_is_read_as_it_is(self, models: Path) -> None:
        source = locate(models / "acme/nested", revision="ignored for folders")
        assert (source.is_local, source.commit, source.folder) == (True, None, models / "acme/nested")
        assert source.name == str(models / "acme/nested")
        assert source.names() == ["README.md", "inner/config.json", "inner/deep/vocab.txt"]
        assert source.file("inner/config.json") == models / "acme/nested/inner/config.json"
        assert source.file("config.json") is None
        assert source.file("inner") is None

    def test_no_network_and_no_hub_library(self, models: Path) -> None:
        code = (
            "import sys, socket\n"
            "socket.socket.connect = socket.create_connection = socket.getaddrinfo = None\n"
            "from formers.hub import locate\n"
            f"locate({str(models / 'acme/tiny')!r}, token=True).require('config.json')\n"
            "try: locate('./nothing-here')\n"
            "except OSError as error: print(error)\n"
            "print([name for name in ('huggingface_hub', 'torch', 'numpy', 'tokenizers') if name in sys.modules])"
        )
        done = python(code)
        assert done.stderr == ""
        assert done.stdout.splitlines()[0].startswith("The folder 'nothing-here' does not exist")
        assert done.stdout.splitlines()[1] == "[]"

    def test_subfolder(self, models: Path) -> None:
        source = locate(str(models / "acme/nested"), subfolder="inner")
        assert source.names() == ["config.json", "deep/vocab.txt"]
        assert source.require("config.json") == models / "acme/nested/inner/config.json"
        assert locate(models / "acme/nested", subfolder="inner/deep/").file("vocab.txt") is not None
        assert locate(models / "acme/nested", subfolder=None).file("README.md") is not None
        with pytest.raises(NotFoundError, match=r"'iner'.*Did you mean 'inner'"):
            locate(models / "acme/nested", subfolder="iner")
        with pytest.raises(InputError, match=r"subfolder '\.\./tiny' leads out"):
            locate(models / "acme/nested", subfolder="../tiny")

    def test_home_is_expanded(self, models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HOME", str(models))
        assert locate("~/acme/tiny").file("config.json") == models / "acme/tiny/config.json"

    @pytest.mark.parametrize(
        "given", ["./acme/tny", "acme/tny/", "~nobody/x", "acme/tiny/nested/deep", "modle.safetensors"]
    )
    def test_a_path_that_does_not_exist(self, given: str, models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(models)
        with pytest.raises(NotFoundError, match="does not exist") as caught:
            locate(given)
        assert isinstance(caught.value, OSError)
        assert "epo id" not in str(caught.value)
        if "tny" in given:
            assert "Did you mean 'tiny'?" in str(caught.value)

    def test_a_path_object_is_never_a_hub_name(self, models: Path) -> None:
        with pytest.raises(NotFoundError, match=r"there is no 'tny' in .*Did you mean 'tiny'"):
            locate(models / "acme/tny")
        with pytest.raises(NotFoundError, match="'bert-tiny' does not exist"):
            locate(Path("bert-tiny"))

    def test_one_file(self, models: Path) -> None:
        path = models / "acme/tiny/config.json"
        with pytest.raises(NotFoundError, match=r"is a file\. Give the folder that holds it: '.*tiny'"):
            locate(path)

    @pytest.mark.parametrize("given", [None, "", " ", 3, b"bert", ["bert"], "a\0b"])
    def test_what_is_no_name(self, given: Any) -> None:
        with pytest.raises(ArgumentError, match="bert-base-cased") as caught:
            locate(given)
        assert isinstance(caught.value, (TypeError, ValueError))

    @pytest.mark.parametrize("given", ["my model", "a--b", "-x", "acme/ti:ny", "x" * 200, "modèle", "a..b"])
    def test_names_that_the_hub_does_not_allow(self, given: str) -> None:
        with pytest.raises(NotFoundError, match=r"neither a folder in .* nor a name that the hub allows"):
            locate(given)

    @pytest.mark.parametrize(
        "given",
        [
            "https://huggingface.co/acme/tiny",
            "https://hf.co/acme/tiny/tree/main/x",
            "hf://acme/tiny",
            "http://h/acme/tiny/",
        ],
    )
    def test_urls(self, given: str) -> None:
        with pytest.raises(NotFoundError, match=r"is a URL\. Give the model's name alone: 'acme/tiny'"):
            locate(given)

    @pytest.mark.parametrize("filename", ["../x", "/etc/passwd", "a/../../b", "", "a\\b", "a\0", None])
    def test_file_names_stay_inside(self, filename: Any, models: Path) -> None:
        with pytest.raises(InputError, match="file name"):
            locate(models / "acme/tiny").file(filename)

    def test_require_says_what_is_there(self, models: Path) -> None:
        source = locate(models / "acme/tiny")
        assert source.require("tokenizer.json", "vocab.txt").name == "vocab.txt"
        with pytest.raises(NotFoundError) as caught:
            source.require("confg.json", "tokenizer.json")
        assert str(caught.value) == (
            f"The folder '{models / 'acme/tiny'}' has no confg.json or tokenizer.json."
            " It has config.json, model.safetensors, vocab.txt. Did you mean 'config.json'?"
        )
        with pytest.raises(NotFoundError, match="It is empty"):
            locate(write(models / "void")).require("config.json")


class TestHub:
    def test_one_request_tells_commit_and_files(self, hub: HubServer, cache: Path) -> None:
        source = locate("acme/tiny")
        assert len(hub.requests) - len(hub.paths("agent")) == 1
        assert source.commit == hub.commit("acme/tiny")
        assert (source.is_local, source.name) == (False, "acme/tiny")
        assert source.folder == cache / "models--acme--tiny/snapshots" / source.commit
        assert source.names() == ["config.json", "model.safetensors", "vocab.txt"]
        assert source.file("tokenizer.json") is None
        assert hub.paths("resolve") == []
        assert source.require("config.json").read_text() == '{"model_type": "bert"}'
        weights = source.require("model.safetensors")
        assert weights == source.folder / "model.safetensors"
        assert weights.read_bytes() == (hub.root / "acme/tiny/model.safetensors").read_bytes()

    def test_the_second_load_downloads_nothing(self, hub: HubServer) -> None:
        locate("acme/tiny").require("config.json")
        hub.requests.clear()
        locate("acme/tiny").require("config.json")
        assert hub.paths() == ["GET /api/models/acme/tiny/revision/main"]

    def test_loads_in_a_row_share_one_answer(self, hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(remote, "_REMEMBER_ANSWER_S", 60.0)
        config = locate("acme/tiny")
        write(hub.root / "acme/tiny", config_dot_json='{"model_type": "later"}')
        assert locate("acme/tiny").commit == config.commit
        assert len(hub.paths("/api/models")) == 1
        assert locate("acme/tiny", revision="dev").commit != config.commit
        assert locate("acme/tiny", force_download=True).commit != config.commit
        assert len(hub.paths("/api/models")) == 3

    def test_revisions(self, hub: HubServer, cache: Path) -> None:
        assert "distilbert" in locate("acme/tiny", revision="dev").require("config.json").read_text()
        commit = hub.commit("acme/tiny", "dev")
        assert locate("acme/tiny", revision=commit[:8]).commit == commit
        remote._answers.clear()
        hub.requests.clear()
        source = locate("acme/tiny", revision=commit)
        assert source.commit == commit
        assert source.file("config.json") is not None
        assert hub.paths() == []  # a commit never changes, and this file of it is here
        assert source.file("vocab.txt") is None
        assert source.file("model.safetensors") is None
        assert hub.paths() == []  # and neither do the names of its files
        (cache / f"models--acme--tiny/.formers/{commit}.json").write_text("[broken")
        assert locate("acme/tiny", revision=commit).file("vocab.txt") is None
        assert hub.paths() == [f"GET /api/models/acme/tiny/revision/{commit}"]

    def test_all_files_come_from_one_commit(self, hub: HubServer) -> None:
        source = locate("acme/tiny")
        write(hub.root / "acme/tiny", config_dot_json='{"model_type": "later"}', later_dot_txt="new")
        assert source.require("config.json").read_text() == '{"model_type": "bert"}'
        assert source.file("later.txt") is None
        later = locate("acme/tiny")
        assert later.commit != source.commit
        assert "later" in later.require("config.json").read_text()

    def test_subfolder(self, hub: HubServer, cache: Path) -> None:
        source = locate("acme/nested", subfolder="inner")
        assert source.names() == ["config.json", "deep/vocab.txt"]
        assert source.require("deep/vocab.txt").parent == source.folder / "deep"
        assert source.file("README.md") is None
        with pytest.raises(NotFoundError, match="has no folder 'outer'"):
            locate("acme/nested", subfolder="outer")
        with pytest.raises(NotFoundError, match="has no folder 'outer'"):
            locate("acme/nested", subfolder="outer", local_files_only=True)

    def test_a_folder_comes_before_a_hub_name(self, hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(hub.root)
        assert locate("acme/tiny").is_local
        assert hub.requests == []

    def test_renamed_model(self, hub: HubServer) -> None:
        hub.renamed["old-name"] = "acme/tiny"
        source = locate("old-name")
        assert source.commit == hub.commit("acme/tiny")
        assert source.require("model.safetensors").stat().st_size == 102400

    def test_missing_file_is_named_with_what_is_there(self, hub: HubServer) -> None:
        with pytest.raises(NotFoundError) as caught:
            locate("bert-tiny").require("model.safetensors", "pytorch_model.bin")
        assert str(caught.value) == (
            f"'bert-tiny' on {hub.url} (revision 'main') has no model.safetensors or pytorch_model.bin."
            " It has config.json."
        )

    def test_force_download(self, hub: HubServer) -> None:
        path = locate("acme/tiny").require("config.json")
        path.resolve().write_text("spoiled")
        hub.requests.clear()
        source = locate("acme/tiny", force_download=True)
        assert source.require("config.json").read_text() == '{"model_type": "bert"}'
        asked = len(hub.requests)
        source.require("config.json")
        assert len(hub.requests) == asked

    def test_cache_dir(self, hub: HubServer, tmp_path: Path) -> None:
        path = locate("acme/tiny", cache_dir=tmp_path / "elsewhere").require("config.json")
        assert path.is_relative_to(tmp_path / "elsewhere")

    def test_the_cache_is_shared_with_the_hub_library(self, hub: HubServer, cache: Path) -> None:
        ours = locate("acme/tiny").require("config.json")
        theirs = huggingface_hub.hf_hub_download("acme/tiny", "config.json", cache_dir=cache, local_files_only=True)
        assert Path(theirs) == ours
        theirs = huggingface_hub.hf_hub_download(
            "acme/tiny", "config.json", revision="dev", cache_dir=cache, endpoint=hub.url
        )
        hub.requests.clear()
        assert locate("acme/tiny", revision="dev", local_files_only=True).file("config.json") == Path(theirs)
        assert hub.requests == []

    def test_a_cache_that_cannot_be_written(self, hub: HubServer, tmp_path: Path) -> None:
        blocked = tmp_path / "blocked"
        blocked.write_text("a file where the cache's folder should be")
        with pytest.raises(NotFoundError, match=r"config\.json of 'acme/tiny' could not be downloaded .* to .*blocked"):
            locate("acme/tiny", cache_dir=blocked).file("config.json")

    def test_many_threads_at_once(self, hub: HubServer) -> None:
        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(lambda _: locate("acme/tiny").require("model.safetensors"), range(16)))
        assert len(set(found)) == 1
        assert found[0].stat().st_size == 102400

    def test_nothing_is_printed(self, hub: HubServer, capfd: pytest.CaptureFixture[str]) -> None:
        hub.headers["X-HF-Warning"] = "unauthenticated; You are sending unauthenticated requests."
        locate("acme/tiny").require("model.safetensors")
        assert capfd.readouterr() == ("", "")

    def test_variables_read_by_the_hub_library_at_import(self, hub: HubServer, tmp_path: Path) -> None:
        code = "from formers.hub import locate; print(locate('acme/tiny').require('config.json'))"
        done = python(code, HF_ENDPOINT=hub.url, HF_HOME=str(tmp_path / "home"))
        assert done.stderr == ""
        assert done.stdout.startswith(str(tmp_path / "home/hub/models--acme--tiny/snapshots/"))


class TestRefusals:
    def test_no_such_model(self, hub: HubServer, cache: Path) -> None:
        locate("acme/tiny").require("config.json")
        with pytest.raises(
            NotFoundError, match=r"no model 'acme/tny' on http.*Did you mean 'acme/tiny'\?.*private"
        ) as caught:
            locate("acme/tny")
        assert type(caught.value) is NotFoundError
        with pytest.raises(NotFoundError, match="no model 'acme/tny'"):
            locate("acme/tny", token="hf_any")

    def test_folders_with_a_similar_name(self, hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(hub.root)
        for options in ({}, {"local_files_only": True}):
            with pytest.raises(NotFoundError, match=r"Did you mean 'bert-tiny'\?"):
                locate("bert-tny", **options)
            with pytest.raises(NotFoundError, match=r"Did you mean 'acme/tiny'"):
                locate("acme/tny", **options)

    def test_no_such_revision_even_when_another_is_cached(self, hub: HubServer) -> None:
        locate("acme/tiny").require("config.json")
        with pytest.raises(RevisionNotFoundError, match="'acme/tiny' has no revision 'v9'"):
            locate("acme/tiny", revision="v9")

    def test_gated(self, hub: HubServer) -> None:
        hub.gated.add("acme/tiny")
        hub.tokens.add("hf_good")
        with pytest.raises(NotFoundError, match=r"is gated\. Accept its terms at http.*/acme/tiny, then give token="):
            locate("acme/tiny").file("config.json")
        with pytest.raises(NotFoundError, match="the token that was sent has no access"):
            locate("acme/tiny", token="hf_bad").file("config.json")
        assert locate("acme/tiny", token="hf_good").file("config.json") is not None

    def test_private(self, hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
        hub.private.add("acme/tiny")
        hub.tokens.add("hf_good")
        with pytest.raises(NotFoundError, match=r"no model 'acme/tiny'.*If the model is private, give token="):
            locate("acme/tiny", token=False)
        source = locate("acme/tiny", **hub_arguments({"use_auth_token": "hf_good\n"}))
        assert source.file("model.safetensors") is not None
        assert {request.token for request in hub.requests if "cdn" in request.path} == {None}  # not for other hosts
        monkeypatch.setenv("HF_TOKEN", "hf_good")
        assert locate("acme/tiny", token=True).file("config.json") is not None

    @pytest.mark.parametrize("token", [3, "", "two words", "hf_é", ["x"]])
    def test_what_is_no_token(self, token: Any, hub: HubServer) -> None:
        with pytest.raises(ArgumentError, match="token is an access token"):
            locate("acme/tiny", token=token)

    def test_no_stored_token(self, hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "none"))
        monkeypatch.delenv("HUGGING_FACE_HUB_TOKEN", raising=False)
        with pytest.raises(ArgumentError, match="no token is stored"):
            locate("acme/tiny", token=True)

    @pytest.mark.parametrize("revision", [3, "", "../../x", "/x"])
    def test_what_is_no_revision(self, revision: Any, hub: HubServer) -> None:
        with pytest.raises(FormersError, match="revision"):
            locate("acme/tiny", revision=revision)
        assert hub.requests == []

    def test_proxies_are_not_silently_ignored(self, hub: HubServer) -> None:
        assert locate("acme/tiny", proxies={}).commit
        with pytest.raises(ArgumentError, match="HTTPS_PROXY"):
            locate("acme/tiny", proxies={"http": "http://proxy"})


class TestTrouble:
    @pytest.mark.parametrize("status", [500, 503, 429, 404])
    def test_a_failing_server(self, status: int, hub: HubServer) -> None:
        hub.troubles = [Trouble("/api/models", status=status)]
        started = time.perf_counter()
        with pytest.raises(NotFoundError, match=f"it answered {status}.*The cache is empty"):
            locate("acme/tiny")
        hub.troubles.clear()
        path = locate("acme/tiny").require("config.json")
        hub.troubles = [Trouble(status=status)]
        source = locate("acme/tiny")
        assert source.file("config.json") == path
        assert source.file("tokenizer.json") is None
        with pytest.raises(NotFoundError, match=f"cached copy of 'acme/tiny'.*answered {status}.*It has config.json"):
            source.file("vocab.txt")
        assert time.perf_counter() - started < 2

    def test_a_server_that_fails_for_files_only(self, hub: HubServer) -> None:
        hub.troubles = [Trouble("/resolve/", status=502)]
        started = time.perf_counter()
        with pytest.raises(UnreachableError, match=r"it answered 502 for config\.json: the server failed"):
            locate("acme/tiny").file("config.json")
        assert time.perf_counter() - started < 2

    def test_not_a_hub(self, hub: HubServer) -> None:
        for body in (b"<html>Please log in</html>", b"[]", b'{"sha": "../../x", "siblings": []}', b'{"siblings": 3}'):
            hub.troubles = [Trouble(body=body)]
            with pytest.raises(NotFoundError, match="its answer"):
                locate("acme/tiny")

    def test_a_dropped_connection_is_resumed(self, hub: HubServer) -> None:
        hub.troubles = [Trouble("/cdn/", drop_after=1000, times=1)]
        path = locate("acme/tiny").require("model.safetensors")
        assert path.read_bytes() == (hub.root / "acme/tiny/model.safetensors").read_bytes()

    def test_a_wrong_size_leaves_nothing_behind(self, hub: HubServer, cache: Path) -> None:
        hub.troubles = [Trouble("/resolve/", size_error=7)]
        with pytest.raises(NotFoundError, match=r"model\.safetensors of 'acme/tiny' could not be downloaded"):
            locate("acme/tiny").file("model.safetensors")
        assert [path for path in cache.rglob("*") if path.is_file() and path.stat().st_size > 100_000] == []
        hub.troubles.clear()
        assert locate("acme/tiny").require("model.safetensors").stat().st_size == 102400

    def test_a_slow_server_is_waited_for(self, hub: HubServer) -> None:
        hub.troubles = [Trouble("/api/models", delay_s=1.3)]
        assert locate("acme/tiny").commit == hub.commit("acme/tiny")


class TestOffline:
    @pytest.mark.parametrize("variable", ["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", None])
    def test_the_cache_alone(self, variable: str | None, hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
        path = locate("acme/tiny").require("config.json")
        hub.requests.clear()
        if variable:
            monkeypatch.setenv(variable, "1")
        options = {} if variable else {"local_files_only": True}
        source = locate("acme/tiny", **options)
        assert source.file("config.json") == path
        assert source.names() == ["config.json"]
        assert source.file("tokenizer.json") is None
        why = f"{variable} is set" if variable else "local_files_only=True is given"
        with pytest.raises(
            NotFoundError, match=rf"cached copy of 'acme/tiny' .*{why}\) has no vocab\.txt, though.*It has config"
        ):
            source.file("vocab.txt")
        with pytest.raises(NotFoundError, match=rf"'acme/tny' .*{why}.*nearest names in the cache are 'acme/tiny'"):
            locate("acme/tny", **options)
        with pytest.raises(NotFoundError, match=r"'dev'.*The cache has it at main, [0-9a-f]{40}"):
            locate("acme/tiny", revision="dev", **options)
        with pytest.raises(ArgumentError, match="force_download"):
            locate("acme/tiny", force_download=True, **options)
        for revision in (source.commit, source.commit[:7]):
            assert locate("acme/tiny", revision=revision, **options).file("config.json") == path
        assert hub.requests == []

    def test_the_hub_variable_comes_first(self, hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TRANSFORMERS_OFFLINE", "1")
        monkeypatch.setenv("HF_HUB_OFFLINE", "0")
        assert locate("acme/tiny").commit

    def test_a_lost_blob_is_a_missing_file(self, hub: HubServer) -> None:
        path = locate("acme/tiny").require("config.json")
        locate("acme/tiny").require("vocab.txt")
        path.resolve().unlink()
        source = locate("acme/tiny", local_files_only=True)
        with pytest.raises(NotFoundError, match=r"has no config\.json, though this model has such a file"):
            source.file("config.json")
        assert source.names() == ["vocab.txt"]
        assert locate("acme/tiny").require("config.json").read_text() == '{"model_type": "bert"}'

    def test_a_broken_reference_is_no_reference(self, hub: HubServer, cache: Path) -> None:
        locate("acme/tiny").require("config.json")
        (cache / "models--acme--tiny/refs/main").write_text("../../../etc")
        with pytest.raises(NotFoundError, match="neither a folder here nor in the cache"):
            locate("acme/tiny", local_files_only=True)

    def test_refused_connection(self, closed_port: str, cache: Path) -> None:
        started = time.perf_counter()
        with pytest.raises(NotFoundError, match=rf"'acme/tiny'.*{closed_port} could not be asked.*The cache is empty"):
            locate("acme/tiny")
        assert time.perf_counter() - started < 1

    def test_the_cache_when_the_connection_fails(
        self, hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = locate("acme/tiny").require("config.json")
        monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")
        source = locate("acme/tiny")
        assert source.file("config.json") == path
        assert source.commit == hub.commit("acme/tiny")
        with pytest.raises(NotFoundError, match="could not be asked"):
            locate("acme/tiny", force_download=True)

    @pytest.mark.parametrize("stall", ["connect", "lookup"])
    def test_a_network_that_swallows_everything(
        self, stall: str, cache: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
    ) -> None:
        released = threading.Event()
        request.addfinalizer(released.set)

        def swallow(*arguments: object, **options: object) -> Any:
            released.wait(20)
            raise OSError("released")

        monkeypatch.setattr(socket, "create_connection" if stall == "connect" else "getaddrinfo", swallow)
        taken = []
        for attempt in range(3):  # the fastest counts: the machine may be busy with something else
            monkeypatch.setenv("HF_ENDPOINT", f"http://stalled-{stall}-{attempt}.invalid")
            started = time.perf_counter()
            with pytest.raises(NotFoundError, match=r"no answer within \d\.\d s"):
                locate("acme/tiny")
            with pytest.raises(NotFoundError, match="did not answer a moment ago"):
                locate("acme/tiny")
            taken.append(time.perf_counter() - started)
            if taken[-1] < 2:
                break
        assert min(taken) < 2

    def test_a_server_that_never_answers(self, hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
        path = locate("acme/tiny").require("config.json")
        monkeypatch.setattr(constants, "HF_HUB_ETAG_TIMEOUT", 1)
        hub.troubles = [Trouble("/api/models", delay_s=5)]
        started = time.perf_counter()
        assert locate("acme/tiny").file("config.json") == path
        with pytest.raises(NotFoundError, match="did not answer a moment ago"):
            locate("bert-tiny")
        assert time.perf_counter() - started < 3

    def test_a_fresh_process_without_a_network(self, closed_port: str, tmp_path: Path) -> None:
        write(tmp_path / "home/hub/models--acme--tiny/refs", main="0" * 40)
        code = (
            "import sys, time; from formers.hub import locate; started = time.perf_counter()\n"
            "try: locate('acme/tine')\n"
            "except OSError as error: print(error)\n"
            "print(time.perf_counter() - started, 'httpx' in sys.modules or 'httpx2' in sys.modules)"
        )
        settings = {"HF_ENDPOINT": closed_port, "HF_HOME": str(tmp_path / "home")}
        done = [python(code, **settings) for _ in range(3)]
        assert done[0].stderr == ""
        assert "nearest names in the cache are 'acme/tiny'" in done[0].stdout
        # the fastest counts: the machine may be busy with something else
        assert min(float(one.stdout.split()[-2]) for one in done) < 2
        offline = [python(code, **settings, HF_HUB_OFFLINE="1") for _ in range(3)]
        assert "HF_HUB_OFFLINE is set" in offline[0].stdout
        assert offline[0].stdout.split()[-1] == "False"
        assert min(float(one.stdout.split()[-2]) for one in offline) < 0.5


class TestHubArguments:
    def test_takes_the_hubs_and_leaves_the_rest(self) -> None:
        kwargs = {"revision": "v1", "cache_dir": "c", "num_labels": 3, "resume_download": True, "_commit_hash": "x"}
        assert hub_arguments(kwargs) == {"revision": "v1", "cache_dir": "c"}
        assert kwargs == {"num_labels": 3}

    def test_use_auth_token(self) -> None:
        assert hub_arguments({"use_auth_token": True}) == {"token": True}
        assert hub_arguments({"use_auth_token": None}) == {}
        assert hub_arguments({"token": None, "use_auth_token": "a"}) == {"token": "a"}
        with pytest.raises(ArgumentError, match="differ"):
            hub_arguments({"token": "a", "use_auth_token": "b"})
