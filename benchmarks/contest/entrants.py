"""Who is measured on what: the contestants, the cases, and the comparisons that matter most."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

CLASSIFY, EMBED = "text-classification", "embeddings"


@dataclass(frozen=True)
class Contestant:
    """An engine and the way it is used; `how` says it for the reader."""

    name: str
    module: str
    how: str
    options: dict[str, Any] = field(default_factory=dict)
    tasks: tuple[str, ...] = (CLASSIFY, EMBED)
    exports: bool = False
    limit: str = "float32"  # the matrix product that bounds it

    @property
    def ours(self) -> bool:
        """Whether it is formers."""
        return self.name.startswith("formers")


ENGINES = (
    Contestant(
        "transformers pipeline",
        "transformers_pipeline",
        "`pipeline(task, model)(texts)`: its defaults, one text at a time in float32.",
        tasks=(CLASSIFY,),
    ),
    Contestant(
        "transformers pipeline, batch 32",
        "transformers_pipeline",
        "The same with `batch_size=32`, in the order given.",
        {"batch_size": 32},
        (CLASSIFY,),
    ),
    Contestant(
        "sentence-transformers",
        "sentence_encoder",
        "`SentenceTransformer(model).encode(texts)`: its defaults, sorted batches of 32 in float32.",
        tasks=(EMBED,),
    ),
    Contestant(
        "transformers, sorted",
        "torch_models",
        "The model in float32, its default attention (SDPA), sorted batches.",
        {"precision": "float32"},
    ),
    Contestant(
        "transformers bf16, sorted",
        "torch_models",
        "The model in bf16, its default attention (SDPA), sorted batches.",
        {"precision": "bf16"},
        limit="bf16",
    ),
    Contestant(
        "torch dynamic int8",
        "torch_models",
        "`torch.ao.quantization.quantize_dynamic` of all `nn.Linear`, engine `onednn`, its fastest; sorted batches.",
        {"precision": "int8"},
        limit="int8",
    ),
    Contestant(
        "ONNX Runtime int8",
        "onnx_int8",
        "`torch.onnx.export`, fused by `onnxruntime.transformers.optimizer` (attention, GELU and layer norm, "
        "which is checked), then `quantize_dynamic` with int8 weights per channel; sorted batches.",
        exports=True,
        limit="int8",
    ),
    Contestant(
        "OpenVINO",
        "openvino_bf16",
        "`openvino.convert_model` of the torch model, throughput hint and queue, for single texts the latency hint, "
        "its own choice of precision: bf16 where the processor has AMX; sorted batches.",
        exports=True,
        limit="bf16",
    ),
    Contestant(
        "CTranslate2 int8",
        "ctranslate2_int8",
        "Its converter with `quantization='int8'`, `Encoder.forward_batch` (which removes padding itself), the head "
        "with NumPy; sorted batches.",
        exports=True,
        limit="int8",
    ),
    Contestant("formers", "ours", "`pipeline(task, model)(texts)`: float32, packed.", {"optimize": None}),
    Contestant("formers bf16", "ours", "The same with `optimize='bf16'`.", {"optimize": "bf16"}, limit="bf16"),
    Contestant("formers int8", "ours", "The same with `optimize='int8'`.", {"optimize": "int8"}, limit="int8"),
    Contestant("formers optimize=True", "ours", "The same with `optimize=True`.", {"optimize": True}, limit="int8"),
)
PRODUCTS = Contestant("matrix product", "products", "")
TRAINING = tuple(
    Contestant(f"{library}, {dtype}", "training", "", {"library": library, "dtype": dtype}, (CLASSIFY,))
    for dtype in ("float32", "bf16")
    for library in ("transformers", "formers")
)
TOKENISING = (
    Contestant("transformers, padded", "tokenising", "", {"library": "transformers", "form": "padded"}),
    Contestant("formers, padded", "tokenising", "", {"library": "formers", "form": "padded"}),
    Contestant("formers, packed", "tokenising", "", {"library": "formers", "form": "packed"}),
    Contestant(
        "formers, packed, first call", "tokenising", "", {"library": "formers", "form": "packed", "fresh": True}
    ),
)
# of the families that are measured beside Transformers alone
OF_FAMILIES = ("transformers, sorted", "formers", "formers optimize=True")
INT8_RIVALS = ("ONNX Runtime int8", "OpenVINO", "CTranslate2 int8")


@dataclass(frozen=True)
class Comparison:
    """Ours against the fastest of the rivals, round by round, in the cases whose name ends with `texts`."""

    ours: str
    rivals: tuple[str, ...]
    model: str
    texts: tuple[str, ...]


BULK, CLASSIFIERS = ("SST-2 dev", "long tail"), ("DistilBERT-base", "BERT-base")
FAMILIES = ("ALBERT-base", "MPNet-base", "DeBERTa-v3-base", "ModernBERT-base")
COMPARISONS = (
    *(
        Comparison(ours, rivals, model, BULK)
        for model in CLASSIFIERS
        for ours, rivals in (
            ("formers int8", INT8_RIVALS),
            ("formers int8", ("transformers pipeline, batch 32",)),
            ("formers bf16", ("transformers bf16, sorted",)),
            ("formers", ("transformers pipeline, batch 32",)),
        )
    ),
    *(
        Comparison("formers int8", (rival,), model, ("one by one",))
        for model in CLASSIFIERS
        for rival in ("transformers pipeline", "transformers bf16, sorted", "ONNX Runtime int8")
    ),
    Comparison("formers optimize=True", ("sentence-transformers",), "all-MiniLM-L6-v2", (*BULK, "one by one")),
    Comparison("formers int8", INT8_RIVALS, "all-MiniLM-L6-v2", BULK),
    Comparison("formers optimize=True", ("ONNX Runtime int8",), "all-MiniLM-L6-v2", BULK),
    *(Comparison("formers optimize=True", ("transformers, sorted",), model, ("SST-2 dev",)) for model in FAMILIES),
    Comparison("formers, float32", ("transformers, float32",), "DistilBERT-base", ("fine-tuning",)),
    Comparison("formers, bf16", ("transformers, bf16",), "DistilBERT-base", ("fine-tuning",)),
    Comparison("formers, padded", ("transformers, padded",), "DistilBERT-base", ("tokenising",)),
    *(
        Comparison(ours, ("transformers, padded",), "DistilBERT-base", ("tokenising",))
        for ours in ("formers, packed", "formers, packed, first call")
    ),
)
