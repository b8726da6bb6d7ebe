"""A stranger's model as an artefact: ours without its artifact.json, and what is refused.

The ONNX graphs of optimum are imitated: ours with `position_ids` and a cache in float16.
"""

import io
import json
import shutil
from contextlib import closing
from pathlib import Path

import numpy as np
import onnx
import pytest
import trl
from onnx import TensorProto, helper
from potstill import files, runtime
from potstill.adoption import adopt, folder
from potstill.cli.__main__ import main
from potstill.errors import InputError
from potstill.evaluate import rates
from potstill.export import build
from potstill.models.chat import ChatTokenizer
from potstill.runtime import Request, artifact
from potstill.tasks import TASKS, Where
from tokenizers import Tokenizer, models

from tests import gguf_files

MESSAGES = [{"role": "user", "content": "hello, naïve 世界"}]
IDS = [3, 77, 12, 401, 9, 9, 250, 31, 8]


def answer(artefact):
    chat, model = ChatTokenizer(artefact), runtime.load(artefact)
    found = model.generate([Request(chat.encode(chat.render(MESSAGES)), 12)])[0]
    model.close()
    return found.ids, found.text


@pytest.mark.parametrize("case", ["llama", "llama2", "llama3", "mistral", "qwen2", "qwen3"])
def test_an_adopted_gguf_file_is_what_the_exporter_says_of_it(tiny_gguf, tmp_path, case):
    ours = tiny_gguf(case, "q8_0")
    (note,) = adopt.adopt(ours / "model.gguf", tmp_path / "a")
    want, got = artifact.read(ours), artifact.verify(tmp_path / "a")
    assert set(got) >= set(artifact.FIELDS)
    same = ("format", "quantisation", "model_file", "chat_template", "bos_id", "context",
            "vocab_size", "num_parameters", "tensor_types", "potstill_version")  # fmt: skip
    assert {key: got[key] for key in same} == {key: want[key] for key in same}
    assert got["files"]["model.gguf"] == want["files"]["model.gguf"]
    assert set(got["files"]) == set(want["files"])
    assert set(got["stop_ids"]) >= set(want["stop_ids"])
    assert got["stop_ids"] == sorted(ChatTokenizer(tmp_path / "a").stop_ids)
    assert answer(tmp_path / "a") == answer(ours)
    linked = (tmp_path / "a/model.gguf").samefile(ours / "model.gguf")
    assert note == f"model.gguf is {'a hard link to' if linked else 'a copy of'} {ours}/model.gguf"


def test_ends_are_those_of_llama_cpp(tiny_gguf, tmp_path):
    """The file itself names one; llama.cpp knows the other by its text."""
    adopt.adopt(tiny_gguf("llama", "q8_0") / "model.gguf", tmp_path / "a")
    assert artifact.read(tmp_path / "a")["stop_tokens"] == ["<|endoftext|>", "<|im_end|>"]


