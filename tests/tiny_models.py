"""Tiny random checkpoints, one for each kind of model that the project carries.

They say nothing about quality. Their sizes are odd where the formats allow it, so that a transposed
tensor shows; norms are away from one and biases away from zero, so that none can be forgotten; the
tokenizers are trained on a module of the standard library, in the shape that the real ones have.
"""

import json
import textwrap
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

CHATML = (
    "{% for message in messages %}"
    "{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
LLAMA3_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "{{'<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n'"
    " + message['content'] + '<|eot_id|>'}}"
    "{% endfor %}"
    "{% if add_generation_prompt %}"
    "{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)
INST_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "{% if message['role'] == 'assistant' %}{{ ' ' + message['content'] + eos_token }}"
    "{% else %}{{ '[INST] ' + message['content'] + ' [/INST]' }}{% endif %}"
    "{% endfor %}"
)
CHATML_TOKENS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
LLAMA3_TOKENS = ("<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>",
                 "<|end_header_id|>", "<|eot_id|>")  # fmt: skip
SPM_TOKENS = ("<unk>", "<s>", "</s>")


@dataclass(frozen=True)
class Case:
    """What one tiny checkpoint is made of; `sizes` go over the common ones of config.json."""

    model_type: str
    num_ids: int  # of the tokenizer; the embedding may have more rows
    train: Callable[["Case"], Any]
    special: tuple[str, ...]
    bos: str
    eos: str
    template: str
    tied: bool = True
    pre: str = ""
    theta: float = 50_000.0
    rope: dict[str, Any] = field(default_factory=lambda: {"rope_type": "default"})
    sizes: dict[str, Any] = field(default_factory=dict)


def _lines() -> Iterable[str]:
    text = Path(textwrap.__file__).read_text(encoding="utf-8")
    return (text + "naïve café 日本語 🙂 🙂\n" * 3).splitlines(keepends=True)


def _byte_level(case: Case) -> Any:
    """Train a byte-level BPE tokenizer with one of the pre-tokenizers that GGUF names."""
    from potstill.sources.gguf_tokenizer import IGNORE_MERGES, PRE_TOKENIZERS
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors
    from tokenizers.trainers import BpeTrainer

    tokenizer = Tokenizer(models.BPE())
    normalizer, steps = PRE_TOKENIZERS[case.pre]
    state = json.loads(tokenizer.to_str())
    state["normalizer"] = normalizer
    state["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": steps}
    tokenizer = Tokenizer.from_str(json.dumps(state))
    tokenizer.decoder = decoders.ByteLevel()
    # SmolLM2 has its special tokens at ids 0, 1, 2; the others after the vocabulary.
    first = list(case.special) if case.pre == "smollm" else []
    trainer = BpeTrainer(
        vocab_size=case.num_ids - (len(case.special) - len(first)),
        special_tokens=first,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_lines(), trainer)
    if case.pre in IGNORE_MERGES:
        tokenizer = _with_words_beyond_merges(tokenizer)
    tokenizer.add_special_tokens([_special(token, AddedToken) for token in case.special])
    if case.pre in IGNORE_MERGES:  # Llama 3 begins every text with a token
        first = case.bos, tokenizer.token_to_id(case.bos)
        tokenizer.post_processor = processors.Sequence(
            [
                processors.ByteLevel(trim_offsets=True),
                processors.TemplateProcessing(
                    single=f"{case.bos} $A",
                    pair=f"{case.bos} $A {case.bos} $B:1",
                    special_tokens=[first],
                ),
            ]
        )
    return tokenizer


def _special(token: str, added_token: Any) -> Any:
    return added_token(token, normalized=False, special=True)


def _with_words_beyond_merges(tokenizer: Any) -> Any:
    """Take away the merges of two words, which are then reached by `ignore_merges` alone."""
    from tokenizers import Tokenizer

    state = json.loads(tokenizer.to_str())
    state["model"]["ignore_merges"] = True
    words = {"Ġreturn", "Ġtext"}
    merges = [pair for pair in state["model"]["merges"] if "".join(pair) not in words]
    assert len(state["model"]["merges"]) - len(merges) == len(words)
    state["model"]["merges"] = merges
    return Tokenizer.from_str(json.dumps(state))


def _sentencepiece(case: Case) -> Any:
    """Train a BPE tokenizer with byte fallback, laid out as the converted one of Llama 2.

    Ids: specials, the 256 bytes, merged pieces by rank, then the single characters. Every split of
    a piece into two pieces is a merge, as SentencePiece joins whatever gives the best piece.
    """
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    room = case.num_ids - len(case.special) - 256
    trained.train_from_iterator(
        (line.strip("\n") for line in _lines()),
        trainers.BpeTrainer(vocab_size=room, min_frequency=1, show_progress=False),
    )
    learnt = sorted(trained.get_vocab().items(), key=lambda item: item[1])
    merged = [piece for piece, _ in learnt if len(piece) > 1]
    letters = [piece for piece, _ in learnt if len(piece) == 1]
    pieces = [*case.special, *(f"<0x{b:02X}>" for b in range(256)), *merged, *letters]
    ids = {piece: index for index, piece in enumerate(pieces)}
    merges = [
        [piece[:cut], piece[cut:]]
        for piece in merged
        for cut in range(1, len(piece))
        if piece[:cut] in ids and piece[cut:] in ids
    ]
    return Tokenizer.from_str(json.dumps(_spm_json(case, ids, merges)))


