"""JavaScript functions that stand alone: what comes along, what drops them, what a comment says."""

import pytest
from potstill import sandbox
from potstill.errors import InputError
from potstill.mining import javascript, mining, places
from potstill.testing import inputs, inputs_javascript, proof
from potstill.testing.execution import Execution

MODULE = """
import fs, { join as path } from "node:fs";
const { floor } = Math, SEP = "/";
const LIMIT = 3, { ceil = LIMIT } = Math;
let TWICE = LIMIT * 2, changed = 1;
var later;
if (LIMIT) { var conditional = 1; }
changed = 2;
class Thing {}
const plus = (x) => x + TWICE; // a helper
function helper(x) { /* why */ return plus(x); }
function cached() {}
cached.store = {};
"""
COMMON = """
'use strict';
var other = require("./other"), { inner } = require("x");
/** Add one. */
exports.up = function (x) { return x + 1; };
/** Take one. */
module.exports.down = x => x - 1;
/** Twice. */
module.exports = function twice(x) { return x + x; };
/** Nameless. */
module.exports = function (x) { return x; };
/** Of another. */
function borrowed(x) { return other(inner(x)); }
/** Loads. */
function loads(x) { return require(x); }
"""


def mined(text):
    return javascript._functions([text])[0]


def only(code):
    (found,) = mined(f"{MODULE}/** Documented. */\n{code}")
    return found if isinstance(found, str) else found["code"]


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("function f(x) {\n  return x; // same\n}", "function f(x) {\n  return x;\n}"),
        ("export default function f(x) { return x }", "function f(x) { return x }"),
        ("export const f = (x) => x;", "const f = (x) => x;"),
        ("const f = function (x) { return x };", "const f = function (x) { return x };"),
        (
            "function f(x) { return helper(x) + SEP }",
            (
                'const SEP = "/";\nconst LIMIT = 3;\nlet TWICE = LIMIT * 2;\n'
                "const plus = (x) => x + TWICE;\nfunction helper(x) {   return plus(x); }\n"
                "function f(x) { return helper(x) + SEP }"
            ),
        ),
        ("function f(x) { return floor(x) }", "const { floor } = Math;\nfunction f"),
        (
            "function f(x) { return ceil(x) }",
            "const LIMIT = 3;\nconst { ceil = LIMIT } = Math;\nfunction f",
        ),
        ("function f(n) { return n && f(n - 1) }", "function f(n)"),
        ("function f({ helper: h }, [path = 1]) { return h + path }", "function f({ helper: h }"),
        ("function f(x) { for (const fs of x) later: { if (fs) break later } return x.path }", "f"),
        ("function f() { var g = function () { return this }; return {fs: 1, g} }", "function f"),
        ("function f(x) { try { x() } catch (fs) { return fs } return typeof x }", "function f"),
        ("function f(x) { { let fs = 1; x = fs } return arguments.length + x }", "function f"),
    ],
)
def test_what_a_function_reads_comes_along_and_runs_alone(code, expected):
    found = only(code)
    assert found.startswith(expected) or expected == "f"
    assert sandbox.run("javascript", f"{found}\n;if (typeof f !== 'function') throw 1;").ok


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("function f() { return path(1) }", "needs_package"),
        ("function f() { return { fs } }", "needs_package"),
        ("function f() { let x; { let fs; } return fs }", "needs_package"),
        ("function f() { return new Thing() }", "needs_class"),
        ("function f() { return conditional }", "needs_condition"),
        ("function f() { return later }", "needs_condition"),
        ("function f() { return changed }", "bound_twice"),
        ("function f() { return cached.store }", "bound_twice"),
        ("function f() { return missing }", "needs_unknown"),
        ("function f() { return document.title }", "needs_unknown"),
        ("function f() { return this.x }", "needs_this"),
        ("function f() { return [1].map(() => this) }", "needs_this"),
        ("function f() { TWICE += 1 }", "global_state"),
        ("function f(x) { [missing] = x }", "global_state"),
        ("async function f() { return 1 }", "asynchronous"),
        ("function f() {}", "no_body"),
        ("export default (x) => x", "anonymous"),
        (
            "function f() { return c0 }\n"
            + "".join(f"const c{n} = c{n + 1} + 1;\n" for n in range(20)) + "const c20 = 1;",
            "needs_much",
        ),
    ],
)  # fmt: skip
def test_what_cannot_stand_alone_is_dropped_with_its_reason(code, reason):
    assert only(code) == reason


def test_commonjs():
    found = mined(COMMON)
    assert [each["name"] for each in found[:3]] == ["up", "down", "twice"]
    assert found[0]["code"] == "function up(x) { return x + 1; }"
    assert found[1]["code"] == "const down = x => x - 1;"
    assert found[3:] == ["anonymous", "needs_package", "needs_package"]


