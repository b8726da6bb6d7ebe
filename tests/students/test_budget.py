"""The frontier holds what brute force over all shapes would take, and nothing that does not fit."""

import itertools
import random

import pytest
from potstill.errors import InputError
from potstill.models import checkpoint
from potstill.students import budget, sizes
from potstill.students.budget import Budget

WHOLE = (8, 512)


@pytest.fixture
def config(tiny_llama):
    return checkpoint.read_config(tiny_llama) | {
        "num_hidden_layers": WHOLE[0],
        "intermediate_size": WHOLE[1],
    }


def size_of(config, folder, layers, width, quantisation="q8_0"):
    own = config | {"num_hidden_layers": layers, "intermediate_size": width}
    return sizes.file_bytes(own, quantisation, sizes.vocabulary_bytes(folder, config["vocab_size"]))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("share", [1.0, 0.93, 0.8, 0.55, 0.3])
def test_the_shape_is_that_of_brute_force(share, seed, config, tiny_llama):
    """With losses that grow with every cut, whatever their steps are."""
    draw = random.Random(seed)
    widths = budget.widths(WHOLE[1])
    by_layers, by_width, loss = {}, {}, 1.0
    for layers in range(WHOLE[0], budget.FEWEST_LAYERS - 1, -1):
        by_layers[layers] = loss
        loss += draw.random()
    loss = 1.0
    for width in reversed(widths):
        by_width[width] = loss
        loss += draw.random()
    low, high = size_of(config, tiny_llama, 2, widths[0]), size_of(config, tiny_llama, *WHOLE)
    by_rounding = {name: 1.0 + draw.random() / 4 for name in ("q8_0", "q4_0", "f16")}
    wanted = Budget(bytes=int(low + share * (high - low)), quantisation=list(by_rounding))
    fitting = [
        (by_layers[layers] + by_width[width] - 1.0 + by_rounding[kind], size, layers, width, kind)
        for layers, width, kind in itertools.product(by_layers, widths, by_rounding)
        if (size := size_of(config, tiny_llama, layers, width, kind)) <= wanted.bytes
    ]
    shapes = budget.frontier(config, wanted, tiny_llama)
    found, nll = budget.best(shapes, WHOLE, by_layers, by_width, by_rounding)
    lowest, *shape = min(fitting)
    assert shape == [found.num_bytes, found.num_layers, found.ffn_width, found.quantisation]
    assert nll + by_rounding[found.quantisation] == lowest
    assert all(shape.num_bytes <= wanted.bytes for shape in shapes)


def test_what_fits_whole_is_not_cut(config, tiny_llama):
    wanted = Budget(bytes=size_of(config, tiny_llama, *WHOLE), quantisation="q8_0")
    assert [(s.num_layers, s.ffn_width) for s in budget.frontier(config, wanted, tiny_llama)] == [
        WHOLE
    ]


def test_a_budget_that_nothing_meets_names_the_smallest(config, tiny_llama):
    smallest = size_of(config, tiny_llama, 2, 64)
    wanted = Budget(bytes=smallest - 1, quantisation="q8_0")
    with pytest.raises(InputError, match=rf"has {smallest:,} \(2 layers, 64 channels, q8_0\)"):
        budget.frontier(config, wanted, tiny_llama)
    assert budget.frontier(config, Budget(bytes=smallest, quantisation="q8_0"), tiny_llama)


@pytest.mark.parametrize(
    ("full", "tried"),
    [
        (4864, [512, 1024, 1792, 2304, 2816, 3584, 4096, 4864]),
        (1536, [192, 384, 576, 768, 960, 1152, 1344, 1536]),
        (96, [32, 64, 96]),
        (50, [32, 50]),
    ],
)
def test_widths_are_what_quantisers_like(full, tried):
    assert budget.widths(full) == tried
