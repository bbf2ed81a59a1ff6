"""Marian: BART with fixed positions and without norms around words; vocabularies of two languages may be apart.

Source: Junczys-Dowmunt et al. 2018 (arXiv 1804.00344), https://github.com/Helsinki-NLP/Opus-MT
Letters: D width, P positions, V vocabulary.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import nn

from ..errors import ArgumentError
from ..modeling import PreTrainedModel
from ..ops.embedding import fill_sinusoids
from ..tokenization import AddedToken, SentencePieceModel, SentencePieceTokenizer, TwoSided, at_spaces, of_vocabulary
from . import bart, mbart


class MarianConfig(mbart.MBartConfig):
    """Defaults are those of the reference. decoder_vocab_size: V of the decoder, vocab_size if left out."""

    model_type = "marian"

    vocab_size: int = 58101
    decoder_vocab_size: int | None = None
    decoder_start_token_id: int | None = 58100
    pad_token_id: int | None = 58100
    eos_token_id: int | list[int] | None = 0
    bos_token_id: int | None = None
    forced_eos_token_id: int | list[int] | None = 0
    share_encoder_decoder_embeddings: bool = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.decoder_vocab_size = self.decoder_vocab_size or self.vocab_size


class MarianTokenizer(TwoSided, SentencePieceTokenizer):
    """SentencePiece of two languages with ids of a vocab.json, and the end after each text: A </s>, or A B </s>.

    separate_vocabs: whether targets have ids of their own, of target_vocab.json. Texts to be written in one of several
    languages begin with its code, ">>fra<<", see `supported_language_codes`.
    """

    FRAME = ("$A:0 eos:0", "$A:0 $B:0 eos:0")
    TOKENS: ClassVar[dict[str, str]] = {"unk_token": "<unk>", "eos_token": "</s>", "pad_token": "<pad>"}
    vocab_files_names = {
        "source_spm": "source.spm",
        "target_spm": "target.spm",
        "vocab": "vocab.json",
        "target_vocab_file": "target_vocab.json",
    }
    _options = (*SentencePieceTokenizer._options, *vocab_files_names, "source_lang", "target_lang", "separate_vocabs")

    def __init__(
        self,
        source_spm: Any = None,
        target_spm: Any = None,
        vocab: Any = None,
        target_vocab_file: Any = None,
        *,
        separate_vocabs: bool = False,
        **kwargs: Any,
    ) -> None:
        second = target_vocab_file if separate_vocabs else vocab
        files = {"source_spm": source_spm, "target_spm": target_spm, "vocab": vocab, "target_vocab_file": second}
        if missing := [name for name, file in files.items() if file is None]:
            raise ArgumentError(f"{missing[0]} is needed: {self.vocab_files_names[missing[0]]!r}.")
        self.separate_vocabs, self.spm_files = separate_vocabs, [source_spm, target_spm]
        self.source_lang, self.target_lang = kwargs.get("source_lang"), kwargs.get("target_lang")
        self._ids, self._second = vocab, second
        kwargs["model_max_length"] = kwargs.get("model_max_length") or 512
        super().__init__(source_spm, separate_vocabs=separate_vocabs, **kwargs)
        own = {name: getattr(self, name) for name in self.TOKENS}
        self._ids = second
        self._targets = self._made(target_spm, None, own)
        added = [token for _, token in sorted(self.added_tokens_decoder.items())]
        knows = self._targets.token_to_id
        self._targets.add_tokens([t for t in added if not _is_code(t.content) or knows(t.content) is not None])
        self._targets.post_processor = self._tokenizer.post_processor
        self._ids = vocab

    def _start(self, made: Any, options: dict[str, Any]) -> None:
        codes = [token for token in made.get_vocab() if _is_code(token)]
        codes.sort(key=made.token_to_id)
        made.add_tokens([AddedToken(code, normalized=False) for code in codes])
        self.supported_language_codes = [] if self.separate_vocabs else codes
        super()._start(made, options)

    def numbered(self, file: SentencePieceModel, special: dict[str, str]) -> tuple[list[tuple[str, float]], int]:
        """The tokens of vocab.json."""
        return of_vocabulary(file, self._ids, special["unk_token"])

    def splitting(self, pieces: Any) -> Any:
        return at_spaces(pieces)

    def made_for_targets(self) -> Any:
        return self.changed(self._targets)

    def decode(self, token_ids: Any, *args: Any, **kwargs: Any) -> Any:
        """The text of a list of ids, as the target's where vocabularies are apart; see the class above."""
        if self.separate_vocabs and not self._is_target:
            return self.for_targets().decode(token_ids, *args, **kwargs)
        return super().decode(token_ids, *args, **kwargs)

    def _files(self) -> dict[str, str | None]:
        source, target = self.spm_files
        found = {"source_spm": source, "target_spm": target, "vocab": self._ids}
        return found | ({"target_vocab_file": self._second} if self.separate_vocabs else {})

    def _write(self, stage: Path, before: str, legacy_format: bool | None) -> list[str]:
        return super()._write(stage, before, legacy_format=True)  # a tokenizer.json is not read back


