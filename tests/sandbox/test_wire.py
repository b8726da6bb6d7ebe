"""Values on their way between processes, and the bytes of the seccomp filter."""

import platform

import pytest
from hypothesis import given
from hypothesis import strategies as st
from potstill.sandbox.inside import seccomp, syscalls, wire

ATOMS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    st.text(),
    st.binary(max_size=8),
)
HASHABLE = st.one_of(ATOMS, st.tuples(ATOMS), st.frozensets(ATOMS, max_size=3))
VALUES = st.recursive(
    st.one_of(HASHABLE, st.sets(HASHABLE, max_size=3)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.tuples(inner, inner),
        st.dictionaries(HASHABLE, inner, max_size=3),
    ),
    max_leaves=8,
)


def types_of(value):
    if isinstance(value, list | tuple):
        return type(value), [types_of(item) for item in value]
    if isinstance(value, dict):
        return dict, [types_of(item) for item in value.values()]
    return type(value)


@given(VALUES)
def test_values_come_back_with_their_types(value):
    back = wire.decode(wire.parse(wire.line({"value": wire.encode(value)}))["value"])
    assert back == value
    assert types_of(back) == types_of(value)


def test_subclasses_and_iterables_lose_their_methods():
    class Forged(int):
        def __eq__(self, other):
            return True

        __hash__ = int.__hash__

    back = wire.decode(wire.parse(wire.line({"value": wire.encode(Forged(3))}))["value"])
    assert type(back) is int
    assert wire.decode(wire.encode(x for x in [1])) != [1]
    assert list(wire.decode(wire.encode(range(3)))) == [0, 1, 2]
    with pytest.raises(TypeError, match="object cannot leave"):
        wire.encode(object())


@pytest.mark.parametrize(
    "text",
    [b"", b"1", b"[]", b"{", b"\xff", b"[" * 100_000, b'{"a":' * 100_000, b"9" * 5000],
)
def test_what_is_no_message_is_a_value_error(text):
    with pytest.raises(ValueError):
        wire.parse(text)


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"set": [[1]]},
        {"set": 5},
        {"eval": "1"},
        {"dict": [[1]]},
        {"dict": [[{"dict": []}, 1]]},
        {"bytes": "zz"},
        {"complex": []},
        {"tuple": [], "set": []},
        {"bytes": 3},
    ],
)
def test_hostile_values_are_value_errors(value):
    with pytest.raises(ValueError):
        wire.decode(value)


def answer(program, arch, number, flags=0):
    """Interpret the filter for one call."""
    position = accumulator = 0
    while True:
        code, if_true, if_false, value = program[position]
        if code == 0x06:
            return value
        if code == 0x20:
            accumulator = {0: number, 4: arch, 16: flags, 24: flags, 32: flags}[value]
            position += 1
        elif code == 0x54:
            accumulator &= value
            position += 1
        else:
            tests = {0x15: accumulator == value, 0x35: accumulator >= value}
            is_true = tests.get(code, bool(accumulator & value))
            position += 1 + (if_true if is_true else if_false)


@pytest.mark.parametrize("layers", [("pid", "mount"), ("mount",), ()])
@pytest.mark.parametrize("machine", syscalls.MACHINES)
def test_filter_refuses_exactly_the_list(machine, monkeypatch, layers):
    monkeypatch.setattr(platform, "machine", lambda: machine)
    column = syscalls.MACHINES.index(machine)
    program = seccomp.instructions(layers)
    assert max(line[1] for line in program) < 256
    allow, refuse, unknown, kill = 0x7FFF0000, 0x50001, 0x50026, 0x80000000
    unsupported = 0x5005F
    lists = [calls for layer, calls in seccomp.WITHOUT.items() if layer not in layers]
    denied = {numbers[column] for calls in (seccomp.DENIED, *lists) for numbers in calls.values()}
    arch = seccomp.AUDIT_ARCH[column]
    for number in range(600):
        expected = allow
        if number > seccomp.NEWEST or number == seccomp.CLONE3[column]:
            expected = unknown
        elif number in denied or number == seccomp.CLONE[column]:
            expected = refuse
        elif number == seccomp.FALLOCATE[column] and "mount" not in layers:
            expected = unsupported
        assert answer(program, arch, number) == expected, number
    settings = [c for layer, c in seccomp.SETTINGS_WITHOUT.items() if layer not in layers]
    for numbers, _, values, mask in (entry for calls in settings for entry in calls.values()):
        if numbers[column] is not None:
            answers = {value: answer(program, arch, numbers[column], value) for value in values}
            assert set(answers.values()) == {refuse}
            others = {n for n in (0, 999, *(v ^ 1 for v in values)) if n & mask not in values}
            assert {answer(program, arch, numbers[column], value) for value in others} == {allow}
    clone = seccomp.CLONE[column]
    assert answer(program, arch, clone, seccomp.CLONE_THREAD) == allow
    assert answer(program, arch, 0x40000000 + 59) == unknown
    assert answer(program, 0x40000003, 11) == kill


def test_unknown_machine_has_no_filter(monkeypatch):
    monkeypatch.setattr(platform, "machine", lambda: "s390x")
    with pytest.raises(OSError, match="s390x"):
        seccomp.instructions()
