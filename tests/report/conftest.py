"""The made-up metrics tree, and the view of it that every part of the report takes."""

import functools

import pytest
from potstill.report import load
from potstill.report.comparison import View
from potstill.report.settings import Comparison

from tests.report import fake_tree


@pytest.fixture
def flags(tmp_path):
    return fake_tree.write_tree(tmp_path)


@pytest.fixture
def look(flags):
    """Return a function that reads the tree as it is now; keywords change the settings."""
    return functools.partial(read, flags)


@pytest.fixture(scope="session")
def unchanged(tmp_path_factory):
    """The view of the tree as it was written, for what is slow to make: do not change it."""
    return read(fake_tree.write_tree(tmp_path_factory.mktemp("tree")))


@pytest.fixture(scope="session")
def seeded(tmp_path_factory):
    """The view of a tree whose students were trained from three seeds: do not change it."""
    flags = fake_tree.write_tree(tmp_path_factory.mktemp("seeded"), seeds=3)
    return read(flags, **fake_tree.SEEDED)


def read(flags, **changes):
    settings = Comparison.model_validate(fake_tree.SETTINGS | changes)
    named = flags | {"metrics": flags["metrics_in"]}
    del named["metrics_in"]
    return View(load.load(load.Sources(**named), settings), settings)
