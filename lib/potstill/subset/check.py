"""The verdict: does a policy accept a piece of code, and if not, why.

All reasons are given with their positions; the first is the one that the original EdgeCoder
validators give: deny patterns on the text come before the syntax tree, and the tree is visited in
the original's order (Python breadth first as `ast.walk`, JavaScript depth first).
"""

import ast
from collections import deque
from dataclasses import dataclass, field

from potstill.errors import InputError
from potstill.subset import javascript
from potstill.subset.policy import LANGUAGES, Language, Policy, load

MESSAGES = {
    "pattern": "Unsupported construct detected: {}",
    "node": "Blocked AST node: {}",
    "builtin": "Blocked builtin call: {}",
    "global": "Blocked global: {}",
    "global_call": "Blocked global call: {}",
    "parse_error": "Parse error: {}",
    "limit": "Limit exceeded: {}",
}


@dataclass(frozen=True)
class Reason:
    """Why code was refused.

    Attributes:
        kind: pattern, node, builtin, global, parse_error or limit.
        detail: the pattern, node type or name; the parser's words for a parse error.
        line: counted from 1; 0 where there is no place.
        column: counted from 0.
        message: the sentence of the original validators.
    """

    kind: str
    detail: str
    line: int = 0
    column: int = 0
    message: str = ""


def _reason(kind: str, detail: str, line: int = 0, column: int = 0) -> Reason:
    shown = "global" if kind == "global_call" else kind
    return Reason(shown, detail, line, column, MESSAGES[kind].format(detail))


@dataclass(frozen=True)
class Verdict:
    """Whether a policy accepts a piece of code; `nodes` counts what was visited of its tree."""

    supported: bool
    reasons: list[Reason] = field(default_factory=list)
    nodes: int = 0


def check(language: str, code: str, policy: str = "edgecoder") -> Verdict:
    """Check code against a policy, by name or by the path of a YAML file.

    Any text gets a verdict: what cannot be parsed, or not within the limits, is refused.

    Raises:
        InputError: an unknown language or policy, or the JavaScript parser is not installed.
    """
    if language not in LANGUAGES:
        raise InputError(f"language {language!r}; allowed: {', '.join(LANGUAGES)}")
    rules = load(policy)
    if len(code) > rules.max_bytes:
        return Verdict(False, [_reason("limit", f"{len(code)} characters")])
    spec = rules.languages[language]
    reasons = _patterns(code, spec)
    visit = _python if language == "python" else _javascript
    found, nodes = visit(code, spec, rules)
    reasons += found
    return Verdict(not reasons, reasons, nodes)


def _patterns(code: str, spec: Language) -> list[Reason]:
    reasons = []
    for name, pattern in spec.patterns:
        match = pattern.search(code)
        if match:
            line = code.count("\n", 0, match.start()) + 1
            column = match.start() - (code.rfind("\n", 0, match.start()) + 1)
            reasons.append(_reason("pattern", name, line, column))
    return reasons


def _python(code: str, spec: Language, _: Policy) -> tuple[list[Reason], int]:
    try:
        tree = ast.parse(code)
    except SyntaxError as error:
        return [_reason("parse_error", error.msg, error.lineno or 0, error.offset or 0)], 0
    except (RecursionError, MemoryError):
        return [_reason("limit", "nested too deeply for the parser")], 0
    except ValueError as error:  # NUL bytes, lone surrogates
        return [_reason("parse_error", str(error))], 0
    reasons, nodes, open_ = [], 0, deque[ast.AST]([tree])
    while open_:  # the order of ast.walk
        node = open_.popleft()
        open_.extend(ast.iter_child_nodes(node))
        nodes += 1
        name, line = type(node).__name__, getattr(node, "lineno", 0)
        column = getattr(node, "col_offset", 0)
        if name not in spec.nodes:
            reasons.append(_reason("node", name, line, column))
        if isinstance(node, ast.Call):
            called = _called(node.func)
            if called in spec.blocked:
                reasons.append(_reason("builtin", called, line, column))
    return reasons, nodes


def _called(target: ast.expr) -> str:
    """Return the name that a call uses: f of f() and of x.f(); empty for anything else."""
    if isinstance(target, ast.Name):
        return target.id
    return target.attr if isinstance(target, ast.Attribute) else ""


def _javascript(code: str, spec: Language, rules: Policy) -> tuple[list[Reason], int]:
    found = javascript.visit(code, spec, rules.max_seconds)
    reasons = [
        _reason(kind, detail, line, column) for kind, detail, line, column in found["reasons"]
    ]
    return reasons, int(found["nodes"])
