"""Time and peak memory of the chunked loss against all logits at once under torch's autograd.

`python -m benchmarks.loss` prints two JSON lines for each vocabulary and dtype. Each run is a
process of its own, in turn one of each side, on the same random tensors; the ratio is of the best
of each side, since other work on the machine only adds to a run.
Memory is the highest resident size during a step above what weights and inputs take, read from
/proc (Linux).
"""

import argparse
import json
import re
import subprocess
import sys
import time
from pathlib import Path

import torch
from potstill.distill.objective import Objective
from potstill.logits.dense import Dense
from potstill.logits.topk import TopK, truncate
from torch.nn import functional

GOALS = {"seconds": 0.5, "mb": 0.3}  # times the reference
TOKENS, WIDTH, KEPT = 1024, 576, 64
VOCABULARIES = (49_152, 151_936)
THREADS, REPEATS = 2, 5
ALPHA, TEMPERATURE = 0.5, 2.0
HERE = Path(__file__).resolve().parents[1]


def naive(
    hidden_ND: torch.Tensor, head: torch.nn.Linear, labels_N: torch.Tensor, teacher: TopK | Dense
) -> torch.Tensor:
    """Return the same loss as a few lines of torch over all logits."""
    logits_NV = head(hidden_ND).float()
    cross_entropy = functional.cross_entropy(logits_NV, labels_N, reduction="sum")
    if isinstance(teacher, Dense):
        log_p_NO, log_q_NO = teacher.logits_NV, logits_NV
    else:
        log_q_NV = torch.log_softmax(logits_NV, -1)
        log_q_NK = log_q_NV.gather(-1, teacher.ids_NK)
        rest_N = torch.log(-torch.expm1(torch.logsumexp(log_q_NK, -1).clamp(max=-1e-7)))
        log_q_NO = torch.cat([log_q_NK, rest_N[:, None]], -1)
        log_p_NO = torch.cat([teacher.log_probs_NK, teacher.log_tail_N[:, None]], -1)
    log_p_NO, log_q_NO = (torch.log_softmax(x / TEMPERATURE, -1) for x in (log_p_NO, log_q_NO))
    divergence = functional.kl_div(log_q_NO, log_p_NO, reduction="sum", log_target=True)
    return ALPHA * cross_entropy + (1 - ALPHA) * TEMPERATURE**2 * divergence


def peak_mb() -> float:
    """Return the highest resident size since it was last cleared."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert found
    return int(found[1]) / 1024


def run(side: str, vocabulary: int, dtype: str, signal: str, chunk_tokens: int) -> dict[str, float]:
    """Run one loss forward and backward in this process; return seconds, mb and the loss."""
    torch.manual_seed(0)
    torch.set_num_threads(THREADS)
    head = torch.nn.Linear(WIDTH, vocabulary, bias=False)
    labels_N = torch.randint(0, vocabulary, (TOKENS,))
    teacher: TopK | Dense
    if signal == "dense":
        teacher = Dense(torch.randn(TOKENS, vocabulary))
    else:
        chunks = [truncate(torch.randn(64, vocabulary) * 3, KEPT) for _ in range(TOKENS // 64)]
        fields = zip(*((c.ids_NK, c.log_probs_NK, c.log_tail_N) for c in chunks), strict=True)
        teacher = TopK(*(torch.cat(field) for field in fields))
    objective = Objective("forward_kl", ALPHA, TEMPERATURE, chunk_tokens=chunk_tokens)

    def step(count: int) -> float:
        hidden_ND = torch.randn(count, WIDTH, requires_grad=True)
        rows = slice(count)
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype == "bfloat16"):
            if side == "naive":
                loss = naive(hidden_ND, head, labels_N[rows], teacher.rows(rows))
            else:
                loss = objective(hidden_ND, head, labels_N[rows], teacher.rows(rows)).loss
        (loss / count).backward()
        head.weight.grad = None
        return loss.item()

    step(8)  # threads and kernels are set up once in a training
    Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")
    before, start = peak_mb(), time.perf_counter()
    loss = step(TOKENS)
    return {"seconds": time.perf_counter() - start, "mb": peak_mb() - before, "loss": loss}


def compare(vocabulary: int, dtype: str, signal: str, chunk_tokens: int) -> None:
    """Run both sides in turn and print a line for time and one for memory."""
    found: dict[str, list[dict[str, float]]] = {"fused": [], "naive": []}
    for _ in range(REPEATS):
        for side, runs in found.items():
            arguments = ["--side", side, "--vocabularies", str(vocabulary), "--dtypes", dtype]
            arguments += ["--signal", signal, "--chunk-tokens", str(chunk_tokens)]
            command = [sys.executable, "-m", "benchmarks.loss", *arguments]
            answer = subprocess.run(command, check=True, capture_output=True, text=True, cwd=HERE)
            runs.append(json.loads(answer.stdout))
    losses = [runs[0]["loss"] for runs in found.values()]
    assert abs(losses[0] - losses[1]) < 2e-3 * abs(losses[1]), losses
    for unit, goal in GOALS.items():
        value, reference = (min(run[unit] for run in found[side]) for side in found)
        line = {
            "claim": f"loss of {TOKENS} tokens, {vocabulary} ids, {dtype}, {signal}, "
            f"chunks of {chunk_tokens}, {THREADS} threads",
            "value": round(value, 3),
            "unit": unit,
            "reference": "all logits at once",
            "reference_value": round(reference, 3),
            "ratio": round(value / reference, 3),
            "goal": goal,
            "better": "lower",
        }
        print(json.dumps(line), flush=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--vocabularies", nargs="+", type=int, default=VOCABULARIES)
    parser.add_argument(
        "--dtypes", nargs="+", help="default: float32, and bfloat16 where it is fast"
    )
    parser.add_argument("--signal", choices=["topk", "dense"], default="topk")
    parser.add_argument("--chunk-tokens", type=int, default=512)
    parser.add_argument("--side", choices=["fused", "naive"], help="one run, in this process")
    args = parser.parse_args()
    fast = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    dtypes = args.dtypes or (["float32", "bfloat16"] if fast else ["float32"])
    for vocabulary in args.vocabularies:
        for dtype in dtypes:
            how = (vocabulary, dtype, args.signal, args.chunk_tokens)
            if args.side:
                print(json.dumps(run(args.side, *how)))
            else:
                compare(*how)


if __name__ == "__main__":
    main()
