"""Verdicts of the policy `edgecoder`: what it accepts, what it refuses first, and hostile input."""

import pytest
from potstill import subset
from potstill.data import katas
from potstill.errors import InputError
from potstill.subset import javascript

REFUSED = [
    ("python", "import os", "pattern", "import os"),
    ("python", "x = 1\ny = eval ('1')", "pattern", "eval("),
    ("python", "s = 'a socket'", "pattern", "socket"),
    ("python", "import math", "node", "Import"),
    ("python", "class A: pass", "node", "ClassDef"),
    ("python", "try:\n    pass\nexcept: pass", "node", "Try"),
    ("python", "x: int = 1", "node", "AnnAssign"),
    ("python", "(x := 1)", "node", "NamedExpr"),
    ("python", "async def f(): pass", "node", "AsyncFunctionDef"),
    ("python", "getattr(x, 'y')", "builtin", "getattr"),
    ("python", "x.dir()", "builtin", "dir"),
    ("python", "def f(:", "parse_error", None),
    ("python", "x = 1\0", "parse_error", None),
    ("javascript", "require('fs')", "pattern", "require("),
    ("javascript", "const a = process.env", "pattern", "process."),
    ("javascript", "class A {}", "node", "ClassDeclaration"),
    ("javascript", "x = new Map()", "node", "NewExpression"),
    ("javascript", "x = globalThis", "global", "globalThis"),
    ("javascript", "x.Reflect", "global", "Reflect"),
    ("javascript", "try { f() } catch (e) {}", "node", "TryStatement"),
    ("javascript", "function f( {", "parse_error", None),
]
ACCEPTED = [
    ("python", "def f(x, *a, **k):\n    return [i for i in x if i] + list(a)"),
    ("python", "e = eval\n@e\ndef f(): return ().__class__"),
    ("python", ""),
    ("javascript", "const f = (a, ...b) => ({...a, b})"),
    ("javascript", "x = {a: eval, f() { try {} catch (e) {} }}"),
    ("javascript", "async function f() { for (const x of y) z`a${x}` }"),
    ("javascript", ""),
]


@pytest.mark.parametrize(("language", "code", "kind", "detail"), REFUSED)
def test_the_first_reason_is_the_originals(language, code, kind, detail):
    verdict = subset.check(language, code)
    assert not verdict.supported
    assert verdict.reasons[0].kind == kind
    if detail is not None:
        assert verdict.reasons[0].detail == detail
        assert verdict.reasons[0].message.endswith(f": {detail}")


@pytest.mark.parametrize(("language", "code"), ACCEPTED)
def test_what_the_original_accepts_is_accepted_with_its_holes(language, code):
    assert subset.check(language, code).supported


def test_all_reasons_come_with_their_places():
    verdict = subset.check("python", "x = 1\nimport re\nwith x:\n    raise y")
    assert [(r.kind, r.detail, r.line) for r in verdict.reasons] == [
        ("node", "Import", 2),
        ("node", "With", 3),
        ("node", "alias", 2),
        ("node", "withitem", 0),
        ("node", "Raise", 4),
    ]


def test_every_kata_reference_is_inside():
    for row in katas.instances(0, 1, ["python", "javascript"]):
        verdict = subset.check(row["language"], row["reference"])
        assert verdict.supported, (row["family"], verdict.reasons)


@pytest.mark.parametrize("language", ["python", "javascript"])
@pytest.mark.parametrize(
    "code",
    [
        "-" * 10_000 + "1",
        "(" * 5_000 + ")" * 5_000,
        "[" * 100_000,
        "x" * 2_000_000,
        "a = '\ud800'",
        "\0",
        "\x0c\r\n\r",
        "x" + "+x" * 20_000,
        "\ufeffx = 1",
    ],
    ids=["unary", "parentheses", "brackets", "large", "surrogate", "nul", "feeds", "chain", "bom"],
)
def test_hostile_text_gets_a_verdict(language, code):
    verdict = subset.check(language, code)
    assert verdict.supported or verdict.reasons


def test_the_worker_is_started_again_after_a_crash():
    assert subset.check("javascript", "let a = 1").supported
    javascript._worker._process.kill()
    javascript._worker._process.wait()
    assert subset.check("javascript", "let a = 1").supported


def test_unknown_names_are_refused(tmp_path):
    with pytest.raises(InputError, match="allowed: python, javascript"):
        subset.check("ruby", "x")
    with pytest.raises(InputError, match="did you mean edgecoder"):
        subset.check("python", "x", "edgecode")
    (tmp_path / "mine.yaml").write_text("limits: {}")
    with pytest.raises(InputError, match=r"see policies/edgecoder\.yaml"):
        subset.check("python", "x", str(tmp_path / "mine.yaml"))
