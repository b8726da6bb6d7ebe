"""Which ids may come next, so that an answer's text fulfils a schema or a grammar.

The work is llguidance's; it is imported when the first constrained request comes.

Dimensions: V vocabulary.

Source: https://github.com/guidance-ai/llguidance, `docs/syntax.md` for what a grammar may say.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from potstill.errors import InputError, missing
from potstill.runtime.request import Constraint

if TYPE_CHECKING:
    from llguidance import LLMatcher, LLTokenizer


class Mask:
    """Where one answer stands in its grammar."""

    def __init__(self, matcher: "LLMatcher", vocab_size: int) -> None:
        self._matcher, self._vocab_size = matcher, vocab_size
        self._bits = np.zeros(-(-vocab_size // 32), np.int32)

    def apply(self, logits_V: np.ndarray) -> np.ndarray:
        """Return the logits, -inf where an id may not come; a whole text allows the end tokens."""
        self._matcher.unsafe_compute_mask_ptr(self._bits.ctypes.data, self._bits.nbytes)
        allowed = np.unpackbits(self._bits.view(np.uint8), bitorder="little")[: self._vocab_size]
        result: np.ndarray = np.where(allowed, logits_V, -np.inf)
        return result

    def accept(self, token: int) -> None:
        """Go on by an id that was allowed."""
        accepted = self._matcher.consume_token(token)
        assert accepted, f"llguidance refuses the id {token} that it allowed"


class Constraints:
    """Makes the masks of one artefact; its tokenizer and every grammar are read once.

    Args:
        tokenizer_file: the artefact's tokenizer.json.
        vocab_size: of the logits; may be more than the tokenizer has.
        stop_ids: ids that may come where the text is whole.
    """

    def __init__(self, tokenizer_file: Path, vocab_size: int, stop_ids: frozenset[int]) -> None:
        self._file, self._vocab_size, self._stop_ids = tokenizer_file, vocab_size, stop_ids
        self._tokenizer: LLTokenizer | None = None
        self._matchers: dict[Constraint, LLMatcher] = {}

    def mask(self, constraint: Constraint | None) -> Mask | None:
        """Return a mask at the beginning of an answer, None without a constraint.

        Raises:
            InputError: no grammar, or one that llguidance does not know.
            MissingPackageError: llguidance is not installed.
        """
        if constraint is None:
            return None
        if constraint not in self._matchers:
            self._matchers[constraint] = self._compile(constraint)
        return Mask(self._matchers[constraint].deep_copy(), self._vocab_size)

    def _compile(self, constraint: Constraint) -> "LLMatcher":
        try:
            from llguidance import LLMatcher, LLTokenizer
        except ModuleNotFoundError:
            raise missing("a constraint", "llguidance") from None
        if self._tokenizer is None:
            if not self._file.is_file():
                raise InputError(f"{self._file} is missing: a constraint needs the tokenizer")
            self._tokenizer = LLTokenizer(
                self._file.read_text(encoding="utf-8"),
                n_vocab=self._vocab_size,
                eos_token=sorted(self._stop_ids),
            )
        try:
            matcher = LLMatcher(self._tokenizer, _grammar(constraint), log_level=0)
        except ValueError as error:
            raise _refused(constraint, str(error)) from None
        if matcher.is_error():
            raise _refused(constraint, matcher.get_error())
        return matcher


def _grammar(constraint: Constraint) -> str:
    """Return a constraint in llguidance's own form.

    JSON is written without optional blank space: a small model would fill its answer with it.
    """
    from llguidance import LLMatcher

    if constraint.kind == "json_schema":
        return LLMatcher.grammar_from_json_schema(
            constraint.text, defaults={"whitespace_flexible": False}
        )
    if constraint.kind == "lark":
        return LLMatcher.grammar_from_lark(constraint.text)
    return LLMatcher.grammar_from_regex(constraint.text)


def _refused(constraint: Constraint, why: str) -> InputError:
    return InputError(f"the {constraint.kind} cannot be used: {' '.join(why.split())[:200]}")
