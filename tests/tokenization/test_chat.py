"""Chat templates: the reference's texts and ids, files, errors, and bounds for templates that have none."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from tokenization.classes import BertTokenizer

import formers
from formers.tokenization import templates

CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + "
    "'\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
LLAMA_2 = """{% if messages[0]['role'] == 'system' %}{% set loop_messages = messages[1:] %}
{% set system_message = messages[0]['content'] %}{% else %}{% set loop_messages = messages %}
{% set system_message = false %}{% endif %}
{% for message in loop_messages %}
{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}
{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}
{% endif %}
{% if loop.index0 == 0 and system_message != false %}
{% set content = '<<SYS>>\\n' + system_message + '\\n<</SYS>>\\n\\n' + message['content'] %}
{% else %}{% set content = message['content'] %}{% endif %}
{% if message['role'] == 'user' %}{{ sep_token ~ '[INST] ' ~ content.strip() ~ ' [/INST]' }}
{% elif message['role'] == 'assistant' %} {% generation %}{{ content.strip() + ' ' + cls_token }}{% endgeneration %}
{% endif %}{% endfor %}"""
TOOLS = """{%- macro shown(tool) -%}{{ tool.name }}: {{ tool | tojson(indent=2) }}{%- endmacro -%}
{%- set ns = namespace(calls=0) -%}
{%- for tool in tools or [] %}{{ shown(tool.function) }}
{% endfor -%}
{%- for document in documents or [] %}[{{ document.title | upper }}] {{ document['text'] }}{% endfor -%}
{%- for message in messages if message.role != 'system' -%}
{%- if message.tool_calls is defined %}{% set ns.calls = ns.calls + message.tool_calls | length %}
<call>{{ message.tool_calls[0] | tojson }}</call>
{%- elif loop.last and message.content is not string %}{{ message.content | map(attribute='text') | join('|') }}
{%- else %}{{ message.role.title() ~ ': ' ~ message.content | trim | replace('a', 'ä') }}{% endif %}
{%- if loop.index > 50 %}{% break %}{% endif %}{{ '%s %d;' % (enabled, ns.calls) }}
{%- endfor %}{{ dict(a=1, b=[2]).items() | list }}"""
CHAT = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "  what is a film ? "},
    {"role": "assistant", "content": "a good one", "name": None},
    {"role": "user", "content": "why ?  "},
]
TOOL = {"type": "function", "function": {"name": "now", "description": "the <time>", "parameters": {"é": [1, None]}}}
CALL = [*CHAT[:2], {"role": "assistant", "tool_calls": [{"name": "now", "arguments": {}}], "content": None}]


@pytest.fixture(scope="module")
def pair(pairs: Any, folders: Any) -> tuple[Any, Any]:
    ours = BertTokenizer.from_pretrained(folders["uncased"])
    return ours, transformers.BertTokenizer.from_pretrained(folders["uncased"])


@pytest.mark.parametrize("template", [CHATML, LLAMA_2, TOOLS])
@pytest.mark.parametrize("prompt", [False, True])
def test_beside_the_reference(pair: tuple[Any, Any], template: str, prompt: bool) -> None:
    more = {"documents": [{"title": "t", "text": "x"}], "tools": [TOOL], "enabled": True} if template == TOOLS else {}
    given = {"chat_template": template, "add_generation_prompt": prompt, **more}
    chats = [CHAT, CHAT[1:], CALL] if template == TOOLS else [CHAT, CHAT[1:]]
    ours, theirs = (
        [
            tokenizer.apply_chat_template(chats[0], tokenize=False, **given),
            tokenizer.apply_chat_template(chats, tokenize=False, **given),
            dict(tokenizer.apply_chat_template(chats[0], **given)),
            tokenizer.apply_chat_template(chats, return_dict=False, **given),
            tokenizer.apply_chat_template(chats, padding=True, truncation=True, max_length=9, **given)["input_ids"],
            tokenizer.apply_chat_template(chats, padding=True, return_tensors="pt", **given)["input_ids"].tolist(),
        ]
        for tokenizer in pair
    )
    assert ours == theirs


@pytest.mark.parametrize("template", [CHATML, LLAMA_2])
@pytest.mark.parametrize("last", ["the answer is  ", "a", [{"type": "text", "text": "so "}]])
def test_going_on(pair: tuple[Any, Any], template: str, last: Any) -> None:
    chat = [CHAT[1], {"role": "assistant", "content": last}]
    if not isinstance(last, str):
        template = "{% for m in messages %}{{ m.content if m.content is string else m.content[0].text }}!{% endfor %}"
    ours, theirs = (
        tokenizer.apply_chat_template(chat, chat_template=template, continue_final_message=True, tokenize=False)
        for tokenizer in pair
    )
    assert ours == theirs and chat[1]["content"] == last
    with pytest.raises(ValueError, match="exclude each other"):
        pair[0].apply_chat_template(chat, continue_final_message=True, add_generation_prompt=True)
    with pytest.raises(ValueError, match="does not hold the last message"):
        pair[0].apply_chat_template(chat, chat_template="{{ 1 }}", continue_final_message=True)


def test_what_the_assistant_says(pair: tuple[Any, Any]) -> None:
    given = {"chat_template": LLAMA_2, "return_assistant_tokens_mask": True}
    for chats in (CHAT, [CHAT, CHAT[1:3]]):
        ours, theirs = (dict(tokenizer.apply_chat_template(chats, **given)) for tokenizer in pair)
        assert ours == theirs
    tensors = pair[0].apply_chat_template(CHAT, return_tensors="pt", **given)
    assert isinstance(tensors["assistant_masks"], torch.Tensor) and tensors["assistant_masks"].sum() == 4


def test_files(tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "vocab.txt").write_text((tiny / "vocab.txt").read_text())

    def text(folder: Path = tmp_path, **given: Any) -> str:
        return str(BertTokenizer.from_pretrained(folder).apply_chat_template(CHAT, tokenize=False, **given))

    config = tmp_path / "tokenizer_config.json"
    config.write_text(json.dumps({"chat_template": "config"}))
    assert text() == "config"
    config.write_text(
        json.dumps({"chat_template": [{"name": "default", "template": "one"}, {"name": "tool_use", "template": "two"}]})
    )
    assert (text(), text(tools=[TOOL]), text(chat_template="tool_use"), text(chat_template="x")) == (
        "one", "two", "two", "x",
    )  # fmt: skip
    BertTokenizer.from_pretrained(tmp_path).save_pretrained(tmp_path / "saved")
    assert text(tmp_path / "saved", tools=[TOOL]) == "two"
    theirs = transformers.BertTokenizer.from_pretrained(tmp_path / "saved")
    assert theirs.chat_template == {"default": "one", "tool_use": "two"}
    (tmp_path / "chat_template.json").write_text(json.dumps({"chat_template": "json"}))
    assert text() == "json"
    (tmp_path / "chat_template.jinja").write_text("jinja")
    assert text() == "jinja"
    (tmp_path / "additional_chat_templates").mkdir()
    (tmp_path / "additional_chat_templates" / "rag.jinja").write_text("rag")
    assert (text(), text(chat_template="rag")) == ("jinja", "rag")
    ours = BertTokenizer.from_pretrained(tiny)
    ours.chat_template = "{{ mask_token }}"
    for folder in (tmp_path / "saved", tmp_path):
        ours.save_pretrained(folder)
        assert text(folder) == "[MASK]"
    assert transformers.BertTokenizer.from_pretrained(tmp_path / "saved").chat_template == "{{ mask_token }}"
    assert ours.train_new_from_iterator(["a"], 20, show_progress=False).chat_template == "{{ mask_token }}"
    theirs.save_pretrained(tmp_path / "theirs")
    assert text(tmp_path / "theirs", tools=[TOOL]) == "two"


def test_errors_name_the_file(tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "vocab.txt").write_text((tiny / "vocab.txt").read_text())
    with pytest.raises(formers.InputError, match="has no chat template"):
        BertTokenizer.from_pretrained(tmp_path).apply_chat_template(CHAT)
    for contents, kind, said in (
        ("{% for %}", formers.TokenizerError, "line 1 fails"),
        ("a\n{{ 'a' + 1 }}", formers.TokenizerError, "fails"),
        ("{{ messages[0].nothing.more }}", formers.TokenizerError, "fails.*nothing"),
        ("{{ raise_exception('No system\x1b!') }}", formers.InputError, r"does not take this.*No system\\x1b!"),
        ("{{ ''.__class__.__mro__ }}", formers.TokenizerError, "unsafe"),
        ("{% set n = namespace(__x=1) %}", formers.TokenizerError, "begins with"),
        ("{% include 'tokenizer_config.json' %}", formers.TokenizerError, "fails"),
    ):
        (tmp_path / "chat_template.jinja").write_text(contents)
        with pytest.raises(kind, match=f"(?s)chat_template.jinja.*{said}"):
            BertTokenizer.from_pretrained(tmp_path).apply_chat_template(CHAT)
    (tmp_path / "chat_template.jinja").unlink()
    for wrong in (5, ["a"], [{"name": "a"}], {"a": 1}):
        (tmp_path / "tokenizer_config.json").write_text(json.dumps({"chat_template": wrong}))
        with pytest.raises(formers.TokenizerError, match=r"tokenizer_config\.json.*chat_template"):
            BertTokenizer.from_pretrained(tmp_path)
    ours = BertTokenizer.from_pretrained(tiny, chat_template=CHATML)
    for chat in ([], "a", ["a"], [["a"]], None):
        with pytest.raises(formers.InputError, match=r"conversation|Message 0"):
            ours.apply_chat_template(chat)
    with pytest.raises(formers.ArgumentError, match=r"tools\[0\] is a function.*JSON schema"):
        ours.apply_chat_template(CHAT, tools=[lambda: 1])


def test_objects_are_not_shown_to_templates(pair: tuple[Any, Any]) -> None:
    class Writer:
        def save(self) -> str:
            return "written"

    chat = [{"role": "user", "content": "a", "image": Writer(), "size": torch.tensor(1)}]
    given = {"chat_template": "{{ messages[0].image }} {{ messages[0].size }}", "tokenize": False}
    ours, theirs = (tokenizer.apply_chat_template(chat, **given) for tokenizer in pair)
    assert ours == theirs == "<Writer> <Tensor>"


DOUBLED = "{% set x = namespace(a=['ab']) %}{% for a in range(60) %}{% set x.a = [x.a, x.a] %}{% endfor %}"
ENDLESS = {
    "loops": "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
    "loops that pass over all": "{% for a in range(99999) %}"
    "{% for b in range(99999) if false %}{% endfor %}{% endfor %}",
    "loops that hide the clock": "{% set tick = namespace %}{% for a in range(99999) %}"
    "{% for b in range(99999) %}{% endfor %}{% endfor %}",
    "macros": "{% macro f(n) %}{{ f(n-1) if n }}{{ f(n-1) if n }}{% endmacro %}{{ f(60) }}",
}
HUGE = [
    "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "{{ 'a' * 10**11 }}", "{{ 7 ** (9 ** 9) }}",
    "{% set x = namespace(a='a') %}{% for i in range(60) %}{% set x.a = x.a + x.a %}{% endfor %}",
    "{% set x = namespace(a='a') %}{% for i in range(60) %}{% set x.a = x.a ~ x.a %}{% endfor %}",
    *(DOUBLED + end for end in ("{{ x.a }}", "{{ x.a | string | length }}", "{{ x.a | tojson }}", "{{ '%s' % x.a }}")),
    "{{ 'a' | center(10**11) }}", "{{ 'a'.ljust(10**11) }}", "{{ '%99999999999d' % 1 }}", "{{ '%*d' % (10**11, 1) }}",
    "{{ '{:>99999999999}'.format(1) }}", "{{ '%99999999999d' | format(1) }}", "{{ range(10**9) | list }}",
    "{% set a = 'a' * 100000 %}{{ a.replace('a', a) }}", "{% set a = 'a' * 100000 %}{{ a | replace('a', a) }}",
    "{{ range(99999) | join('a' * 99999) }}", "{{ range(99999) | map('center', 99999) | join }}",
    "{{ ('a\n' * 99999) | indent(99999) }}", "{{ [[1]] | tojson(indent=10**11) }}",
    "{{ [1] | batch(10**11, 1) | list }}",
    "{{ ('\\t' * 99999).expandtabs(99999) }}", "{% for i in range(99999) %}{{ 'a' * 99999 }}{% endfor %}",
    "{% if 1 %}" * 3000 + "{% endif %}" * 3000, "{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}", "a" * 300_000,
]  # fmt: skip


@pytest.mark.parametrize("name", ENDLESS)
def test_templates_that_take_for_ever(pair: tuple[Any, Any], name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(templates, "SECONDS", 0.2)
    start = time.perf_counter()
    with pytest.raises(formers.TokenizerError, match="takes more than"):
        pair[0].apply_chat_template(CHAT, chat_template=ENDLESS[name])
    assert time.perf_counter() - start < 2


@pytest.mark.parametrize("template", HUGE)
def test_templates_that_make_too_much(pair: tuple[Any, Any], template: str) -> None:
    start = time.perf_counter()
    with pytest.raises(formers.TokenizerError, match="chat template"):
        pair[0].apply_chat_template(CHAT, chat_template=template)
    assert time.perf_counter() - start < 2
