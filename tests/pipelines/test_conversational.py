"""conversational: what Transformers 4.20 reads, cuts and answers; the answers are those of the reference's generate."""

from __future__ import annotations

import logging
import uuid
from pathlib import Path
from typing import Any

import pytest
import torch
import writers

import formers
from formers import Conversation, ConversationalPipeline, pipeline
from formers.errors import ArgumentError, HeadError, InputError

EOS = 1


@pytest.fixture(scope="module", params=["BartForConditionalGeneration", "GPT2LMHeadModel"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return writers.write(tmp_path_factory.mktemp("talks") / request.param, request.param, template=False)


@pytest.fixture(scope="module")
def pipe(folder: Path) -> Any:
    return pipeline("conversational", model=folder)


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> Any:
    formers.logging.logger.addHandler(caplog.handler)
    caplog.set_level(logging.WARNING, "formers")
    yield caplog
    formers.logging.logger.removeHandler(caplog.handler)


def answer(folder: Path, tokenizer: Any, ids: list[int], **options: Any) -> str:
    """What the reference writes after these ids, as text."""
    import transformers

    writes_on = "GPT2" in str(folder)
    kind = transformers.AutoModelForCausalLM if writes_on else transformers.AutoModelForSeq2SeqLM
    prompt = torch.tensor([ids])
    found = kind.from_pretrained(folder).generate(prompt, attention_mask=torch.ones_like(prompt), **options)[0]
    new = found[len(ids) :] if writes_on else found
    return str(tokenizer.decode(new.tolist(), skip_special_tokens=True, clean_up_tokenization_spaces=True))


class TestAnswers:
    def test_turns(self, pipe: Any, folder: Path, said: Any) -> None:
        """Each text is followed by an end; a long conversation loses its begin, and this is said."""
        talk, ids, options = Conversation("the cat ."), [], {"max_length": 40}
        for turn, more in enumerate(("the mat ?", "and , the cat " * 3, "")):
            waiting = talk.new_user_input
            ids += [*pipe.tokenizer.encode(waiting, add_special_tokens=False), EOS]
            expected = answer(folder, pipe.tokenizer, ids[-30:], **options)
            assert pipe(talk, **options) is talk
            assert talk.generated_responses[turn] == expected and talk.past_user_inputs[turn] == waiting
            assert ("max_length=40 with minimum_tokens=10" in said.text) == (len(ids) > 30)
            ids += [*pipe.tokenizer.encode(expected, add_special_tokens=False), EOS]
            talk.add_user_input(more)
        assert len(ids) > 80

    def test_minimum_tokens(self, pipe: Any, folder: Path) -> None:
        text = "the cat sat " * 12
        ids = [*pipe.tokenizer.encode(text, add_special_tokens=False), EOS]
        for least in (5, 25):
            found = pipe(Conversation(text), max_length=33, minimum_tokens=least, min_length_for_response=9)
            expected = answer(folder, pipe.tokenizer, ids[-(33 - least) :], max_length=33)
            assert found.generated_responses == [expected]
        with pytest.raises(InputError, match="max_length=33 with minimum_tokens=33 leaves no room"):
            pipe(Conversation(text), max_length=33, minimum_tokens=33)

    def test_a_length_that_nobody_gives(self, pipe: Any, folder: Path) -> None:
        text = "the cat sat " * 50
        ids = [*pipe.tokenizer.encode(text, add_special_tokens=False), EOS]
        writes_on = "GPT2" in str(folder)
        kept = ids[-86:] if writes_on else ids[-96:]
        expected = answer(folder, pipe.tokenizer, kept, max_new_tokens=11 if writes_on else 96)
        if writes_on:  # 97 tokens, of which the last is never read, are one more than Transformers takes
            shorter = answer(folder, pipe.tokenizer, kept, max_new_tokens=10)
            assert pipe(Conversation(text)).generated_responses[0].startswith(shorter)
        else:
            assert pipe(Conversation(text)).generated_responses == [expected]

    def test_lists(self, pipe: Any) -> None:
        texts = ["the", "a cat", "on the mat, the cat"]
        alone = [pipe(Conversation(text), max_length=25).generated_responses for text in texts]
        for size in (None, 2):
            talks = [Conversation(text) for text in texts]
            found = pipe(talks, max_length=25, batch_size=size)
            assert all(one is talk for one, talk in zip(found, talks, strict=True))
            assert [talk.generated_responses for talk in talks] == alone
        assert pipe([Conversation("the")], max_length=25).generated_responses == alone[0]
        stream = pipe((Conversation(text) for text in texts), max_length=25)
        assert [talk.generated_responses for talk in stream] == alone

    def test_chats(self, pipe: Any) -> None:
        chat = [{"role": "user", "content": "the"}]
        assert pipe(chat, max_length=25).messages == pipe(Conversation("the"), max_length=25).messages

    def test_what_the_configuration_says(self, folder: Path) -> None:
        model = pipeline("conversational", model=folder).model
        model.config.task_specific_params = {"conversational": {"max_length": 25, "num_beams": 2}}
        tokenizer = formers.AutoTokenizer.from_pretrained(folder)
        pipe = pipeline("conversational", model=model, tokenizer=tokenizer)
        ids = [*tokenizer.encode("the cat", add_special_tokens=False), EOS]
        expected = answer(folder, tokenizer, ids, max_length=25, num_beams=2)
        assert pipe(Conversation("the cat")).generated_responses == [expected]

    def test_a_template(self, tmp_path: Path) -> None:
        folder = writers.write(tmp_path)
        pipe = pipeline("conversational", model=folder)
        talk = Conversation([{"role": "system", "content": "a"}, {"role": "user", "content": "the cat"}])
        chat = pipeline("text-generation", model=folder)(
            list(talk.messages), max_new_tokens=9, do_sample=False, return_full_text=False
        )
        assert pipe(talk, max_new_tokens=9).generated_responses == [chat[0]["generated_text"]]

    def test_a_tokenizer_that_joins_turns(self, pipe: Any, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        seen: list[Any] = []

        def build(talk: Conversation) -> list[int]:
            seen.append(list(talk.iter_texts()))
            return [30, 40, 50]

        monkeypatch.setattr(pipe.tokenizer, "_build_conversation_input_ids", build, raising=False)
        talk = pipe(Conversation("c", None, ["a"], ["b"]), max_length=20)
        assert seen == [[(True, "a"), (False, "b"), (True, "c")]]
        assert talk.generated_responses[1] == answer(folder, pipe.tokenizer, [30, 40, 50], max_length=20)


def test_blenderbot_joins_turns(tmp_path: Path) -> None:
    """The ids are those of Transformers 4.20.1."""
    import json

    from tokenizers import pre_tokenizers

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", *alphabet, "Ġc", "Ġca", "Ġcat", "ĠĠ"]
    (tmp_path / "vocab.json").write_text(json.dumps({token: i for i, token in enumerate(tokens)}))
    (tmp_path / "merges.txt").write_text("#version: 0.2\nĠ c\nĠc a\nĠca t\nĠ Ġ\n")
    tokenizer = formers.BlenderbotTokenizer.from_pretrained(tmp_path)
    talk = Conversation("a cat ", past_user_inputs=["hi", "cat cat"], generated_responses=["yo", " cat!"])
    expected = [225, 76, 77, 225, 225, 93, 83, 264, 263, 263, 264, 263, 5, 264, 225, 69, 263, 225, 2]
    assert tokenizer._build_conversation_input_ids(talk) == expected
    assert tokenizer._build_conversation_input_ids(Conversation("cat")) == [263, 2]


class TestConversation:
    def test_turns(self, said: Any) -> None:
        number = uuid.uuid4()
        talk = Conversation("hi", number, past_user_inputs=["a", "b"], generated_responses=["x", "y"])
        assert (talk.past_user_inputs, talk.generated_responses, talk.new_user_input) == (["a", "b"], ["x", "y"], "hi")
        assert [*talk.iter_texts()] == [(True, "a"), (False, "x"), (True, "b"), (False, "y"), (True, "hi")]
        lines = [f"Conversation id: {number}", "user >> a", "bot >> x", "user >> b", "bot >> y", "user >> hi"]
        assert repr(talk) == "".join(f"{line} \n" for line in lines)
        talk.add_user_input("two")
        assert talk.new_user_input == "hi" and "'two' is left out, because 'hi' is unanswered" in said.text
        talk.add_user_input("three", overwrite=True)
        assert talk.new_user_input == "three" and "'hi', which is unanswered, is replaced by 'three'" in said.text
        talk.mark_processed()
        assert (talk.past_user_inputs, talk.new_user_input) == (["a", "b", "three"], None)
        talk.append_response("r")
        talk.mark_processed()
        assert talk.generated_responses == ["x", "y", "r"] and talk.past_user_inputs == ["a", "b", "three"]
        talk.add_user_input("more")
        assert talk.new_user_input == "more" and len(talk) == 7 and talk[-1] == {"role": "user", "content": "more"}

    def test_messages(self) -> None:
        chat = [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}]
        talk = Conversation(messages=chat)
        assert [*talk] == talk.messages == chat and talk.new_user_input == "u" and talk.past_user_inputs == []
        talk.add_message({"role": "assistant", "content": "q"})
        assert talk.new_user_input is None and talk.past_user_inputs == ["u"] and len(chat) == 2

    def test_equality(self) -> None:
        talk = Conversation("hi")
        assert talk == Conversation("hi") and talk == Conversation("ho", talk.uuid)
        assert talk != Conversation("ho") and talk != 3

    def test_errors(self) -> None:
        with pytest.raises(InputError, match="2 past_user_inputs and 0 generated_responses"):
            Conversation("a", past_user_inputs=["a", "b"])
        with pytest.raises(ArgumentError, match="text and messages"):
            Conversation("a", messages="b")
        for message in ({"role": "user"}, {"role": "user", "content": "a", "more": 1}, "a"):
            with pytest.raises(InputError, match="a 'role' and a 'content', and nothing else"):
                Conversation().add_message(message)  # type: ignore[arg-type]
        with pytest.raises(InputError, match="'bad' and str"):
            Conversation().add_message({"role": "bad", "content": "a"})
        with pytest.raises(InputError, match="'user' and NoneType"):
            Conversation().add_user_input(None)  # type: ignore[arg-type]


class TestErrors:
    def test_what_is_no_conversation(self, pipe: Any) -> None:
        with pytest.raises(
            InputError, match=r'is \'hello\' \(str\); a Conversation is needed: Conversation\("Hello."\)'
        ):
            pipe("hello")
        with pytest.raises(InputError, match=r"inputs\[1\]: nothing in the Conversation waits.*add_user_input"):
            pipe([Conversation("a"), Conversation()])
        talk = Conversation("a")
        with pytest.raises(InputError, match="The same Conversation is there twice"):
            pipe([talk, talk], max_length=25)

    def test_arguments(self, pipe: Any) -> None:
        with pytest.raises(ArgumentError, match="Did you mean 'max_length'"):
            pipe(Conversation("a"), max_lenght=3)
        with pytest.raises(HeadError, match="BertModel writes no texts"):
            ConversationalPipeline(formers.BertModel(formers.BertConfig(**formers.models.bert.TINY)), pipe.tokenizer)
