"""The dataset: formats in their shares, and splits that share nothing."""

import pytest
from potstill import files
from potstill.errors import InputError

from stages.build_dataset import Params, main

SETTINGS = {
    "max_train_rows": 40,
    "max_heldout_rows": 12,
    "shares": {"code": 0.7, "plan": 0.1, "reflect": 0.1, "decompose": 0.1},
    "plan_in_prompt": 0.5,
    "mined_share": 0.25,
    "heldout_modules": 0.3,
    "seed": 0,
}


def row(number, origin, group):
    return {
        "id": f"{origin}{number}",
        "origin": origin,
        "group": group,
        "family": group,
        "language": "python",
        "licence": "x",
        "task": f"Task {origin} {number}.",
        "plan": ["Do it."] if origin == "reference" else [],
        "code": f"x = {number}",
        "reference": f"x = {number}",
    }


def build(folder, heldout_family="held", **changes):
    (folder / "c").mkdir(parents=True)
    (folder / "p").mkdir()
    kept = [row(n, "reference", f"family{n % 9}") for n in range(40)]
    kept += [row(n, "mined", f"module{n % 10}") for n in range(30)]
    files.write_jsonl(folder / "c/accepted.jsonl", kept)
    broken = [{**r, "error": "NameError: y", "fix": "x = 0"} for r in kept[:8]]
    files.write_jsonl(folder / "c/reflect.jsonl", broken)
    held = [row(n, "heldout", f"{heldout_family}{n % 4}") for n in range(16)]
    files.write_jsonl(folder / "p/heldout.jsonl", held)
    params = Params(**(SETTINGS | changes))
    metrics = main(params, curated=folder / "c", prompts=folder / "p", out=folder / "out")
    rows = [list(files.read_jsonl(folder / "out" / f"{s}.jsonl")) for s in ("train", "heldout")]
    return metrics, *rows


def test_no_family_and_no_module_is_in_both_splits(tmp_path):
    metrics, train, held = build(tmp_path)
    assert not {r["group"] for r in train} & {r["group"] for r in held}
    assert any(r["group"].startswith("module") for r in held)
    assert metrics["train_rows"] == len(train)
    assert metrics["train_code"] == 28
    assert metrics["train_reflect"] == 4
    assert {r["format"] for r in train} == {"code", "plan", "reflect", "decompose"}


def test_the_same_inputs_give_the_same_bytes(tmp_path):
    build(tmp_path / "a")
    build(tmp_path / "b")
    assert files.sha256_tree(tmp_path / "a/out") == files.sha256_tree(tmp_path / "b/out")


def test_a_family_that_leaks_stops_the_stage(tmp_path):
    with pytest.raises(InputError, match="in both splits"):
        build(tmp_path, heldout_family="family")


def test_a_share_of_an_unknown_format_is_refused(tmp_path):
    with pytest.raises(InputError, match="allowed: plan, code"):
        build(tmp_path, shares={"cod": 1.0})
