"""The bytes that ids stand for, so that text can be made while an answer comes."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import tokenizers


@dataclass(frozen=True)
class Pieces:
    """How ids become text.

    Attributes:
        of: the bytes of an id; none for a special token.
        drops_space: one space at the beginning of a text is not part of it (SentencePiece).
    """

    of: Callable[[int], bytes]
    drops_space: bool


def of_tokenizer(tokenizer: "tokenizers.Tokenizer") -> Pieces:
    """Return the pieces of a tokenizer.json: byte-level BPE, or SentencePiece with bytes."""
    from tokenizers import decoders

    added = tokenizer.get_added_tokens_decoder()
    byte_level = isinstance(tokenizer.decoder, decoders.ByteLevel)
    byte_of = {character: byte for byte, character in enumerate(_byte_characters())}

    def piece(index: int) -> bytes:
        text = tokenizer.id_to_token(index)
        if text is None:  # a row of the embedding that no token has
            return b""
        if index in added:
            return b"" if added[index].special else text.encode()
        if byte_level:
            return bytes(byte_of[character] for character in text)
        if len(text) == 6 and text.startswith("<0x") and text.endswith(">"):
            return bytes([int(text[3:5], 16)])
        return text.replace("\u2581", " ").encode()

    return Pieces(of=piece, drops_space=not byte_level)


def _byte_characters() -> list[str]:
    """Return the character that stands for each byte in a byte-level vocabulary.

    Printable bytes of Latin-1 stand for themselves, the others, in order, for U+0100 and on.

    Source: GPT-2, `encoder.py`, `bytes_to_unicode`.
    """
    own = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = iter(range(0x100, 0x200))
    return [chr(byte if byte in own else next(others)) for byte in range(0x100)]
