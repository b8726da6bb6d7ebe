"""A step on a student's own answers (rollout, teacher, update) beside TRL's DistillationTrainer.

    python -m benchmarks.onpolicy [--run .] [--steps 30] [--rows 8] [--tokens 128] [--samples 1]

The run's adapted teacher and start, and its curated tasks as prompts but for some that are held
out. Both ways take the same prompts in the same steps, the same optimiser, rate, tokens an answer
and reverse KL at temperature 1, all weights, no layers computed twice; with `--samples` both ask a
prompt so many times in a step. Each way trains in a fresh
process on the same threads. A step's time is from the end of the one before; the first, which loads
and compiles, is left out. Answer tokens count the end token.

Held out: KL(student || teacher) in nats a token, exact at each place of answers that the student
draws to prompts that nobody trained on, with transformers' `generate` for both ways.
"""

import argparse
import itertools
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

WAYS = ("start", "potstill", "potstill, refreshed every 2nd step", "trl")
RATE, HELD_OUT = 3e-5, 48


class Setting:
    """What both ways are given."""

    def __init__(self, given: argparse.Namespace) -> None:
        from potstill.loading import device
        from potstill.models.chat import ChatTokenizer
        from potstill.rollouts import tasks

        self.given = given
        self.start = given.run / "models/starts/pruned"
        self.teacher = given.run / "models/teacher_adapted"
        self.chat = ChatTokenizer(self.start)
        found = tasks.read(
            given.run / "data/curated/accepted.jsonl", ["code"], [0, 1], 10**6, self.chat
        )
        self.held_out, self.tasks = found[:HELD_OUT], found[HELD_OUT:]
        device.make_deterministic(given.seed, given.threads)
        self.place = device.pick_device()
        self.dtype = device.compute_dtype("auto", self.place)

    def asked(self) -> list[list[Any]]:
        """Return the prompts of all steps, in the order in which ours asks them."""
        from potstill.tokens import examples

        rows = [task.example() for task in self.tasks]
        prompts = self.given.rows // self.given.samples
        order = examples.order(rows, prompts, self.given.seed, 0)
        batches = [batch for batch in order if len(batch) == prompts]
        assert len(batches) >= self.given.steps, "too few prompts for the steps"
        return [
            list(self.tasks[row].messages)
            for batch in batches
            for row in batch
            for _ in range(self.given.samples)
        ]


def ours(setting: Setting, refresh_every: int, out: Path) -> list[tuple[float, float]]:
    """Train; return seconds and answer tokens of each step."""
    from potstill.distill import training
    from potstill.distill.objective import Objective
    from potstill.distill.start import Start
    from potstill.logits import caching, live, source
    from potstill.logits.store import LIVE
    from potstill.models import checkpoint
    from potstill.rollouts.recipe import OnPolicy
    from potstill.rollouts.rounds import Rounds
    from potstill.rollouts.student import end_id, policy_of
    from potstill.rollouts.verdicts import Judge

    given = setting.given
    recipe = OnPolicy(
        model="m", signal="signals/live", objective="reverse_kl", temperature=1.0, reward=0.0,
        samples=given.samples, formats=["code"], max_tokens=given.tokens,
        sampling_temperature=1.0, top_p=1.0, refresh_every=refresh_every, max_mined=0,
        quantisation="auto", policy="edgecoder",
        cpu_s=1.0, sandbox="minimum", workers=2, steps=given.steps, batch_rows=given.rows,
        pass_tokens=1024, learning_rate=RATE, warmup_steps=1, weight_decay=0.0, clip_norm=1.0,
        evaluate_every=1, checkpoint_every=0, max_rows=10**6, chunk_tokens=512, precision="auto",
        threads=given.threads, seed=given.seed, folds=[0, 1],
    )  # fmt: skip
    times, tokens = [time.perf_counter()], []

    def note(_: object) -> dict[str, float]:
        times.append(time.perf_counter())
        return {}

    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        header = caching.describe(setting.teacher, codec=LIVE, k=0, seed=0, allow_seen=True)
        live.write(scratch / "signal", header)
        teacher = source.open_source(scratch / "signal", setting.dtype, setting.place)
        loss = training.Loss(Objective("reverse_kl", alpha=0.0), teacher)
        begin = Start.of(setting.start, recipe)
        model = begin.model()
        longest = max(len(task.ids) for task in setting.tasks) + given.tokens
        policy = policy_of(recipe, setting.start, scratch / "policy", longest)
        rounds = Rounds(
            tasks=setting.tasks, recipe=recipe, policy=policy, current=begin.current,
            judge=Judge("edgecoder", 1.0, "minimum", 2), end_id=end_id(setting.chat),
            knows_end=len(setting.chat.stop_ids) == 1, folder=scratch / "rounds",
        )  # fmt: skip
        prompts = [task.example() for task in setting.tasks]
        history = training.train(
            model, prompts, loss, recipe, dtype=setting.dtype, scratch=scratch, evaluate=note,
            feed=rounds,
        )  # fmt: skip
    times.append(time.perf_counter())
    tokens = [row["tokens"] for row in history]
    state = {name: weight.detach() for name, weight in model.named_parameters()}
    checkpoint.write(out, state, checkpoint.read_config(setting.start), beside=setting.start)
    seconds = [after - before for before, after in itertools.pairwise(times)]
    made = [after - before for before, after in itertools.pairwise([0, *tokens])]
    return list(zip(seconds, made, strict=True))


