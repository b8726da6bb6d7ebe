"""A run that stops, for whatever reason, goes on to the bytes of one that did not."""

import copy
import json
import re
import subprocess
import sys
import textwrap

import pytest
import torch
from potstill import files
from potstill.distill import checkpoints
from potstill.errors import InputError

from tests.distill.runs import KilledError, dies, run, schedule, weights_of


def damage(path):
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))


@pytest.mark.parametrize("stop_at", [3, 5])
def test_a_killed_run_goes_on_to_the_same_bytes(model, tmp_path, stop_at):
    other, start = copy.deepcopy(model), copy.deepcopy(model)
    whole_history, whole = run(model, schedule(evaluate_every=1), tmp_path / "whole")
    with pytest.raises(KilledError):
        run(other, schedule(evaluate_every=1), tmp_path / "cut", evaluate=dies(stop_at))
    assert checkpoints.newest(tmp_path / "cut")
    history, weights = run(start, schedule(evaluate_every=1), tmp_path / "cut")
    assert history == whole_history
    assert all(torch.equal(weights[name], whole[name]) for name in whole)


def test_a_damaged_checkpoint_is_not_used(model, tmp_path):
    fresh = copy.deepcopy(model)
    _, whole = run(model, schedule(), tmp_path)
    damage(checkpoints.newest(tmp_path) / "model.safetensors")
    assert checkpoints.newest(tmp_path) is None
    _, again = run(fresh, schedule(), tmp_path)
    assert all(torch.equal(again[name], whole[name]) for name in whole)


def test_a_checkpoint_without_its_marker_is_not_used(model, tmp_path):
    run(model, schedule(), tmp_path)
    folder = checkpoints.newest(tmp_path)
    assert checkpoints.whole(folder)
    (folder / checkpoints.COMPLETE).unlink()
    assert not checkpoints.whole(folder)


def test_only_the_newest_checkpoint_stays(model, tmp_path):
    run(model, schedule(), tmp_path)
    (folder,) = tmp_path.glob("step-*")
    assert json.loads((folder / "history.json").read_text())[-1]["step"] == 4
    assert files.files_below(folder)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_gradient_that_is_no_number_stops_before_a_weight_changes(model, tmp_path, value):
    """The loss stays finite: only the gradient of one weight is spoilt, in the fifth step."""
    seen, kept = [], {}

    def spoil(gradient):
        seen.append(len(seen))
        if len(seen) < 5:
            return gradient
        kept.update(weights_of(model))
        spoilt = gradient.clone()
        spoilt.view(-1)[0] = value
        return spoilt

    hook = model.model.layers[0].mlp.up_proj.weight.register_hook(spoil)
    with pytest.raises(
        InputError, match=r"step 5: the norm .* is (nan|inf).*learning_rate.*float32"
    ):
        run(model, schedule(), tmp_path)
    hook.remove()
    assert all(torch.equal(p, kept[name]) for name, p in weights_of(model).items())
    assert checkpoints.newest(tmp_path).name == "step-00000004"


def test_a_loss_that_is_no_number_stops_the_run(model, tmp_path):
    with torch.no_grad():
        model.model.norm.weight.fill_(float("nan"))
    with pytest.raises(InputError, match=r"step 1: the loss is nan.*learning_rate") as caught:
        run(model, schedule(), tmp_path)
    assert "\n" not in str(caught.value)


FULL = """
    import resource, sys
    from pathlib import Path
    import torch
    from potstill.distill import checkpoints
    from potstill.errors import InputError

    model, room, scratch = torch.nn.Linear(300, 300), int(sys.argv[1]), Path(sys.argv[2])
    optimiser = torch.optim.AdamW(model.parameters())
    model(torch.ones(1, 300)).sum().backward()
    optimiser.step()
    checkpoints.save(model, optimiser, [{"step": 1.0}], scratch)
    if room:
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))
    try:
        checkpoints.save(model, optimiser, [{"step": 1.0}, {"step": 2.0}], scratch)
    except InputError as error:
        print(error)
"""


def save_twice(folder, room):
    code = textwrap.dedent(FULL)
    done = subprocess.run(
        [sys.executable, "-c", code, str(room), str(folder)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


# 300 x 300 weights are 360 kB, their moments twice that
@pytest.mark.parametrize("room", [100_000, 500_000])
def test_what_cannot_be_written_leaves_the_checkpoint_before_it(tmp_path, room):
    """A limit on the size of a file: of the weights, then of the moments."""
    said = save_twice(tmp_path, room)
    assert re.fullmatch(
        r"the checkpoint of step 2 cannot be written \(.*\); that of step 1 is .*\n", said
    )
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000001"]
    assert checkpoints.whole(tmp_path / "step-00000001")


def test_without_a_limit_the_second_takes_its_place(tmp_path):
    assert save_twice(tmp_path, 0) == ""
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000002"]


def test_a_full_disk_leaves_the_checkpoint_before_it(tmp_path):
    """A file system in memory, in namespaces of its own, with room for one and a half."""
    code, out = tmp_path / "full.py", tmp_path / "out"
    code.write_text(textwrap.dedent(FULL))
    mount = f"mkdir {out} && mount -t tmpfs -o size=1600k none {out}"
    look = f"ls -A {out}; cp -r {out}/step-00000001 {tmp_path}/kept"
    script = f"{mount} && {sys.executable} {code} 0 {out} && {look}"
    command = ["unshare", "--map-root-user", "--mount", "sh", "-c", script]
    if subprocess.run([*command[:3], "true"], check=False, capture_output=True).returncode:
        pytest.skip("no user namespaces here: the limit on a file's size stands for it")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "No space left on device" in done.stdout
    assert done.stdout.splitlines()[-1] == "step-00000001"
    assert checkpoints.whole(tmp_path / "kept")