def _spm_json(case: Case, ids: dict[str, int], merges: list[list[str]]) -> dict[str, Any]:
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    bos = {"SpecialToken": {"id": case.bos, "type_id": 0}}
    spaces = {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {"id": ids[token], "content": token, **flags, "special": True} for token in case.special
        ],
        "normalizer": {
            "type": "Sequence",
            "normalizers": [{"type": "Prepend", "prepend": "▁"}, spaces],
        },
        "pre_tokenizer": None,
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [bos, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [bos, {"Sequence": {"id": "A", "type_id": 0}}, bos,
                     {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {case.bos: {"id": case.bos, "ids": [ids[case.bos]],
                                          "tokens": [case.bos]}},
        },
        "decoder": {
            "type": "Sequence",
            "decoders": [
                {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
                {"type": "ByteFallback"},
                {"type": "Fuse"},
                {"type": "Strip", "content": " ", "start": 1, "stop": 0},
            ],
        },
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": "<unk>",
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": True,
            "byte_fallback": True,
            "ignore_merges": False,
            "vocab": ids,
            "merges": merges,
        },
    }  # fmt: skip


_CHATML = {
    "train": _byte_level,
    "special": CHATML_TOKENS,
    "bos": "<|im_start|>",
    "eos": "<|im_end|>",
    "template": CHATML,
}
_SPM = {
    "train": _sentencepiece,
    "special": SPM_TOKENS,
    "bos": "<s>",
    "eos": "</s>",
    "template": INST_TEMPLATE,
    "tied": False,
    "theta": 10_000.0,
}
_LLAMA3_ROPE = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 256,  # of 8 waves: 2 as they are, 1 between, 5 slowed down
}
CASES: dict[str, Case] = {
    "llama": Case("llama", 509, **_CHATML, pre="smollm"),  # SmolLM2
    "llama2": Case("llama", 541, **_SPM, sizes={"num_key_value_heads": 4}),
    "llama3": Case(  # 3.2, whose head is tied
        "llama",
        521,
        _byte_level,
        LLAMA3_TOKENS,
        "<|begin_of_text|>",
        "<|eot_id|>",
        LLAMA3_TEMPLATE,
        pre="llama-bpe",
        rope=_LLAMA3_ROPE,
        sizes={"hidden_size": 96, "num_attention_heads": 6, "max_position_embeddings": 2048},
    ),
    "mistral": Case(
        "mistral",
        547,
        **_SPM,
        sizes={"num_key_value_heads": 1, "head_dim": 32, "sliding_window": None},
    ),
    "qwen2": Case("qwen2", 523, **_CHATML, pre="qwen2"),
    # more rows than ids, as the real ones have; heads wider than width / heads
    "qwen3": Case("qwen3", 531, **_CHATML, pre="qwen2", sizes={"vocab_size": 544, "head_dim": 32}),
}


def _random_model(case: Case, tokenizer: Any) -> Any:
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    end = tokenizer.token_to_id(case.eos)
    sizes = {
        "vocab_size": case.num_ids,
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 512,
        "rms_norm_eps": 1e-5,
        "tie_word_embeddings": case.tied,
        "bos_token_id": tokenizer.token_to_id(case.bos),
        "eos_token_id": end,
        "pad_token_id": end,
        "rope_parameters": {**case.rope, "rope_theta": case.theta},
    } | case.sizes
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(case.model_type, **sizes))
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name.endswith("norm.weight"):
                weight.uniform_(0.5, 1.5)
            else:
                weight.normal_(0.0, 0.12)
    return model.float().eval()


def write(name: str, out: Path) -> Path:
    """Write the checkpoint of a case with tokenizer and template, and return its folder."""
    case = CASES[name]
    tokenizer = case.train(case)
    assert tokenizer.get_vocab_size() == case.num_ids, tokenizer.get_vocab_size()
    _random_model(case, tokenizer).save_pretrained(out)
    tokenizer.save(str(out / "tokenizer.json"))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "clean_up_tokenization_spaces": False,
        "bos_token": case.bos,
        "eos_token": case.eos,
        "pad_token": case.eos,
    }
    if "<unk>" in case.special:
        config["unk_token"] = "<unk>"
    (out / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    (out / "chat_template.jinja").write_text(case.template, encoding="utf-8")
    return out
