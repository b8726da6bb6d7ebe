"""Verdicts of the policy `edgecoder`: what it accepts, what it refuses first, and hostile input."""

import pytest
import yaml
from potstill import katas, subset
from potstill.errors import InputError
from potstill.subset import javascript

REFUSED = [
    ("python", "import os", "pattern", r"\bimport\s+os\b"),
    ("python", "x = 1\ny = eval('1')", "pattern", r"\beval\("),
    ("python", "s = 'a socket'", "pattern", r"\bsocket\b"),
    ("python", "import math", "node", "Import"),
    ("python", "class A: pass", "node", "ClassDef"),
    ("python", "try:\n    pass\nexcept: pass", "node", "Try"),
    ("python", "x: int = 1", "node", "AnnAssign"),
    ("python", "(x := 1)", "node", "NamedExpr"),
    ("python", "async def f(): pass", "node", "AsyncFunctionDef"),
    ("python", "getattr(x, 'y')", "builtin", "getattr"),
    ("python", "x.dir()", "builtin", "dir"),
    ("python", "eval ('1')", "builtin", "eval"),
    ("python", "eval ('1')\nimport re", "node", "Import"),  # all nodes come before all calls
    ("python", "def f() -> (x := 1):\n    del y", "node", "Delete"),  # as ast.walk: body, returns
    ("python", "def f(a: (x := 1), *b: (yield)): pass", "node", "NamedExpr"),
    ("python", "import\u3000os", "pattern", r"\bimport\s+os\b"),  # JavaScript's \s
    ("python", "\u00e9socket", "pattern", r"\bsocket\b"),  # and its \b: only ASCII is a word
    ("python", "x @ y", "node", "MatMult"),
    ("python", "def f(:", "parse_error", "invalid syntax (<unknown>, line 1)"),
    ("python", "x = 1\0", "parse_error", None),
    ("javascript", "require('fs')", "pattern", r"\brequire\("),
    ("javascript", "const a = process.env", "pattern", r"\bprocess\."),
    ("javascript", "class A {}", "node", "ClassDeclaration"),
    ("javascript", "x = new Map()", "node", "NewExpression"),
    ("javascript", "x = globalThis", "global", "globalThis"),
    ("javascript", "x.Reflect", "global", "Reflect"),
    ("javascript", "try { f() } catch (e) {}", "node", "TryStatement"),
    ("javascript", "eval (1)", "global", "eval"),
    ("javascript", "process .env", "global", "process"),
    ("javascript", "function f( {", "parse_error", "Unexpected token (1:13)"),
]
ACCEPTED = [
    ("python", "def f(x, *a, **k):\n    return [i for i in x if i] + list(a)"),
    ("python", "s = '\ud800'"),  # read as U+FFFD, as after a pipe
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
        ("node", "withitem", 3),
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
        "x = 1\n" * 8_000_000,
        "\ufeffx = 1",
    ],
    ids=str.split("unary parentheses brackets large surrogate nul feeds chain fifty_mb bom"),
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


def test_the_depth_of_the_callers_stack_changes_no_verdict():
    def deep(code, frames):
        return subset.check("python", code) if frames == 0 else deep(code, frames - 1)

    code = "not " * 900 + "x"
    assert subset.check("python", code).supported
    assert deep(code, 800).supported


@pytest.mark.parametrize("language", ["python", "javascript"])
def test_many_programs_get_the_verdicts_that_they_get_alone(language):
    codes = [code for name, code, *_ in REFUSED if name == language] + ["x" * 2_000_000, ""]
    alone = [subset.check(language, code) for code in codes]
    assert subset.check_many(language, codes) == alone


def test_one_program_that_ends_the_worker_takes_no_other_with_it(monkeypatch):
    ask = javascript.Worker.ask

    def dies(worker, request, max_seconds):
        if "bomb" in request["codes"]:
            worker.close()
            return None
        return ask(worker, request, max_seconds)

    monkeypatch.setattr(javascript.Worker, "ask", dies)
    good, bad, other = subset.check_many("javascript", ["let a", "bomb", "class A {}"])
    assert good.supported
    assert bad.reasons[0].kind == "limit"
    assert other.reasons[0].detail == "ClassDeclaration"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("limits: {max_bytes: 1}", "KeyError"),
        ("rules: no_such_rule", "no_such_rule"),
        ("nodes: NoSuchNode", "NoSuchNode"),
        ("patterns: ['(']", "PatternError|error"),
        ("block: eval", "block"),
    ],
)
def test_a_policy_with_a_mistake_is_named(tmp_path, change, message):
    tree = {"limits": {"max_bytes": 9, "max_nodes": 9, "max_depth": 9, "max_seconds": 1}}
    tree |= {"python": {"nodes": "Module"}, "javascript": {"nodes": "Program"}}
    key, _, _ = change.partition(":")
    (tree if key == "limits" else tree["python"]).update(yaml.safe_load(change))
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(tree))
    with pytest.raises(InputError, match=message):
        subset.check("python", "x", str(tmp_path / "mine.yaml"))


def test_a_javascript_rule_that_is_none_is_named(tmp_path):
    (tmp_path / "mine.yaml").write_text(
        "limits: {max_bytes: 99, max_nodes: 9, max_depth: 9, max_seconds: 1}\n"
        "python: {nodes: Module}\njavascript: {nodes: Program, rules: no_such_rule}\n"
    )
    with pytest.raises(InputError, match="rule 'no_such_rule'; allowed: async_and_generators"):
        subset.check("javascript", "x", str(tmp_path / "mine.yaml"))
    assert subset.check("javascript", "x").supported


def test_a_policy_of_ones_own(tmp_path):
    (tmp_path / "mine.yaml").write_text(
        "limits: {max_bytes: 99, max_nodes: 9, max_depth: 9, max_seconds: 1}\n"
        "python: {nodes: Module Expr Name Call, blocked_calls: f}\n"
        "javascript: {nodes: Program ExpressionStatement Identifier}\n"
    )
    mine = str(tmp_path / "mine.yaml")
    assert subset.check("python", "g(x)", mine).supported
    assert subset.check("python", "f(x)", mine).reasons[0].kind == "builtin"
    assert subset.check("python", "1", mine).reasons[0].detail == "Constant"
    assert subset.check("python", "g(x)\n" * 5, mine).reasons[0].kind == "limit"
    assert subset.check("javascript", "x", mine).supported
