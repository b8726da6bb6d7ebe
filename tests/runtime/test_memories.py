"""Models whose memory is no plain cache: a window of attention, and a recurrent state.

The project carries neither; whoever adds such a family finds the runtime right.
"""

from contextlib import closing

import gguf
import numpy as np
import pytest
from potstill.models import gguf_header
from potstill.runtime import Request, Sampling, llama_cpp
from potstill.runtime.llama_decoder import Decoder

from tests import gguf_files

WIDTH, INNER, STATE, RANK, CONV, HEAD, WINDOW = 32, 64, 8, 4, 4, 16, 24


def matrices(**shapes):
    draw = np.random.default_rng(0)
    return {name: draw.normal(0, 0.2, shape).astype(np.float32) for name, shape in shapes.items()}


def write(path, folder, architecture, rows, describe, layer):
    """Write a GGUF file of two layers with the tokenizer of a tiny checkpoint."""
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_vocab_size(rows)
    writer.add_context_length(512)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(2)
    writer.add_layer_norm_rms_eps(1e-5)
    describe(writer)
    gguf_files._add_tokenizer(writer, "llama", folder, rows)
    tensors = matrices(**{"token_embd.weight": (rows, WIDTH), "output_norm.weight": (WIDTH,)})
    for number in range(2):
        tensors |= matrices(**{f"blk.{number}.{name}": shape for name, shape in layer.items()})
    for name, value in tensors.items():
        writer.add_tensor(name, -abs(value) if name.endswith("ssm_a") else value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def recurrent(writer):
    writer.add_feed_forward_length(0)
    writer.add_head_count(0)
    writer.add_ssm_conv_kernel(CONV)
    writer.add_ssm_inner_size(INNER)
    writer.add_ssm_state_size(STATE)
    writer.add_ssm_time_step_rank(RANK)


def windowed(writer):
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(2)
    writer.add_head_count_kv(1)
    writer.add_key_length(HEAD)
    writer.add_value_length(HEAD)
    writer.add_sliding_window(WINDOW)
    writer.add_attn_logit_softcapping(50.0)
    writer.add_final_logit_softcapping(30.0)


MAMBA = {
    "attn_norm.weight": (WIDTH,),
    "ssm_in.weight": (2 * INNER, WIDTH),
    "ssm_conv1d.weight": (INNER, CONV),
    "ssm_conv1d.bias": (INNER,),
    "ssm_x.weight": (RANK + 2 * STATE, INNER),
    "ssm_dt.weight": (INNER, RANK),
    "ssm_dt.bias": (INNER,),
    "ssm_a": (INNER, STATE),
    "ssm_d": (INNER,),
    "ssm_out.weight": (WIDTH, INNER),
}
GEMMA2 = {
    "attn_norm.weight": (WIDTH,),
    "attn_q.weight": (2 * HEAD, WIDTH),
    "attn_k.weight": (HEAD, WIDTH),
    "attn_v.weight": (HEAD, WIDTH),
    "attn_output.weight": (WIDTH, 2 * HEAD),
    "post_attention_norm.weight": (WIDTH,),
    "ffn_norm.weight": (WIDTH,),
    "ffn_gate.weight": (INNER, WIDTH),
    "ffn_up.weight": (INNER, WIDTH),
    "ffn_down.weight": (WIDTH, INNER),
    "post_ffw_norm.weight": (WIDTH,),
}
KINDS = {"mamba": (recurrent, MAMBA, False), "gemma2": (windowed, GEMMA2, True)}


@pytest.mark.parametrize("kind", KINDS)
def test_answers_behind_a_shared_beginning_are_those_alone(kind, tiny_llama, tmp_path, monkeypatch):
    describe, layer, shares = KINDS[kind]
    path = write(tmp_path / "m.gguf", tiny_llama, kind, 509, describe, layer)
    if kind == "mamba":  # its header lacks what attention needs, which is refused
        monkeypatch.setattr(gguf_header, "check_model", gguf_header.read_header)
    num_read = []
    close = Decoder.close
    monkeypatch.setattr(
        Decoder, "close", lambda self: (num_read.append(self.num_read), close(self))[1]
    )
    head = [n * 7919 % 509 for n in range(60)]  # longer than the window
    requests = [
        Request([*head, *[n] * n, 7], 40, sampling=Sampling(temperature=1.0), sample=sample)
        for n in range(1, 8)
        for sample in range(2)
    ]
    model = llama_cpp.LlamaCpp(path, stop_ids=frozenset(), threads=2, context=200)
    with closing(model):
        assert model.capabilities.prefixes == shares
        got = [answer.ids for answer in model.generate(requests, parallel=3)]
        want = [[chunk.id for chunk in model.stream(request)] for request in requests]
    assert got == want
    assert len(set(map(tuple, want))) == len(want)
    every = sum(len(request.prompt) for request in requests)
    assert num_read[0] == (60 + sum(n + 1 for n in range(1, 8)) if shares else every)
