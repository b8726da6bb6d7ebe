"""A teacher at an endpoint says what it says when it is loaded, cut to its top tokens."""

from dataclasses import replace

import pytest
import torch
from potstill.distill.objective import Objective
from potstill.errors import InputError
from potstill.loading import load
from potstill.logits.routed import Routed
from potstill.logits.topk import truncate
from potstill.rollouts import endpoint
from potstill.rollouts.served import ServedTeacher

from tests.distill.runs import ROWS
from tests.model_server import serve

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    """One retry is as good as ten, which take a minute."""
    monkeypatch.setattr(endpoint, "RETRIES", 1)


def asked(url, kind="vllm", top=9, kept=None, **how):
    server = endpoint.Endpoint(url=url, kind=kind, model="m", timeout_s=20.0, **how)
    return ServedTeacher(server, top, kept)


def expected(folder, rows, top):
    """Return the top tokens of a checkpoint at the answers of rows, each run alone."""
    model, found = load.causal_lm(folder, torch.float32, CPU), []
    for row in rows:
        with torch.no_grad():
            logits = model(torch.tensor([row.ids])).logits[0]
        places = [p - 1 for start, end, _ in row.spans for p in range(start, end)]
        found.append(truncate(logits[places], top))
    return found


@pytest.mark.parametrize("kind", ["vllm", "sglang"])
def test_the_top_tokens_are_those_of_the_loaded_teacher(kind, tiny_llama):
    split = replace(ROWS[4], spans=((2, 4, 1.0), (6, 8, 1.0)))  # two answers in one row
    rows = [*ROWS[:4], split]
    with serve(tiny_llama) as (url, model):
        found = asked(url, kind).signal_of(rows)
    wanted = expected(tiny_llama, rows, 9)
    for name in ("ids_NK", "log_probs_NK", "log_tail_N"):
        want = torch.cat([getattr(one, name) for one in wanted])
        torch.testing.assert_close(getattr(found, name), want, rtol=1e-4, atol=1e-4)
    assert len(model.calls) == 5


def test_a_trimmed_student_is_taught_what_is_left_without_the_ids_that_it_lacks(tiny_llama):
    """Asked for all ids, a server teaches as the teacher whose logits are cut to the student's."""
    order = list(range(0, 508, 2))  # the student's id n is the teacher's 2n
    rows = [replace(row, ids=tuple(i // 2 for i in row.ids)) for row in ROWS[:3]]
    theirs = [replace(row, ids=tuple(2 * i for i in row.ids)) for row in rows]
    with serve(tiny_llama, max_logprobs=600) as (url, model):
        found = asked(url, top=509, kept=order).signal_of(rows)
    prompts = sorted(call["prompt"] for _, call in model.calls)
    assert prompts == sorted(list(row.ids) for row in theirs)
    teacher = load.causal_lm(tiny_llama, torch.float32, CPU)
    wanted = []
    for row in theirs:
        with torch.no_grad():
            logits = teacher(torch.tensor([row.ids])).logits[0]
        places = [p - 1 for start, end, _ in row.spans for p in range(start, end)]
        wanted.append(torch.log_softmax(logits[places][:, order], -1))
    told = torch.full((len(found.log_tail_N), len(order)), -torch.inf)
    told.scatter_(1, found.ids_NK, found.log_probs_NK)
    torch.testing.assert_close(told, torch.cat(wanted), rtol=1e-4, atol=1e-4)


def test_places_with_fewer_of_the_students_ids_share_their_tail(tiny_llama):
    order = list(range(0, 508, 2))
    rows = [replace(row, ids=tuple(i // 2 for i in row.ids)) for row in ROWS[:3]]
    with serve(tiny_llama) as (url, _):
        found = asked(url, top=20, kept=order).signal_of(rows)
    total = found.log_probs_NK.exp().sum(-1) + found.log_tail_N.exp()
    torch.testing.assert_close(total, torch.ones(len(total)))
    assert all(len(set(ids)) == found.ids_NK.shape[1] for ids in found.ids_NK.tolist())
    with serve(tiny_llama) as (url, _), pytest.raises(InputError, match="none of the student's"):
        asked(url, top=1, kept=[508, *order[1:]]).signal_of(rows)


def test_where_a_teacher_is_sure_the_rest_is_no_cliff(tiny_llama):
    """What float32 leaves of 1 is rounding: reverse KL of a doubting student stays a few nats."""

    def sure(_, reply):
        for place in reply["choices"][0]["prompt_logprobs"][1:]:
            for said in place.values():
                said["logprob"] = -40.0
            next(iter(place.values()))["logprob"] = 0.0
        return reply

    with serve(tiny_llama) as (url, model):
        model.spoil = sure
        found = asked(url).signal_of(ROWS[:2])
    assert found.log_tail_N.exp().tolist() == pytest.approx([1e-6] * len(found.log_tail_N), rel=0.1)
    logits = torch.zeros(len(found.log_tail_N), 509)
    labels = torch.zeros(len(logits), dtype=torch.int64)
    doubt = Objective("reverse_kl", alpha=0.0).terms(logits, labels, found).divergence_B
    assert doubt.max() < 16  # -log(1e-6) of all its mass, and no 1e4


@pytest.mark.parametrize("kind", ["vllm", "sglang"])
def test_a_server_that_tells_no_log_probabilities_is_refused(kind, tiny_llama):
    def silent(_, reply):
        for choice in reply.get("choices", ()):
            choice["prompt_logprobs"] = None
        reply.get("meta_info", {}).pop("input_top_logprobs", None)
        return reply

    with serve(tiny_llama) as (url, model):
        model.spoil = silent
        with pytest.raises(InputError, match="gives no log-probabilities of a text"):
            asked(url, kind).signal_of(ROWS[:2])


def test_what_is_no_log_probability_is_refused(tiny_llama):
    def wrong(_, reply):
        reply["choices"][0]["prompt_logprobs"][1]["7"] = {"logprob": 0.5}
        return reply

    with serve(tiny_llama) as (url, model):
        model.spoil = wrong
        with pytest.raises(InputError, match="gives no log-probabilities of a text"):
            asked(url).signal_of(ROWS[:1])


@pytest.mark.parametrize("fault", [None, 500, 401])
def test_a_server_that_dies_is_named_with_what_to_do(fault, tiny_llama):
    with serve(tiny_llama) as (url, model):
        model.spoil = lambda path, reply: fault
        with pytest.raises(
            InputError, match=rf"{url} does not answer as a vllm server .*with the same settings"
        ):
            asked(url).signal_of(ROWS[:3])


def test_more_ids_than_the_server_gives_are_refused_with_its_setting(tiny_llama):
    with (
        serve(tiny_llama, max_logprobs=5) as (url, _),
        pytest.raises(InputError, match="above max_logprobs"),
    ):
        asked(url).signal_of(ROWS[:1])


def test_two_servers_of_other_tops_teach_each_its_language(tiny_llama):
    """Their parts are cut to the narrower one, what is cut joins the tail."""
    rows = [replace(row, language=("python", "javascript")[n % 2]) for n, row in enumerate(ROWS)]
    with serve(tiny_llama) as (url, _):
        teachers = [asked(url, top=9), asked(url, top=4)]
        found = Routed(teachers, {"python": 0, "javascript": 1}, None).signal_of(rows)
    wanted = expected(tiny_llama, rows, 4)
    for name in ("ids_NK", "log_probs_NK", "log_tail_N"):
        want = torch.cat([getattr(one, name) for one in wanted])
        torch.testing.assert_close(getattr(found, name), want, rtol=1e-4, atol=1e-4)
