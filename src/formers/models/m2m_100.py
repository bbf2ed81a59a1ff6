"""M2M-100, and NLLB: an mBART with fixed positions that count real tokens, for a hundred languages and more.

Source: Fan et al. 2020 (arXiv 2010.11125), NLLB Team 2022 (arXiv 2207.04672).
Letters: B batch, T columns, N rows, D width.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from .. import seq2seq
from ..errors import ArgumentError
from ..modeling import PreTrainedModel
from ..ops.layout import Layout
from ..tokenization import MultilingualTokenizer, SentencePieceModel, SentencePieceTokenizer, at_spaces, of_vocabulary
from . import bart, mbart, roberta


class M2M100Config(mbart.MBartConfig):
    """Defaults are those of m2m100_418M, but for vocab_size (128112 there too) and the numbers of layers."""

    model_type = "m2m_100"

    vocab_size: int = 128112
    encoder_layerdrop: float = 0.05
    decoder_layerdrop: float = 0.05
    activation_function: str = "relu"
    attention_dropout: float = 0.1
    scale_embedding: bool = True
    decoder_start_token_id: int | None = 2
    forced_eos_token_id: int | list[int] | None = None


NLLB = (  # noqa: SIM905  a list of strings is no easier to read
    "ace_Arab ace_Latn acm_Arab acq_Arab aeb_Arab afr_Latn ajp_Arab aka_Latn amh_Ethi apc_Arab arb_Arab ars_Arab "
    "ary_Arab arz_Arab asm_Beng ast_Latn awa_Deva ayr_Latn azb_Arab azj_Latn bak_Cyrl bam_Latn ban_Latn bel_Cyrl "
    "bem_Latn ben_Beng bho_Deva bjn_Arab bjn_Latn bod_Tibt bos_Latn bug_Latn bul_Cyrl cat_Latn ceb_Latn ces_Latn "
    "cjk_Latn ckb_Arab crh_Latn cym_Latn dan_Latn deu_Latn dik_Latn dyu_Latn dzo_Tibt ell_Grek eng_Latn epo_Latn "
    "est_Latn eus_Latn ewe_Latn fao_Latn pes_Arab fij_Latn fin_Latn fon_Latn fra_Latn fur_Latn fuv_Latn gla_Latn "
    "gle_Latn glg_Latn grn_Latn guj_Gujr hat_Latn hau_Latn heb_Hebr hin_Deva hne_Deva hrv_Latn hun_Latn hye_Armn "
    "ibo_Latn ilo_Latn ind_Latn isl_Latn ita_Latn jav_Latn jpn_Jpan kab_Latn kac_Latn kam_Latn kan_Knda kas_Arab "
    "kas_Deva kat_Geor knc_Arab knc_Latn kaz_Cyrl kbp_Latn kea_Latn khm_Khmr kik_Latn kin_Latn kir_Cyrl kmb_Latn "
    "kon_Latn kor_Hang kmr_Latn lao_Laoo lvs_Latn lij_Latn lim_Latn lin_Latn lit_Latn lmo_Latn ltg_Latn ltz_Latn "
    "lua_Latn lug_Latn luo_Latn lus_Latn mag_Deva mai_Deva mal_Mlym mar_Deva min_Latn mkd_Cyrl plt_Latn mlt_Latn "
    "mni_Beng khk_Cyrl mos_Latn mri_Latn zsm_Latn mya_Mymr nld_Latn nno_Latn nob_Latn npi_Deva nso_Latn nus_Latn "
    "nya_Latn oci_Latn gaz_Latn ory_Orya pag_Latn pan_Guru pap_Latn pol_Latn por_Latn prs_Arab pbt_Arab quy_Latn "
    "ron_Latn run_Latn rus_Cyrl sag_Latn san_Deva sat_Beng scn_Latn shn_Mymr sin_Sinh slk_Latn slv_Latn smo_Latn "
    "sna_Latn snd_Arab som_Latn sot_Latn spa_Latn als_Latn srd_Latn srp_Cyrl ssw_Latn sun_Latn swe_Latn swh_Latn "
    "szl_Latn tam_Taml tat_Cyrl tel_Telu tgk_Cyrl tgl_Latn tha_Thai tir_Ethi taq_Latn taq_Tfng tpi_Latn tsn_Latn "
    "tso_Latn tuk_Latn tum_Latn tur_Latn twi_Latn tzm_Tfng uig_Arab ukr_Cyrl umb_Latn urd_Arab uzn_Latn vec_Latn "
    "vie_Latn war_Latn wol_Latn xho_Latn ydd_Hebr yor_Latn yue_Hant zho_Hans zho_Hant zul_Latn"
).split()


class NllbTokenizer(mbart.MBartTokenizer):
    """SentencePiece, with the language before each text and the end after it: eng_Latn A </s>.

    legacy_behaviour: both after it, as early checkpoints were used.
    """

    CODES, LANGUAGE, FIRST, WHITESPACE = tuple(NLLB), "eng_Latn", True, False
    _options = (*mbart.MBartTokenizer._options, "legacy_behaviour")

    def __init__(self, *args: Any, legacy_behaviour: bool = False, **kwargs: Any) -> None:
        self.FIRST = not legacy_behaviour  # type: ignore[misc]
        self.legacy_behaviour = legacy_behaviour
        super().__init__(*args, legacy_behaviour=legacy_behaviour, **kwargs)


NllbTokenizerFast = NllbTokenizer


M2M100 = (  # noqa: SIM905  a list of strings is no easier to read
    "af am ar ast az ba be bg bn br bs ca ceb cs cy da de el en es et fa ff fi fr fy ga gd gl gu ha he hi hr ht hu hy "
    "id ig ilo is it ja jv ka kk km kn ko lb lg ln lo lt lv mg mk ml mn mr ms my ne nl no ns oc or pa pl ps pt ro ru "
    "sd si sk sl so sq sr ss su sv sw ta th tl tn tr uk ur uz vi wo xh yi yo zh zu"
).split()
WMT21 = ["en", "ha", "is", "ja", "cs", "ru", "zh", "de"]


class M2M100Tokenizer(MultilingualTokenizer, SentencePieceTokenizer):
    """SentencePiece with ids of a vocab.json; the language before each text and the end after it: __en__ A </s>.

    language_codes: "m2m100", or "wmt21" for the languages of that contest.
    """

    CODES, LANGUAGE = tuple(M2M100), "en"
    TOKENS = {name: token for name, token in roberta.TOKENS.items() if name not in ("cls_token", "mask_token")}
    vocab_files_names = {"vocab_file": "vocab.json", "spm_file": "sentencepiece.bpe.model"}
    _options = (
        *SentencePieceTokenizer._options, "src_lang", "tgt_lang", "spm_file", "language_codes", "num_madeup_words",
    )  # fmt: skip

    def __init__(
        self, vocab_file: Any = None, spm_file: Any = None, *, language_codes: str = "m2m100", **kwargs: Any
    ) -> None:
        known = {"m2m100": M2M100, "wmt21": WMT21}
        if language_codes not in known:
            raise ArgumentError(f"language_codes={language_codes!r} is unknown; it is m2m100 or wmt21.")
        if vocab_file is None or spm_file is None:
            raise ArgumentError("Both are needed: vocab_file='vocab.json' and spm_file='sentencepiece.bpe.model'.")
        self.CODES, self.ids_file = tuple(known[language_codes]), vocab_file  # type: ignore[misc]
        super().__init__(spm_file, language_codes=language_codes, **kwargs)

    def numbered(self, file: SentencePieceModel, special: dict[str, str]) -> tuple[list[tuple[str, float]], int]:
        """The tokens of vocab.json."""
        return of_vocabulary(file, self.ids_file, special["unk_token"])

    def splitting(self, pieces: Any) -> Any:
        return at_spaces(pieces)

    def token_of(self, language: str) -> str:
        return f"__{language}__"

    get_lang_token = token_of

    @property
    def lang_code_to_token(self) -> dict[str, str]:
        """{language: its token}."""
        return {code: self.token_of(code) for code in self.CODES}

    @property
    def lang_token_to_id(self) -> dict[str, int]:
        """{token of a language: its id}."""
        return {self.token_of(code): number for code, number in self.lang_code_to_id.items()}

    @property
    def id_to_lang_token(self) -> dict[int, str]:
        """{id of a language's token: the token}."""
        return {number: token for token, number in self.lang_token_to_id.items()}

    def get_lang_id(self, lang: str) -> int:
        """The id of a language's token."""
        return self.language_id(lang)

    def frame(self) -> Any:
        return self.around(self.src_lang)

    def _files(self) -> dict[str, str | None]:
        return {"vocab_file": str(self.ids_file), "spm_file": self.vocab_file}

    def _write(self, stage: Path, before: str, legacy_format: bool | None) -> list[str]:
        return super()._write(stage, before, legacy_format=True)  # a tokenizer.json is not read back


class M2M100SinusoidalPositionalEmbedding(nn.Module):
    """Sines and cosines of positions, which begin after that of padding, where all is zero."""

    def __init__(self, num_positions: int, embedding_dim: int, padding_idx: int | None = None) -> None:
        super().__init__()
        self.embedding_dim, self.padding_idx = embedding_dim, padding_idx

    def forward(
        self,
        input_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        past_key_values_length: int = 0,
    ) -> Tensor:
        """(B, T, D) of tokens, or of vectors."""
        given = inputs_embeds if input_ids is None else input_ids
        assert given is not None  # one of them is there
        batch, columns = given.shape[:2]
        past = (past_key_values_length,) * batch if past_key_values_length else None
        return self.of_rows(Layout(batch, columns, past=past), {"input_ids": input_ids}, given)

    def of_rows(self, layout: Layout, inputs: dict[str, Any], rows: Tensor) -> Tensor:
        """What is added to the rows of a layout."""
        padding, half = self.padding_idx or 0, self.embedding_dim // 2
        places = roberta.positions(layout, rows, inputs.get("input_ids"), padding)
        rates = torch.exp(torch.arange(half, device=rows.device).float() * -(math.log(10000) / (half - 1)))
        angles = places[..., None].float() * rates
        found = torch.cat([angles.sin(), angles.cos()], dim=-1)
        found = nn.functional.pad(found, (0, self.embedding_dim % 2))
        found = found.masked_fill((places == padding)[..., None], 0.0)
        return found.to(rows.dtype) if rows.is_floating_point() else found


shift_tokens_right = bart.shift_tokens_right


class M2M100PreTrainedModel(bart.BartPreTrainedModel):
    """What M2M-100's models share."""

    config_class = M2M100Config

    def make_body(self, config: Any, pooling: bool = False) -> PreTrainedModel:
        """The model under a head."""
        return M2M100Model(config)


class M2M100Encoder(M2M100PreTrainedModel, mbart.MBartEncoder):
    POSITIONS, NORM_WORDS = M2M100SinusoidalPositionalEmbedding, False


class M2M100Decoder(M2M100PreTrainedModel, mbart.MBartDecoder):
    POSITIONS, NORM_WORDS = M2M100SinusoidalPositionalEmbedding, False


class M2M100Model(M2M100PreTrainedModel, bart.Both):
    """The model without a head."""

    PARTS = (M2M100Encoder, M2M100Decoder)


class M2M100ForConditionalGeneration(M2M100PreTrainedModel, seq2seq.Seq2SeqLM):
    """Writes a text in another language."""

    TIED: ClassVar[dict[str, str]] = {"lm_head.weight": "model.shared.weight"}

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.add_body(config)
        self.lm_head = nn.Linear(config.d_model, config.vocab_size, bias=False)
        self.post_init()

    def compute_logits(self, rows: Tensor) -> Tensor:
        return self.lm_head(rows)


MODEL_TYPES = {"m2m_100": M2M100Config}
TOKENIZER = M2M100Tokenizer
HEADS = {
    "base": M2M100Model,
    "seq2seq-lm": M2M100ForConditionalGeneration,
}
TINY = bart.TINY
