"""`pipeline`: from a task, a model, or both, to something that takes texts and gives answers.

Each task is one file here that declares a `TASK`; this file finds them, and loads what they need.
Nothing here imports torch before a pipeline is made.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..config import read_json
from ..errors import ArgumentError, NotFoundError, UnknownTaskError, near
from ..hub import hub_arguments, locate
from ..logging import logger
from .registry import PIPELINE_REGISTRY as PIPELINE_REGISTRY
from .registry import PipelineRegistry as PipelineRegistry
from .registry import tasks as _tasks

if TYPE_CHECKING:
    from .base import Pipeline as Pipeline
    from .base import Task

# Tasks of Transformers, to tell one that is missing here from one that does not exist.
_ELSEWHERE = (
    *("any-to-any", "automatic-speech-recognition", "decision"),
    *("depth-estimation", "image-segmentation", "image-to-image", "keypoint-matching"),
    *("mask-generation", "object-detection"),
    *("text-to-audio", "text-to-speech"),
    "video-classification",
    "zero-shot-object-detection",
)

# names that are no tasks' classes, and their files
_BESIDE = {
    "AggregationStrategy": "token_classification",
    "ClassificationFunction": "scores",
    "Conversation": "conversation",
    "NerPipeline": "token_classification",
    "Pipeline": "base",
    "PipelineException": "base",
    "ReturnType": "text_generation",
    "SquadExample": "squad",
}


def pipeline(
    task: str | None = None,
    model: Any = None,
    config: Any = None,
    tokenizer: Any = None,
    feature_extractor: Any = None,
    framework: str | None = None,
    revision: str | None = None,
    use_fast: bool = True,
    use_auth_token: str | bool | None = None,
    model_kwargs: dict[str, Any] | None = None,
    pipeline_class: type[Pipeline] | None = None,
    *,
    image_processor: Any = None,
    processor: Any = None,
    video_processor: Any = None,
    token: str | bool | None = None,
    device: Any = None,
    device_map: Any = None,
    dtype: Any = None,
    torch_dtype: Any = None,
    optimize: bool | str | None = None,
    trust_remote_code: bool | None = None,
    **kwargs: Any,
) -> Pipeline:
    """Make the pipeline of a task.

    Args:
        task: "text-classification" (or "sentiment-analysis"), "token-classification" (or "ner"), "question-answering",
            "zero-shot-classification", "fill-mask", "feature-extraction", "text-ranking", "multiple-choice",
            "next-sentence", "table-question-answering", "document-question-answering", "text-generation",
            "conversational", "text2text-generation", "summarization", "translation" (or "translation_en_to_fr", and so
            on); on pictures ("image-classification", …) and sounds ("automatic-speech-recognition", …); left out,
            the model's architecture decides.
        model: a folder, a hub name, or a model object; left out, the task's default model.
        config: the model's config, or where to find it, when it is not the model's own.
        tokenizer: a tokenizer object, a folder or hub name, or a pair (name, keyword arguments); left out, the model's.
        feature_extractor, image_processor, video_processor, processor: for a class of your own; of these the tasks on
            text use a processor's tokenizer, where no tokenizer is given.
        framework: "pt", the only one.
        revision: branch, tag or commit of the model on the hub.
        use_fast: accepted; all tokenizers are fast.
        use_auth_token: the older name of token.
        model_kwargs: more arguments for the model's `from_pretrained`.
        pipeline_class: a class of your own instead of the task's.
        token: an access token for the hub.
        device: where to run: "cpu", "cuda:1", an accelerator's number, -1 for the CPU; left out, where the model is.
        device_map: the same, given to the model's `from_pretrained`.
        dtype: the weights' type, float32 unless given; "auto" for the type they are stored in.
        torch_dtype: the older name of dtype.
        optimize: run from derived weights, which are faster: True for the best mode of this processor that agrees with
            the model, or "float32" (exact), "fp16", "bf16", "int8"; as `model.optimize()` of the model. None leaves
            the model as it is.
        trust_remote_code: accepted and without effect: no code from a repository is ever run.
        kwargs: hub arguments (cache_dir, local_files_only, subfolder, …), batch_size, on_error ("return" gives the
            errors of inputs in the places of their results), and the task's own arguments.

    Raises:
        UnknownTaskError: for a task that does not exist, or not here.
        NotFoundError: when a model cannot be found or reached.
        ArgumentError: for arguments that do not go together.
    """
    _check_arguments(task, model, tokenizer, framework, device, device_map)
    kwargs.update(token=token, use_auth_token=use_auth_token, revision=revision)
    hub = hub_arguments(kwargs)
    loading = {"device_map": device_map, "dtype": torch_dtype if dtype is None else dtype}
    loading = {name: value for name, value in loading.items() if value is not None} | (model_kwargs or {})
    hub.update(hub_arguments(loading))
    beside = {"tokenizer": tokenizer, "image_processor": image_processor, "feature_extractor": feature_extractor}
    beside |= {"video_processor": video_processor, "processor": processor}
    parts = {"config": config, "given": beside, "hub": hub, "loading": loading}

    if model is None:
        found = find_task(str(task))
        model, made = _load_default(found, parts)
    else:
        known = task is None or pipeline_class is None or _named(str(task))
        found = find_task(task) if task is not None and known else _infer_task(model, config, hub)
        model, made = _load(found, model, **parts)
    # a class of your own need not know what is not given
    beside = {name: value for name, value in (beside | made).items() if value is not None or name == "tokenizer"}
    kwargs.update(beside)
    if optimize:
        kwargs["optimize"] = optimize
    kind = pipeline_class or found.pipeline
    return kind(model=model, task=task or found.name, device=device, **kwargs)


def _named(task: str) -> bool:
    return task in get_supported_tasks() or task.startswith("translation_")


def get_supported_tasks() -> list[str]:
    """The names of all tasks, aliases included."""
    return sorted(_tasks())


def find_task(name: str) -> Task:
    """The task called `name`, also by an alias. Raises UnknownTaskError naming the tasks there are."""
    tasks = _tasks()
    if name in tasks:
        return tasks[name]
    if name.startswith("translation_"):
        from .translation import languages_of

        if languages_of(name) is not None:
            return tasks["translation"]
        raise UnknownTaskError(
            f"There is no task {name!r}. Two languages are named as in 'translation_en_to_fr', or in the call: "
            "pipeline('translation', model=…, src_lang=…, tgt_lang=…)."
        )
    here = f"Tasks: {', '.join(sorted(tasks))}, translation_xx_to_yy."
    if name in _ELSEWHERE:
        raise UnknownTaskError(f"The task {name!r} exists in Transformers, but not yet here. {here}")
    raise UnknownTaskError(f"There is no task {name!r}.{near(name, [*tasks, *_ELSEWHERE])} {here}")


def _check_arguments(task: Any, model: Any, tokenizer: Any, framework: Any, device: Any, device_map: Any) -> None:
    if task is None and model is None:
        raise ArgumentError("Neither a task nor a model was given. Example: pipeline('sentiment-analysis').")
    if task is not None and not isinstance(task, str):
        raise ArgumentError(f"task is the name of a task, not {task!r:.60}. Give a model as model=….")
    if model is None and tokenizer is not None:
        raise ArgumentError("A tokenizer was given without its model. Give model=… too; the default has its own.")
    if not (model is None or isinstance(model, str | Path) or hasattr(model, "config")):
        raise ArgumentError(f"model is a folder, a hub name or a model object, not {model!r:.60}.")
    if framework not in (None, "pt"):
        raise ArgumentError(f"framework={framework!r} is not available: models are PyTorch here. Leave it out.")
    if device is not None and device_map is not None:
        raise ArgumentError(f"device={device!r} and device_map={device_map!r} are both given. Give one of them.")


def _infer_task(model: Any, config: Any, hub: dict[str, Any]) -> Task:
    """The task whose models are called like this one. Raises ArgumentError when the name does not tell."""
    if isinstance(model, str | Path):
        from ..auto import AutoConfig

        source = config if isinstance(config, str) else model
        config = config if config is not None and source is model else AutoConfig.from_pretrained(source, **hub)
        architectures = getattr(config, "architectures", None) or []
        what = f"The config of {str(model)!r} names the architecture {', '.join(architectures) or '(none)'}"
    else:
        architectures = [type(model).__name__]
        what = f"The model is a {architectures[0]}"
    tasks = list(_tasks().values())
    for architecture in architectures:
        pairs = ((end, i) for i, task in enumerate(tasks) for end in task.architectures)
        ends = [(len(end), i) for end, i in pairs if architecture.endswith(end)]
        if ends:  # GPT2LMHeadModel ends with LMHeadModel, and with Model
            return tasks[max(ends)[1]]
    names = ", ".join(sorted({task.name for task in tasks}))
    raise ArgumentError(f"{what}, which does not tell a task that is here. Give one of them: {names}.")


def _load_default(task: Task, parts: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """The task's default model and what makes its inputs, or those in the package when the hub cannot be reached."""
    if task.default is None:
        raise ArgumentError(
            f"No model was given, and {task.name} has no usual one. Give model=… (a folder or hub name)."
        )
    name, pinned = task.default
    revision = parts["hub"].get("revision") or pinned
    try:
        loaded = _load(task, name, **{**parts, "hub": {**parts["hub"], "revision": revision}})
    except NotFoundError as error:
        reason = str(error).split("\n")[0]
        if task.packaged is None:
            raise NotFoundError(
                f"No model was given for {task.name}, and its default cannot be had: {reason} Give model=… (a folder "
                "needs no network)."
            ) from error
        logger.warning(
            f"No model was given, and the default one cannot be had. {reason} "
            f"The {task.packaged} model inside the package is used; choose another with model=…."
        )
        folder = Path(__file__).parents[1] / "packaged" / task.packaged
        return _load(task, folder, parts["config"], parts["given"], {}, parts["loading"])
    logger.warning(f"No model was given: {name} (revision {revision}) is used. Choose another with model=….")
    return loaded


