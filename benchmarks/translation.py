"""Translating: encoder and decoder, greedy and with beams, alone and eight at once, beside other engines.

    python benchmarks/translation.py [--rounds 5] [--model t5 marian] [--case NAME …] [--only NAME …] [--engines PYTHON]
        [--sentences FILE]

The models have random weights, in the shapes of T5 small and of Marian's base. Texts of 6 to 48 tokens become texts of
32. "many" is the first 1,000 lines of a file, such as the sentences of SST-2, whose words become words of the
vocabulary, through the pipeline. Its texts end at any of the 5 % of all words that stand for an end, which a penalty
for what was written brings about, or after 64 tokens. Transformers generates in batches of eight, in the order given.
Prints what benchmarks/generation.py does; `--engines` is a Python with what requirements.txt lists.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zlib import crc32

from contest import duel

SHAPES: dict[str, dict[str, Any]] = {
    "t5": {"vocab_size": 32128, "d_model": 512, "d_kv": 64, "d_ff": 2048, "num_layers": 6, "num_heads": 8,
           "decoder_start_token_id": 0, "pad_token_id": 0, "eos_token_id": 1},
    "marian": {"vocab_size": 58101, "d_model": 512, "encoder_layers": 6, "decoder_layers": 6,
               "encoder_attention_heads": 8, "decoder_attention_heads": 8, "encoder_ffn_dim": 2048,
               "decoder_ffn_dim": 2048, "activation_function": "swish", "scale_embedding": True,
               "max_position_embeddings": 512, "static_position_embeddings": True, "normalize_before": False},
}  # fmt: skip
CONTESTANTS = ("transformers", "transformers int8", "ctranslate2 int8", "formers", "formers int8")
# name -> lengths of the texts, and how many beams there are
CASES: dict[str, tuple[list[int], int]] = {
    "one": ([20], 1),
    "one, 4 beams": ([20], 4),
    "8": ([6, 8, 12, 16, 20, 28, 36, 48], 1),
    "8, 4 beams": ([6, 8, 12, 16, 20, 28, 36, 48], 4),
}
MANY = "many"
NEW = 32


def write_model(name: str, folder: Path) -> None:
    """A model and a tokenizer with a word for each id, unless they are there."""
    if (folder / "model.safetensors").exists():
        return
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    import formers

    torch.manual_seed(0)
    kinds = {"t5": formers.T5ForConditionalGeneration, "marian": formers.MarianMTModel}
    config = kinds[name].config_class(**SHAPES[name])
    model = kinds[name](config)
    model.save_pretrained(folder)
    pad, end = config.pad_token_id, config.eos_token_id
    words = {"<pad>": pad, "</s>": end, "<unk>": 2 if pad == 0 else 1}
    words |= {f"w{i}": i for i in range(config.vocab_size) if i not in words.values()}
    tokenizer = Tokenizer(models.WordLevel(words, "<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processors.TemplateProcessing("$A </s>", special_tokens=[("</s>", end)])
    special = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
    formers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special).save_pretrained(folder)


def contestant(name: str, folder: str) -> Any:
    """From texts, as ids, and the number of beams to nothing."""
    library, _, mode = name.partition(" ")
    if library == "ctranslate2":
        return _ctranslate2(folder)
    import torch

    module = __import__(library)
    model = module.AutoModelForSeq2SeqLM.from_pretrained(folder, dtype=torch.float32).eval()
    if library == "formers" and mode:
        model.optimize(mode)
    elif mode:
        from torch.ao.quantization import quantize_dynamic

        model = quantize_dynamic(model, {torch.nn.Linear}, torch.qint8)
    if library == "formers":
        pipe = module.pipeline("translation", model=model, tokenizer=folder)
    else:
        tokenizer = module.AutoTokenizer.from_pretrained(folder)
    pad = model.config.pad_token_id

    def many(texts: list[str]) -> None:
        options = {"do_sample": False, "num_beams": 1, "max_new_tokens": 64, "repetition_penalty": 3.0}
        options["eos_token_id"] = list(range(model.config.vocab_size // 20))
        if library == "formers":
            pipe(texts, **options)
            return
        for start in range(0, len(texts), 8):
            batch = tokenizer(texts[start : start + 8], padding=True, return_tensors="pt", return_token_type_ids=False)
            tokenizer.batch_decode(model.generate(**batch, **options), skip_special_tokens=True)

    def run(texts: list[Any], beams: int) -> None:
        if isinstance(texts[0], str):
            return many(texts)
        longest = max(map(len, texts))
        ids = torch.tensor([text + [pad] * (longest - len(text)) for text in texts])
        mask = torch.tensor([[1] * len(text) + [0] * (longest - len(text)) for text in texts])
        model.generate(
            ids, attention_mask=mask, do_sample=False, num_beams=beams, max_new_tokens=NEW, min_new_tokens=NEW
        )
        return None

    return run


def _ctranslate2(folder: str) -> Any:
    import ctranslate2
    from ctranslate2.converters import TransformersConverter

    converted = Path(folder) / "ctranslate2"
    if not converted.exists():
        TransformersConverter(folder).convert(str(converted), quantization="int8")
    translator = ctranslate2.Translator(str(converted), device="cpu", compute_type="int8", intra_threads=0)

    def run(texts: list[list[int]], beams: int) -> None:
        words = [[f"w{token}" for token in text] for text in texts]
        lengths = {"max_decoding_length": NEW, "min_decoding_length": NEW}
        translator.translate_batch(words, beam_size=beams, max_batch_size=8, **lengths)

    return run


def questions(case: str, rounds: int, sentences: Path | None) -> Iterator[list[Any]]:
    """Texts, and the number of beams, for each round and one before; other texts in each, but of "many"."""
    if case == MANY:
        assert sentences is not None  # or the case is left out
        lines = sentences.read_text(encoding="utf-8").splitlines()[1:1001]
        texts = [" ".join(f"w{3 + crc32(word.encode()) % 32_000}" for word in line.split()) for line in lines]
        yield [texts[:40], 1]
        yield from [[texts, 1]] * rounds
        return
    lengths, beams = CASES[case]
    for turn in range(rounds + 1):
        draw = random.Random(turn)
        yield [[[draw.randrange(3, 32_000) for _ in range(length)] for length in lengths], beams]


def main() -> None:
    """Race in every case; print a table for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--model", nargs="+", choices=SHAPES, default=list(SHAPES))
    parser.add_argument("--case", nargs="+", choices=(*CASES, MANY), default=list(CASES))
    parser.add_argument("--only", nargs="+", choices=CONTESTANTS, default=list(CONTESTANTS))
    parser.add_argument("--engines", default=sys.executable)
    parser.add_argument("--sentences", type=Path, help='for the case "many": a line each, after one of headings')
    parser.add_argument("--work", nargs=2, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if MANY in chosen.case and chosen.sentences is None:
        parser.error("the case many needs --sentences")
    if chosen.work:
        return duel.serve(contestant(*chosen.work))
    for model in chosen.model:
        folder = Path(__file__).parents[1] / "build" / "translation" / model
        folder.mkdir(parents=True, exist_ok=True)
        write_model(model, folder)
        for case in chosen.case:
            pythons = {name: chosen.engines if "ctranslate2" in name else sys.executable for name in chosen.only}
            pythons = {name: python for name, python in pythons.items() if case != MANY or "ctranslate2" not in name}
            entering = {name: [python, __file__, "--work", name, str(folder)] for name, python in pythons.items()}
            duel.show(f"{model}, {case}", duel.race(entering, questions(case, chosen.rounds, chosen.sentences)))
    return None


if __name__ == "__main__":
    main()
