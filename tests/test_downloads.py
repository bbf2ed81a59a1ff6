"""Downloads as a user meets them: which files come, from which commit, and what is left when something goes wrong."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import pty
import shutil
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hub_server import HubServer, Trouble
from huggingface_hub import constants

from formers import AutoConfig, AutoModel, AutoTokenizer, cli, pipeline
from formers.errors import CheckpointError, FormersError, NotFoundError
from formers.hub import locate, remote
from formers.models.bert import BertConfig, BertForSequenceClassification

SOURCES = Path(remote.__file__).parents[2]
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "the", "good", "bad", "Good", "##s", "."]
TOKENIZER = {"special_tokens_map.json", "tokenizer.json", "tokenizer_config.json", "vocab.txt"}


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with its tokenizer, as safetensors."""
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    config = BertConfig(vocab_size=len(VOCABULARY), max_position_embeddings=16, **sizes)
    folder = tmp_path_factory.mktemp("original")
    BertForSequenceClassification(config).save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(VOCABULARY))
    (folder / "tokenizer_config.json").write_text('{"do_lower_case": false, "tokenizer_class": "BertTokenizer"}')
    AutoTokenizer.from_pretrained(folder).save_pretrained(folder)
    return folder


@pytest.fixture
def model(original: Path, tmp_path: Path) -> Path:
    """The folder of acme/tiny on the server."""
    return shutil.copytree(original, tmp_path / "served/acme/tiny")


@pytest.fixture
def hub(model: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    with HubServer(model.parents[1]) as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        yield server


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    return lambda: monkeypatch.setenv("HF_HUB_OFFLINE", "1")


def downloaded(hub: HubServer) -> list[str]:
    """The files whose content was sent, in the order of their names; a file that was sent twice is there twice."""
    sent = [r.path for r in hub.requests if r.method == "GET" and r.status in (200, 206) and "/api/" not in r.path]
    return sorted(path.split("/tiny/")[1].split("/", 1)[1].removeprefix("main/").split("/", 1)[-1] for path in sent)


def same(model: torch.nn.Module, folder: Path) -> bool:
    expected = AutoModel.from_pretrained(folder).state_dict()
    return all(torch.equal(tensor, expected[name]) for name, tensor in model.state_dict().items())


def stored(cache: Path, larger_than: int = 4_000) -> list[str]:
    """What of the size of weights is in the cache."""
    return [str(p.relative_to(cache)) for p in cache.rglob("*") if p.is_file() and p.stat().st_size > larger_than]


def shard(model: Path, size: int = 6_000) -> None:
    """Save the model of a folder in shards of at most `size` bytes."""
    loaded: Any = BertForSequenceClassification.from_pretrained(model)
    loaded.save_pretrained(model, max_shard_size=size)


def big(hub: HubServer, size: int) -> Path:
    """A file of weights that only its size and content matter of."""
    path = hub.root / "acme/big/model.safetensors"
    path.parent.mkdir()
    path.write_bytes(bytes(range(251)) * (size // 251))
    (path.parent / "config.json").write_text("{}")
    return path


def start(code: str, cache: Path, hub: HubServer, **options: Any) -> subprocess.Popen[bytes]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "TRANSFORMERS_"))}
    environment = {"HF_ENDPOINT": hub.url, "HF_HUB_CACHE": str(cache), "PYTHONPATH": str(SOURCES), "TERM": "xterm"}
    environment |= options.pop("env", {})
    return subprocess.Popen([sys.executable, "-c", code], env=kept | environment, **options)


LOAD = "from formers.hub import locate; print(locate('acme/big').require('model.safetensors'))"


