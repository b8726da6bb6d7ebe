"""How soon a student is as near its teacher as TRL's GKD trainer brings it, on held-out rows.

`python -m benchmarks.time_to_kl [--run FOLDER] [--seeds 0 1 2]` takes what a default run left in
FOLDER: the start of its students, the adapted teacher, the tokenised rows. Both sides train the
same start on the same batches with the same optimiser and rates, those of `students.kd`, in the
dtype that `precision: auto` takes; TRL with its own loss, forward KL at T = 1 to the teacher that
runs beside the student, here on distributions that were cached, once with the loss of
`students.kd` and once with TRL's. Loading is not counted on either side. What it costs to cache is
told with and without, since it is paid once for all students, epochs and settings.

The measure is KL(teacher || student) on the validation rows' answers, T = 1, all ids, float32, in
nats a token, and stands outside the clock: after TRL's last step, and after each of ours. A line a
seed and loss says which of our steps was the first that is no farther from the teacher, and the
share of TRL's time that it ended at.
"""

import argparse
import itertools
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from potstill import params
from potstill.distill import optimisers, training
from potstill.distill.objective import Objective
from potstill.distill.recipe import Recipe
from potstill.loading import device, load
from potstill.loading.head import map_logits
from potstill.logits import caching
from potstill.logits.store import LogitStore
from potstill.models.chat import ChatTokenizer
from potstill.tokens import examples, packing, table
from potstill.tokens.examples import Example
from torch.nn import functional

from benchmarks.kd import HERE, THREADS, train_theirs

GOAL = 1 / 3  # of TRL's time
LOSSES: dict[str, dict[str, float]] = {  # what our side changes in `students.kd`
    "students.kd": {},
    "forward_kl": {"alpha": 0.0, "temperature": 1.0},
}
CPU = torch.device("cpu")


class Run:
    """A default run's files, and the settings of its student."""

    def __init__(self, folder: Path, seed: int) -> None:
        tree = params.read_params(HERE / "params.yaml")
        self.recipe = params.build(Recipe, tree, "training", "students.kd").model_copy(
            update={"seed": seed, "checkpoint_every": 0, "evaluate_every": 1}
        )
        self.start = folder / "models/starts" / self.recipe.start
        self.teacher = folder / "models/teacher_adapted"
        chat = ChatTokenizer(self.teacher)
        rows = table.open(folder / "data/tokens/train.arrow", chat)
        self.rows = rows.of_folds(self.recipe.folds)[: self.recipe.max_rows]
        self.held_out = table.open(folder / "data/tokens/validation.arrow", chat)
        self.dtype = device.compute_dtype(self.recipe.precision, CPU)
        self.scoring = {"codec": "topk", "k": tree["cache_logits"]["k"], "seed": seed}
        self.batching = caching.Batching(tree["cache_logits"]["batch_rows"])


class Distance:
    """KL(teacher || student) in nats a token of some rows' answers; the teacher is asked once."""

    def __init__(self, teacher: load.CausalLM, rows: Sequence[Example]) -> None:
        self._batches = list(examples.by_length(rows, 8))
        self._log_p_NV = [self._log_probs(teacher, batch) for batch in self._batches]

    def __call__(self, student: load.CausalLM) -> float:
        """Return it for a student."""
        total = sum(
            functional.kl_div(self._log_probs(student, batch), log_p_NV, log_target=True,
                              reduction="sum").item()
            for batch, log_p_NV in zip(self._batches, self._log_p_NV, strict=True)
        )  # fmt: skip
        return total / sum(len(log_p_NV) for log_p_NV in self._log_p_NV)

    @staticmethod
    def _log_probs(model: load.CausalLM, rows: list[Example]) -> torch.Tensor:
        line = packing.pack(rows)
        model.eval()
        with torch.no_grad():
            hidden_ND = line.predicting(model.model(**line.inputs).last_hidden_state)
        return torch.cat(
            map_logits(lambda z_CV, _: torch.log_softmax(z_CV, -1), hidden_ND, model.lm_head)
        )


