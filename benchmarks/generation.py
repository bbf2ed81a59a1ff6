"""Writing texts: the prompt computed, then token by token, alone and eight at once, beside other engines.

    python benchmarks/generation.py [--rounds 5] [--model llama gpt2] [--only NAME] [--engines PYTHON]
        [--llama-cpp FOLDER]

The models have random weights, in the shape of a Llama of 387 million parameters and of GPT-2. Every contestant is a
process that has loaded its model; in each round each does the work once, in turn, on the same cores. Texts are greedy,
of a fixed length. "many" is 40 prompts whose texts end after 10 to 200 tokens; Transformers gets them in batches of
eight, in the order given. Prints medians, and medians of the ratios of a round: the other's time over that of formers
in float32, and in int8. `--engines` is a Python with what requirements.txt lists, where this one lacks CTranslate2.
llama.cpp, for the Llama alone and without "many", is that of the npm package node-llama-cpp in a folder in which
`npm install --omit=optional --ignore-scripts node-llama-cpp @node-llama-cpp/linux-x64` was run.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from contest import duel

LLAMA = {
    "hidden_size": 896, "num_hidden_layers": 24, "num_attention_heads": 14, "num_key_value_heads": 2,
    "intermediate_size": 4864, "vocab_size": 32_000, "max_position_embeddings": 2048, "tie_word_embeddings": True,
}  # fmt: skip
LLAMA_CPP = "llama.cpp Q8_0"
CONTESTANTS = (
    "transformers", "transformers bf16", "ctranslate2 int8", LLAMA_CPP, "formers", "formers bf16", "formers int8"
)  # fmt: skip
# name -> lengths of the prompts, and of what is written
CASES: dict[str, tuple[list[int], int]] = {
    "prompt of 32": ([32], 1),
    "prompt of 512": ([512], 1),
    "32 tokens more": ([32], 33),
    "8 prompts": ([4, 6, 8, 12, 16, 16, 24, 32], 1),
    "16 tokens more of 8": ([4, 6, 8, 12, 16, 16, 24, 32], 17),
}
MANY = "many"


def write_model(name: str, folder: Path) -> None:
    """A model and a tokenizer with a word for each id, unless they are there."""
    if (folder / "model.safetensors").exists():
        return
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers

    import formers

    torch.manual_seed(0)
    config = formers.LlamaConfig(**LLAMA) if name == "llama" else formers.GPT2Config()
    kind = formers.LlamaForCausalLM if name == "llama" else formers.GPT2LMHeadModel
    kind(config).save_pretrained(folder)
    words = {"<s>": 0, "</s>": 1, "<unk>": 2} | {f"w{i}": i for i in range(3, config.vocab_size)}
    tokenizer = Tokenizer(models.WordLevel(words, "<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    special = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    formers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special).save_pretrained(folder)


def write_gguf(folder: Path) -> Path:
    """The Llama's weights for llama.cpp, unless they are there."""
    path = folder / "q8_0.gguf"
    if path.exists():
        return path
    import gguf
    import torch
    from safetensors.torch import load_file

    sizes = {name: LLAMA[name] for name in ("hidden_size", "num_hidden_layers", "intermediate_size", "vocab_size")}
    out = gguf.GGUFWriter(path, "llama")
    out.add_context_length(2048)
    out.add_embedding_length(sizes["hidden_size"])
    out.add_block_count(sizes["num_hidden_layers"])
    out.add_feed_forward_length(sizes["intermediate_size"])
    out.add_head_count(LLAMA["num_attention_heads"])
    out.add_head_count_kv(LLAMA["num_key_value_heads"])
    out.add_layer_norm_rms_eps(1e-6)
    out.add_tokenizer_model("llama")
    bytes_, rest = [f"<0x{i:02X}>" for i in range(256)], sizes["vocab_size"] - 259
    out.add_token_list(["<unk>", "<s>", "</s>", *bytes_, *(f"w{i}" for i in range(rest))])
    out.add_token_scores([0.0] * sizes["vocab_size"])
    out.add_token_types([2, 3, 3, *[6] * 256, *[1] * rest])
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, sizes["num_hidden_layers"])
    for name, weight in load_file(folder / "model.safetensors").items():
        found, values = names.get_name(name, (".weight",)), weight.to(torch.float32).numpy()
        kind = gguf.GGMLQuantizationType.Q8_0 if weight.dim() == 2 else gguf.GGMLQuantizationType.F32
        out.add_tensor(found, gguf.quants.quantize(values, kind), raw_dtype=kind)
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()
    return path


def prompts_of(lengths: list[int], seed: int) -> list[list[int]]:
    """Ids of texts; other ones in each round, since some engines remember."""
    draw = random.Random(seed)
    return [[draw.randrange(3, 32_000) for _ in range(length)] for length in lengths]