class TestOnlyWhatIsNeeded:
    def test_of_a_repository_with_every_format(self, hub: HubServer, model: Path) -> None:
        for name in ("pytorch_model.bin", "tf_model.h5", "flax_model.msgpack", "onnx/model.onnx", "README.md"):
            (model / name).parent.mkdir(exist_ok=True)
            (model / name).write_bytes(b"not needed")
        AutoConfig.from_pretrained("acme/tiny")
        assert downloaded(hub) == ["config.json"]
        AutoModel.from_pretrained("acme/tiny")
        assert downloaded(hub) == ["config.json", "model.safetensors"]
        AutoTokenizer.from_pretrained("acme/tiny")
        assert downloaded(hub) == sorted({"config.json", "model.safetensors"} | TOKENIZER)
        hub.requests.clear()
        pipeline("text-classification", model="acme/tiny")("good.")
        assert downloaded(hub) == []

    def test_the_tokenizer_alone(self, hub: HubServer) -> None:
        AutoTokenizer.from_pretrained("acme/tiny")
        assert set(downloaded(hub)) <= TOKENIZER | {"config.json"}

    def test_shards(self, hub: HubServer, model: Path) -> None:
        shard(model)
        (model / "pytorch_model.bin").write_bytes(b"not needed")
        shards = sorted(path.name for path in model.glob("model-*.safetensors"))
        assert len(shards) > 1
        assert same(AutoModel.from_pretrained("acme/tiny"), model)
        assert downloaded(hub) == sorted(["config.json", "model.safetensors.index.json", *shards])

    def test_a_pickle_where_there_is_nothing_else(self, hub: HubServer, model: Path) -> None:
        loaded: Any = BertForSequenceClassification.from_pretrained(model)
        loaded.save_pretrained(model, safe_serialization=False)
        (model / "model.safetensors").unlink(missing_ok=True)
        assert same(AutoModel.from_pretrained("acme/tiny"), model)
        assert downloaded(hub) == ["config.json", "pytorch_model.bin"]

    @pytest.mark.parametrize("name", ["tf_model.h5", "flax_model.msgpack"])
    def test_other_frameworks_where_there_is_nothing_else(self, name: str, hub: HubServer, model: Path) -> None:
        (model / "model.safetensors").rename(model / name)
        (model / "rust_model.ot").write_bytes(b"not needed")
        with contextlib.suppress(CheckpointError):  # these are no such weights, if the content is asked
            AutoModel.from_pretrained("acme/tiny")
        assert downloaded(hub) == ["config.json", name]


