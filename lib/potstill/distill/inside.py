"""The share of a model's answers that a policy accepts, looked at while the model is trained.

It answers validation prompts greedily, so nothing is drawn, and a training that is watched makes
the bytes of one that is not. An answer that is cut off counts as the code that it is by then, which
is mostly none.
"""

import math
from collections.abc import Callable, Sequence

from potstill import subset
from potstill.distill.recipe import Inside
from potstill.loading import generation
from potstill.loading.load import CausalLM
from potstill.models import formats
from potstill.models.chat import ChatTokenizer
from potstill.subset.policy import LANGUAGES
from potstill.tokens import examples
from potstill.tokens.examples import Example

ROOM = 1.5  # tokens of an answer at most, of those of the longest reference
CODE = ("code", "reflect")  # formats whose answer is code alone


def watch(
    how: Inside | None, rows: Sequence[Example], chat: ChatTokenizer, batch_rows: int
) -> Callable[[CausalLM], dict[str, float]]:
    """Return a function that measures a model's inside_share of inside_n answers.

    Args:
        how: how many of the rows, in their order; None measures nothing.
        rows: of validation.
        chat: the model's tokenizer.
        batch_rows: prompts that are answered at a time.

    Raises:
        InputError: no row asks for code.
    """
    if how is None:
        return lambda _: {}
    wanted = {"format": CODE, "language": list(LANGUAGES)}
    asked = list(examples.having(rows, wanted)[: how.rows])
    longest = max(end - begin for row in asked for begin, end in row.places()[:1])

    def measure(model: CausalLM) -> dict[str, float]:
        model.eval()
        accepted = 0
        for batch in examples.by_length(asked, batch_rows):
            prompts = [row.ids[: row.spans[0][0]] for row in batch]
            found = generation.answers(
                model, chat, prompts, math.ceil(ROOM * longest), do_sample=False
            )
            for row, answer in zip(batch, found, strict=True):
                code = formats.extract_code(answer["text"])
                accepted += subset.check(row.language, code, how.policy).supported
        return {"inside_share": round(accepted / len(asked), 6), "inside_n": len(asked)}

    return measure
