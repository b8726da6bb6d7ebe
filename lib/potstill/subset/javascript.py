"""JavaScript through acorn in one long-lived Node process: exact ESTree, no start-up a check."""

import atexit
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from potstill.errors import InputError
from potstill.node import Worker
from potstill.subset.policy import Language, Policy

_worker = Worker(Path(__file__).with_name("worker.mjs"))
atexit.register(_worker.close)


def visit_many(codes: Sequence[str], spec: Language, limits: Policy) -> list[dict[str, Any]]:
    """Return {"reasons": [[kind, detail, line, column]], "nodes": visited} of each program.

    One request brings them all; if that ends the worker or takes too long, each is asked alone.

    Raises:
        InputError: Node or acorn is not installed, or the policy names a rule that is none.
    """
    rules = {
        "nodes": sorted(spec.nodes),
        "identifiers": sorted(spec.blocked_identifiers),
        "names": sorted(spec.blocked_names),
        "members": sorted(spec.blocked_members),
        "skipped": sorted(spec.skipped_keys),
        "rules": sorted(spec.rules),
        "max_nodes": limits.max_nodes,
        "max_depth": limits.max_depth,
    }
    replies = _worker.ask({"codes": list(codes), "policy": rules}, limits.max_seconds)
    if isinstance(replies, dict):
        raise InputError(f"subset policy {limits.name}: {replies['error']}")
    if replies is not None:
        return replies
    if len(codes) > 1:
        return [visit_many([code], spec, limits)[0] for code in codes]
    reason = ["limit", f"no verdict within {limits.max_seconds:g} s", 0, 0]
    return [{"reasons": [reason], "nodes": 0}]


def shapes(
    codes: Sequence[str], *, exact: bool = False, max_seconds: float = 20.0
) -> list[list[str]]:
    """Return each program's shape, see `curation.shapes`; an empty one if it cannot be parsed.

    Raises:
        InputError: Node or acorn is not installed.
    """
    replies = _worker.ask({"codes": list(codes), "exact": exact}, max_seconds) if codes else []
    if isinstance(replies, list):
        return replies
    return [shapes([code], exact=exact)[0] for code in codes] if len(codes) > 1 else [[]]
