"""The verdict: does a policy accept a piece of code, and if not, why.

All reasons are given with their positions. The first is the one that the original EdgeCoder
validators give (github.com/codyrs82/Edgecoder, src/executor/{subset,ast-python,ast-javascript}.ts):
deny patterns on the text come before the syntax tree; in Python all node types come before all
calls, in the order of `ast.walk`; JavaScript is visited depth first.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from potstill.errors import InputError
from potstill.subset import javascript, python
from potstill.subset.policy import LANGUAGES, Language, Policy, load

MESSAGES = {
    "pattern": "Unsupported construct detected: {}",
    "node": "Blocked AST node: {}",
    "builtin": "Blocked builtin call: {}",
    "name": "Blocked name: {}",
    "member": "Blocked attribute: {}",
    "global": "Blocked global: {}",
    "global_call": "Blocked global call: {}",
    "parse_error": "parse error: {}",
    "limit": "Limit exceeded: {}",
}
# What a verdict calls the kinds that have a sentence of their own.
KINDS = {"name": "builtin", "member": "node", "global_call": "global"}


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
    return Reason(KINDS.get(kind, kind), detail, line, column, MESSAGES[kind].format(detail))


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
    return check_many(language, [code], policy)[0]


def check_many(language: str, codes: Sequence[str], policy: str = "edgecoder") -> list[Verdict]:
    """Check many programs; JavaScript goes to the parser in one request.

    Raises:
        InputError: as `check`.
    """
    if language not in LANGUAGES:
        raise InputError(f"language {language!r}; allowed: {', '.join(LANGUAGES)}")
    rules = load(policy)
    spec = rules.languages[language]
    small = [code for code in codes if _bytes(code, rules.max_bytes) <= rules.max_bytes]
    visited: Iterable[tuple[list[tuple[str, str, int, int]], int]]
    if language == "python":
        visited = (python.visit(code, spec, rules) for code in small)
    else:
        replies = javascript.visit_many(small, spec, rules)
        visited = ((reply["reasons"], reply["nodes"]) for reply in replies)
    found = iter(visited)
    return [_verdict(code, spec, rules, found) for code in codes]


def _verdict(
    code: str,
    spec: Language,
    rules: Policy,
    visited: Iterable[tuple[list[tuple[str, str, int, int]], int]],
) -> Verdict:
    """Join what the patterns and the tree say; `visited` gives the next program's tree."""
    size = _bytes(code, rules.max_bytes)
    if size > rules.max_bytes:
        return Verdict(False, [_reason("limit", f"more than {rules.max_bytes} bytes")])
    reasons, nodes = next(iter(visited))
    found = [*_patterns(code, spec), *(_reason(*reason) for reason in reasons)]
    return Verdict(not found, found, nodes)


def _bytes(code: str, limit: int) -> int:
    """Return the size in UTF-8; a text with more characters than the limit is not encoded."""
    return len(code) if len(code) > limit else len(code.encode("utf-8", "surrogatepass"))


def _patterns(code: str, spec: Language) -> list[Reason]:
    reasons = []
    for pattern in spec.patterns:
        match = pattern.search(code)
        if match:
            line = code.count("\n", 0, match.start()) + 1
            column = match.start() - (code.rfind("\n", 0, match.start()) + 1)
            reasons.append(_reason("pattern", pattern.source, line, column))
    return reasons