def _is_code(token: str) -> bool:
    return token.startswith(">>") and token.endswith("<<")


class MarianSinusoidalPositionalEmbedding(bart.BartLearnedPositionalEmbedding):
    """Rows of sines and cosines, which nobody trains."""

    OFFSET = 0

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.weight.requires_grad_(False)


shift_tokens_right = bart.shift_tokens_right


class MarianPreTrainedModel(bart.BartPreTrainedModel):
    """What Marian's models share."""

    config_class: ClassVar[Any] = MarianConfig
    BUFFERS: ClassVar[tuple[str, ...]] = (*bart.BartPreTrainedModel.BUFFERS, "embed_positions.weight")

    def make_body(self, config: Any, pooling: bool = False) -> PreTrainedModel:
        """The model under a head."""
        return MarianModel(config)

    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, MarianSinusoidalPositionalEmbedding):
            fill_sinusoids(module.weight, halves=True)


class MarianEncoder(MarianPreTrainedModel, bart.BartEncoder):
    TABLE, POSITIONS, NORM_WORDS = nn.Embedding, MarianSinusoidalPositionalEmbedding, False


class MarianDecoder(MarianPreTrainedModel, bart.BartDecoder):
    TABLE, POSITIONS, NORM_WORDS = nn.Embedding, MarianSinusoidalPositionalEmbedding, False
    VOCABULARY = "decoder_vocab_size"


class MarianModel(MarianPreTrainedModel, bart.Both):
    """The model without a head."""

    PARTS = (MarianEncoder, MarianDecoder)

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        if not config.share_encoder_decoder_embeddings:
            self.WORDS = "encoder.embed_tokens"  # type: ignore[misc]  # of this one alone
            del self.shared
            self.decoder.embed_tokens = self.decoder.words(config)
            self.post_init()


class MarianMTModel(MarianPreTrainedModel, bart.BartForConditionalGeneration):
    """Writes a text in another language."""

    def __init__(self, config: Any) -> None:
        if not config.share_encoder_decoder_embeddings:  # set at first, as weights are tied when the model is made
            self.TIED = {"lm_head.weight": "model.decoder.embed_tokens.weight"}  # type: ignore[misc]
        super().__init__(config)
        if not config.share_encoder_decoder_embeddings:
            self.register_buffer("final_logits_bias", torch.zeros(1, config.decoder_vocab_size))
            self.lm_head = nn.Linear(config.d_model, config.decoder_vocab_size, bias=False)
            self.post_init()


class MarianDecoderWrapper(MarianPreTrainedModel, bart.Wrapper):
    """What MarianForCausalLM holds."""

    WORDS, DECODER = bart.Wrapper.WORDS, MarianDecoder


class MarianForCausalLM(MarianPreTrainedModel, bart.BartForCausalLM):
    """Predicts the next token: the decoder alone."""

    WRAPPER, make_body = MarianDecoderWrapper, bart.BartForCausalLM.make_body


MODEL_TYPES = {"marian": MarianConfig}
TOKENIZER = MarianTokenizer
HEADS = {
    "base": MarianModel,
    "causal-lm": MarianForCausalLM,
    "seq2seq-lm": MarianMTModel,
}
TINY = {**bart.TINY, "pad_token_id": 58, "decoder_start_token_id": 58, "scale_embedding": True}