def trl(setting: Setting, out: Path) -> list[tuple[float, float]]:
    """The same with TRL."""
    import torch
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
    from trl import DistillationConfig, DistillationTrainer

    given = setting.given
    torch.set_num_threads(given.threads)
    found: list[tuple[float, float]] = []

    class Note(TrainerCallback):
        def on_train_begin(self, *_: Any, **__: Any) -> None:  # noqa: ANN401 - as transformers has it
            self.last = time.perf_counter()

        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:  # noqa: ANN401, ARG002
            if "completions/mean_length" in logs:
                now = time.perf_counter()
                found.append((now - self.last, logs["completions/mean_length"] * given.rows))
                self.last = now

    with tempfile.TemporaryDirectory() as folder:
        config = DistillationConfig(
            folder, use_cpu=True, bf16=setting.dtype == torch.bfloat16, max_steps=given.steps,
            per_device_train_batch_size=given.rows, learning_rate=RATE, weight_decay=0.0,
            warmup_steps=1, lr_scheduler_type="cosine", max_grad_norm=1.0, adam_beta2=0.95,
            gradient_checkpointing=False, max_completion_length=given.tokens, temperature=1.0,
            beta=1.0, logging_steps=1, report_to="none", save_strategy="no", disable_tqdm=True,
            seed=given.seed, shuffle_dataset=False,
        )  # fmt: skip
        tokenizer = AutoTokenizer.from_pretrained(setting.start)
        tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
        trainer = DistillationTrainer(
            AutoModelForCausalLM.from_pretrained(setting.start, dtype=torch.float32),
            AutoModelForCausalLM.from_pretrained(setting.teacher, dtype=setting.dtype),
            config,
            train_dataset=Dataset.from_dict({"prompt": setting.asked()}),
            processing_class=tokenizer,
            callbacks=[Note()],
        )
        trainer.train()
        trainer.save_model(out)
    return found


def held_out(setting: Setting, folder: Path) -> dict[str, float]:
    """Return KL(student || teacher) of a checkpoint's own answers, nats a token, and n."""
    import torch
    from potstill.loading import load
    from torch.nn import functional

    student = load.causal_lm(folder, torch.float32, setting.place).eval()
    teacher = load.causal_lm(setting.teacher, torch.float32, setting.place).eval()
    torch.manual_seed(setting.given.seed)
    stops, total, tokens = sorted(setting.chat.stop_ids), 0.0, 0
    for task in setting.held_out:
        prompt = torch.tensor([task.ids])
        with torch.no_grad():
            ids = student.generate(
                prompt, attention_mask=torch.ones_like(prompt), do_sample=True, temperature=1.0,
                top_k=0, top_p=1.0, max_new_tokens=setting.given.tokens, eos_token_id=stops,
                pad_token_id=stops[0],
            )  # fmt: skip
            begin = len(task.ids) - 1
            log_q, log_p = (functional.log_softmax(model(ids).logits[0, begin:-1], -1)
                            for model in (student, teacher))  # fmt: skip
        total += functional.kl_div(log_p, log_q, log_target=True, reduction="sum").item()
        tokens += len(log_q)
    return {"kl": total / tokens, "tokens": tokens}


def one(given: argparse.Namespace) -> None:
    """Train one way in this process and print what came of it as JSON."""
    setting = Setting(given)
    with tempfile.TemporaryDirectory() as folder:
        out, steps = Path(folder) / "student", list[tuple[float, float]]()
        if given.way == "start":
            out = setting.start
        elif given.way == "trl":
            steps = trl(setting, out)
        else:
            steps = ours(setting, 2 if "2nd" in given.way else 1, out)
        print(json.dumps({"steps": steps, **held_out(setting, out)}))


def main() -> None:
    """Print a line for each way, the speed as a ratio to TRL's in this run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, default=Path())
    for name, default in (
        ("steps", 30),
        ("rows", 8),
        ("tokens", 128),
        ("samples", 1),
        ("seed", 0),
        ("threads", 2),
    ):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--way", choices=WAYS)
    given = parser.parse_args()
    if given.way:
        one(given)
        return
    speeds: dict[str, float] = {}
    lines = []
    for way in WAYS:
        command = [sys.executable, "-m", "benchmarks.onpolicy", *sys.argv[1:], "--way", way]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        found = json.loads(done.stdout.splitlines()[-1])
        later = found["steps"][1:]
        if later:
            speeds[way] = sum(t for _, t in later) / sum(s for s, _ in later)
        # the median of a step's seconds, the mean of its tokens: students differ in what they say
        median = statistics.median(s for s, _ in later) if later else 0.0
        lines.append((way, found["kl"], median, sum(t for _, t in later) / max(1, len(later))))
    print(f"{'way':36} {'tokens/s':>9} {'ratio':>6} {'s, tokens a step':>16} {'held-out KL':>12}")
    for way, kl, step_s, tokens in lines:
        speed = speeds.get(way, 0.0)
        ratio = speed / speeds["trl"]
        print(f"{way:36} {speed:9.1f} {ratio:6.2f} {step_s:8.2f} {tokens:7.0f} {kl:12.4f}")


if __name__ == "__main__":
    main()
