"""GGUF of every family, whole and trimmed, through llama.cpp; transformers is the oracle."""

import argparse
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from potstill import files, runtime
from potstill.errors import InputError
from potstill.export import build, gguf, gguf_scores, gguf_vocabulary
from potstill.models import checkpoint, gguf_header
from potstill.models.chat import ChatTokenizer
from potstill.models.pre_tokenizers import PRE_TOKENIZERS
from potstill.runtime.llama_cpp import LlamaCpp
from potstill.vocabulary import trimming
from transformers import AutoModelForCausalLM

from tests.export.test_gguf import TEXTS
from tests.tiny_models import CASES

CORPUS = ["def wrap(text, width):\n    return text[:width]\n", "naïve x = 1"]
TRIMMED = 400


@pytest.fixture(scope="module", params=[(name, t) for name in CASES for t in (False, True)],
                ids=lambda p: f"{p[0]}-{'trimmed' if p[1] else 'whole'}")  # fmt: skip
def pair(request, tiny_checkpoint, tmp_path_factory):
    """Return (checkpoint, artefact) in float16."""
    (name, trimmed), base = request.param, tmp_path_factory.mktemp("family")
    folder = tiny_checkpoint(name)
    if trimmed:
        trimming.choose(folder, CORPUS, TRIMMED, base / "vocabulary")
        trimming.apply(base / "vocabulary", folder, base / "trimmed")
        folder = base / "trimmed"
    build.build(folder, base / "artefact", format="gguf", quantisation="f16")
    return folder, base / "artefact"


def test_logits_are_those_of_transformers(pair):
    folder, artefact = pair
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    ids = [int(i) for i in np.random.default_rng(0).integers(3, 390, 61)]
    with torch.no_grad():
        want = torch.log_softmax(model(torch.tensor([ids])).logits[0].double(), -1).numpy()
    loaded = runtime.load(artefact)
    logits = loaded.logits(ids)
    loaded.close()
    got = torch.log_softmax(torch.from_numpy(logits).double(), -1).numpy()
    assert got.shape == want.shape
    assert (np.exp(want) * (want - got)).sum(axis=1).mean() < 1e-4


def test_ids_are_those_of_tokenizers(pair):
    folder, artefact = pair
    chat = ChatTokenizer(folder)
    prompt = chat.render([{"role": "user", "content": "wrap  the text\n\n\tin 日本語 🙂"}])
    specials = [e["content"] for e in files.read_json(folder / "tokenizer.json")["added_tokens"]]
    lines = Path(argparse.__file__).read_text(encoding="utf-8").splitlines(keepends=True)
    texts = [
        *TEXTS,
        *CORPUS,
        *lines[:400],
        "".join(lines[400:500]),
        prompt,
        *("a" + s + " b" for s in specials),
    ]
    loaded = runtime.load(artefact)
    wrong = [text for text in texts if loaded.tokenize(text) != chat.encode(text)]
    loaded.close()
    assert not wrong


def test_the_metadata_says_what_the_checkpoint_says(pair):
    folder, artefact = pair
    fields = gguf_header.read_header(artefact / "model.gguf").fields
    config, chat = checkpoint.read_config(folder), ChatTokenizer(folder)
    architecture = fields["general.architecture"]
    assert fields[f"{architecture}.context_length"] == config["max_position_embeddings"]
    assert fields["tokenizer.chat_template"] == chat.template
    assert {fields["tokenizer.ggml.eos_token_id"]} == chat.stop_ids
    assert fields["tokenizer.ggml.eot_token_id"] == fields["tokenizer.ggml.eos_token_id"]
    bos = chat.tokenizer.token_to_id(chat.config["bos_token"])
    assert fields["tokenizer.ggml.bos_token_id"] == bos
    assert fields["tokenizer.ggml.add_bos_token"] is (chat.tokenizer.encode("a").ids[0] == bos)
    assert str(folder.parent) not in json.dumps(fields)