def test_where_no_link_can_be_made_it_is_a_copy(tiny_gguf, tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(18, "another device")

    monkeypatch.setattr("os.link", refuse)
    source = tiny_gguf("llama", "q8_0") / "model.gguf"
    (note,) = adopt.adopt(source, tmp_path / "a")
    assert note == f"model.gguf is a copy of {source}"
    assert artifact.verify(tmp_path / "a")


@pytest.fixture
def base_model(tiny_llama, tmp_path):
    """Return a GGUF file without a chat template."""
    plain = shutil.copytree(tiny_llama, tmp_path / "plain")
    (plain / "chat_template.jinja").write_text("")
    return gguf_files.write("llama", plain, tmp_path / "base.gguf")


def test_a_file_without_a_chat_template_is_adopted_and_it_is_said(base_model, tmp_path):
    notes = adopt.adopt(base_model, tmp_path / "a")
    assert notes[1].startswith("no chat template")
    description = artifact.verify(tmp_path / "a")
    assert (description["chat_template"], description["quantisation"]) == ("", "f32")
    model = runtime.load(tmp_path / "a")
    assert len(model.generate([Request(IDS, 3)])[0].ids) <= 3
    model.close()


@pytest.mark.parametrize("cache", ["q8_0", "q4_0"])
def test_a_cache_is_stated_for_the_same_file(tiny_gguf, tmp_path, monkeypatch, cache):
    monkeypatch.chdir(tmp_path)
    source = tiny_gguf("qwen3", "f16") / "model.gguf"
    assert main(["adopt", str(source), "--out", "plain"]) == 0
    assert main(["adopt", str(source), "--out", "a", "--cache", cache]) == 0
    plain, got = artifact.read(Path("plain")), artifact.verify(Path("a"))
    assert got == plain | {"quantisation": f"f16_cache_{cache}", "cache": cache}
    logits = []
    for name in ("plain", "a"):
        with closing(runtime.load(Path(name))) as model:
            logits.append(model.logits(IDS * 8))
    assert 0 < abs(logits[0] - logits[1]).max() < abs(logits[0]).max()


@pytest.mark.parametrize("form", ["gguf", "onnx"])
def test_a_cache_that_cannot_be_is_refused_and_nothing_is_there(
    tiny_gguf, tiny_llama, tmp_path, form
):
    source = tiny_gguf("llama", "f16") / "model.gguf"
    if form == "onnx":
        source = tmp_path / "stranger"
        build.build(tiny_llama, source, format="onnx", quantisation="fp32")
        (source / "artifact.json").unlink()
        shutil.copy(tiny_llama / "config.json", source)
    reason = {"gguf": "not whole blocks of 32", "onnx": "an ONNX graph has its own"}[form]
    with pytest.raises(InputError, match=reason) as caught:
        adopt.adopt(source, tmp_path / "a", "q8_0")
    assert "partial" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir() if path != source] == []


GEMMA = Path(trl.__file__).parent / "chat_templates/gemma.jinja"  # refuses a system's message


