"""text-generation: the texts that the reference writes, alone and among others; forms of prompts, chats and results."""

from __future__ import annotations

import functools
import queue
import sys
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
import writers
from torch.utils.data import Dataset
from tqdm import tqdm

import formers
from formers import GenerationConfig, pipeline
from formers.errors import ArgumentError, HeadError, InputError
from formers.generation import continuous
from formers.pipelines import ReturnType, TextGenerationPipeline

PROMPTS = ["the cat sat on the mat", "a", "and then there was é", "the", *["cat " * n for n in range(1, 20)]]
CHAT = [{"role": "system", "content": "be"}, {"role": "user", "content": "hi there"}]
OPEN = [*CHAT, {"role": "assistant", "content": "the cat"}]
GREEDY = {"do_sample": False, "max_new_tokens": 12}
ENDS = [70, 80, 90, 100, 110]


class Rows(Dataset[Any]):
    def __init__(self, rows: list[Any]) -> None:
        self.rows, self.read = rows, 0

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Any:
        self.read += 1
        return self.rows[index]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("writers")
    return {name: writers.write(root / name, name) for name in ("LlamaForCausalLM", "GPT2LMHeadModel")}


@pytest.fixture(scope="module")
def llama(folders: dict[str, Path]) -> Any:
    return pipeline("text-generation", model=folders["LlamaForCausalLM"])


@pytest.fixture(scope="module")
def gpt2(folders: dict[str, Path]) -> Any:
    return pipeline("text-generation", model=folders["GPT2LMHeadModel"])


def reference(folder: Path) -> Any:
    import transformers

    transformers.logging.set_verbosity_error()
    return transformers.pipeline("text-generation", model=str(folder))


@pytest.fixture(scope="module")
def theirs(folders: dict[str, Path]) -> Any:
    return reference(folders["LlamaForCausalLM"])


class TestBesideTheReference:
    @pytest.mark.parametrize("name", ["LlamaForCausalLM", "GPT2LMHeadModel"])
    def test_texts(self, name: str, folders: dict[str, Path]) -> None:
        ours, prompts = pipeline(model=folders[name]), PROMPTS[:8]
        assert type(ours) is TextGenerationPipeline and ours.task == "text-generation"
        expected = reference(folders[name])(prompts, **GREEDY)
        assert ours(prompts, **GREEDY) == expected
        assert ours(prompts, batch_size=3, **GREEDY) == expected
        assert [ours(prompt, **GREEDY) for prompt in prompts] == expected
        assert list(ours((prompt for prompt in prompts), **GREEDY)) == expected
        assert list(ours(Rows(prompts), **GREEDY)) == expected

    @pytest.mark.parametrize(
        "options",
        [
            {"return_full_text": False},
            {"return_tensors": True},
            {"return_type": 0},
            {"eos_token_id": ENDS, "max_new_tokens": 30},
            {"max_new_tokens": None, "max_length": 30},
            {"max_new_tokens": None, "max_length": 30, "prefix": "and "},
            {"stop_sequence": ["a", "\x18"], "max_new_tokens": 40},
            {"num_beams": 3, "num_return_sequences": 2},
            {"num_beams": 3, "eos_token_id": ENDS, "return_tensors": True},
            {"add_special_tokens": False, "repetition_penalty": 1.5, "skip_special_tokens": False},
            {"truncation": True, "tokenizer_encode_kwargs": {"max_length": 4}},
        ],
        ids=str,
    )
    def test_options(self, options: dict[str, Any], llama: Any, theirs: Any) -> None:
        given = {**GREEDY, **options}
        given = {name: value for name, value in given.items() if value is not None}
        ours = dict(given)
        if "return_type" in given:
            from transformers.pipelines.text_generation import ReturnType as Theirs

            given["return_type"], ours["return_type"] = Theirs.TENSORS, ReturnType.TENSORS
        expected = theirs(PROMPTS[:6], **given)
        assert llama(PROMPTS[:6], **ours) == expected
        assert [llama(prompt, **ours) for prompt in PROMPTS[:6]] == expected

    @pytest.mark.parametrize(
        "options", [{}, {"max_new_tokens": 9, "top_k": 5}, {"max_new_tokens": 9, "num_return_sequences": 3}], ids=str
    )
    def test_drawing(self, options: dict[str, Any], llama: Any, theirs: Any) -> None:
        found = []
        for pipe in (theirs, llama):
            torch.manual_seed(3)
            found.append(pipe("the cat", **options))
        assert found[0] == found[1]

    @pytest.mark.parametrize("options", [{}, {"return_full_text": False}, {"continue_final_message": True}], ids=str)
    def test_chats(self, options: dict[str, Any], llama: Any, theirs: Any) -> None:
        for chat in (CHAT, OPEN, [CHAT, OPEN, CHAT]):
            assert llama(chat, **GREEDY, **options) == theirs(chat, **GREEDY, **options)

    def test_an_empty_prompt(self, llama: Any, theirs: Any) -> None:
        options = {**GREEDY, "add_special_tokens": False, "return_full_text": False}
        assert llama("", **options) == theirs("", **options)

    def test_the_hole(self, gpt2: Any, folders: dict[str, Path]) -> None:
        options = {"do_sample": False, "max_new_tokens": 20, "handle_long_generation": "hole"}
        long = "b" * 120
        assert gpt2(long, **options) == reference(folders["GPT2LMHeadModel"])(long, **options)
        with pytest.raises(InputError, match="'hole' leaves no token of a prompt of 121 beside 96 new ones, of 96"):
            gpt2(long, **{**options, "max_new_tokens": 96})