@pytest.mark.parametrize(
    ("comment", "expected"),
    [
        ("// Adds.\n// All of them.\n", "Adds.\nAll of them."),
        ("/* Adds. */\n", "Adds."),
        (
            "/**\n * Adds [all](http://x/y_(z)) of {@link them}.\n * @param {number} x - it\n */\n",
            "Adds all of them.\n\n@param {number} x - it",
        ),
        ("/**\n * @desc Adds.\n * @returns {number}\n */\n", "Adds."),
        ("// Adds.\n// eslint-disable-next-line\n", "Adds."),
        ("// Licence\n\n", None),
        ("/** @private */\n", None),
        ("", None),
    ],
)
def test_what_a_comment_says(comment, expected):
    found = mined(f"{comment}function f(x) {{ return x; }}")
    assert len(found) == (expected is not None)
    assert expected is None or found[0]["docstring"].startswith(expected)


def test_files_that_are_no_javascript_hold_nothing():
    assert javascript._functions(["function f(", "{" * 100_000, "\ud800", "", "#!/bin/x\n"]) == [
        [], [], [], [], [],
    ]  # fmt: skip


def test_rows_of_a_folder(tmp_path):
    (tmp_path / "a.min.js").write_text("/** Dd. */\nfunction h(x) { return x }")
    (tmp_path / "node_modules").mkdir()
    (tmp_path / "node_modules/b.js").write_text("/** Dd. */\nfunction h(x) { return x }")
    text = "/** Same. */\nexport function f(x, y = 2) { return x }\n// Other.\nlet g = y => z;"
    (tmp_path / "a.mjs").write_text(text)
    rows, reasons = mining.count(mining.mine(places.find(f"folder:{tmp_path}", "MIT")))
    (row,) = rows
    assert reasons == {"needs_unknown": 1}
    assert (row["arguments"], row["language"], row["licence"]) == ("x, y = 2", "javascript", "MIT")
    assert row["source"] == row["group"] == f"{tmp_path.name}:a.mjs"


def test_installed_npm_packages_state_version_and_licence():
    place = places.find("npm:simple-statistics", None)
    assert place.name.startswith("simple-statistics-")
    assert place.licence == "ISC"
    rows, reasons = mining.count(mining.mine(place))
    assert len(rows) > 30
    assert reasons.keys() == {"needs_package"}
    for row in rows:  # each loads alone
        assert sandbox.run("javascript", row["code"]).ok, row["code"]
    for name in ("absent-of-all", "../x", ""):
        with pytest.raises(InputError, match="npm install"):
            places.find(f"npm:{name}", None)


def test_arguments_follow_types_examples_and_defaults():
    said = "Cut.\n\n@param {string} text\n@param {number} [most=3]\n@example\ncut('a b', 2) // 'a '"
    said += "\ncut({a: [true, null]})\ncut(unknown, 3)"
    code = "function cut(text, most) { return text.split('#')[most] }"
    signature = inputs_javascript.of_javascript("cut", "text, most", code, said)
    assert signature.examples == [["a b", 2], [{"a": [True, None]}]]
    assert signature.kinds == [["str"], ["int", "float"]]
    assert signature.required == 1
    assert "#" in signature.constants
    found = inputs.guesses(signature, "seed")
    assert {type(args[0]) for args in found[2:]} == {str}
    assert {len(args) for args in found[2:]} == {1, 2}
    for arguments in ("{ a }", "...rest", "[a, b], c"):
        assert not inputs_javascript.of_javascript("f", arguments, "", "").kinds
    assert inputs_javascript.of_javascript("f", "a, b = [1, 2]", "", "").required == 1


RUN = Execution(sandbox.Limits(cpu_s=1.0), 2, "minimum")
REASONS = {
    None: "function f(text) { return text.length > 5 ? text.slice(0, 5) + '.' : text }",
    "no_inputs": "function f(x) { return x.nothing.at.all }",
    "one_output": "function f(x) { return null }",
    "not_repeatable": "function f(x) { return Math.random() }",
    "prints": "function f(x) { console.log(x); return String(x) }",
    "timeout": "function f(x) { while (true) {} }",
    "does_not_run": "throw new Error('no');\nfunction f(x) { return x }",
    "weak_tests": "function f(x) {\n  const y = 1 + 2 - 3 + 4 * 5 - 6 * 7 + 8;\n  return x;\n}",
}


def test_javascript_gets_tests_or_a_reason():
    rows = [
        {"id": code, "name": "f", "arguments": code[code.index("f(") + 2 : code.index(") {")],
         "docstring": "@param {string} text", "code": code, "language": "javascript"}
        for code in REASONS.values()
    ]  # fmt: skip
    assert proof.prove(rows, RUN) == list(REASONS)
    first = rows[0]
    assert sandbox.run("javascript", first["code"], tests=first["tests"], entry_point="f").ok
    assert not any("tests" in row for row in rows[1:-1])


def test_values_that_coercion_made_are_no_outputs():
    codes = ["return x - {}", "return 'a' + undefined", "return '' + {}", "return [x => x]"]
    rows = [
        {"id": code, "name": "f", "arguments": "x", "docstring": "", "language": "javascript",
         "code": f"function f(x) {{ {code} }}"} for code in codes
    ]  # fmt: skip
    assert proof.prove(rows, RUN) == ["no_inputs"] * len(codes)