def ours(run: Run, name: str) -> dict[str, Any]:
    """Cache once, then train with a loss; return seconds, and the distance after each step."""
    distance = Distance(load.causal_lm(run.teacher, torch.float32, CPU), run.held_out)
    teacher = load.causal_lm(run.teacher, run.dtype, CPU)
    student = load.trainable(run.start, CPU)
    recipe = run.recipe.model_copy(update=LOSSES[name])
    objective = Objective(recipe.objective, recipe.alpha, recipe.temperature,
                          chunk_tokens=recipe.chunk_tokens)  # fmt: skip
    begins, ends, kl = [], [], [distance(student)]

    def note(trained: load.CausalLM) -> dict[str, float]:
        ends.append(time.perf_counter())
        kl.append(distance(trained))
        begins.append(time.perf_counter())
        return {"validation_nll": kl[-1]}

    with tempfile.TemporaryDirectory() as folder:
        scratch, store = Path(folder) / "scratch", Path(folder) / "store"
        scratch.mkdir()
        header = caching.describe(run.teacher, **run.scoring)
        started = time.perf_counter()
        caching.cache(teacher, run.rows, store, header, run.batching, scratch=scratch)
        caching_s = time.perf_counter() - started
        del teacher
        loss = training.Loss(objective, LogitStore(store))
        begins.append(time.perf_counter())
        training.train(
            student, run.rows, loss, recipe, dtype=run.dtype, scratch=scratch, evaluate=note
        )
        if len(ends) < recipe.steps:  # the last step is not evaluated by the loop
            note(student)
    step_s = [end - begin for begin, end in zip(begins, ends, strict=False)]
    return {"step_s": step_s, "kl": kl, "caching_s": caching_s}


def theirs(run: Run) -> dict[str, Any]:
    """Train with TRL's GKD trainer; return seconds, and the distance before and after it."""
    teacher = load.causal_lm(run.teacher, torch.float32, CPU)
    distance = Distance(teacher, run.held_out)
    student = load.trainable(run.start, CPU)
    for model in (student, teacher):  # as TRL's user has it
        model.set_attn_implementation("sdpa")
        for module in model.modules():
            vars(module).pop("forward", None)  # and the norms of transformers
    kl = [distance(student)]
    recipe = run.recipe
    optimiser = optimisers.make(student.parameters(), recipe)
    for group in optimiser.param_groups:
        group["lr"] = 1.0  # times the rate of the step
    peak = optimisers.peak_rate(recipe, sum(p.numel() for p in student.parameters()))
    rates = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: optimisers.learning_rate(recipe, peak, step)
    )
    batches = list(training.batches(run.rows, recipe, 0))
    ends = train_theirs(student, teacher, batches, run.dtype, (optimiser, rates))
    kl.append(distance(student))
    return {"step_s": [b - a for a, b in itertools.pairwise(ends)], "kl": kl}


def compare(folder: Path, seed: int) -> None:
    """Run both sides of a seed, each in a fresh process, and print a line for each loss."""
    found = {}
    for side in ("theirs", *LOSSES):
        command = [sys.executable, "-m", "benchmarks.time_to_kl", "--side", side]
        command += ["--run", str(folder), "--seeds", str(seed)]
        answer = subprocess.run(command, check=True, capture_output=True, text=True, cwd=HERE)
        found[side] = json.loads(answer.stdout.splitlines()[-1])
        if side in LOSSES:
            print(json.dumps(judged(side, seed, found[side], found["theirs"])), flush=True)


def judged(name: str, seed: int, mine: dict[str, Any], reference: dict[str, Any]) -> dict[str, Any]:
    """Return what a line says: our first step that is as near, and its time as a share."""
    wanted, needed = reference["kl"][-1], sum(reference["step_s"])
    step = next((n for n, kl in enumerate(mine["kl"]) if kl <= wanted), None)
    line = {
        "claim": f"time to the held-out KL of TRL's GKD trainer, {name}, seed {seed}",
        "threads": THREADS, "reference_steps": len(reference["step_s"]),
        "reference_s": round(needed, 2), "reference_kl": round(wanted, 4),
        "kl_at_start": round(mine["kl"][0], 4), "kl": [round(kl, 4) for kl in mine["kl"][1:]],
        "first_step_as_near": step, "caching_once_s": round(mine["caching_s"], 2),
        "seconds": round(sum(mine["step_s"]), 2), "goal": round(GOAL, 3),
    }  # fmt: skip
    if step is not None:
        seconds = sum(mine["step_s"][:step])
        line["ratio"] = round(seconds / needed, 3)
        line["ratio_with_caching"] = round((seconds + mine["caching_s"]) / needed, 3)
    return line


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, default=HERE, help="folder of a default run")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--side", choices=["theirs", *LOSSES], help="one run, in this process")
    args = parser.parse_args()
    torch.set_num_threads(THREADS)
    for seed in args.seeds:
        if args.side is None:
            compare(args.run, seed)
            continue
        run = Run(args.run, seed)
        found = theirs(run) if args.side == "theirs" else ours(run, args.side)
        print(json.dumps(found))


if __name__ == "__main__":
    main()
