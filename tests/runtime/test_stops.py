"""Stop texts: against the rule written down letter by letter, however the text is split."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from potstill.runtime.stops import Stops


def by_letters(text, stops):
    """Return (text, stopped) by the definition: read on until a stop ends behind some text."""
    start = 0
    for end in range(1, len(text) + 1):
        met = [stop for stop in stops if text[start:end].endswith(stop)]
        if met:
            begin = end - max(map(len, met))
            if text[:begin].strip():
                return text[:begin], True
            start = end
    return text, False


def parts(data, cuts):
    """Cut bytes at these places."""
    places = sorted({cut % (len(data) + 1) for cut in cuts})
    return [data[a:b] for a, b in zip([0, *places], [*places, len(data)], strict=True)]


def fed(pieces, stops):
    """Return the given texts, one a piece and the rest, and whether a stop was met."""
    made, given_ = Stops(stops), []
    for piece in pieces:
        given_.append(made.add(piece))
        if made.found:
            break
    return [*given_, made.end()], made.found


TEXT = st.text("ab`\n é🙂", max_size=14)
STOPS = st.lists(st.text("ab`\n é", min_size=1, max_size=4), max_size=3)


@given(TEXT, STOPS, st.lists(st.integers(0, 60), max_size=8))
@example("````", ["``", "```"], [1, 2, 3])
@example("abcab", ["ab", "abc"], [2])
@example("xabcd", ["abcd", "bc"], [])
def test_the_outcome_is_that_of_the_rule_wherever_tokens_begin(text, stops, cuts):
    given_, found = fed(parts(text.encode(), cuts), stops)
    assert ("".join(given_), found) == by_letters(text, stops)


@given(TEXT, STOPS, st.lists(st.integers(0, 60), max_size=8))
def test_what_was_given_is_never_taken_back_and_no_more_is_held_than_needed(text, stops, cuts):
    made, so_far, read = Stops(stops), "", b""
    for piece in parts(text.encode(), cuts):
        so_far += made.add(piece)
        read += piece
        if made.found:
            break
        # whatever comes next, the answer begins with what was given
        for rest in ("", "a", "``", *stops):
            assert by_letters(read.decode(errors="ignore") + rest, stops)[0].startswith(so_far)
        held = len(read.decode(errors="ignore")) - len(so_far)
        assert held < max(map(len, stops), default=1)


@pytest.mark.parametrize(
    ("text", "stops", "want"),
    [
        ("```python\nx = 1\n```\nmore", ["```"], "```python\nx = 1\n"),
        ("\n\n```\nx\n```\nmore", ["\n```"], "\n\n```\nx"),
        ("x = 1\n```\n", ["```"], "x = 1\n"),
        ("\n\nyes\nno", ["\n"], "\n\nyes"),
        ("User: hi\nUser: ho", ["User:"], "User: hi\n"),
        ("``````", ["```"], "```"),
        ("nothing here", ["```", "User:"], "nothing here"),
    ],
)
def test_a_stop_counts_behind_text_only(text, stops, want):
    for size in (1, 2, 5, 100):
        data = text.encode()
        given_, found = fed([data[n : n + size] for n in range(0, len(data), size)], stops)
        assert "".join(given_) == want
        assert found == (want != text)


def test_half_a_character_waits_for_its_other_half():
    data = "é🙂".encode()
    given_, _ = fed([data[n : n + 1] for n in range(len(data))], [])
    assert given_ == ["", "é", "", "", "", "🙂", ""]
    assert fed([data[:-1]], [])[0] == ["é", "\ufffd"]  # cut for ever


def test_bytes_that_are_no_text_are_what_python_makes_of_them():
    data = b"a\xff\xc3(b\xf0\x9f"
    given_, _ = fed([data[n : n + 1] for n in range(len(data))], ["zz"])
    assert "".join(given_) == data.decode(errors="replace")
