"""The published Qwen2.5-Coder-0.5B-Instruct, adopted as it is, keeps its recorded verdicts.

Greedy, at q4_k_m, all 164 problems: with the pipeline's prompt 53.7 % pass and 77.4 % are inside
the subset; with three others 55.5 and 76.2 %, 43.9 and 82.3 %, 51.2 and 81.7 %, of which the last
is the published one within two problems and two points (docs/tasks.md has the intervals). The
file has 491 MB, so POTSTILL_QWEN_GGUF names it.
"""

import os
from pathlib import Path

import pytest
from potstill import files
from potstill.cli.__main__ import main
from potstill.evaluate import rates

VARIABLE = "POTSTILL_QWEN_GGUF"
QWEN = os.environ.get(VARIABLE, "")
SHA256 = "1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32"
TRIED, CAP = 40, 512  # the first 40 problems; answers that the cap cuts off count as they stand
PASSED = {  # the prompt -> the problems that pass, and how many answers are inside the subset
    None: ({3, 7, 22, 30, 42, 43, 47, 57, 69, 70, 89, 104, 113, 124, 143, 157}, 30),
    "executable-system": ({3, 7, 22, 30, 42, 43, 47, 57, 70, 89, 104, 106, 124, 133, 143, 157}, 28),
    "executable-user": ({3, 7, 22, 30, 39, 42, 43, 47, 57, 70, 89, 104, 124, 143, 146, 157}, 32),
    "executable-complete": ({3, 7, 22, 30, 39, 42, 43, 47, 57, 70, 104, 143, 146, 157}, 32),
}
MOST_FLIPS = 2  # near ties that another processor's rounding may settle otherwise


@pytest.mark.real
@pytest.mark.timeout(900)
@pytest.mark.skipif(not QWEN, reason=f"{VARIABLE} names no qwen2.5-coder-0.5b-instruct-q4_k_m.gguf")
@pytest.mark.parametrize("prompt", PASSED)
def test_a_public_model_keeps_its_verdicts(tmp_path, monkeypatch, prompt):
    assert files.sha256_file(Path(QWEN)) == SHA256
    monkeypatch.chdir(tmp_path)
    assert main(["adopt", QWEN, "--out", "qwen"]) == 0
    command = ["score", "qwen", "--tasks", "humaneval", "--limit", str(TRIED), "--out", "found"]
    if prompt:  # chattier answers, some of which reach the cap and are no loops
        monkeypatch.setattr(rates, "MAX_CUT", 1.0)
        command += ["--prompt", prompt, "--max-tokens", str(CAP)]
    passed_then, inside_then = PASSED[prompt]
    assert main(command) == 0
    rows = list(files.read_jsonl(tmp_path / "found/rows.jsonl"))
    passed = {int(row["id"].rpartition("/")[2]) for row in rows if row["passed"]}
    assert len(rows) == TRIED
    assert len(passed ^ passed_then) <= MOST_FLIPS
    assert abs(sum(row["inside_subset"] for row in rows) - inside_then) <= MOST_FLIPS
