"""Answers by a schema or a grammar: under one, even a random model writes what is asked."""

import json
import re
from contextlib import closing

import pytest
from potstill import runtime
from potstill.errors import InputError
from potstill.export import build
from potstill.runtime import Constraint, Request, Sampling

SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 8},
        "count": {"type": "integer", "minimum": 0, "maximum": 99},
        "tags": {"type": "array", "items": {"enum": ["a", "é", "🙂"]}, "maxItems": 2},
    },
    "required": ["name", "count", "tags"],
    "additionalProperties": False,
}
JSON = Constraint("json_schema", json.dumps(SCHEMA))


@pytest.fixture(scope="module", params=["gguf", "onnx"])
def loaded(request, tiny_llama, tmp_path_factory):
    out = tmp_path_factory.mktemp(request.param) / "artefact"
    quantisation = {"gguf": "f16", "onnx": "fp32"}[request.param]
    build.build(tiny_llama, out, format=request.param, quantisation=quantisation)
    with closing(runtime.load(out, context=200)) as model:
        yield model


def hot(n):
    return Sampling(temperature=1.2, seed=n)


def test_every_answer_is_json_of_the_schema(loaded):
    requests = [Request([1, 87], 150, sampling=hot(n), constraint=JSON) for n in range(30)]
    answers = [*loaded.generate(requests), *loaded.generate([Request([5], 150, constraint=JSON)])]
    for answer in answers:
        assert answer.finish == "stop_id"
        found = json.loads(answer.text)
        assert list(found) == ["name", "count", "tags"]
        assert len(found["name"]) <= 8
        assert 0 <= found["count"] <= 99
        assert set(found["tags"]) <= {"a", "é", "🙂"}
    assert len({answer.text for answer in answers}) > 20


@pytest.mark.parametrize(
    ("constraint", "pattern"),
    [
        (Constraint("regex", r"[a-f]{3}-\d{2}"), r"[a-f]{3}-\d{2}"),
        (Constraint("lark", 'start: ("yes" | "no") " " /[0-9]/'), r"(yes|no) \d"),
    ],
)
def test_grammars_and_patterns_hold_too(loaded, constraint, pattern):
    requests = [Request([1], 60, sampling=hot(n), constraint=constraint) for n in range(10)]
    answers = loaded.generate(requests)
    assert all(re.fullmatch(pattern, answer.text) for answer in answers)
    assert len({answer.text for answer in answers}) > 3


def test_free_and_constrained_requests_share_a_batch(loaded):
    free, bound = Request([1, 87, 305], 20), Request([1, 87], 150, constraint=JSON)
    together = loaded.generate([free, bound, free])
    assert together[0].ids == together[2].ids == loaded.generate([free])[0].ids
    assert json.loads(together[1].text) == json.loads(loaded.generate([bound])[0].text)


def test_log_probabilities_are_the_models_own(loaded):
    """The constraint leaves one choice; the model did not think it certain."""
    answer = loaded.generate([Request([1], 9, constraint=Constraint("regex", "z"), logprobs=0)])[0]
    assert answer.text == "z"
    assert answer.logprobs[0] < -0.1


@pytest.mark.parametrize(
    ("constraint", "reason"),
    [
        (Constraint("json_schema", "{"), "json_schema cannot be used"),
        (Constraint("json_schema", '{"type": "strnig"}'), "json_schema cannot be used"),
        (Constraint("regex", "(a"), "regex cannot be used"),
        (Constraint("lark", "start: missing"), "lark cannot be used"),
    ],
)
def test_what_is_no_grammar_is_refused_in_one_line(loaded, constraint, reason):
    with pytest.raises(InputError, match=reason) as caught:
        loaded.generate([Request([1], 9, constraint=constraint)])
    assert "\n" not in str(caught.value)
