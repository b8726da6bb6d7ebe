"""Requests that a teacher writes out of code: what is asked of it, and what is not taken."""

import pytest
from potstill.sampling import functions

CODE = """_LIMIT = 40
def clamp(value, low, high):
    if value < low:
        return low
    return min(value, high, _LIMIT)"""
FUNCTION = {
    "id": "m1",
    "language": "python",
    "name": "clamp",
    "arguments": "value, low, high",
    "code": CODE,
}
WORDS = "It takes three numbers and returns the first, moved into the range of the two others."


def told(text, finish="stop"):
    return functions.told({"text": text, "finish": finish}, FUNCTION)


def test_the_prompt_shows_the_code_and_the_signature():
    prompt = functions.wording(FUNCTION)
    assert CODE in prompt.messages[-1]["content"]
    assert "clamp(value, low, high)" in prompt.messages[-1]["content"]
    assert prompt.id != FUNCTION["id"]


def test_words_become_a_request_with_the_signature_first():
    assert told(f"\n{WORDS}\n") == (f"Write a function clamp(value, low, high). {WORDS}", None)
    whole = "Write a function clamp(value, low, high) that moves\n a number."
    assert told(whole) == ("Write a function clamp(value, low, high) that moves a number.", None)
    assert told(f"clamp(value, low, high): {WORDS}")[1] is None


@pytest.mark.parametrize(
    ("text", "finish", "why"),
    [
        ("", "stop", "empty"),
        (" \n\t", "stop", "empty"),
        ("context too long", "refused", "refused"),
        (WORDS, "length", "cut_off"),
        ("```python\npass\n```", "stop", "shows_code"),
        (f"{WORDS}\n```", "stop", "shows_code"),
        (CODE, "stop", "shows_code"),
        (f"It does: {' '.join(CODE.split())}", "stop", "shows_code"),
        ("If value < low : return low, else more.", "stop", "shows_code"),
        ("At the end return min( value, high, _LIMIT).", "stop", "shows_code"),
    ],
)
def test_what_is_no_request_has_a_reason(text, finish, why):
    assert told(text, finish)[1] == why


def test_a_line_of_code_under_other_blank_space_is_code_and_a_word_of_it_is_not():
    assert functions.shows("So Return   min(value,high, _LIMIT) it is", CODE)
    assert not functions.shows("The smallest of value, high and 40 is returned, or low.", CODE)


@pytest.mark.parametrize("place", [0, 2, 4])
def test_each_line_of_code_that_says_something_is_found(place):
    assert told(f"First {CODE.splitlines()[place].strip()} and so on.")[1] == (
        "shows_code" if place else None  # two words that anyone may write
    )


def test_only_requests_that_were_written_are_asked_each_so_often():
    other = {**FUNCTION, "id": "m2"}
    made = [
        {"id": "a task", "text": "x = 1", "finish": "stop"},
        {"id": functions.identity(FUNCTION), "text": WORDS, "finish": "stop"},
        {"id": functions.identity(other), "text": "", "finish": "stop"},
    ]
    prompts, counts = functions.own(made, [FUNCTION, other], 3)
    assert counts == {"requests_written": 1, "requests_empty": 1}
    assert [(prompt.id, prompt.sample) for prompt in prompts] == [("m1", 0), ("m1", 1), ("m1", 2)]
    for prompt in prompts:
        assert prompt.request in prompt.messages[-1]["content"]
        assert "_LIMIT" not in str(prompt.messages)
    assert functions.own(made[:1], [FUNCTION], 3) == ([], {})
