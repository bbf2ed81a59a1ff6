"""`is_torch_available` and its kind: whether a package is installed, without importing it; and checks of versions."""

from __future__ import annotations

import functools
import importlib.metadata
import importlib.util
import os
import sys
from collections.abc import Callable, Iterable
from typing import Any

from ..errors import ArgumentError, MissingAttributeError, MissingNameError, near
from ..version import TRANSFORMERS

# is_X_available asks for the package X
_PACKAGES = """
accelerate apex aqlm auto_gptq av bitsandbytes bs4 codecarbon coloredlogs comet_ml cython datasets decord deepspeed
detectron2 diffusers essentia evaluate fairscale faiss flute ftfy galore_torch gguf grokadamw hqq jieba jumanpp kenlm
kernels librosa liger_kernel lomo matplotlib mistral_common mlflow natten neptune ninja nltk nncf num2words numba numpy
onnx onnxruntime onnxscript openai openvino optimum optuna pandas peft phonemizer pretty_midi psutil py3nvml pyctcdecode
pytesseract pytest pytorch_quantization quark ray requests rich rjieba sacremoses safetensors schedulefree scipy
sentencepiece seqio sigopt sklearn soundfile soxr spacy sudachipy tensorboard tiktoken timm tokenizers torch torchao
torchaudio torchcodec torchdistx torchvision triton uroman vptq wandb yt_dlp
"""
_OTHER_NAMES = {
    "comet": "comet_ml",
    "cv2": "cv2",
    "g2p_en": "g2p_en",
    "ipex": "intel_extension_for_pytorch",
    "ipython": "IPython",
    "jinja": "jinja2",
    "levenshtein": "Levenshtein",
    "optimum_quanto": "optimum.quanto",
    "protobuf": "google.protobuf",
    "pygments": "pygments",
    "pyctcdecode": "pyctcdecode",
    "ray_tune": "ray.tune",
    "speech": "torchaudio",
    "sudachi": "sudachipy",
    "torch_hpu": "habana_frameworks.torch",
    "torch_mlu": "torch_mlu",
    "torch_musa": "torch_musa",
    "torch_neuroncore": "torch_neuronx",
    "torch_npu": "torch_npu",
    "torch_tensorrt_fx": "torch_tensorrt.fx",
    "torch_tpu": "torch_xla",
    "torch_xla": "torch_xla",
    "torchdynamo": "torch._dynamo",
    "torch_fx": "torch.fx",
    "torch_sdpa": "torch",
    "torch_compile": "torch",
    "torch_flex_attn": "torch.nn.attention.flex_attention",
    "vision": "PIL",
}
# frameworks and kernels that nothing here runs on, installed or not
_NEVER = """
flash_attn flash_attn_2 flash_attn_3 flash_attn_4 flash_linear_attention flax jax keras_nlp mlx onnxruntime_training
sagemaker tensorflow_probability tensorflow_text tf tf2onnx
"""
_WHAT_OF = {**{name: name for name in _PACKAGES.split()}, **_OTHER_NAMES, **dict.fromkeys(_NEVER.split())}
NLTK_IMPORT_ERROR = "{0} needs nltk, which is not installed: pip install nltk."
ENV_VARS_TRUE_VALUES = {"1", "ON", "YES", "TRUE"}
ENV_VARS_TRUE_AND_AUTO_VALUES = ENV_VARS_TRUE_VALUES | {"AUTO"}


def __getattr__(name: str) -> Any:
    what = name.removeprefix("is_").removesuffix("_available")
    if name == f"is_{what}_available" and what in _WHAT_OF:
        return _asking(name, _WHAT_OF[what])
    raise MissingAttributeError(lambda: f"formers has no {name}.{near(name, __dir__())}")


def __dir__() -> list[str]:
    return sorted({*(n for n in globals() if not n.startswith("_")), *(f"is_{what}_available" for what in _WHAT_OF)})


def _asking(name: str, package: str | None) -> Callable[..., bool]:
    def is_available(min_version: Any = None, *_: Any, **__: Any) -> bool:
        if package is None or not _installed(package):
            return False
        return not isinstance(min_version, str) or _at_least(_version(package), min_version)

    is_available.__name__ = is_available.__qualname__ = name
    is_available.__doc__ = f"Whether {package} is installed." if package else "False: nothing here uses it."
    return is_available


def _installed(package: str) -> bool:
    try:
        return package in sys.modules or importlib.util.find_spec(package) is not None
    except (ImportError, ValueError):  # the package above it is not there, or is half loaded
        return False


def _version(package: str) -> str:
    names = importlib.metadata.packages_distributions().get(package.partition(".")[0], [package])
    return importlib.metadata.version(names[0])


def _at_least(version: str, wanted: str) -> bool:
    from packaging.version import InvalidVersion, Version

    try:
        return Version(version) >= Version(wanted)
    except InvalidVersion as error:
        raise ArgumentError(f"{error}: that is no version such as '4.20.1'.") from error