def test_a_template_without_a_system_message_is_asked_in_the_users(
    tiny_llama, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(rates, "MAX_CUT", 1.0)  # a tiny random model never ends by itself
    plain = shutil.copytree(tiny_llama, tmp_path / "plain")
    template = GEMMA.read_text().replace("<end_of_turn>", "<|im_end|>")  # of its own vocabulary
    (plain / "chat_template.jinja").write_text(template)
    adopt.adopt(gguf_files.write("llama", plain, tmp_path / "g.gguf"), tmp_path / "a")
    assert artifact.read(tmp_path / "a")["chat_template"] == template
    (problem, *_) = TASKS["humaneval"].problems(Where())
    system, user = (message["content"] for message in problem.messages)
    expected = f"<start_of_turn>user\n{system}\n\n{user.strip()}<|im_end|>\n"
    assert expected in ChatTokenizer(tmp_path / "a").render(problem.messages)
    command = ["score", "a", "--tasks", "humaneval,likelihood", "--max-tokens", "6"]
    assert main([*command, "--limit", "2"]) == 0
    metrics = files.read_json(tmp_path / "scores/a/metrics.json")
    assert (metrics["humaneval.n"], metrics["likelihood.left_out"]) == (2, 0)
    capsys.readouterr()
    monkeypatch.setattr("sys.stdin", io.StringIO("hello\n"))
    assert main(["chat", "a", "--system", "Be brief.", "--max-tokens", "3"]) == 0
    assert "3 tokens" in capsys.readouterr().err


def as_optimum(source, path):
    """Write a graph with positions, by which its logits are multiplied, and a float16 cache."""
    model = onnx.load(str(source))
    graph = model.graph
    graph.input.append(
        helper.make_tensor_value_info("position_ids", TensorProto.INT64, ["batch", "sequence"])
    )
    scale = [
        helper.make_node("Cast", ["position_ids"], ["p_float"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["p_float", "p_last"], ["p_wide"]),
        helper.make_node("Add", ["p_wide", "p_one"], ["p_scale"]),
        helper.make_node("Mul", ["plain_logits", "p_scale"], ["logits"]),
    ]
    graph.initializer.append(helper.make_tensor("p_last", TensorProto.INT64, [1], [-1]))
    graph.initializer.append(helper.make_tensor("p_one", TensorProto.FLOAT, [1], [1.0]))
    inner = {"logits": "plain_logits"}
    casts = []
    for entry in [*graph.input, *graph.output]:
        if entry.name.startswith(("past_key_values.", "present.")):
            entry.type.tensor_type.elem_type = TensorProto.FLOAT16
            inner[entry.name] = f"{entry.name}_float"
            past = entry.name.startswith("past")
            ends = (entry.name, inner[entry.name])
            to = TensorProto.FLOAT if past else TensorProto.FLOAT16
            casts.append(helper.make_node("Cast", [ends[not past]], [ends[past]], to=to))
    for node in graph.node:
        for names in (node.input, node.output):
            names[:] = [inner.get(name, name) for name in names]
    inside = list(graph.node)
    del graph.node[:]
    before = [node for node in casts if node.input[0].startswith("past")]
    graph.node.extend([*before, *inside, *(n for n in casts if n not in before), *scale])
    onnx.checker.check_model(model)
    onnx.save(model, str(path), save_as_external_data=True, location="model.onnx_data")
    return path


@pytest.fixture
def ours(tiny_qwen2, tmp_path):
    build.build(tiny_qwen2, tmp_path / "ours", format="onnx", quantisation="fp32")
    return tmp_path / "ours"


@pytest.fixture
def optimum(ours, tiny_qwen2, tmp_path):
    """Return an ONNX folder as a stranger has it: no artifact.json, one of optimum's graphs."""
    stranger = tmp_path / "stranger"
    stranger.mkdir()
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "config.json"):
        shutil.copyfile(tiny_qwen2 / name, stranger / name)
    as_optimum(ours / "model.onnx", stranger / "model.onnx")
    return stranger


def test_an_onnx_folder_gets_positions_and_its_own_kind_of_cache(ours, optimum, tmp_path):
    notes = adopt.adopt(optimum, tmp_path / "a")
    assert [note.split()[0] for note in notes] == ["model.onnx", "model.onnx_data"]
    want, got = artifact.read(ours), artifact.verify(tmp_path / "a")
    assert set(got) >= set(artifact.FIELDS)
    same = ("format", "chat_template", "stop_ids", "stop_tokens", "bos_id", "context", "vocab_size")
    assert {key: got[key] for key in same} == {key: want[key] for key in same}
    plain, model = runtime.load(ours), runtime.load(tmp_path / "a")
    scale = np.arange(1, len(IDS) + 1, dtype=np.float32)[:, None]
    assert model.logits(IDS) == pytest.approx(plain.logits(IDS) * scale, rel=1e-4, abs=1e-3)
    made = model.generate([Request(IDS, 6, logprobs=0)])[0]
    rows = model.logits([*IDS, *made.ids])[len(IDS) - 1 :].astype(np.float64)
    for token, logprob, row in zip(made.ids, made.logprobs, rows, strict=False):
        total = np.log(np.exp(row - row.max()).sum()) + row.max()
        assert logprob == pytest.approx(row[token] - total, abs=0.1)  # a step's cache is float16


def as_genai(folder):
    """Give a folder the files of onnxruntime-genai 0.18, and its graph a cache of open width."""
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").unlink()
    graph = onnx.load(str(folder / "model.onnx"), load_external_data=False)
    past = [e for e in graph.graph.input if e.name.startswith("past_key_values.")]
    width = past[0].type.tensor_type.shape.dim[3].dim_value
    for entry in past:
        entry.type.tensor_type.shape.dim[3].dim_param = "kv_cache_dim"
    (folder / "model.onnx").unlink()  # it has a second name in what was adopted of it
    (folder / "model.onnx").write_bytes(graph.SerializeToString())
    model = {
        "context_length": config["max_position_embeddings"], "vocab_size": config["vocab_size"],
        "eos_token_id": config["eos_token_id"], "decoder": {"head_size": width},
    }  # fmt: skip
    (folder / "genai_config.json").write_text(json.dumps({"model": model}))


def test_a_genai_folder_is_what_the_same_graph_of_optimum_is(optimum, tmp_path):
    adopt.adopt(optimum, tmp_path / "a")
    as_genai(optimum)
    adopt.adopt(optimum, tmp_path / "b")
    want, got = artifact.read(tmp_path / "a"), artifact.verify(tmp_path / "b")
    same = ("stop_ids", "context", "vocab_size", "bos_id", "chat_template", "model_file")
    assert {key: got[key] for key in same} == {key: want[key] for key in same}
    assert answer(tmp_path / "b") == answer(tmp_path / "a")


def test_a_graph_of_another_name_is_taken_where_it_is_the_only_one(optimum, tmp_path):
    (optimum / "model.onnx").rename(optimum / "model_quantized.onnx")
    adopt.adopt(optimum, tmp_path / "whole")
    assert artifact.verify(tmp_path / "whole")["model_file"] == "model_quantized.onnx"
    (optimum / "model.onnx_data").rename(tmp_path / "model.onnx_data")
    with pytest.raises(InputError, match="cannot be loaded"):  # its data is not beside it
        adopt.adopt(optimum, tmp_path / "a")
    (optimum / "decoder_model.onnx").write_bytes(b"")
    with pytest.raises(InputError, match=r"holds decoder_model\.onnx, model_quantized\.onnx"):
        adopt.adopt(optimum, tmp_path / "a")


def test_graphs_in_a_folder_below_are_named(optimum, tmp_path):
    (optimum / "onnx").mkdir()
    (optimum / "model.onnx").rename(optimum / "onnx/model_q4.onnx")
    with pytest.raises(InputError, match=r"holds onnx/model_q4\.onnx: copy one of them"):
        adopt.adopt(optimum, tmp_path / "a")


def keep(graph, names):
    """Leave the inputs and outputs that have one of the names."""
    for entries in (graph.graph.input, graph.graph.output):
        for entry in [entry for entry in entries if entry.name not in names]:
            entries.remove(entry)


def in_integers(graph):
    graph.graph.node.append(helper.make_node("Cast", ["logits"], ["whole"], to=TensorProto.INT32))
    graph.graph.output[0].name = "whole"
    graph.graph.output[0].type.tensor_type.elem_type = TensorProto.INT32


@pytest.mark.parametrize(
    ("change", "reason"),
    [(lambda g: keep(g, {"input_ids", "attention_mask", "logits"}), "cannot be loaded"),
     (lambda g: keep(g, [*(e.name for e in g.graph.input), "logits"]), "present.* run"),
     (in_integers, "gives present")],
)  # fmt: skip
def test_a_graph_of_another_signature_is_one_line_that_names_the_folder(
    optimum, tmp_path, change, reason
):
    graph = onnx.load(str(optimum / "model.onnx"))
    change(graph)
    onnx.save(graph, str(optimum / "model.onnx"))
    with pytest.raises(InputError, match=reason) as caught:
        adopt.adopt(optimum, tmp_path / "a")
    assert str(optimum / "model.onnx") in str(caught.value)
    assert "partial" not in str(caught.value)


def test_a_graph_that_fails_when_it_runs_is_one_line(optimum, tmp_path):
    """Of a table of one position it reads that of the second id."""
    graph = onnx.load(str(optimum / "model.onnx"))
    (cast,) = [node for node in graph.graph.node if node.output[0] == "p_float"]
    cast.CopyFrom(helper.make_node("Gather", ["p_one", "position_ids"], ["p_float"]))
    onnx.save(graph, str(optimum / "model.onnx"))
    with pytest.raises(InputError, match=r"stranger/model\.onnx cannot be run \("):
        adopt.adopt(optimum, tmp_path / "a")


@pytest.mark.parametrize(
    ("text", "reason"),
    [("", "is no tokenizer"), ("{}", "is no tokenizer"),
     (Tokenizer(models.BPE()).to_str(), "has no tokens")],
)  # fmt: skip
def test_an_empty_tokenizer_is_one_line(optimum, tmp_path, text, reason):
    (optimum / "tokenizer.json").write_text(text)
    with pytest.raises(InputError, match=reason):
        adopt.adopt(optimum, tmp_path / "a")


def test_an_embedding_model_is_refused(tiny_llama, tmp_path):
    path = gguf_files.write(
        "llama", tiny_llama, tmp_path / "m.gguf", fields={"llama.pooling_type": 1}
    )
    with pytest.raises(InputError, match="is an embedding model"):
        adopt.adopt(path, tmp_path / "a")


def test_a_graph_that_is_no_decoder_is_one_line(optimum, tmp_path):
    graph = onnx.load(str(optimum / "model.onnx"))
    entry = helper.make_tensor_value_info("use_cache_branch", TensorProto.BOOL, [1])
    graph.graph.input.append(entry)
    onnx.save(graph, str(optimum / "model.onnx"))
    with pytest.raises(InputError, match="takes attention_mask, input_ids, use_cache_branch and 4"):
        adopt.adopt(optimum, tmp_path / "a")
    assert not list(tmp_path.glob("*a*partial"))


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [("config.json", None, "lacks config.json"), ("tokenizer.json", None, "lacks tokenizer.json"),
     ("config.json", "{}", "has no max_position_embeddings"), ("model.onnx", "no", "be loaded")],
)  # fmt: skip
def test_an_onnx_folder_that_is_not_whole_is_one_line(optimum, tmp_path, name, text, reason):
    (optimum / name).unlink()
    if text:
        (optimum / name).write_text(text)
    with pytest.raises(InputError, match=reason):
        adopt.adopt(optimum, tmp_path / "a")


