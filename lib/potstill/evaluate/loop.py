"""EdgeCoder's agent on a problem: it plans, writes code, runs it, and mends what the run says.

The first iteration plans, writes code and runs it; each later one is given the code and what the
executor said of it. A program outside the subset or past a time limit is handed to a larger model
at once, any other after the last iteration. Code whose run says nothing is delivered: the agent
knows no expected values, so what it delivers may be wrong. Tests decide that afterwards.

Source: github.com/codyrs82/Edgecoder, src/agent/{base,interactive}.ts. What is said to the model is
the last line of the failure, as in the training rows, some of which also show a failed test.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from potstill import sandbox, subset
from potstill.evaluate import rates, replies, scoring
from potstill.evaluate.code import reason_of
from potstill.evaluate.grader import WORKERS, ending, header
from potstill.evaluate.methods import Measured, Quotient, Row
from potstill.evaluate.scoring import Desk
from potstill.models import formats
from potstill.models.chat import Message
from potstill.tasks import Problem
from potstill.tasks.failures import last_words

MEASURE = "solved"
FLAGS = ("passed", "escalated", "hit_limit", "repeats")
PARTS = ("level", "language")
UNITS = {"iterations": "iterations", "iterations_solved": "iterations"}
QUOTIENTS: dict[str, Quotient] = {}
MEASURES = {"solved": ("passed",), "escalated": ("escalated",), "repeats": ("repeats",)}
MOST_ITERATIONS = 3
AT_ONCE = 32  # episodes whose turns share batches: a kill loses no more


@dataclass
class _Episode:
    problem: Problem
    sample: int
    plan: str = ""
    code: str = ""
    error: str = ""  # what the last run said
    iterations: int = 0
    escalation: str = ""  # why it was handed over
    passed: bool = False
    reason: str = ""
    hit_limit: bool = False
    repeats: bool = False

    def row(self) -> Row:
        return {
            **header(self.problem, self.sample),
            "passed": self.passed,
            "escalated": self.escalation != "",
            "escalation": self.escalation,
            "iterations": self.iterations,
            "hit_limit": self.hit_limit,
            "repeats": self.repeats,
            "reason": self.reason,
            "plan": self.plan,
            "code": self.code,
        }


def rows(desk: Desk, problems: Sequence[Problem]) -> list[Row]:
    """Return a row for each episode.

    Keys: those of every row; passed, if the code that was delivered passes the tests; escalated,
    and why, as escalation; iterations; hit_limit and repeats, if they hold for one of its answers;
    reason, why it did not pass; plan; code, the last.
    """
    wanted = [(problem, sample) for problem in problems for sample in range(desk.how.samples)]
    parts = [wanted[start : start + AT_ONCE] for start in range(0, len(wanted), AT_ONCE)]
    # a part is done anew as a whole: which prompts share a batch can decide near ties
    open_ = [part for part in parts if not all(desk.grader.has(*item) for item in part)]
    with scoring.working(wanted, sum(map(len, open_))) as finished:
        for part in open_:
            for episode in _episodes(desk, part):
                desk.grader.keep(episode.row())
                finished()
    return desk.grader.rows(wanted)


def measures(rows: Sequence[Row]) -> Measured:
    """Return solved, escalated, and the mean iterations of all episodes and of those solved."""
    ends = (1.0, float(MOST_ITERATIONS))
    solved = [row for row in rows if row["passed"]]
    values = {measure: rates.share(rows, *keys) for measure, keys in MEASURES.items()}
    values["iterations"] = rates.mean(rows, "iterations", *ends)
    if solved:
        values["iterations_solved"] = rates.mean(solved, "iterations", *ends)
    why = Counter(row["escalation"] for row in rows if row["escalated"])
    return Measured(values, {f"escalated_{reason}": why[reason] for reason in sorted(why)})


def _episodes(desk: Desk, part: Sequence[tuple[Problem, int]]) -> list[_Episode]:
    episodes = [_Episode(problem, sample) for problem, sample in part]
    planned = _say(desk, episodes, lambda episode: formats.plan_prompt(episode.problem.request))
    for episode, text in planned:
        episode.plan = text
    open_ = [episode for episode, _ in planned]
    prompt: Callable[[_Episode], list[Message]] = _code_prompt
    for iteration in range(1, MOST_ITERATIONS + 1):
        said = _say(desk, open_, prompt)
        for episode, text in said:
            episode.iterations, episode.code = iteration, formats.extract_code(text)
        open_ = _run(desk, [episode for episode, _ in said])
        prompt = _reflect_prompt
    for episode in open_:
        episode.escalation = "max_iterations_exhausted"
    return episodes


def _say(
    desk: Desk, episodes: Sequence[_Episode], prompt: Callable[[_Episode], list[Message]]
) -> list[tuple[_Episode, str]]:
    """Return what the model says in the episodes whose prompt fits the context."""
    requests = [desk.request(prompt(episode), episode.sample) for episode in episodes]
    asked = []
    for episode, request in zip(episodes, requests, strict=True):
        if len(request.prompt) > desk.how.context:
            episode.escalation, episode.hit_limit = "model_limit", True
        else:
            asked.append((episode, request))
    answers = desk.runtime.generate([request for _, request in asked]) if asked else []
    found = []
    for (episode, _), answer in zip(asked, answers, strict=True):
        for flag, value in ending(answer).items():
            setattr(episode, flag, getattr(episode, flag) or value)
        found.append((episode, answer.text))
    return found


def _code_prompt(episode: _Episode) -> list[Message]:
    plan = replies.steps(episode.plan, patient=True) or [
        line.strip() for line in episode.plan.splitlines() if line.strip()
    ]
    return formats.code_prompt(episode.problem.request, episode.problem.language, plan)


def _reflect_prompt(episode: _Episode) -> list[Message]:
    problem = episode.problem
    return formats.reflect_prompt(problem.request, episode.code, episode.error, problem.language)


def _run(desk: Desk, episodes: Sequence[_Episode]) -> list[_Episode]:
    """Run the code of episodes; return those whose run said what is to be mended."""
    runnable = []
    for episode in episodes:
        verdict = subset.check(episode.problem.language, episode.code, desk.how.policy)
        if verdict.supported:
            runnable.append(episode)
        else:
            episode.escalation = "outside_subset"
            episode.reason = verdict.reasons[0].message
    limits = sandbox.Limits(cpu_s=desk.how.cpu_s)
    cases = [episode.problem.case(episode.code, limits) for episode in runnable]
    open_ = []
    for episode, run in zip(
        runnable, sandbox.run_many(cases, WORKERS, mode=desk.how.sandbox), strict=True
    ):
        episode.passed, episode.reason = run.ok, reason_of(run)
        episode.error = last_words(run.stderr)
        if run.queue_for_cloud:
            episode.escalation = run.queue_reason or ""
        elif not run.ok and episode.error:
            open_.append(episode)
    return open_