class TestUsualValues:
    def test_the_model_says(self, folders: dict[str, Path]) -> None:
        pipe = pipeline("text-generation", model=folders["LlamaForCausalLM"])
        assert pipe.asked({}) == {"max_new_tokens": 256, "do_sample": True, "temperature": 0.7}
        assert pipe.asked({"do_sample": False}) == {"do_sample": False, "max_new_tokens": 256}
        assert "max_new_tokens" not in pipe.asked({"max_length": 9})
        pipe.model.generation_config.update(do_sample=False, max_length=30)
        assert pipe.asked({}) == {}
        assert len(pipe("the", return_tensors=True)[0]["generated_token_ids"]) == 30

    def test_task_specific_params(self, folders: dict[str, Path]) -> None:
        pipe = pipeline("text-generation", model=folders["LlamaForCausalLM"])
        pipe.model.config.task_specific_params = {"text-generation": {"do_sample": True, "max_length": 15}}
        assert pipe.asked({}) == {"do_sample": True, "max_length": 15}
        assert pipe.asked({"max_new_tokens": 3}) == {"do_sample": True, "max_new_tokens": 3}
        assert len(pipe("the", return_tensors=True)[0]["generated_token_ids"]) <= 15

    def test_a_usual_length_is_no_longer_than_the_model(self, gpt2: Any) -> None:
        for prompt in ("the", "b" * 90):
            ids = gpt2(prompt, do_sample=False, return_tensors=True)[0]["generated_token_ids"]
            assert len(ids) == 97 or ids[-1] == 1

    def test_of_the_constructor_and_of_the_call(self, folders: dict[str, Path]) -> None:
        pipe = pipeline("text-generation", model=folders["LlamaForCausalLM"], return_tensors=True, **GREEDY)

        def written(**options: Any) -> int:
            return len(pipe(" the", **options)[0]["generated_token_ids"]) - 2

        assert written() == 12 and written(max_new_tokens=5) == 5
        assert written(generation_config=GenerationConfig(max_new_tokens=7, do_sample=False)) == 7