@pytest.mark.slow
def test_a_checkpoint_is_exported_first(tiny_llama, tmp_path):
    (note,) = adopt.adopt(tiny_llama, tmp_path / "a")
    assert "exported to GGUF in float16" in note
    assert artifact.verify(tmp_path / "a")["quantisation"] == "f16"


def foreign(path):
    """Name another architecture, in as many letters."""
    path.write_bytes(path.read_bytes().replace(b"llama", b"gemma", 1))


def part_of_two(path):
    """Say that this is one of two files, in a key of the same length and type."""
    data = path.read_bytes()
    assert b"general.two" in data
    path.write_bytes(data.replace(b"general.two", b"split.count"))


DAMAGES = {
    "truncated": (lambda p: p.write_bytes(p.read_bytes()[:-999]), "truncated"),
    "a header alone": (lambda p: p.write_bytes(p.read_bytes()[:99]), "more than the file can hold"),
    "no GGUF": (lambda p: p.write_bytes(b"PK\3\4 a zip file"), "does not begin with GGUF"),
    "nothing": (lambda p: p.write_bytes(b""), "0 bytes"),
    "architecture": (foreign, "general.architecture is 'gemma'; supported: "),
    "a part": (part_of_two, "is one of 2 parts"),
    "missing": (lambda p: p.unlink(), "is no file and no folder"),
    "a folder": (lambda p: (p.unlink(), p.mkdir()), "holds neither model.onnx nor"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_cannot_be_adopted_is_one_line_and_leaves_nothing(
    tiny_llama, tmp_path, capsys, monkeypatch, damage
):
    monkeypatch.chdir(tmp_path)
    fields = {"general.two": 2} if damage == "a part" else None
    path = gguf_files.write("llama", tiny_llama, tmp_path / "m.gguf", fields=fields)
    change, reason = DAMAGES[damage]
    change(path)
    assert main(["adopt", "m.gguf"]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert reason in err
    assert not list(tmp_path.rglob("adopted/*")) + list(tmp_path.rglob("adopted/.*"))


def test_the_command_names_the_folder_and_leaves_others_alone(
    tiny_gguf, tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    source = shutil.copyfile(tiny_gguf("llama", "q8_0") / "model.gguf", "mine.q8.gguf")
    assert main(["adopt", source]) == 0
    assert capsys.readouterr().out == "adopted/mine.q8\n"
    before = files.sha256_tree(tmp_path)
    assert main(["adopt", source]) == 2
    assert "adopted/mine.q8 exists" in capsys.readouterr().err
    assert main(["adopt", "adopted/mine.q8", "--out", "twice"]) == 2
    assert "is an artefact already" in capsys.readouterr().err
    assert files.sha256_tree(tmp_path) == before


def test_control_c_leaves_no_half_folder(tiny_gguf, tmp_path, capsys, monkeypatch):
    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(folder, "describe", stop)
    source = tiny_gguf("llama", "q8_0") / "model.gguf"
    assert main(["adopt", str(source), "--out", str(tmp_path / "out")]) == 130
    assert capsys.readouterr().err == "potstill adopt: stopped\n"
    assert list(tmp_path.iterdir()) == []
    assert json.loads((source.parent / "artifact.json").read_text())  # the source is untouched
