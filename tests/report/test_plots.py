"""Plots are well-formed, self-contained, deterministic, and their names do not overlap."""

import csv
import itertools
import re
from dataclasses import replace
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from potstill.report import figure, labels, plots, shown

from tests.report.fake_tree import answer, change, not_run

PLOTS = ["quality-size", "quality-speed", "quality-first-token", "loss", "levels", "rejections"]


@pytest.fixture(scope="module")
def drawn(unchanged):
    return {plot.name: plot for plot in plots.all_plots(unchanged)}


def test_all_are_drawn_and_are_xml_that_refers_to_itself_only(drawn):
    assert list(drawn) == PLOTS
    for plot in drawn.values():
        root = ElementTree.fromstring(plot.svg)
        assert root.tag.endswith("svg")
        assert root.get("width") is None
        ids = set(re.findall(r'\bid="([^"]+)"', plot.svg))
        used = set(re.findall(r'(?:href="|url\()#([^")]+)', plot.svg))
        assert used <= ids
        assert not re.search(r'(href="|url\()(?!#)', plot.svg)
        assert "<script" not in plot.svg


def test_a_student_that_was_taught_on_its_own_answers_has_their_plot(look, tmp_path):
    answer(tmp_path, "labels_only")
    view = look()
    (plot,) = plots.own_answers(view)
    assert "labels_only passes" in plot.title
    assert "staleness is at most" in plot.note
    assert ">labels_only (divergence)<" in plot.svg
    assert plot in plots.all_plots(view)
    shown.write(view, tmp_path / "shown")
    rows = list(csv.DictReader((tmp_path / "shown/own_answers.csv").open()))
    assert {row["student"] for row in rows} == {"labels_only"}
    assert [float(row["passed"]) for row in rows[:3]] == [0.0, 12.5, 25.0]


def test_no_two_plots_share_an_id(drawn):
    ids = [set(re.findall(r'\bid="([^"]+)"', plot.svg)) for plot in drawn.values()]
    assert all(not a & b for a, b in itertools.combinations(ids, 2))


def test_the_page_decides_the_colours(drawn):
    for plot in drawn.values():
        assert "var(--ink)" in plot.svg
        assert not [name for name in figure.VARIABLES if name in plot.svg]
    assert "var(--student)" in drawn["quality-size"].svg


def test_equal_numbers_give_equal_bytes_and_another_number_another_plot(look, drawn, tmp_path):
    assert plots.against_size(look()) == drawn["quality-size"]
    change(tmp_path / "metrics/score/kd-q4_0.json", **{"chores.pass_at_1.high": 0.9})
    assert plots.against_size(look()) != drawn["quality-size"]


def test_students_that_were_cut_to_fit_are_joined_by_a_line(look, drawn, tmp_path):
    assert "line joins" not in drawn["quality-size"].note
    change(tmp_path / "metrics/init_student/pruned.json", budget_bytes=1.8e8)
    plot = plots.against_size(look())
    assert "line joins" in plot.note
    assert plot.svg.count("<path") > drawn["quality-size"].svg.count("<path")


def test_every_export_is_named_once(drawn, look):
    for name in look().results.variants:
        assert drawn["quality-size"].svg.count(f">{name}<") == 1
    assert ">untrained-q8_0<" not in drawn["quality-speed"].svg


def test_of_several_training_seeds_the_first_is_drawn_as_exports_and_all_as_curves(seeded):
    drawn = {plot.name: plot.svg for plot in plots.all_plots(seeded)}
    assert "kd-q8_0<" in drawn["quality-size"]
    assert "kd-s1-q8_0" not in "".join(drawn.values())
    assert drawn["loss"].count(">kd (validation)<") == 1


def test_what_was_not_measured_is_said_and_not_drawn(look, tmp_path):
    for name in look().results.variants:
        change(tmp_path / f"metrics/export/{name}.json", latency={"n": 0})
    view = look()
    for plot in (plots.against_speed(view), plots.against_first_token(view)):
        assert plot.svg is None
        assert "not measured" in plot.title
    assert plots.against_size(view).svg


def test_levels_without_scores_and_no_rejections_are_said(look, tmp_path):
    change(tmp_path / "metrics/score/kd-q8_0.json", **not_run("chores", 200))
    view = look()
    assert plots.levels(view).svg is None
    nothing = replace(view.results.curated, rejected={"empty": 0})
    view.results = replace(view.results, curated=nothing)
    assert plots.rejections(view).svg is None


def test_many_reasons_are_summed_and_long_ones_shortened(look):
    view = look()
    many = {f"reason_{number}": 100 - number for number in range(30)} | {"long_" * 30: 500}
    view.results = replace(view.results, curated=replace(view.results.curated, rejected=many))
    svg = plots.rejections(view).svg
    assert ">all others<" in svg
    assert "reason 29" not in svg
    assert "[...]" in svg
    assert max(len(words) for words in re.findall(r"<text[^>]*>([^<]+)<", svg)) < 40


def test_dollars_and_markup_in_a_name_are_drawn_as_they_are(look):
    view = look()
    item = view.results.variants.pop("kd-q4_0")
    view.results.variants["$x_2$ <b>"] = replace(item, name="$x_2$ <b>")
    svg = plots.against_size(view).svg
    assert "$x_2$ &lt;b&gt;" in svg
    ElementTree.fromstring(svg)


def test_names_cover_neither_each_other_nor_points_nor_bars():
    with figure.drawing("labels") as (figure_, axes):
        axes.set_xlim(0, 10)
        axes.set_ylim(0, 10)
        points = [labels.Label(5 + 0.1 * n, 5 + 0.05 * n, f"variant-{n}", "k") for n in range(6)]
        labels.fix_layout(figure_)
        labels.place(axes, points, [])
        boxes = [text.get_window_extent().extents for text in axes.texts]
        frame = axes.get_window_extent().extents
    assert [text.get_text() for text in axes.texts] == [point.name for point in points]
    for a, b in itertools.combinations(boxes, 2):
        assert labels._overlap(a, b) == 0
    assert all(labels._overlap(box, frame) > 0 for box in boxes)


@given(st.lists(st.floats(0, 600), min_size=1, max_size=9).map(sorted))
def test_points_of_one_size_stand_apart_around_it(pixels):
    moved = plots._apart(pixels)
    assert all(b - a > plots.APART_PX - 1e-6 for a, b in itertools.pairwise(moved))
    assert sum(moved) == pytest.approx(sum(pixels))  # a crowd keeps its middle
    clear = all(b - a >= plots.APART_PX for a, b in itertools.pairwise(pixels))
    assert not clear or moved == pytest.approx(pixels)