def _load(
    task: Task, model: Any, config: Any, given: dict[str, Any], hub: dict[str, Any], loading: dict[str, Any]
) -> tuple[Any, dict[str, Any]]:
    """The model, and what makes its inputs, as objects, loaded where names are given."""
    from .. import auto

    name = str(model) if isinstance(model, str | Path) else None
    if name is not None:
        if isinstance(config, str):
            config = auto.AutoConfig.from_pretrained(config, **hub)
        own = {} if config is None else {"config": config}
        model = task.loader().from_pretrained(name, **own, **hub, **loading)
    elif loading:
        # existing code passes them along with a loaded model, where they never had an effect
        logger.warning(f"The model is loaded already: {', '.join(loading)} changes nothing. Use model.to(…) instead.")
    if task.beside is not None:
        _read_beside(task.beside, model, name, hub)
    made = {part: _part(part, given, model, name, hub) for part in task.reads}
    return model, made | {part: _part_or_none(part, given, model, name, hub) for part in task.may_read}


# what makes a model's inputs: the class that loads it, and what may stand for it among the arguments
_LOADS = {
    "tokenizer": "AutoTokenizer",
    "image_processor": "AutoImageProcessor",
    "feature_extractor": "AutoFeatureExtractor",
    "processor": "AutoProcessor",
}
_OLDER = {"image_processor": "feature_extractor"}