def test_the_same_bytes_come_from_another_place(pair, tmp_path):
    folder, artefact = pair
    shutil.copytree(folder, tmp_path / "elsewhere" / "model7")
    gguf.export(tmp_path / "elsewhere" / "model7", tmp_path, quantisation="f16")
    assert (tmp_path / "model.gguf").read_bytes() == (artefact / "model.gguf").read_bytes()


def edited(folder, out, **changes):
    """Copy a checkpoint with keys of its JSON files changed: file stem -> {key: value}."""
    shutil.copytree(folder, out)
    for stem, update in changes.items():
        path = out / f"{stem}.json"
        files.write_json(path, files.read_json(path) | update)
    return out


def test_bfloat16_in_several_files_and_a_head_stored_again_are_the_same_model(
    tiny_checkpoint, tmp_path
):
    folder = tiny_checkpoint("llama3")
    state = {name: t.bfloat16() for name, t in checkpoint.read_state(folder).items()}
    config = checkpoint.read_config(folder)
    checkpoint.write(tmp_path / "one", state, config, beside=folder)
    again = state | {"lm_head.weight": state["model.embed_tokens.weight"].clone()}
    checkpoint.write(tmp_path / "many", again, config, beside=folder, shard_bytes=100_000)
    assert len(checkpoint.weight_files(tmp_path / "many")) > 2
    # a stray file beside the index is not read
    shutil.copyfile(folder / "model.safetensors", tmp_path / "many" / "model-old.safetensors")
    contents = []
    for name in ("one", "many"):
        (tmp_path / f"{name}-out").mkdir()
        gguf.export(tmp_path / name, tmp_path / f"{name}-out", quantisation="f16")
        path = tmp_path / f"{name}-out" / "model.gguf"
        header, data = gguf_header.read_header(path), path.read_bytes()
        start = header.start
        contents.append(
            {
                t.name: data[start + t.offset : start + t.offset + t.num_bytes]
                for t in header.tensors
            }
        )
    assert contents[0] == contents[1]
    assert "output.weight" not in contents[0]
    assert "rope_freqs.weight" in contents[0]


def test_every_end_id_of_a_list_is_an_end_to_llama_cpp(tiny_checkpoint, tmp_path):
    import llama_cpp

    source = tiny_checkpoint("llama3")
    chat = ChatTokenizer(source)
    names = ("<|eot_id|>", "<|end_of_text|>", "<|end_header_id|>")
    ends = [chat.tokenizer.token_to_id(name) for name in names]
    folder = edited(source, tmp_path / "m", config={"eos_token_id": ends},
                    generation_config={"eos_token_id": ends})  # fmt: skip
    build.build(folder, tmp_path / "a", format="gguf", quantisation="f16")
    loaded = runtime.load(tmp_path / "a")
    found = [i for i in range(loaded.vocab_size) if llama_cpp.llama_vocab_is_eog(loaded._vocab, i)]
    loaded.close()
    assert found == sorted(ends)


def test_merges_that_sentencepiece_would_not_follow_are_refused(tiny_checkpoint):
    tokenizer = files.read_json(tiny_checkpoint("llama2") / "tokenizer.json")
    tokens = [t for t, _ in sorted(tokenizer["model"]["vocab"].items(), key=lambda i: i[1])]
    merges = tokenizer["model"]["merges"]
    assert gguf_scores.scores(tokenizer, tokens)
    tokenizer["model"]["ignore_merges"] = True
    with pytest.raises(InputError, match=r"byte fallback with .*ignore_merges"):
        gguf_scores.scores(tokenizer, tokens)
    tokenizer["model"]["ignore_merges"] = False
    vocab = tokenizer["model"]["vocab"]
    tokenizer["model"]["vocab"] = vocab | {"ξψ": len(vocab)}  # of letters that are no tokens
    with pytest.raises(InputError, match="does not merge 'ξ' and 'ψ'"):
        gguf_scores.scores(tokenizer, tokens)
    tokenizer["model"]["vocab"] = vocab
    tokenizer["model"]["merges"] = merges[1:]
    with pytest.raises(InputError, match=r"does not merge .* llama\.cpp would"):
        gguf_scores.scores(tokenizer, tokens)
    twice = next(i for i in range(1, len(merges)) if "".join(merges[i]) == "".join(merges[i - 1]))
    tokenizer["model"]["merges"] = [*merges[:twice], *merges[twice + 1 :], merges[twice]]
    with pytest.raises(InputError, match="do not follow one another"):
        gguf_scores.scores(tokenizer, tokens)


