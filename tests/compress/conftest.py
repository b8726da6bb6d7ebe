"""Tables of rows, as the stages' tests have them."""

from tests.stages.conftest import dataset, tokens

__all__ = ["dataset", "tokens"]