def contestant(name: str, folder: str) -> Any:
    """From prompts and the numbers of new tokens to nothing, with the time taken."""
    library, _, mode = name.partition(" ")
    if library == "ctranslate2":
        return _ctranslate2(folder)
    import torch

    module = __import__(library)
    dtype = torch.bfloat16 if name == "transformers bf16" else torch.float32
    model = module.AutoModelForCausalLM.from_pretrained(folder, dtype=dtype).eval()
    if library == "formers" and mode:
        model.optimize(mode)

    def run(prompts: list[list[int]], new: list[int]) -> None:
        if library == "formers" and len(set(new)) > 1:
            return _many(model, prompts, new)
        for start in range(0, len(prompts), 8):
            texts, most = prompts[start : start + 8], max(new[start : start + 8])
            longest = max(map(len, texts))
            ids = torch.tensor([[0] * (longest - len(text)) + text for text in texts])
            mask = torch.tensor([[0] * (longest - len(text)) + [1] * len(text) for text in texts])
            model.generate(
                ids, attention_mask=mask, do_sample=False, pad_token_id=0, max_new_tokens=most, min_new_tokens=most
            )
        return None

    return run


def _many(model: Any, prompts: list[list[int]], new: list[int]) -> None:
    import torch

    from formers import GenerationConfig
    from formers.generation.continuous import write_many

    room = iter(new)
    config = GenerationConfig(do_sample=False, eos_token_id=-1).over(model.generation_config)
    with torch.inference_mode():
        for _ in write_many(model, (torch.tensor(text) for text in prompts), config, lambda _: next(room)):
            pass


def _ctranslate2(folder: str) -> Any:
    import ctranslate2
    from ctranslate2.converters import TransformersConverter

    converted = Path(folder) / "ctranslate2"
    if not converted.exists():
        TransformersConverter(folder).convert(str(converted), quantization="int8")
    generator = ctranslate2.Generator(str(converted), device="cpu", compute_type="int8", intra_threads=0)

    def run(prompts: list[list[int]], new: list[int]) -> None:
        words = [[f"w{token}" for token in text] for text in prompts]
        generator.generate_batch(
            words, max_length=max(new), min_length=max(new), sampling_topk=1, include_prompt_in_result=False,
            max_batch_size=8,
        )  # fmt: skip

    return run


def commands(
    model: str, names: list[str], case: str, folder: Path, engines: str, llama_cpp: str | None
) -> dict[str, list[str]]:
    """{contestant: what starts its process}."""
    found = {}
    for name in names:
        python = engines if name.startswith("ctranslate2") else sys.executable
        found[name] = [python, __file__, "--work", name, str(folder)]
    if LLAMA_CPP in found:
        del found[LLAMA_CPP]
        if llama_cpp is not None and model == "llama" and case != MANY:
            script = shutil.copy(Path(__file__).parent / "llama_cpp.mjs", llama_cpp)  # packages are looked for beside
            found[LLAMA_CPP] = ["node", script, str(write_gguf(folder))]
    return found


def questions(case: str, rounds: int) -> Iterator[list[Any]]:
    """Prompts, and how many tokens each gets, for each round and one before."""
    draw = random.Random(0)
    for turn in range(rounds + 1):
        if case == MANY:
            prompts = prompts_of([draw.randrange(4, 33) for _ in range(40)], turn)
            yield [prompts, [draw.randrange(10, 201) for _ in prompts]]
        else:
            lengths, count = CASES[case]
            yield [prompts_of(lengths, turn), [count] * len(lengths)]


def main() -> None:
    """Race in every case; print a table for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--model", nargs="+", choices=("llama", "gpt2"), default=["llama"])
    parser.add_argument("--case", nargs="+", choices=(*CASES, MANY), default=list(CASES))
    parser.add_argument("--only", nargs="+", choices=CONTESTANTS, default=list(CONTESTANTS))
    parser.add_argument("--engines", default=sys.executable)
    parser.add_argument("--llama-cpp", metavar="FOLDER", help="with node_modules/node-llama-cpp")
    parser.add_argument("--work", nargs=2, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.work:
        return duel.serve(contestant(*chosen.work))
    for model in chosen.model:
        folder = Path(__file__).parents[1] / "build" / "generation" / model
        folder.mkdir(parents=True, exist_ok=True)
        write_model(model, folder)
        for case in chosen.case:
            entering = commands(model, chosen.only, case, folder, chosen.engines, chosen.llama_cpp)
            duel.show(f"{model}, {case}", duel.race(entering, questions(case, chosen.rounds)))
    return None


if __name__ == "__main__":
    main()
