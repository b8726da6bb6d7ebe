"""Tasks that share problems: what an artefact answers in one is not asked again in another."""

from potstill.models.chat import ChatTokenizer
from potstill.tasks import TASKS


def test_no_prompt_is_asked_twice_and_the_rows_are_those_of_each_task_alone(bench):
    asked = {"katas": 48, "formats": 60}
    _, both = bench.score(asked, max_tokens={"katas": 12, "formats": 12})
    apart = [
        row
        for name, count in asked.items()
        for row in bench.score({name: count}, max_tokens={name: 12})[1]
    ]
    assert both == apart
    bench.score(asked, lambda _: "def f():\n    return 1")
    prompts = bench.runtime.prompts
    assert len(prompts) == len(set(prompts)) < len(both)


def test_an_answer_that_another_cap_cuts_or_cut_is_asked_again(bench):
    asked = {"katas": 48, "formats": 60}
    bench.score(asked, lambda _: ("def f():", "length"))
    assert 1 < max(map(bench.runtime.prompts.count, bench.runtime.prompts)) <= 2
    for caps in ({"katas": 12, "formats": 4}, {"katas": 4, "formats": 12}):
        _, both = bench.score(asked, max_tokens=caps)
        formats = bench.score({"formats": 60}, max_tokens=caps)[1]
        assert [row for row in both if row["task"] == "formats"] == formats


def test_samples_of_a_prompt_are_told_apart(bench):
    asked = {"katas": 4, "formats": 60}
    bench.score(asked, lambda _: "def f():\n    return 1", samples=2, temperature=1.0)
    counts = [bench.runtime.prompts.count(prompt) for prompt in set(bench.runtime.prompts)]
    assert set(counts) == {2}


def test_a_task_with_a_prompt_beyond_the_context_is_left_out_before_it_is_asked(bench):
    chat, problems = ChatTokenizer(bench.artefact), TASKS["katas"].problems(bench.where())
    lengths = [len(chat.encode(chat.render(problem.messages))) for problem in problems]
    say = lambda _: "def f():\n    return 1"  # noqa: E731
    for context, verdict in ((max(lengths), "not-run"), (max(lengths) + 1, "run")):
        metrics, rows = bench.score({"katas": 48}, say, context=context)
        assert metrics["katas.verdict"] == verdict
        assert bool(rows) == bool(bench.runtime.prompts) == (verdict == "run")
    metrics, _ = bench.score({"katas": 48, "agent": 2}, say, context=max(lengths))
    assert "raise scoring.context" in metrics["katas.reason"]
    assert metrics["agent.n"] == 2