@pytest.mark.parametrize(
    ("scheme", "split", "carried"),
    [("never", False, True), ("first", False, True), ("always", False, False),
     ("first", True, False)],
)  # fmt: skip
def test_spaces_are_as_the_tokenizer_has_them_or_refused(
    tiny_checkpoint, tmp_path, scheme, split, carried
):
    source = tiny_checkpoint("mistral")
    step = {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": scheme, "split": split}
    folder = edited(source, tmp_path / "m", tokenizer={"normalizer": None, "pre_tokenizer": step})
    if not carried:
        with pytest.raises(InputError, match="pre-tokenizer"):
            gguf_vocabulary.describe(folder, 547, [2])
        return
    build.build(folder, tmp_path / "a", format="gguf", quantisation="f16")
    loaded, chat = runtime.load(tmp_path / "a"), ChatTokenizer(folder)
    texts = ["<s>" + text for text in TEXTS if text]
    wrong = [text for text in texts if loaded.tokenize(text) != chat.encode(text)]
    loaded.close()
    assert not wrong


def test_a_family_that_only_the_converter_knows_is_written_by_it_alone(tmp_path):
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from tokenizers.trainers import BpeTrainer
    from transformers import Olmo2Config, Olmo2ForCausalLM

    folder = tmp_path / "olmo2"
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = BpeTrainer(vocab_size=300, special_tokens=["<|endoftext|>"], show_progress=False)
    tokenizer.train_from_iterator(CORPUS, trainer)
    size = tokenizer.get_vocab_size()
    config = Olmo2Config(
        vocab_size=size, hidden_size=64, intermediate_size=96, num_hidden_layers=2,
        num_attention_heads=4, max_position_embeddings=64, bos_token_id=0, eos_token_id=0,
        pad_token_id=0, initializer_range=0.3,
    )  # fmt: skip
    torch.manual_seed(0)
    Olmo2ForCausalLM(config).save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    roles = {"eos_token": "<|endoftext|>", "tokenizer_class": "GPT2TokenizerFast"}
    files.write_json(folder / "tokenizer_config.json", roles)
    (folder / "chat_template.jinja").write_text("{{ messages }}")
    files.write_json(folder / "generation_config.json", {"eos_token_id": 0})
    # its hash table knows no such vocabulary, and our table no such rules
    with pytest.raises(InputError, match="BPE pre-tokenizer was not recognized"):
        gguf.export(folder, tmp_path, quantisation="f16")
    assert not (tmp_path / "model.gguf").exists()
    # with rules of our table it is handed the name, and writes a family that we do not know
    state = files.read_json(folder / "tokenizer.json")
    normalizer, steps = PRE_TOKENIZERS["smollm"]
    state["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": steps}
    files.write_json(folder / "tokenizer.json", state | {"normalizer": normalizer})
    gguf.export(folder, tmp_path, quantisation="f16")
    loaded = LlamaCpp(tmp_path / "model.gguf", stop_ids=frozenset({0}), threads=2, context=64)
    ids = ChatTokenizer(folder).encode(CORPUS[0])[:40]
    got, found = torch.from_numpy(loaded.logits(ids)), loaded.tokenize(CORPUS[0])[:40]
    loaded.close()
    with torch.no_grad():
        want = AutoModelForCausalLM.from_pretrained(folder)(torch.tensor([ids])).logits[0]
    assert found == ids
    assert (
        torch.nn.functional.kl_div(
            got.log_softmax(-1), want.log_softmax(-1), log_target=True, reduction="batchmean"
        )
        < 1e-4
    )
