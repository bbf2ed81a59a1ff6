"""Folders of tiny models that write from texts with pictures in them, with a tokenizer of letters."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import transformers
from families import redraw
from tokenizers import Regex, Tokenizer, models, pre_tokenizers
from tokenizers.decoders import Fuse

import formers

TEMPLATE = (
    "{% for m in messages %}<s>{{ m.role }}: {% if m.content is string %}{{ m.content }}{% else %}"
    "{% for c in m.content %}{% if c.type == 'image' %}<image>{% else %}{{ c.text }}{% endif %}{% endfor %}{% endif %}"
    "\n{% endfor %}{% if add_generation_prompt %}<s>assistant: {% endif %}"
)
SPECIAL = ["<pad>", "<unk>", "<s>", "</s>", "<image>", "<fake_token_around_image>", "<global-img>"]
SPECIAL += [f"<row_{row}_col_{column}>" for row in range(1, 5) for column in range(1, 5)]
LETTERS = [chr(code) for code in range(32, 127)] + ["\n"]
TEXT: dict[str, Any] = {
    "model_type": "llama", "vocab_size": len(SPECIAL + LETTERS), "hidden_size": 32, "intermediate_size": 48,
    "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 1024,
    "bos_token_id": 2, "eos_token_id": 3, "pad_token_id": 0,
}  # fmt: skip
SIGHT: dict[str, Any] = {
    "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4, "image_size": 32,
    "patch_size": 8,
}  # fmt: skip


def write_tokenizer(folder: Path) -> Any:
    """A tokenizer whose tokens are letters."""
    words = {word: number for number, word in enumerate(SPECIAL + LETTERS)}
    made = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    made.pre_tokenizer, made.decoder = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated"), Fuse()
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=made, pad_token="<pad>", unk_token="<unk>", bos_token="<s>", eos_token="</s>",
        padding_side="left", additional_special_tokens=SPECIAL[4:], chat_template=TEMPLATE,
        model_input_names=["input_ids", "attention_mask"],
    )  # fmt: skip
    fast.save_pretrained(folder)
    return formers.PreTrainedTokenizer.from_pretrained(folder)


def write_idefics3(folder: Path, name: str = "Idefics3") -> str:
    """An Idefics 3, or a SmolVLM, whose pictures are up to 2 × 2 tiles."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer, image = write_tokenizer(folder), SPECIAL.index("<image>")
    sizes: dict[str, Any] = {"size": {"longest_edge": 64}, "max_image_size": {"longest_edge": 32}}
    config = getattr(formers, f"{name}Config")(
        text_config=TEXT, vision_config=SIGHT, image_token_id=image, scale_factor=2, pad_token_id=0, eos_token_id=3
    )
    images = getattr(formers, f"{name}ImageProcessor")(**sizes)
    processor = getattr(formers, f"{name}Processor")(images, tokenizer, image_seq_len=4)
    return _written(folder, getattr(formers, f"{name}ForConditionalGeneration")(config), processor)


def write_llava(folder: Path) -> str:
    """A LLaVA whose pictures are 16 tokens."""
    tokenizer, image = write_tokenizer(folder), SPECIAL.index("<image>")
    side: dict[str, Any] = {"size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}}
    own: dict[str, Any] = {"patch_size": 8, "vision_feature_select_strategy": "default"}
    config = formers.LlavaConfig(
        text_config=TEXT,
        vision_config={**SIGHT, "model_type": "clip_vision_model", "projection_dim": 16},
        image_token_index=image,
        image_seq_length=16,
    )
    return _written(folder, formers.LlavaForConditionalGeneration(config), formers.LlavaProcessor(
        formers.LlavaImageProcessor(**side), tokenizer, num_additional_image_tokens=1, **own
    ))  # fmt: skip


def _written(folder: Path, model: Any, processor: Any) -> str:
    redraw(model)
    model.generation_config.eos_token_id = None
    model.generation_config.pad_token_id = 0
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return str(folder)
