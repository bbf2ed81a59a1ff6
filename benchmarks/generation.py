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
import json
import random
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

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


def work(name: str, folder: str) -> None:
    """A contestant: loads, then answers each line of its input with seconds."""
    run = contestant(name, folder)
    print(json.dumps("ready"), flush=True)
    for line in sys.stdin:
        prompts, new = json.loads(line)
        start = time.perf_counter()
        run(prompts, new)
        print(json.dumps(time.perf_counter() - start), flush=True)


def started(name: str, folder: Path, engines: str, llama_cpp: str | None) -> subprocess.Popen[str] | None:
    """The process of a contestant that has loaded its model; None where it cannot be had."""
    command, where = [engines if name.startswith("ctranslate2") else sys.executable, __file__, "--work"], None
    command += [name, str(folder)]
    if name == LLAMA_CPP:
        if llama_cpp is None:
            return None
        script = (Path(__file__).parent / "llama_cpp.mjs").read_text()
        command, where = ["node", "--input-type=module", "-e", script, str(write_gguf(folder))], llama_cpp
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=where
    )
    assert process.stdout is not None
    return process if process.stdout.readline() else None


def race(
    model: str, names: list[str], case: str, rounds: int, engines: str, llama_cpp: str | None
) -> dict[str, list[float]]:
    """{contestant: seconds of each round}, after one that warms up."""
    folder = Path(__file__).parents[1] / "build" / "generation" / model
    folder.mkdir(parents=True, exist_ok=True)
    write_model(model, folder)
    running = {}
    for name in names:
        skipped = name == LLAMA_CPP and (model != "llama" or case == MANY)
        process = None if skipped else started(name, folder, engines, llama_cpp)
        if process is not None:
            running[name] = process
        elif not skipped:
            print(f"{name} cannot be had here", file=sys.stderr)
    draw = random.Random(0)
    times: dict[str, list[float]] = {name: [] for name in running}
    for turn in range(rounds + 1):
        if case == MANY:
            prompts, new = prompts_of([draw.randrange(4, 33) for _ in range(40)], turn), [0] * 40
            new = [draw.randrange(10, 201) for _ in new]
        else:
            lengths, count = CASES[case]
            prompts, new = prompts_of(lengths, turn), [count] * len(lengths)
        for name, process in running.items():
            assert process.stdin is not None and process.stdout is not None
            print(json.dumps([prompts, new]), file=process.stdin, flush=True)
            taken = json.loads(process.stdout.readline())
            times[name] += [taken] if turn else []
    for process in running.values():
        process.communicate()
    return times


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
        return work(*chosen.work)
    for model in chosen.model:
        for case in chosen.case:
            times = race(model, chosen.only, case, chosen.rounds, chosen.engines, chosen.llama_cpp)
            print(f"{model}, {case}\n{'':22}{'ms':>9}{'/ formers':>12}{'/ formers int8':>16}")
            for name, seconds in times.items():
                ratios = [
                    statistics.median(a / b for a, b in zip(seconds, times[ours], strict=True)) if ours in times else 0
                    for ours in ("formers", "formers int8")
                ]
                line = f"{name:22}{1000 * statistics.median(seconds):9.0f}"
                print(line + "".join(f"{ratio:{width}.2f}×" for ratio, width in zip(ratios, (11, 15), strict=True)))
            print(flush=True)
    return None


if __name__ == "__main__":
    main()
