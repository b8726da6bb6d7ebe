"""Settings are checked, frozen and never converted in silence; a mistake is one line."""

import pytest
from potstill import params
from potstill.errors import InputError
from pydantic import Field


class Inner(params.Section):
    depth: int


class Toy(params.Section):
    seed: int
    steps: int = Field(gt=0)
    rate: float
    name: str | None = None
    inner: Inner | None = None
    many: dict[str, Inner] = Field(default_factory=dict)


TREE = {"seed": 7, "toy": {"steps": 3, "rate": 0.5}, "made": {"kd": {"steps": 1, "rate": 1}}}


def test_a_section_becomes_a_frozen_object_with_the_seed_of_the_run():
    toy = params.build(Toy, TREE, "toy")
    assert (toy.seed, toy.steps, toy.rate, toy.name) == (7, 3, 0.5, None)
    with pytest.raises(ValueError, match="frozen"):
        toy.steps = 4


def test_a_variants_own_seed_wins_over_what_it_shares_and_over_the_runs():
    tree = {"seed": 7, "shared": {"rate": 1, "steps": 2}, "made": {"a": {"seed": 1}, "b": {}}}
    assert params.build(Toy, tree, "shared", "made.a").seed == 1
    assert params.build(Toy, tree, "shared", "made.b").seed == 7


def test_a_variant_is_found_by_its_dotted_name():
    assert params.build(Toy, TREE, "made.kd").steps == 1


@pytest.mark.parametrize(
    ("section", "named"),
    [
        ({"steps": 3, "rate": 0.5, "setps": 1}, "unknown key toy.setps; allowed: .*mean steps"),
        (
            {"steps": 3, "rate": 0.5, "inner": {"depth": 1, "dept": 1}},
            "unknown key toy.inner.dept; allowed: depth; did you mean depth",
        ),
        (
            {"steps": 3, "rate": 0.5, "many": {"a": {"depth": 1, "x": 1}}},
            "unknown key toy.many.a.x; allowed: depth$",
        ),
        ({"steps": 3}, "toy.rate is missing"),
        ({"steps": 3, "ratee": 0.5}, "unknown key toy.ratee; .*did you mean rate"),
        ({"steps": "3", "rate": 0.5}, r"toy.steps: got '3' \(str\)"),
        ({"steps": True, "rate": 0.5}, r"toy.steps: got True \(bool\)"),
        ({"steps": 3.0, "rate": 0.5}, r"toy.steps: got 3.0 \(float\)"),
        ({"steps": 0, "rate": 0.5}, r"toy.steps: got 0 \(int\); .*greater than 0"),
        ({"steps": 3, "rate": 0.5, "name": ["a"]}, r"toy.name: got \['a'\] \(list\)"),
        ([1], "toy is a list, not a section"),
        (None, "toy is a NoneType, not a section"),
    ],
)
def test_a_bad_section_is_one_line_that_says_what_was_got(section, named):
    with pytest.raises(InputError, match=named) as caught:
        params.build(Toy, {"seed": 1, "toy": section}, "toy")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("where", ["tooy", "toy.kd", "made.kdd"])
def test_an_unknown_section_is_named(where):
    with pytest.raises(InputError, match=f"no section {where}"):
        params.build(Toy, TREE, where)


def test_a_missing_seed_is_refused():
    with pytest.raises(InputError, match="seed"):
        params.build(Toy, {"toy": TREE["toy"]}, "toy")


@pytest.mark.parametrize(
    ("text", "named"),
    [(None, "is missing"), ("a: [1", "is not YAML"), ("- 1", "a list"), ("", "a NoneType")],
)
def test_a_file_that_is_no_settings_file_is_one_line(tmp_path, text, named):
    path = tmp_path / "params.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(InputError, match=named) as caught:
        params.read_params(path)
    assert "\n" not in str(caught.value)


def test_a_params_file_that_is_not_utf8_is_one_line(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_bytes(b"a: \xff\xfe")
    with pytest.raises(InputError, match="not YAML"):
        params.read_params(path)


def test_a_float_in_short_scientific_notation_is_a_float(tmp_path):
    """YAML 1.1 takes 1e-4 for text; DVC, which reads YAML 1.2, takes it for a number."""
    path = tmp_path / "params.yaml"
    path.write_text("rate: 1e-4\nbig: 2E6\nname: 1e\nversion: '1e-4'\n")
    tree = params.read_params(path)
    assert tree == {"rate": 1e-4, "big": 2e6, "name": "1e", "version": "1e-4"}


def test_closest_names_all_that_is_allowed():
    assert params.closest("kld", ["rkl", "kl", "jsd"]) == "allowed: jsd, kl, rkl; did you mean kl?"
    assert params.closest("zzz", ["kl"]) == "allowed: kl"