def _part(part: str, given: dict[str, Any], model: Any, name: str | None, hub: dict[str, Any]) -> Any:
    """A tokenizer, image processor or processor: what was given, what a processor holds, or else the model's own."""
    from .. import auto, auto_processing

    found = given[part] if given[part] is not None else given.get(_OLDER.get(part, ""))
    found = getattr(given["processor"], part, None) if found is None else found
    what = part.replace("_", " ")
    if found is None:
        found = name or getattr(model.config, "name_or_path", None)
        if not found:
            raise ArgumentError(
                f"The {type(model).__name__} was made in memory, so there is no place to find its {what}. Pass "
                f"{part}=…."
            )
    options: dict[str, Any] = {}
    if isinstance(found, tuple):
        found, options = found
    if isinstance(found, str | Path):
        # a revision names a commit of the model's repository
        own = {key: hub[key] for key in hub if key not in ("revision", "subfolder")}
        if str(found) == name and name == getattr(model.config, "name_or_path", name):
            own = {**hub, "revision": getattr(model.config, "_commit_hash", None) or hub.get("revision")}
        home = auto if part == "tokenizer" else auto_processing
        found = getattr(home, _LOADS[part]).from_pretrained(str(found), **own, **options)
    return found


def _part_or_none(part: str, given: dict[str, Any], model: Any, name: str | None, hub: dict[str, Any]) -> Any:
    """The same; None where nothing was given, and the model has none."""
    nowhere = not (name or getattr(model.config, "name_or_path", None))
    if nowhere and all(given[one] is None for one in (part, "processor", _OLDER.get(part, part))):
        return None
    try:
        return _part(part, given, model, name, hub)
    except NotFoundError:
        return None


def _read_beside(file: str, model: Any, name: str | None, hub: dict[str, Any]) -> None:
    """Add what a file beside config.json says to the model's configuration, where that does not say it itself."""
    place = name or str(getattr(model.config, "name_or_path", None) or "")
    if not place or (name is None and not Path(place).is_dir()):  # made in memory, or its folder is gone
        return
    path = locate(place, **(hub if name else {})).file(file)
    if path is not None:
        own = getattr(model.config, "sentence_transformers", None) or {}
        model.config.sentence_transformers = {**read_json(path), **own}


def __getattr__(name: str) -> Any:
    """The classes of the tasks and of the files beside them, resolved at use since they import torch."""
    if not name.startswith("_"):
        if name in _BESIDE:
            return getattr(importlib.import_module(f"{__name__}.{_BESIDE[name]}"), name)
        for task in _tasks().values():
            if task.pipeline.__name__ == name:
                return task.pipeline
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
