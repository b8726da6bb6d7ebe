"""Make the student: the trimmed teacher without its most redundant layers.

Reads   teacher     trimmed checkpoint
        dataset     folder with train.jsonl, the rows that redundancy is measured on
Writes  out         checkpoint with fewer layers
        metrics     kept layers, parameters, likelihood before and after
"""

from pathlib import Path

from potstill import stage
from potstill.models import checkpoint
from potstill.models.chat import ChatTokenizer
from potstill.params import Section


class Params(Section):
    """Settings of `init_student`."""

    num_layers: int  # layers to keep
    candidates: int  # least influential layers whose removal is tried at each step
    calibration_rows: int  # training rows
    max_length: int  # tokens a row
    threads: int
    seed: int


def main(params: Params, *, teacher: Path, dataset: Path, out: Path) -> dict[str, float | str]:
    """Choose the layers and write the student."""
    from potstill.loading import device, load
    from potstill.students import depth
    from potstill.tokens import examples

    device.make_deterministic(params.seed, params.threads)
    place = device.pick_device()
    model = load.trainable(teacher, place)
    rows, _ = examples.load(dataset / "train.jsonl", ChatTokenizer(teacher), params.max_length)
    batches = examples.calibration(rows, params.calibration_rows, params.seed, place)
    kept, before, after = depth.choose_layers(model, batches, params.num_layers, params.candidates)
    state, config = depth.keep_layers(
        checkpoint.read_state(teacher), checkpoint.read_config(teacher), kept
    )
    checkpoint.write(out, state, config, beside=teacher)
    return {
        "num_layers_before": len(model.model.layers),
        "num_layers_after": len(kept),
        "kept_layers": ",".join(map(str, kept)),
        "calibration_nll_before_nats": before,
        "calibration_nll_after_nats": after,
        "num_parameters_before": checkpoint.count_parameters(teacher),
        "num_parameters": checkpoint.count_parameters(out),
    }


if __name__ == "__main__":
    stage.run(main, Params)
