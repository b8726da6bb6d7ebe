"""The rows that the stages are tested with."""

from tests.stages.conftest import dataset, tokens  # noqa: F401 - fixtures
