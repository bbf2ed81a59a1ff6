"""How examples become batches: columns, order, loaders; and where the generators of random numbers stood before each.

dataset ─ order of this epoch ─▶ rows of each batch ─ collator ─▶ batch ─▶ device
                                     │
                                     └─ recorded with the generators' states, so that a training that goes on from
                                        a checkpoint reads, masks and drops what it would have
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import torch
from torch.utils.data import BatchSampler, DataLoader, Dataset, IterableDataset, Sampler, SequentialSampler

from ..errors import InputError
from ..logging import logger
from ..ops.layout import with_lengths
from . import seed
from .batching import LengthGroupedSampler, packed_batches
from .results import has_length, number_of_arguments

_REMEMBERED = 256  # batches whose rows are known: as many as workers may have read ahead


class SeededSampler(Sampler[int]):
    """All rows in an order that follows from a seed and the number of the epoch."""

    def __init__(self, dataset: Any, seed: int) -> None:
        self.dataset, self.seed, self.epoch = dataset, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Which pass over the data comes next."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self.seed + self.epoch)
        yield from torch.randperm(len(self.dataset), generator=generator).tolist()

    def __len__(self) -> int:
        return len(self.dataset)


class PackedSampler(Sampler[list[int]]):
    """Batches filled up to a number of tokens; which texts are together is decided once, their order by the epoch."""

    def __init__(self, lengths: Sequence[int], tokens: int, seed: int) -> None:
        self.batches = packed_batches(lengths, tokens, torch.Generator().manual_seed(seed))
        self.seed, self.epoch = seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Which pass over the data comes next."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[list[int]]:
        generator = torch.Generator().manual_seed(self.seed + self.epoch)
        yield from (self.batches[i] for i in torch.randperm(len(self.batches), generator=generator).tolist())

    def __len__(self) -> int:
        return len(self.batches)


class Recorded(Sampler[list[int]]):
    """Batches of rows, each remembered with the states of the generators before it is read.

    restore: {number of a batch: the states that the generators are put into before it is read}.
    """

    def __init__(self, batches: Any, batch_size: int, drop_last: bool) -> None:
        self.batches, self.batch_size, self.drop_last = batches, batch_size, drop_last
        self.rows: dict[int, list[int]] = {}
        self.before: dict[int, dict[str, Any]] = {}
        self.restore: dict[int, dict[str, Any]] = {}

    def __iter__(self) -> Iterator[list[int]]:
        self.rows.clear()
        self.before.clear()
        for number, rows in enumerate(self.batches):
            if number in self.restore:
                seed.set_states(self.restore.pop(number))
            self.rows[number], self.before[number] = list(rows), seed.states()
            for kept in (self.rows, self.before):
                kept.pop(number - _REMEMBERED, None)
            yield rows

    def __len__(self) -> int:
        return len(self.batches)

    def set_epoch(self, epoch: int) -> None:
        """Which pass over the data comes next."""
        samplers: Any = (self.batches, getattr(self.batches, "sampler", None))
        for sampler in samplers:
            if hasattr(sampler, "set_epoch"):
                sampler.set_epoch(epoch)


class Pieces(Dataset[Any]):
    """Texts, those of more than `limit` tokens in pieces."""

    def __init__(self, dataset: Any, lengths: Sequence[int], limit: int) -> None:
        self.dataset, self.limit = dataset, limit
        self.places = [(row, start) for row, length in enumerate(lengths) for start in range(0, length, limit)]
        self.lengths = [min(limit, lengths[row] - start) for row, start in self.places]

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, index: int) -> dict[str, Any]:
        row, start = self.places[index]
        example = dict(self.dataset[row])
        length = len(example["input_ids"])
        if length <= self.limit:
            return example
        cut = slice(start, start + self.limit)
        return {
            name: value[cut] if hasattr(value, "__len__") and len(value) == length else value
            for name, value in example.items()
        }


class WithoutColumns:
    """A collator that leaves out what the model does not take."""

    def __init__(self, collator: Callable[[list[Any]], Any], kept: Sequence[str]) -> None:
        self.collator, self.kept = collator, frozenset(kept)

    def __call__(self, examples: list[Any]) -> Any:
        """The batch of `examples`, without the columns that are not kept."""
        return self.collator([self._some(example) for example in examples])

    def _some(self, example: Any) -> Any:
        if not hasattr(example, "keys"):
            return example
        kept = {name: example[name] for name in example.keys() if name in self.kept}  # noqa: SIM118
        if not kept and len(example):
            raise InputError(
                f"None of the columns {', '.join(map(repr, example))} is an argument of the model: it takes "
                f"{', '.join(sorted(self.kept))}. Tokenize the texts first, or set remove_unused_columns=False."
            )
        return kept


def lengths_of(dataset: Any, column: str, main_input: str) -> list[int]:
    """The tokens of each example: of its column of lengths, or counted."""
    names = getattr(dataset, "column_names", None)
    if names is not None and column in names:
        return list(dataset[column])
    try:
        ids = dataset[main_input] if names is not None else (example[main_input] for example in dataset)
        return [len(x) for x in ids]
    except (KeyError, TypeError, IndexError) as error:
        raise InputError(
            f"The lengths of the texts are needed, and the examples have neither a column {column!r} nor "
            f"{main_input!r}: tokenize the texts first."
        ) from error


class Data:
    """The part of a Trainer that reads examples."""

    args: Any
    model: Any
    accelerator: Any
    data_collator: Any
    train_dataset: Any
    eval_dataset: Any
    label_names: list[str]
    _train_batch_size: int
    _recorded: Recorded | None = None
    _eval_dataloaders: dict[str, Any]

    def get_train_dataloader(self) -> Any:
        """Batches to train on. Errors: InputError where there is no data."""
        if self.train_dataset is None:
            raise InputError("Trainer has nothing to train on: give train_dataset=.")
        dataset: Any = self._readable(self.train_dataset, "training")
        if isinstance(dataset, IterableDataset) or not has_length(dataset):
            if self.args.packing or self.args.train_sampling_strategy == "group_by_length":
                raise InputError(
                    "Data without a length cannot be packed or grouped by length, which needs the lengths of all "
                    "texts: give a data set that has them, or leave packing and group_by_length out."
                )
            return self._loader(dataset, batch_size=self._train_batch_size, drop_last=self.args.dataloader_drop_last)
        if not len(dataset):
            raise InputError("train_dataset is empty.")
        size, drop = self._train_batch_size, self.args.dataloader_drop_last
        batches: Any
        if self.args.packing:
            dataset, batches = self._packed(dataset)
        else:
            taken = number_of_arguments(self._get_train_sampler)
            sampler: Any = self._get_train_sampler(*[dataset][:taken])
            batches = BatchSampler(SequentialSampler(dataset) if sampler is None else sampler, size, drop)
        self._recorded = Recorded(batches, size, drop)
        init = partial(seed.seed_worker, num_workers=self.args.dataloader_num_workers, rank=self.args.process_index)
        return self._loader(dataset, batch_sampler=self._recorded, worker_init_fn=init)

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        """The order of the rows: random, sequential, or texts of like lengths together; None for any other."""
        dataset = self.train_dataset if train_dataset is None else train_dataset
        if dataset is None or not has_length(dataset):
            return None
        args = self.args
        first = args.data_seed if args.data_seed is not None else torch.initial_seed()
        if args.train_sampling_strategy == "sequential":
            return SequentialSampler(dataset)
        if args.train_sampling_strategy == "random":
            return SeededSampler(dataset, first)
        lengths = lengths_of(self.train_dataset, args.length_column_name, self._main_input())
        generator = torch.Generator().manual_seed(first) if args.world_size > 1 else None  # one order for all
        together = self._train_batch_size * args.gradient_accumulation_steps
        return LengthGroupedSampler(together, lengths=lengths, generator=generator)

    def _packed(self, dataset: Any) -> tuple[Any, PackedSampler]:
        lengths = lengths_of(self.train_dataset, self.args.length_column_name, self._main_input())
        limit = self.args.packing_length
        if limit is None:
            limit = getattr(getattr(self.model, "config", None), "max_position_embeddings", None) or max(lengths)
        pieces = Pieces(dataset, lengths, limit)
        first = self.args.data_seed if self.args.data_seed is not None else torch.initial_seed()
        return pieces, PackedSampler(pieces.lengths, limit * self._train_batch_size, first)

    def _main_input(self) -> str:
        return getattr(self.model, "main_input_name", "input_ids")

    def _get_eval_sampler(self, eval_dataset: Any) -> Any:
        return SequentialSampler(eval_dataset) if has_length(eval_dataset) else None

    def get_eval_dataloader(self, eval_dataset: Any = None) -> Any:
        """Batches to evaluate on; eval_dataset: other data, or the name of one of several."""
        if eval_dataset is None and self.eval_dataset is None:
            raise InputError("Trainer has nothing to evaluate on: give eval_dataset=.")
        key = eval_dataset if isinstance(eval_dataset, str) else "eval"
        lasting = self.args.dataloader_persistent_workers
        if lasting and key in self._eval_dataloaders:
            return self._eval_dataloaders[key]
        dataset = self.eval_dataset if eval_dataset is None else eval_dataset
        loader = self._in_order(self.eval_dataset[key] if isinstance(dataset, str) else dataset, "evaluation")
        if lasting:
            self._eval_dataloaders[key] = loader
        return loader

    def get_test_dataloader(self, test_dataset: Any) -> Any:
        """Batches of `test_dataset` in its order."""
        return self._in_order(test_dataset, "test")

    def _in_order(self, dataset: Any, what: str) -> Any:
        dataset, more = self._readable(dataset, what), {}
        if has_length(dataset) and not len(dataset):
            raise InputError(f"The {what} data is empty.")
        if not isinstance(dataset, IterableDataset):
            more = {"sampler": self._get_eval_sampler(dataset), "drop_last": self.args.dataloader_drop_last}
        return self._loader(dataset, batch_size=self.args.eval_batch_size, **more)

    def _loader(self, dataset: Any, **more: Any) -> Any:
        args = self.args
        loader: Any = DataLoader(
            dataset,
            collate_fn=self._collator(dataset),
            num_workers=args.dataloader_num_workers,
            pin_memory=args.dataloader_pin_memory and args.device.type != "cpu",
            persistent_workers=args.dataloader_persistent_workers,
            prefetch_factor=args.dataloader_prefetch_factor,
            multiprocessing_context=args.dataloader_multiprocessing_context,
            in_order=args.dataloader_in_order,
            **more,
        )
        return self.accelerator.prepare(loader)

    # ---- columns

    def _signature_columns(self) -> list[str]:
        """The arguments of the model, and the names of labels."""
        model: Any = inner_model(self.model)
        return [*inspect.signature(model.forward).parameters, *{"label", "label_ids", *self.label_names}]

    def _takes_anything(self) -> bool:
        return not self.args.remove_unused_columns

    def _readable(self, dataset: Any, description: str) -> Any:
        """The data set without the columns that the model does not take, where it can drop them itself."""
        if isinstance(dataset, dict):
            raise InputError(
                f"The {description} data is a {type(dataset).__name__} of {', '.join(map(repr, dataset))}: give one."
            )
        if isinstance(dataset, Iterator):
            raise InputError(
                f"The {description} data is a {type(dataset).__name__}, which can be read once: give a list, or an "
                "IterableDataset of torch."
            )
        names = getattr(dataset, "column_names", None)
        if self._takes_anything() or not names or not hasattr(dataset, "remove_columns"):
            return dataset
        kept = self._signature_columns()
        dropped = [name for name in names if name not in kept]
        if len(dropped) == len(names):
            WithoutColumns(list, kept)([dict.fromkeys(names)])  # says so
        if dropped:
            logger.info("Columns of the %s data that the model does not take: %s.", description, ", ".join(dropped))
        return dataset.remove_columns(dropped)

    _remove_unused_columns = _readable

    def _collator(self, dataset: Any) -> Any:
        return (
            self.data_collator
            if self._takes_anything()
            else self._get_collator_with_removed_columns(self.data_collator)
        )

    def _get_collator_with_removed_columns(self, data_collator: Any, description: str | None = None) -> Any:
        """The collator after the columns that the model does not take are left out."""
        return WithoutColumns(data_collator, self._signature_columns())

    def num_examples(self, dataloader: Any) -> int:
        """How many examples a loader reads."""
        dataset: Any = getattr(dataloader, "dataset", None)
        return len(dataset) if has_length(dataset) else len(dataloader) * self.args.per_device_train_batch_size

    # ---- devices

    def _prepare_input(self, data: Any) -> Any:
        """Tensors within lists, tuples and mappings, moved to the device."""
        if isinstance(data, dict) or hasattr(data, "items"):
            return type(data)({name: self._prepare_input(value) for name, value in data.items()})
        if isinstance(data, (tuple, list)):
            return type(data)(self._prepare_input(value) for value in data)
        return data.to(self.args.device) if isinstance(data, torch.Tensor) else data

    def _prepare_inputs(self, inputs: Any) -> Any:
        """The batch on the device. Errors: InputError for an empty one."""
        mask = inputs.get("attention_mask") if hasattr(inputs, "get") else None
        inputs = self._prepare_input(inputs)
        if isinstance(mask, torch.Tensor) and mask.device != self.args.device:
            inputs["attention_mask"] = with_lengths(mask, self.args.device)  # so that packing waits for no device
        if hasattr(inputs, "__len__") and len(inputs) == 0:
            raise InputError(
                "The batch is empty: the collator gave no column that the model takes. "
                f"It takes {', '.join(self._signature_columns())}."
            )
        return inputs


def read(loader: Any, may_end: bool = False) -> Iterator[Any]:
    """The batches of a loader. Errors: InputError where the data, whose length is not known, gives none and may not."""
    try:
        yield from loader
    except ValueError as error:
        if "does not contain any data" not in str(error):
            raise
        if not may_end:
            raise InputError("The data gave no batch: it is empty.") from error


def inner_model(model: Any) -> Any:
    """The model that reads the batches, within an adapter's."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model