class TestOneCommit:
    def move(self, model: Path) -> None:
        """A new commit: other labels, other weights, another vocabulary."""
        config = json.loads((model / "config.json").read_text())
        (model / "config.json").write_text(json.dumps(config | {"hidden_size": 8}))
        (model / "model.safetensors").write_bytes(b"new")
        (model / "vocab.txt").write_text("new")
        (model / "tokenizer.json").unlink(missing_ok=True)

    @pytest.mark.parametrize("meanwhile", ["/config.json", "/model.safetensors"])
    def test_a_branch_that_moves_meanwhile(
        self, meanwhile: str, hub: HubServer, model: Path, original: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(remote, "_REMEMBER_ANSWER_S", 1.5)
        first = hub.commit("acme/tiny")
        hub.troubles = [Trouble(meanwhile, then=lambda: self.move(model), delay_s=1.6, times=1)]
        found = pipeline("text-classification", model="acme/tiny")
        assert hub.commit("acme/tiny") != first
        assert found.model.config._commit_hash == first
        assert same(found.model.bert, original)
        assert found.tokenizer.tokenize("Good") == ["Good"]

    def test_the_commit_is_told_and_loads_again(
        self,
        hub: HubServer,
        model: Path,
        original: Path,
        offline: Callable[[], None],
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        shutil.copytree(model, f"{model}@v1")
        first = hub.commit("acme/tiny", "v1")
        self.move(model)
        loaded = AutoModel.from_pretrained("acme/tiny", revision="v1")
        AutoTokenizer.from_pretrained("acme/tiny", revision="v1")
        assert loaded.config._commit_hash == first
        assert AutoConfig.from_pretrained("acme/tiny", revision="v1")._commit_hash == first
        assert AutoConfig.from_pretrained("acme/tiny")._commit_hash == hub.commit("acme/tiny") != first
        offline()
        for revision in (first, first[:7], "v1"):
            found = pipeline("text-classification", model="acme/tiny", revision=revision)
            assert found.model.config._commit_hash == first
            assert same(found.model.bert, original)
        assert cli.main(["info", "acme/tiny", "--revision", "v1", "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["commit"] == first
        assert cli.main(["info", "acme/tiny", "--revision", "v1"]) == 0
        assert first in capsys.readouterr().out


class TestProgress:
    @pytest.mark.parametrize(
        ("on_terminal", "bytes_per_s", "env", "expected"),
        [
            (True, 150_000, {}, True),
            (True, None, {}, False),
            (True, 150_000, {"HF_HUB_DISABLE_PROGRESS_BARS": "1"}, False),
            (False, 150_000, {}, False),
        ],
        ids=["slow", "fast", "switched off", "no terminal"],
    )
    def test_a_bar_for_long_downloads(
        self,
        on_terminal: bool,
        bytes_per_s: int | None,
        env: dict[str, str],
        expected: bool,
        hub: HubServer,
        cache: Path,
    ) -> None:
        big(hub, 200_000)
        hub.troubles = [Trouble("/cdn/", bytes_per_s=bytes_per_s)]
        screen, terminal = pty.openpty() if on_terminal else os.pipe()
        if on_terminal:
            fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("4H", 24, 80, 0, 0))
        process = start(LOAD, cache, hub, stderr=terminal, stdout=subprocess.DEVNULL, env=env)
        os.close(terminal)
        shown = b""
        with contextlib.suppress(OSError):  # a terminal's end
            while part := os.read(screen, 4096):
                shown += part
        os.close(screen)
        assert process.wait(20) == 0
        assert shown.startswith(b"\rmodel.safetensors:   0%") if expected else shown == b""


class TestProcesses:
    def test_two_at_once(self, hub: HubServer, cache: Path) -> None:
        weights = big(hub, 400_000)
        hub.troubles = [Trouble("/cdn/", bytes_per_s=800_000)]
        both = [start(LOAD, cache, hub, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(2)]
        told = [process.communicate(timeout=30) for process in both]
        assert [stderr for _, stderr in told] == [b"", b""]
        assert told[0] == told[1]
        assert Path(told[0][0].decode().strip()).read_bytes() == weights.read_bytes()
        assert len(hub.paths("/cdn/")) == 1
        assert len(stored(cache)) == 2  # the link and what it leads to

    def test_killed_while_downloading(self, hub: HubServer, cache: Path, offline: Callable[[], None]) -> None:
        weights = big(hub, 400_000)
        digest = hashlib.sha256(weights.read_bytes()).hexdigest()
        hub.troubles = [Trouble("/cdn/", bytes_per_s=100_000, times=1)]
        code = "from formers.hub import locate; locate('acme/big').require('config.json');" + LOAD
        process = start(code, cache, hub)
        end = time.monotonic() + 20
        while not hub.paths("/cdn/") and time.monotonic() < end:
            time.sleep(0.02)
        time.sleep(0.3)
        process.send_signal(signal.SIGKILL)
        process.wait(10)
        assert not (cache / "models--acme--big/blobs" / digest).exists()
        with pytest.raises(NotFoundError, match=r"has no model\.safetensors, though.* It has config\.json"):
            locate("acme/big", local_files_only=True).require("model.safetensors")
        path = locate("acme/big").require("model.safetensors")
        assert path.read_bytes() == weights.read_bytes()
        offline()
        assert locate("acme/big").require("model.safetensors") == path


class TestWrongContent:
    @pytest.mark.parametrize("filename", ["/cdn/", "/resolve/"])
    def test_fewer_bytes_than_announced(self, filename: str, hub: HubServer, cache: Path) -> None:
        big(hub, 50_000)
        hub.troubles = [Trouble("/resolve/", times=0), Trouble(filename, size_error=-7)]
        with pytest.raises(NotFoundError, match=r"model\.safetensors of 'acme/big' could not .* should be"):
            locate("acme/big").require("model.safetensors")
        assert stored(cache) == []
        hub.troubles.clear()
        assert locate("acme/big").require("model.safetensors").stat().st_size == 50_000 // 251 * 251

    def test_more_bytes_announced_than_come(self, hub: HubServer, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        AutoConfig.from_pretrained("acme/tiny")
        monkeypatch.setattr(time, "sleep", lambda _: None)
        hub.troubles = [Trouble("/cdn/", size_error=7)]
        with pytest.raises(NotFoundError, match=r"model\.safetensors of 'acme/tiny' could not .*/cache: .*closed"):
            AutoModel.from_pretrained("acme/tiny")
        assert stored(cache) == []

    def test_other_bytes_of_the_right_size(self, hub: HubServer, model: Path, cache: Path) -> None:
        AutoConfig.from_pretrained("acme/tiny")
        flipped = bytearray((model / "model.safetensors").read_bytes())
        flipped[-1] ^= 1
        hub.troubles = [Trouble("/cdn/", body=bytes(flipped))]
        for options in ({}, {"force_download": True}):
            with pytest.raises(NotFoundError, match=r"model\.safetensors of 'acme/tiny' .* SHA-256 \w{64}, and \w{64}"):
                AutoModel.from_pretrained("acme/tiny", **options)
            assert stored(cache) == []
        hub.troubles.clear()
        assert same(AutoModel.from_pretrained("acme/tiny"), model)

    def test_a_connection_that_breaks_is_taken_up_again(
        self, hub: HubServer, model: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(time, "sleep", lambda _: None)
        monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 1_000)
        hub.troubles = [Trouble("/cdn/", drop_after=5_000, times=3)]
        assert same(AutoModel.from_pretrained("acme/tiny"), model)
        assert [request.status for request in hub.requests if "/cdn/" in request.path] == [200, 206, 206, 206]

    def test_a_server_that_dies(self, hub: HubServer, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        AutoConfig.from_pretrained("acme/tiny")
        monkeypatch.setattr(time, "sleep", lambda _: None)
        hub.troubles = [Trouble("/cdn/", drop_after=5_000, times=1), Trouble("/cdn/", drop_after=0)]
        with pytest.raises(NotFoundError, match=r"model\.safetensors of 'acme/tiny' could not be downloaded from http"):
            AutoModel.from_pretrained("acme/tiny")
        assert stored(cache) == []


class TestDisk:
    @contextlib.contextmanager
    def mounted(self, place: Path, options: str) -> Iterator[None]:
        place.mkdir(parents=True, exist_ok=True)
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)]
        if not shutil.which("mount") or subprocess.run(command, capture_output=True).returncode:
            pytest.skip("needs the right to mount")
        try:
            yield
        finally:
            subprocess.run(["umount", str(place)], check=True)

    @pytest.mark.filterwarnings("ignore:Not enough free disk space")
    def test_full(self, hub: HubServer, cache: Path, original: Path) -> None:
        with self.mounted(cache, "size=24k"):
            with pytest.raises(NotFoundError, match=r"model\.safetensors of 'acme/tiny' .*/cache: .*No space left"):
                AutoModel.from_pretrained("acme/tiny")
            assert stored(cache) == []
            subprocess.run(["mount", "-o", "remount,size=1m", str(cache)], check=True)
            assert same(AutoModel.from_pretrained("acme/tiny"), original)

    def test_read_only(self, hub: HubServer, cache: Path) -> None:
        with (
            self.mounted(cache, "ro"),
            pytest.raises(NotFoundError, match=r"config\.json of 'acme/tiny' .* to .*/cache: .*Read-only"),
        ):
            AutoModel.from_pretrained("acme/tiny")

    def test_a_file_in_its_place(self, hub: HubServer, cache: Path) -> None:
        cache.write_text("")
        with pytest.raises(NotFoundError, match=r"config\.json of 'acme/tiny' could not be downloaded .* to .*/cache"):
            AutoModel.from_pretrained("acme/tiny")


class TestHalfDownloaded:
    def test_no_weights(self, hub: HubServer, cache: Path, offline: Callable[[], None]) -> None:
        AutoConfig.from_pretrained("acme/tiny")
        offline()
        message = rf"{cache} .*a load with a connection would complete it, but HF_HUB_OFFLINE is set\) has no "
        with pytest.raises(NotFoundError, match=rf"{message}model\.safetensors, though .*It has config\.json"):
            AutoModel.from_pretrained("acme/tiny")
        shutil.rmtree(cache / "models--acme--tiny/.formers")  # as downloaded by another library
        with pytest.raises(NotFoundError, match=rf"{message}weights.*model\.safetensors.*It has config\.json"):
            AutoModel.from_pretrained("acme/tiny")

    @pytest.mark.parametrize("known", [True, False])
    def test_a_shard_is_missing(
        self, known: bool, hub: HubServer, model: Path, cache: Path, offline: Callable[[], None]
    ) -> None:
        shard(model)
        AutoModel.from_pretrained("acme/tiny")
        lost = next(cache.rglob("model-00002-*"))
        lost.unlink()
        if not known:
            shutil.rmtree(cache / "models--acme--tiny/.formers")
        offline()
        with pytest.raises(OSError, match=rf"{cache} .*with a connection .*HF_HUB_OFFLINE") as caught:
            AutoModel.from_pretrained("acme/tiny")
        assert isinstance(caught.value, FormersError)
        assert lost.name in str(caught.value)

    def test_a_tokenizer_without_its_settings(self, hub: HubServer, cache: Path, offline: Callable[[], None]) -> None:
        assert AutoTokenizer.from_pretrained("acme/tiny").tokenize("Good") == ["Good"]
        for name in ("tokenizer_config.json", "tokenizer.json"):
            next(cache.rglob(name)).unlink()
        offline()
        with pytest.raises(NotFoundError, match=r"has no tokenizer(_config)?\.json, though this model has such a file"):
            AutoTokenizer.from_pretrained("acme/tiny")

    def test_shards_of_another_commit(
        self, hub: HubServer, model: Path, cache: Path, offline: Callable[[], None]
    ) -> None:
        shard(model)
        AutoModel.from_pretrained("acme/tiny")
        shard(model, 12_000)
        second = AutoConfig.from_pretrained("acme/tiny", force_download=True)
        locate("acme/tiny").require("model.safetensors.index.json")
        offline()
        with pytest.raises(NotFoundError, match=r"has no model-00001-of-0000\d\.safetensors, though"):
            AutoModel.from_pretrained("acme/tiny", revision=second._commit_hash)


class TestLinks:
    """Files in a folder of the caller's own."""

    @pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json"])
    @pytest.mark.parametrize("kind", ["absolute", "relative", "chain", "directory"])
    def test_out_of_the_folder(self, name: str, kind: str, original: Path, tmp_path: Path) -> None:
        folder = shutil.copytree(original, tmp_path / "model")
        outside = shutil.copytree(original, tmp_path / "outside")
        (folder / name).unlink()
        if kind == "chain":
            (folder / "step").symlink_to(outside / name)
            (folder / name).symlink_to("step")
        elif kind == "directory":
            (folder / "step").symlink_to(outside)
            (folder / name).symlink_to(f"step/{name}")
        else:
            (folder / name).symlink_to(outside / name if kind == "absolute" else f"../outside/{name}")
        with pytest.raises(NotFoundError, match=rf"'{folder}/{name}' is a link that leads out .*'{outside}/{name}'"):
            pipeline("text-classification", model=str(folder))

    def test_links_that_lead_nowhere(self, original: Path, tmp_path: Path) -> None:
        folder = shutil.copytree(original, tmp_path / "model")
        for target in ("lost", "config.json"):
            (folder / "config.json").unlink()
            (folder / "config.json").symlink_to(target)
            with pytest.raises(NotFoundError, match=r"config\.json' is a link to .*which does not exist"):
                AutoModel.from_pretrained(folder)

    @pytest.mark.parametrize("kind", ["pipe", "device"])
    @pytest.mark.parametrize("name", ["config.json", "model.safetensors", "vocab.txt"])
    def test_what_is_no_file(self, name: str, kind: str, original: Path, tmp_path: Path) -> None:
        folder = shutil.copytree(original, tmp_path / "model")
        (folder / name).unlink()
        if kind == "pipe":
            os.mkfifo(folder / name)
        else:
            (folder / name).symlink_to("/dev/zero")
        with pytest.raises(NotFoundError, match=rf"'{folder}/{name}' is not a regular file"):
            pipeline("text-classification", model=str(folder))

    def test_links_that_stay(self, original: Path, tmp_path: Path) -> None:
        folder = shutil.copytree(original, tmp_path / "kept/real")
        for name in ("config.json", "model.safetensors"):
            (folder / name).rename(folder / f"the {name}")
            (folder / name).symlink_to(f"the {name}")
        (tmp_path / "link").symlink_to(folder)
        assert same(AutoModel.from_pretrained(tmp_path / "link"), original)
        (folder / "inner").mkdir()
        for name in ("config.json", "model.safetensors"):
            (folder / "inner" / name).symlink_to(f"../{name}")
        assert same(AutoModel.from_pretrained(folder, subfolder="inner"), original)

    def test_folders_of_links_into_the_hub_cache(self, hub: HubServer, original: Path, tmp_path: Path) -> None:
        pipeline("text-classification", model="acme/tiny")
        source = locate("acme/tiny")
        assert same(AutoModel.from_pretrained(source.folder), original)
        for name in source.names():
            path = tmp_path / "local" / name
            path.parent.mkdir(exist_ok=True)
            path.symlink_to(os.path.realpath(source.require(name)))
        assert same(pipeline("text-classification", model=str(tmp_path / "local")).model.bert, original)
