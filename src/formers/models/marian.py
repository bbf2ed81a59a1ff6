"""Marian: BART with fixed positions and without norms around words; vocabularies of two languages may be apart.

Source: Junczys-Dowmunt et al. 2018 (arXiv 1804.00344), https://github.com/Helsinki-NLP/Opus-MT
Letters: D width, P positions, V vocabulary.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import nn

from ..modeling import PreTrainedModel
from ..ops.embedding import fill_sinusoids
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


class MarianSinusoidalPositionalEmbedding(bart.BartLearnedPositionalEmbedding):
    """Rows of sines and cosines, which nobody trains."""

    OFFSET = 0

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.weight.requires_grad_(False)


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
        super().__init__(config)
        if not config.share_encoder_decoder_embeddings:
            self.TIED = {"lm_head.weight": "model.decoder.embed_tokens.weight"}  # type: ignore[misc]
            self.register_buffer("final_logits_bias", torch.zeros(1, config.decoder_vocab_size))
            self.lm_head = nn.Linear(config.d_model, config.decoder_vocab_size, bias=False)
            self.post_init()


MODEL_TYPES = {"marian": MarianConfig}
HEADS = {
    "base": MarianModel,
    "seq2seq-lm": MarianMTModel,
}
TINY = {**bart.TINY, "pad_token_id": 98, "decoder_start_token_id": 98, "scale_embedding": True}
