"""image-text-to-text: what a model writes after a text with pictures in it, or as the answer in a chat with them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from ..config import longest_text
from ..errors import ArgumentError, HeadError, InputError
from ..generation.chain import eos_ids
from ..processing.processor import IMAGE_KEYS, images_of_chat
from ..processing.sources import is_source
from ..seeing import SeeingLM
from .base import Pipeline, Task
from .batches import collate, length_of
from .failures import place
from .images import check_pictures, in_turn, in_type, loaded, picture
from .prompts import answered, goes_on, is_chat, read_chat, read_prompt
from .text import _readable
from .text_generation import ReturnType
from .writing import LENGTHS, check_names, columns_written, not_none, refuse_healing

_NEW_TOKENS = 256  # where neither the call nor the model says how many
_OF_TEMPLATE = ("tools", "documents", "chat_template")
# of the processor's call, beside the settings of its image processor
_OF_PROCESSOR = ("padding", "truncation", "add_special_tokens", "text_kwargs", "images_kwargs", "common_kwargs")
# what would end texts of one batch at places that their tokens do not show, or draw them otherwise than alone
_ALONE = ("seed", "stop_strings", "max_length", "max_time", "stopping_criteria", "logits_processor")


class ImageTextToTextPipeline(Pipeline):
    """Texts that a model writes after texts with pictures in them; see ImagePipeline for what a picture is.

    An input is a prompt, in which the processor's `image_token` stands for each picture, with its pictures; a prompt
    without any; or a chat, a list of {"role": …, "content": …}, in whose content {"type": "image"} holds a picture as
    "image", "url", "path" or "base64", or stands for one that is given beside the chat.

    Args:
        processor: what makes the model's inputs of texts and pictures.
        max_new_tokens: how many tokens are written at most: 256 unless the call, or the model's generation_config, says
            otherwise.
        generate_kwargs: a dictionary of the arguments of `generate`; they may be given one by one too.
        stop_sequence: a text, or several, after which writing ends.
        return_full_text: False gives what was written, without the prompt or the chat.
        return_tensors: True gives {"generated_token_ids": …}, the prompt's among them.
        return_type: a ReturnType, which goes before these.
        continue_final_message: go on with a chat's last message; left out, where it is the assistant's.
        clean_up_tokenization_spaces, skip_special_tokens: as in `tokenizer.decode`; the second is True by default.
        processor_kwargs: a dictionary of the arguments of the processor; those of its image processor may be given one
            by one too.
        tools, documents, chat_template: for a chat's template.
        timeout: seconds to wait for a URL.
    """

    by_tokens = True
    read_at_once = 64

    def __init__(self, model: Any, tokenizer: Any = None, processor: Any = None, **kwargs: Any) -> None:
        if not callable(getattr(model, "generate", None)):
            raise HeadError(
                f"{type(model).__name__} writes no texts. image-text-to-text needs a model that does: "
                "AutoModelForImageTextToText loads one."
            )
        tokenizer = tokenizer or getattr(processor, "tokenizer", None)
        if not callable(processor) or not hasattr(tokenizer, "decode"):
            raise ArgumentError(
                f"{type(self).__name__} needs a processor of texts and pictures, got {type(processor).__name__}. Pass "
                "processor=AutoProcessor.from_pretrained(…), or use pipeline(…), which loads it by name."
            )
        super().__init__(model, tokenizer, processor=processor, **kwargs)

    def _sanitize_parameters(
        self,
        max_new_tokens: int | None = None,
        generate_kwargs: Mapping[str, Any] | None = None,
        timeout: float | None = None,
        return_full_text: bool | None = None,
        return_tensors: bool | None = None,
        return_type: ReturnType | None = None,
        clean_up_tokenization_spaces: bool | None = None,
        stop_sequence: str | list[str] | None = None,
        continue_final_message: bool | None = None,
        skip_special_tokens: bool | None = None,
        processor_kwargs: Mapping[str, Any] | None = None,
        **more: Any,
    ) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        if return_full_text is not None and return_tensors is not None and return_type is None:
            raise ArgumentError("return_full_text and return_tensors say what is returned; give one of them.")
        template = {name: more.pop(name) for name in _OF_TEMPLATE if name in more}
        images = {*getattr(getattr(self.processor, "image_processor", None), "keys", tuple)()}
        of_processor = {name: more.pop(name) for name in list(more) if name in {*images, *_OF_PROCESSOR}}
        if generate_kwargs is not None and not isinstance(generate_kwargs, Mapping):
            raise ArgumentError(f"generate_kwargs={generate_kwargs!r:.60} is a dictionary of arguments of generate.")
        stops = [stop_sequence] if isinstance(stop_sequence, str) else stop_sequence
        named = {**more, **not_none({"max_new_tokens": max_new_tokens, "stop_strings": stops})}
        if twice := {*named} & {*(generate_kwargs or {})}:
            raise ArgumentError(f"{min(twice)} is given twice: in the call and in generate_kwargs.")
        inside = {**(generate_kwargs or {}), **named}
        check_names(self, inside)
        if return_type is None and return_full_text is not None:
            return_type = ReturnType.FULL_TEXT if return_full_text else ReturnType.NEW_TEXT
        if return_type is None and return_tensors:
            return_type = ReturnType.TENSORS
        last = {"continue_final_message": continue_final_message}
        before = {**last, "timeout": timeout, "template": template or None}
        before["processor_kwargs"] = {**of_processor, **(processor_kwargs or {})} or None
        after = {**last, "return_type": return_type, "skip_special_tokens": skip_special_tokens}
        after |= {"clean_up_tokenization_spaces": clean_up_tokenization_spaces}
        return not_none(before), inside, not_none(after)

    def __call__(self, images: Any = None, text: Any = None, **kwargs: Any) -> Any:  # type: ignore[override]
        """Write on.

        Args:
            images: the pictures of the text, one, a list in the order in which the texts name them, or a list for each
                text. Without `text`: an input, {"images": …, "text": …}, a chat, a prompt, or a list, a generator or a
                dataset of them.
            text: a prompt, several prompts that share `images` out, a chat, or a list of chats.

        Returns:
            For an input a list of {"input_text": …, "generated_text": …}, one for each text and each of
            num_return_sequences; of a chat both are messages, the latter with the answer. A list of these for several
            inputs, such as several chats, or several prompts without pictures.

        Raises:
            InputError: for more or fewer pictures than the texts name.
        """
        if images is None and text is None:
            raise ArgumentError("Give images and text, or a chat: pipe(images, text=…), or pipe(text=messages).")
        if images is None or text is None:
            return super().__call__(text if images is None else images, **kwargs)
        if isinstance(text, list | tuple) and text and is_chat(text[0]):
            if not isinstance(images, list | tuple) or len(images) != len(text):
                raise InputError(f"There are {len(text)} chats: give their images as a list with one for each.")
            both = zip(images, text, strict=True)
            return super().__call__([{"images": one, "text": chat} for one, chat in both], **kwargs)
        return super().__call__({"images": images, "text": text}, **kwargs)

    def _kind(self, inputs: Any) -> str:
        if isinstance(inputs, str | Mapping) or is_chat(inputs) or picture(inputs):
            return "one"
        if isinstance(inputs, list | tuple):
            return "list"
        iterable = hasattr(inputs, "__iter__") or (hasattr(inputs, "__len__") and hasattr(inputs, "__getitem__"))
        return "stream" if iterable else "one"

    # ---- inputs

    def check_input(self, item: Any, name: str, **parameters: Any) -> None:
        """Raise InputError unless the item is a prompt or a chat, with its pictures, whose files are there."""
        images, text = _parted(item, name)
        if isinstance(text, list) and all(isinstance(one, str) for one in text):
            for number, one in enumerate(text):
                _readable(one, f"{name}: text {number}")
        else:
            read_prompt(text, name)
        check_pictures(images if images is not None else [], name)
        if is_chat(text):
            check_pictures([one for one in map(_address, images_of_chat(text)) if one is not None], name)

    def preprocess(
        self,
        inputs: Any,
        timeout: float | None = None,
        continue_final_message: bool | None = None,
        processor_kwargs: Mapping[str, Any] | None = None,
        template: Mapping[str, Any] | None = None,
    ) -> Mapping[str, Any]:
        """The model's arguments for one input, and its text as `prompt`."""
        images, text = _parted(inputs, place(None, 0))
        images = None if images is None else loaded(images, timeout)
        asked = {"return_tensors": "pt", **(processor_kwargs or {})}
        if is_chat(text):
            chat, own = _apart(text, images, timeout)
            last = goes_on(chat, continue_final_message)
            how = {"add_generation_prompt": not last, "continue_final_message": last, **(template or {})}
            made = self.processor.apply_chat_template(
                chat, tokenize=True, return_dict=True, **({"images": own} if own else {}), **how, **asked
            )
        else:
            if not isinstance(text, str) and len(text) > 1:
                asked.setdefault("padding", True)
            made = self.processor(images=images, text=text, **asked)
        return {**in_type(made, self.dtype), "prompt": text}

    def preprocess_batch(self, inputs: list[Any], first: int | None, **parameters: Any) -> list[Mapping[str, Any]]:
        """The same for several, in threads."""
        return in_turn(lambda item: self.preprocess(item, **parameters), inputs, first)

    # ---- generate

    def asked(self, given: dict[str, Any], prompt: int) -> dict[str, Any]:
        """The arguments of `generate` for a prompt of so many tokens."""
        known, added = self._known(given), dict[str, Any]()
        refuse_healing(known)
        if not any(known.get(name) is not None for name in LENGTHS):
            limit = longest_text(self.model.config)
            room = _NEW_TOKENS if limit is None else max(1, min(_NEW_TOKENS, limit + 1 - prompt))
            added["max_new_tokens"] = room
        if known.get("stop_strings") is not None:
            added["tokenizer"] = self.tokenizer
        return {**added, **given, "return_dict_in_generate": False}

    def _known(self, given: dict[str, Any]) -> dict[str, Any]:
        own, config = getattr(self.model, "generation_config", None), given.get("generation_config")
        return {**(own.to_diff_dict() if own else {}), **(config.to_diff_dict() if config else {}), **given}

    def _forward(self, model_inputs: Any, **generate_kwargs: Any) -> Any:
        asked = self.asked(generate_kwargs, length_of(model_inputs))
        return {"generated_sequence": self.model.generate(**model_inputs, **asked)}

    def _batch_outputs(self, items: list[Mapping[str, Any]], parameters: dict[str, Any]) -> Iterator[Any]:
        """Texts with pictures, and texts without, go through the model together."""
        known, groups = self._known(parameters), dict[Any, list[int]]()
        free = isinstance(self.model, SeeingLM) and all(known.get(name) is None for name in _ALONE)
        for index, item in enumerate(items):
            groups.setdefault(tuple(item) if free and len(item["input_ids"]) == 1 else index, []).append(index)
        outputs: dict[int, Any] = {}
        for group in groups.values():
            own = [{name: value for name, value in items[i].items() if name != "prompt"} for i in group]
            batch: Any = own[0] if len(own) == 1 else collate(own, self.tokenizer, right=False)
            found = self.forward(batch, **parameters)["generated_sequence"]
            ends = eos_ids(known.get("eos_token_id"))
            rows = [found] if len(own) == 1 else _parts(found, own, length_of(batch), ends)
            for index, sequence in zip(group, rows, strict=True):
                more = {name: items[index].get(name) for name in ("input_ids", "prompt")}
                outputs[index] = {**more, "generated_sequence": sequence}
        yield from (outputs[i] for i in range(len(items)))

    # ---- results

    def postprocess(
        self,
        model_outputs: Any,
        return_type: ReturnType = ReturnType.FULL_TEXT,
        clean_up_tokenization_spaces: bool | None = None,
        continue_final_message: bool | None = None,
        skip_special_tokens: bool = True,
    ) -> list[dict[str, Any]]:
        """The texts of one input: `generated_sequence` (texts · R, T + s) after `input_ids` (texts, T)."""
        found, ids, prompt = (model_outputs[name] for name in ("generated_sequence", "input_ids", "prompt"))
        texts = [prompt] if isinstance(prompt, str) or is_chat(prompt) else prompt
        records, times = [], len(found) // len(texts)

        def decoded(row: Tensor) -> str:
            options = {"clean_up_tokenization_spaces": clean_up_tokenization_spaces}
            return str(self.tokenizer.decode(row, skip_special_tokens=skip_special_tokens, **options))

        for index, row in enumerate(found):
            text, before = texts[index // times], ids[index // times]
            if return_type is ReturnType.TENSORS:
                records.append({"input_text": text, "generated_token_ids": row})
                continue
            written: Any = _after(decoded(row), decoded(before))
            if written is None:  # a prompt that some decoders write otherwise where more follows
                goes_before = torch.equal(row[: len(before)], before)
                written = decoded(row[len(before) :] if goes_before else row)
            if return_type is ReturnType.FULL_TEXT and isinstance(text, str):
                written = text + written
            elif return_type is ReturnType.FULL_TEXT:
                written = answered(text, written, goes_on(text, continue_final_message))
            records.append({"input_text": text, "generated_text": written})
        return records


def _parted(item: Any, name: str) -> tuple[Any, Any]:
    """The pictures of an input, or None, and its text."""
    if isinstance(item, Mapping) and "role" not in item:
        images = item.get("images", item.get("image"))
        if "text" in item and item["text"] is not None:
            return images, [*item["text"]] if isinstance(item["text"], tuple) else item["text"]
        if images is None:
            names = ", ".join(map(repr, item)) or "no keys"
            raise InputError(f'{name} is a dictionary of {names}; give {{"images": …, "text": …}}, or a chat.')
    elif not picture(item) and not (isinstance(item, str) and len(item.split()) == 1 and is_source(item)):
        return None, [*item] if isinstance(item, tuple) else item
    raise InputError(
        f"{name} is a picture without a text: give both, pipe(images, text=…). A caption without a text is had by "
        "pipeline('image-to-text')."
    )


def _address(image: Any) -> Any:
    return image.get("url") if isinstance(image, Mapping) else image


def _apart(chat: Any, images: Any, timeout: float | None) -> tuple[list[Any], list[Any]]:
    """A chat whose pictures are only said to be there, and the pictures in their order: its own, and those beside it.

    Errors: InputError for more or fewer of the latter than the chat leaves open.
    """
    own = [_address(one) for one in images_of_chat(chat)]
    rest = [] if images is None else images if isinstance(images, list | tuple) else [images]
    if len(rest) == 1 and isinstance(rest[0], list | tuple):
        rest = rest[0]
    count = sum(one is None for one in own)
    if len(rest) != count:
        raise InputError(
            f"The chat leaves {count} of its {len(own)} images open, and {len(rest)} are given beside it: give one for "
            'each {"type": "image"} that says nothing more.'
        )
    left = iter(rest)
    found = [next(left) if one is None else loaded(one, timeout) for one in own]
    bare = []
    for message in read_chat(chat, "The chat"):
        content = message.get("content")
        if isinstance(content, list | tuple):
            message = {**message, "content": [_bare(one) for one in content]}
        bare.append(message)
    return bare, found


def _bare(part: Any) -> Any:
    if not isinstance(part, Mapping) or part.get("type") not in ("image", "image_url"):
        return part
    return {name: value for name, value in part.items() if name not in IMAGE_KEYS}


def _parts(found: Tensor, items: list[Any], columns: int, ends: list[int]) -> Iterator[Tensor]:
    """What was written after each prompt of a batch, (R, T + s), without the batch's padding."""
    for new, item in zip(found[:, columns:].unflatten(0, (len(items), -1)), items, strict=True):
        own, prompt = new[:, : columns_written(new, ends)], item["input_ids"].to(new.device)
        yield torch.cat([prompt.expand(len(own), -1), own], dim=1)


def _after(text: str, before: str) -> str | None:
    """A text without the one that it begins with, but for two characters such as spaces; None where it does not."""
    start = text.find(before)
    return text[start + len(before) :] if 0 <= start <= 2 else None


TASK = Task(
    name="image-text-to-text",
    pipeline=ImageTextToTextPipeline,
    auto="AutoModelForImageTextToText",
    architectures=tuple(f"{name}ForConditionalGeneration" for name in ("Idefics3", "SmolVLM", "Llava")),
    default=("HuggingFaceTB/SmolVLM-256M-Instruct", None),
    reads=("processor",),
)