# ---- what torch can do here


def is_torch_cuda_available() -> bool:
    """Whether torch sees a GPU of NVIDIA or AMD."""
    import torch

    return torch.cuda.is_available()


def is_torch_mps_available(min_version: str | None = None) -> bool:
    """Whether torch sees a GPU of Apple."""
    import torch

    return torch.backends.mps.is_available() and (min_version is None or is_torch_greater_or_equal(min_version))


def is_torch_xpu_available(check_device: bool = False) -> bool:
    """Whether torch sees a GPU of Intel."""
    import torch

    return torch.xpu.is_available()


def is_torch_bf16_gpu_available() -> bool:
    """Whether there is a GPU that computes in bfloat16."""
    import torch

    return torch.cuda.is_available() and torch.cuda.is_bf16_supported()


is_torch_bf16_available = is_torch_bf16_gpu_available


def is_torch_bf16_cpu_available() -> bool:
    """True: torch computes in bfloat16 on every CPU."""
    return True


def is_torch_tf32_available() -> bool:
    """Whether there is a GPU that computes in TF32."""
    import torch

    return torch.cuda.is_available() and torch.cuda.get_device_properties(0).major >= 8


def is_torch_distributed_available() -> bool:
    """Whether this torch was built with torch.distributed."""
    import torch

    return torch.distributed.is_available()


def is_torchdynamo_compiling() -> bool:
    """Whether torch.compile or torch.export is tracing."""
    import torch

    return torch.compiler.is_compiling()


def is_torch_fx_proxy(x: object) -> bool:
    """Whether `x` stands for a tensor while torch.fx traces."""
    return "torch.fx" in sys.modules and isinstance(x, sys.modules["torch.fx"].Proxy)


def get_torch_version() -> str:
    """The version of torch that is installed."""
    return importlib.metadata.version("torch")


def is_torch_greater_or_equal(library_version: str, accept_dev: bool = False) -> bool:
    """Whether torch is of that version or newer."""
    return _at_least(get_torch_version(), library_version)


# ---- where the program runs


def is_in_notebook() -> bool:
    """Whether the program is a notebook."""
    shell = sys.modules.get("IPython")
    return shell is not None and "IPKernelApp" in getattr(shell.get_ipython(), "config", {})


def is_training_run_on_sagemaker() -> bool:
    """Whether SageMaker started the program."""
    return "SAGEMAKER_JOB_NAME" in os.environ


def is_sagemaker_dp_enabled() -> bool:
    """False: SageMaker's own parallel training is not used here."""
    return False


is_sagemaker_mp_enabled = is_sagemaker_dp_enabled


def is_offline_mode() -> bool:
    """Whether HF_HUB_OFFLINE or TRANSFORMERS_OFFLINE forbids the network."""
    return any(
        os.environ.get(v, "").upper() in ENV_VARS_TRUE_VALUES for v in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
    )


# ---- what a program requires


def requires_backends(obj: Any, backends: str | Iterable[str]) -> None:
    """Raise ImportError where one of the packages is not installed."""
    who = getattr(obj, "__name__", type(obj).__name__)
    for backend in [backends] if isinstance(backends, str) else backends:
        if not _installed(_WHAT_OF.get(backend, backend) or ""):
            raise MissingNameError(f"{who} needs {backend}, which is not installed: pip install {backend}.")


def torch_required(func: Callable[..., Any]) -> Callable[..., Any]:
    """The function itself, called only where torch is installed."""

    @functools.wraps(func)
    def checked(*args: Any, **kwargs: Any) -> Any:
        requires_backends(func, "torch")
        return func(*args, **kwargs)

    return checked


torch_only_method = torch_required


def require_version(requirement: str, hint: str | None = None) -> None:
    """Raise ImportError unless an installed package fits: "tokenizers>=0.11.1,!=0.11.3"."""
    from packaging.requirements import InvalidRequirement, Requirement

    try:
        wanted = Requirement(requirement)
    except InvalidRequirement as error:
        raise ArgumentError(f"{requirement!r} is no requirement such as 'tokenizers>=0.11.1'.") from error
    package = wanted.name
    try:
        there = sys.version.split()[0] if package == "python" else importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError as error:
        raise MissingNameError(f"{requirement} is required, and {package} is not installed. {hint or ''}") from error
    if not wanted.specifier.contains(there, prereleases=True):
        raise MissingNameError(f"{requirement} is required, and {package}=={there} is installed. {hint or ''}")


require_version_core = require_version


def check_min_version(min_version: str) -> None:
    """Raise ImportError where a script asks for a newer Transformers than the one that this package is like."""
    if not _at_least(TRANSFORMERS, min_version):
        raise MissingNameError(
            f"This script asks for Transformers {min_version}; this package has the names of {TRANSFORMERS}."
        )


def send_example_telemetry(*_: Any, **__: Any) -> None:
    """Nothing is sent."""
