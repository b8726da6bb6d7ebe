"""`strict` on JavaScript: the attack corpus is refused, and ordinary programs are not."""

import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml
from potstill import katas, subset
from potstill.subset import policy

HERE = Path(__file__).parent
ATTACKS = yaml.safe_load((HERE / "attacks_javascript.yaml").read_text("utf-8"))
ACCEPTED = yaml.safe_load((HERE / "accepted_javascript.yaml").read_text("utf-8"))
# What JavaScript engines define that a program may use.
USABLE = {
    "Object",
    "Array",
    "String",
    "Number",
    "Boolean",
    "Math",
    "JSON",
    "BigInt",
    "Date",
    "RegExp",
    "console",
    "NaN",
    "Infinity",
    "undefined",
    "parseInt",
    "parseFloat",
    "isNaN",
    "isFinite",
    "escape",
    "unescape",
    "encodeURI",
    "decodeURI",
    "encodeURIComponent",
    "decodeURIComponent",
    "atob",
    "btoa",
}


def _cases(corpus):
    return [
        pytest.param(code, id=f"{group}-{index}")
        for group, programs in corpus.items()
        for index, code in enumerate(programs)
    ]


@pytest.mark.parametrize("code", _cases(ATTACKS))
def test_attacks_are_refused(code):
    verdict = subset.check("javascript", code, "strict")
    assert not verdict.supported
    assert {reason.kind for reason in verdict.reasons} <= {"node", "global", "limit", "parse_error"}


@pytest.mark.parametrize("code", _cases(ACCEPTED))
def test_ordinary_programs_are_accepted(code):
    assert subset.check("javascript", code, "strict").reasons == []


def test_every_kata_reference_is_inside():
    for row in katas.instances(0, 1, ["javascript"]):
        verdict = subset.check("javascript", row["reference"], "strict")
        assert verdict.supported, (row["family"], verdict.reasons)


@pytest.mark.parametrize(
    ("code", "kind", "detail", "line", "column"),
    [
        ("let a;\n[].constructor", "node", "MemberExpression: constructor", 2, 0),
        ("const { prototype } = f", "node", "Property: prototype", 1, 8),
        ("f(\n  eval)", "global", "eval", 2, 2),
        ("const f = async () => 1", "node", "ArrowFunctionExpression: async", 1, 10),
        ("for (;;) {\n}", "limit", "a loop without an end", 1, 0),
        ("f(o[k])", "node", "MemberExpression: computed key", 1, 2),
        ("let = 1", "parse_error", "The keyword 'let' is reserved (1:0)", 1, 0),
    ],
)
def test_reasons_say_what_and_where(code, kind, detail, line, column):
    (reason, *_) = subset.check("javascript", code, "strict").reasons
    assert (reason.kind, reason.detail, reason.line, reason.column) == (kind, detail, line, column)


def test_names_of_blocked_members_keep_to_what_the_proof_of_keys_relies_on():
    for name in policy.load("strict").languages["javascript"].blocked_members:
        assert re.fullmatch(r"[A-Za-z_]{2,}", name)
        assert name != name.upper()
        assert not re.search("NaN|Infinity|undefined|null|true|false", name)


def test_every_name_that_node_defines_is_decided(tmp_path):
    script = tmp_path / "names.js"
    script.write_text(
        "console.log(JSON.stringify([...Object.getOwnPropertyNames(globalThis),"
        " 'require', 'module', 'exports', '__filename', '__dirname', 'arguments']))"
    )
    listed = subprocess.run(["node", str(script)], capture_output=True, check=True, timeout=60)
    for name in set(json.loads(listed.stdout)) - USABLE:
        assert not subset.check("javascript", f"let a = {name}", "strict").supported, name


@pytest.mark.parametrize(
    "code",
    [
        "x" + "+x" * 20_000,
        "[]" + "[k]" * 20_000,
        "a = " * 5_000 + "o[k]",
        "let a0 = 0;" + "".join(f"let a{i} = a{i - 1};" for i in range(1, 1000)) + "f(o[a999])",
        "o[k] || " * 5_000 + "1",
        "".join(f"const f{i} = (x) => f{i + 1}(o[x]);" for i in range(500)),
    ],
    ids=["sum", "members", "assignments", "names", "logical", "calls"],
)
def test_hostile_text_gets_a_verdict(code):
    verdict = subset.check("javascript", code, "strict")
    assert verdict.supported or verdict.reasons
