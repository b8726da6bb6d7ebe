"""Every artefact as one flat object, for whoever reads the results by a program."""

from typing import Any

from potstill.report.comparison import TEACHER, View
from potstill.report.results import PERPLEXITY, Estimate, Run, Variant


def objects(view: View) -> list[dict[str, Any]]:
    """Return an object an export: the teacher, the student's, the controls.

    Keys: name, role (student, teacher or the control's name), checkpoint, format, quantisation,
    bytes; of a student's start, signals, seed, steps, tokens; perplexity of the checkpoint on test;
    parity and its agreement; tokens_per_s, first_token_ms, load_ms, peak_rss_mb, cpu; every measure
    of the scores as `<task>.<measure>`. A measure with an interval has `.low`, `.high` and `.n`
    beside it; what was not measured has no key, a task that was not run `<task>.reason`.
    """
    return [_object(view, item) for item in view.variants]


def _object(view: View, item: Variant) -> dict[str, Any]:
    run = view.results.runs.get(item.owner)
    found = {
        "name": item.name,
        "role": view.role(item),
        "checkpoint": item.checkpoint,
        "format": item.format,
        "quantisation": item.quantisation,
        "bytes": item.size_bytes,
        **(_trained(run) if run else {}),
        **_estimate(PERPLEXITY, run.perplexity if run else view.perplexity(TEACHER)),
        "parity": item.parity.verdict,
        **_estimate("top1_agreement", item.parity.top1_agreement),
    }
    if cost := item.latency:
        found |= {
            "tokens_per_s": cost.tokens_per_s,
            "first_token_ms": cost.first_token_ms_p50,
            "load_ms": cost.load_ms,
            "peak_rss_mb": cost.peak_rss_mb,
            "cpu": cost.cpu,
        }
    for task, score in sorted(item.scores.items()):
        if score.reason:
            found[f"{task}.reason"] = score.reason
        for measure, estimate in score.measures.items():
            found |= _estimate(f"{task}.{measure}", estimate)
    return found


def _trained(run: Run) -> dict[str, Any]:
    return {
        "start": run.start,
        "signals": ",".join(run.signals),
        "seed": run.seed,
        "steps": run.steps,
        "tokens": run.num_tokens,
    }


def _estimate(name: str, found: Estimate | None) -> dict[str, float]:
    if found is None:
        return {}
    return {
        name: found.value,
        f"{name}.low": found.low,
        f"{name}.high": found.high,
        f"{name}.n": found.n,
    }