class TestAmongOthers:
    def test_a_seed_is_of_a_text(self, llama: Any) -> None:
        options = {"max_new_tokens": 9, "do_sample": True}
        alone = [llama(prompt, seed=5 + n, **options) for n, prompt in enumerate(PROMPTS)]
        assert llama(PROMPTS, seed=5, **options) == alone
        assert llama(PROMPTS, seed=5, batch_size=2, **options) == alone
        assert (
            list(llama(iter([*PROMPTS[:3], None, *PROMPTS[4:]]), seed=5, on_error="return", **options))[4:] == alone[4:]
        )

    def test_the_next_joins_as_one_ends(self, llama: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        passes: list[int] = []
        feed = continuous.Runner.feed

        def counted(self: Any, slots: Any, *rest: Any) -> Any:
            passes.append(len(slots))
            return feed(self, slots, *rest)

        monkeypatch.setattr(continuous.Runner, "feed", counted)
        found = llama(PROMPTS, do_sample=False, max_length=80, batch_size=4, return_tensors=True)
        lengths = [len(llama.tokenizer(prompt)["input_ids"]) for prompt in PROMPTS]
        new = [len(one[0]["generated_token_ids"]) - length for one, length in zip(found, lengths, strict=True)]
        assert len(set(new)) > 9 and max(passes) == 4
        # each of four places is free until its next prompt only, which is a pass of its own
        assert len(passes) < sum(new) / 4 + len(new) + max(new)
        assert len(passes) < sum(max(new[i : i + 4]) for i in range(0, len(new), 4)) + len(new)

    def test_a_dataset_is_read_a_bounded_distance_ahead(self, llama: Any) -> None:
        rows = Rows(PROMPTS * 40)
        results = llama(rows, **GREEDY)
        assert rows.read == 0 and len(results) == len(rows)
        first = list(islice(iter(results), 3))
        assert rows.read <= 256
        assert first == llama(PROMPTS[:3], **GREEDY)

    def test_a_generator_may_wait_for_the_last_result(self, llama: Any) -> None:
        answers: queue.Queue[Any] = queue.Queue()

        def requests() -> Iterator[Any]:
            yield "the cat"
            for prompt in ("and", None, "the"):
                answers.get(timeout=20)
                yield prompt

        found = []
        for result in llama(requests(), on_error="return", **GREEDY):
            found.append(result)
            answers.put(result)
        assert [type(one) for one in found] == [list, list, InputError, list]

    def test_batch_size_one_reads_one_result_one(self, llama: Any) -> None:
        read: list[str] = []
        results = llama((read.append(prompt) or prompt for prompt in PROMPTS), batch_size=1, **GREEDY)
        for count in (1, 2, 3):
            next(results)
            assert len(read) == count

    def test_an_error_of_the_generator_comes_after_the_results_before_it(self, llama: Any) -> None:
        def broken() -> Iterator[str]:
            yield from PROMPTS
            raise RuntimeError("the disk is gone")

        results = llama(broken(), **GREEDY)
        assert [next(results) for _ in PROMPTS] == llama(PROMPTS, **GREEDY)
        with pytest.raises(RuntimeError, match="the disk is gone"):
            next(results)

    def test_gradients_of_the_caller_are_left_alone(self, llama: Any) -> None:
        for _ in llama((prompt for prompt in PROMPTS[:3]), **GREEDY):
            assert torch.is_grad_enabled() and not torch.is_inference_mode_enabled()

    def test_a_bar_with_the_pace(
        self, llama: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr("formers.pipelines.streams._BAR_AFTER_S", 0.0)
        monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
        monkeypatch.setattr(tqdm, "__init__", functools.partialmethod(tqdm.__init__, mininterval=0, miniters=1))
        postprocess = type(llama).postprocess
        monkeypatch.setattr(type(llama), "postprocess", lambda *a, **k: [time.sleep(0.02), postprocess(*a, **k)][1])
        llama(PROMPTS, **GREEDY)
        assert "tokens/s" in capsys.readouterr().err
        llama(PROMPTS[0], **GREEDY)
        assert capsys.readouterr().err == ""


class TestGenerate:
    """What does not go with texts that join each other."""

    def test_a_streamer(self, llama: Any, capsys: pytest.CaptureFixture[str]) -> None:
        streamer = formers.TextStreamer(llama.tokenizer, skip_prompt=True, skip_special_tokens=True)
        written = llama("the cat", streamer=streamer, return_full_text=False, **GREEDY)
        assert capsys.readouterr().out == written[0]["generated_text"] + "\n"

    def test_an_assistant(self, folders: dict[str, Path], llama: Any) -> None:
        folder = folders["LlamaForCausalLM"]
        helped = pipeline("text-generation", model=folder, assistant_model=str(folder))
        assert helped(PROMPTS[:3], **GREEDY) == llama(PROMPTS[:3], **GREEDY)
        assert llama(PROMPTS[:3], prompt_lookup_num_tokens=3, **GREEDY) == llama(PROMPTS[:3], **GREEDY)

    def test_processors_and_criteria_see_whole_texts(self, llama: Any) -> None:
        seen = []
        stop = [lambda ids, scores: seen.append(ids.shape) or ids.shape[1] >= 8]
        found = llama(["the", "a"], stopping_criteria=stop, return_tensors=True, **GREEDY)
        assert [len(one[0]["generated_token_ids"]) for one in found] == [8, 8]
        assert {shape[0] for shape in seen} == {1}

    def test_scores(self, llama: Any) -> None:
        options = {**GREEDY, "num_beams": 3, "num_return_sequences": 2}
        found = llama("the", output_scores=True, return_dict_in_generate=True, **options)
        assert [set(record) for record in found] == [{"generated_text", "sequences_scores", "beam_indices"}] * 2
        assert found[0]["sequences_scores"] >= found[1]["sequences_scores"]


class TestErrors:
    @pytest.mark.parametrize(
        ("prompt", "said"),
        [
            (None, r"is None; a text \(str\) is needed"),
            (b"the", "is bytes"),
            ([["the"]], "is a list of str; a prompt"),
            ([{"role": "user", "content": "a"}, {"rule": "user"}], "message 1 has 'rule'; a message of a chat has a"),
            ({"role": "user", "content": "a"}, "give a list with it as its only message"),
            ({"text": "a"}, "give a str, or a list of messages"),
            ("\ud800", "half of a surrogate pair"),
        ],
    )
    def test_prompts(self, prompt: Any, said: str, llama: Any) -> None:
        with pytest.raises(InputError, match=said):
            llama(prompt, **GREEDY)

    @pytest.mark.parametrize(
        ("options", "said"),
        [
            ({"max_new_token": 3}, "has no argument 'max_new_token'. Did you mean 'max_new_tokens'"),
            ({"return_text": True, "return_full_text": True}, "return_full_text and return_text say"),
            ({"return_text": True, "return_tensors": True}, "return_text and return_tensors say"),
            ({"handle_long_generation": "cut"}, "handle_long_generation='cut' is not 'hole'"),
            ({"temperature": 0.0}, "temperature=0.0"),
            ({"num_return_sequences": 2, "do_sample": False}, "num_return_sequences=2: the best token each time"),
        ],
    )
    def test_arguments(self, options: dict[str, Any], said: str, llama: Any) -> None:
        with pytest.raises((ArgumentError, InputError), match=said):
            llama("the", **options)

    def test_a_prompt_that_is_too_long(self, gpt2: Any) -> None:
        long = "b" * 120
        with pytest.raises(
            InputError, match=r"inputs\[1\]: A prompt has 121 tokens, but the model has positions for 96"
        ):
            gpt2(["the", long], do_sample=False)
        found = gpt2(["the", long, "a"], on_error="return", **GREEDY)
        assert [type(one) for one in found] == [list, InputError, list] and "inputs[1]" in str(found[1])
        with pytest.raises(InputError, match=r"A prompt of 91 tokens and 12 new ones"):
            gpt2("b" * 90, **GREEDY)
        assert gpt2(long, truncation=True, max_new_tokens=1, do_sample=False)

    def test_a_chat_without_a_template(self, tmp_path: Path) -> None:
        plain = pipeline("text-generation", model=writers.write(tmp_path, template=False))
        with pytest.raises(InputError, match=r"has no chat template. Set tokenizer.chat_template"):
            plain(CHAT, **GREEDY)

    def test_an_empty_prompt_and_no_first_token(self, folders: dict[str, Path]) -> None:
        pipe = pipeline("text-generation", model=folders["LlamaForCausalLM"])
        pipe.model.generation_config.bos_token_id, pipe.tokenizer.bos_token = None, None
        with pytest.raises(InputError, match="The input is empty, and there is no bos_token_id"):
            pipe("", add_special_tokens=False, **GREEDY)

    def test_a_model_that_writes_nothing(self, llama: Any) -> None:
        body = formers.LlamaModel(llama.model.config)
        with pytest.raises(HeadError, match=r"LlamaModel writes no texts.*AutoModelForCausalLM loads one"):
            TextGenerationPipeline(model=body, tokenizer=llama.tokenizer)

    def test_logits_that_are_not_finite(self, folders: dict[str, Path]) -> None:
        pipe = pipeline("text-generation", model=folders["LlamaForCausalLM"])
        with torch.no_grad():
            pipe.model.lm_head.weight.fill_(float("nan"))
        with pytest.raises(InputError, match="not finite"):
            pipe(["the", "a"], **GREEDY)


def test_a_class_of_ones_own(llama: Any) -> None:
    class Shouting(TextGenerationPipeline):
        def postprocess(self, model_outputs: Any, **parameters: Any) -> Any:
            return [one["generated_text"].upper() for one in super().postprocess(model_outputs, **parameters)]

    class Counting(TextGenerationPipeline):
        def _forward(self, model_inputs: Any, **options: Any) -> Any:
            ids = self.model.generate(model_inputs["input_ids"], **self.asked(options))
            return {**model_inputs, "generated_sequence": ids[None]}

    expected = [one[0]["generated_text"] for one in llama(PROMPTS[:3], **GREEDY)]
    parts = {"model": llama.model, "tokenizer": llama.tokenizer}
    assert Shouting(**parts)(PROMPTS[:3], **GREEDY) == [[text.upper()] for text in expected]
    assert [one[0]["generated_text"] for one in Counting(**parts)(PROMPTS[:3], **GREEDY)] == expected


def test_a_model_of_the_reference(theirs: Any, llama: Any) -> None:
    pipe = TextGenerationPipeline(model=theirs.model, tokenizer=llama.tokenizer)
    assert pipe(PROMPTS[:3], **GREEDY) == llama(PROMPTS[:3], **GREEDY)


def test_the_space_after_a_prompt(folders: dict[str, Path], tmp_path: Path, llama: Any) -> None:
    """Decoders of SentencePiece's words take a text's first space away, and what was written is a text of its own."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    words = ["<s>", "</s>", "<pad>", *(f"▁w{number}" for number in range(300))]
    tokenizer = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token="<s>"))
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "tokenizer_config.json").write_text('{"tokenizer_class": "PreTrainedTokenizerFast"}')
    ours = pipeline("text-generation", model=llama.model, tokenizer=str(tmp_path))
    found = ours("w5 w6", **GREEDY)[0]["generated_text"]
    assert found.startswith("w5 w6 w")
    assert ours("w5 w6", return_full_text=False, **GREEDY)[0]["generated_text"] == found.removeprefix("w5 w6")
