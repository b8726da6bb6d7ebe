"""The one way from chat messages to token ids: sampling, training, runtimes and servers use it.

In the projects this tool learnt from, a chat template that differed between training and serving
cost up to 60 points; here nothing else may render a prompt, and a test compares the token ids.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from potstill.errors import InputError
from potstill.models import template

Message = dict[str, Any]
_ROLES = ("bos", "eos", "unk", "sep", "pad", "cls", "mask")


class ChatTokenizer:
    """A tokenizer.json with its chat template.

    Attributes:
        folder: the checkpoint, vocabulary or artefact that it is read from.
        template: the Jinja text of the chat template.
        stop_ids: ids that end an answer; see `end_ids`.
    """

    def __init__(self, folder: Path) -> None:
        from potstill import files

        self.folder = folder
        self.tokenizer = read_tokenizer(folder)
        self.config = files.read_json(folder / "tokenizer_config.json")
        self.template = template_of(folder)
        if not self.template:
            raise InputError(
                f"{folder} has no chat template: use an instruct model, or put one into "
                "chat_template.jinja"
            )
        self._special = special_tokens(self.config)
        self.stop_ids = end_ids(folder, self.tokenizer, self._special.get("eos_token"))

    @property
    def vocab_size(self) -> int:
        """Number of ids, special tokens included."""
        return self.tokenizer.get_vocab_size(with_added_tokens=True)

    def hashes(self) -> dict[str, str]:
        """Return what decides a row's ids and spans, as SHA-256.

        Returns:
            tokenizer_sha256, of tokenizer.json; template_sha256, of the template with the special
            tokens that it is given and the ids that end an answer.
        """
        from potstill import files

        shown = json.dumps([self.template, self._special, sorted(self.stop_ids)], sort_keys=True)
        return {
            "tokenizer_sha256": files.sha256_file(self.folder / "tokenizer.json"),
            "template_sha256": hashlib.sha256(shown.encode()).hexdigest(),
        }

    def token_id(self, role: str) -> int | None:
        """Return the id of a special token by its role ("bos", "eos", ...), None without one."""
        text = self._special.get(f"{role}_token")
        return None if text is None else self.tokenizer.token_to_id(text)

    def render(
        self,
        messages: Sequence[Message],
        *,
        add_generation_prompt: bool = True,
        tools: Sequence[Mapping[str, Any]] | None = None,
        documents: Sequence[Mapping[str, Any]] | None = None,
        **settings: Any,  # noqa: ANN401 - what a template asks for, such as enable_thinking
    ) -> str:
        """Return the text that the model reads, as transformers' `apply_chat_template` has it.

        Where the template knows no system's message, its text stands before the first user's, as
        Gemma's and Mistral's makers advise; see `_folded`.

        Raises:
            InputError: the template refuses these messages, or is none.
        """
        values = {
            "messages": list(messages) if self.takes_system else _folded(messages),
            "tools": list(tools) if tools else None,
            "documents": list(documents) if documents else None,
            "add_generation_prompt": add_generation_prompt,
        }
        return template.render(self.template, values | self._special | settings)

    @cached_property
    def takes_system(self) -> bool:
        """Whether a system's message reaches the model: the template may refuse or drop it."""
        system, user = ({"role": role, "content": f"{role}'s"} for role in ("system", "user"))
        values: dict[str, Any] = {"tools": None, "documents": None, "add_generation_prompt": True}
        try:
            template.render(self.template, {"messages": [user]} | values | self._special)
        except InputError:
            return True  # it refuses more than that, and says so when it is used
        try:
            both = {"messages": [system, user]}
            text = template.render(self.template, both | values | self._special)
        except InputError:
            return False
        return str(system["content"]) in text

    def encode(self, text: str) -> list[int]:
        """Return the ids of a rendered text; special tokens in it are parsed, none are added."""
        return self.tokenizer.encode(text, add_special_tokens=False).ids

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of ids, without special tokens."""
        return self.tokenizer.decode(list(ids), skip_special_tokens=True)


def _folded(messages: Sequence[Message]) -> list[Message]:
    """Return messages whose first, the system's, became the beginning of the user's behind it.

    Others come back as they are, for the template to judge.
    """
    roles = [message["role"] for message in messages[:2]]
    texts = all(isinstance(message.get("content"), str) for message in messages[:2])
    if roles != ["system", "user"] or not texts:
        return list(messages)
    system, user, *rest = messages
    return [{**user, "content": f"{system['content']}\n\n{user['content']}"}, *rest]


def read_tokenizer(folder: Path) -> Any:  # noqa: ANN401 - tokenizers.Tokenizer, imported late
    """Return the tokenizer of a folder.

    Raises:
        InputError: tokenizer.json is missing, is none or has no tokens.
    """
    import tokenizers

    path = folder / "tokenizer.json"
    if not path.exists():
        raise InputError(f"{folder} has no tokenizer.json: it is not a checkpoint or artefact")
    try:
        found = tokenizers.Tokenizer.from_file(str(path))
    except Exception as error:  # tokenizers raises this very class for all that it cannot read
        raise InputError(f"{path} is no tokenizer ({error}): fetch it again") from None
    if found.get_vocab_size() == 0:
        raise InputError(f"{path} has no tokens: fetch it again")
    return found


def token_texts(folder: Path) -> dict[int, str]:
    """Return each id's text as a folder's vocabulary has it: of bytes, as BPE writes them."""
    from potstill import files

    found = files.read_json(folder / "tokenizer.json")
    vocab = found["model"]["vocab"]
    pairs = (
        vocab.items()
        if isinstance(vocab, dict)
        else ((text, n) for n, (text, _) in enumerate(vocab))
    )
    texts = {index: text for text, index in pairs}
    return texts | {entry["id"]: entry["content"] for entry in found["added_tokens"]}


def template_of(folder: Path) -> str:
    """Return the chat template of a folder, empty where it has none."""
    from potstill import files

    path = folder / "chat_template.jinja"
    if path.exists():
        return path.read_text(encoding="utf-8")
    return files.read_json(folder / "tokenizer_config.json").get("chat_template") or ""


def special_tokens(config: Mapping[str, Any]) -> dict[str, str]:
    """Return name -> text of the special tokens that tokenizer_config.json has ("eos_token")."""
    return {
        f"{role}_token": _text(token) for role in _ROLES if (token := config.get(f"{role}_token"))
    }


def end_ids(folder: Path, tokenizer: Any, eos: str | None) -> frozenset[int]:  # noqa: ANN401
    """Return the ids that end an answer, for everything that has to know them.

    They are the tokenizer's end token and those that generation_config.json names, one or a list;
    where there is no such file, config.json. An artefact has a generation_config.json of its own.

    Args:
        folder: a checkpoint, a vocabulary or an artefact.
        tokenizer: its `tokenizers.Tokenizer`.
        eos: the text of the tokenizer's end token, if it has one.

    Raises:
        InputError: an end token that is not in the vocabulary, or none at all.
    """
    from potstill import files

    found: set[int] = set()
    if eos is not None:
        index = tokenizer.token_to_id(eos)
        if index is None:
            raise InputError(f"{folder}: the tokenizer has no token {eos!r}, its end token")
        found.add(int(index))
    paths = [folder / name for name in ("generation_config.json", "config.json")]
    path = next((path for path in paths if path.exists()), None)
    named = files.read_json(path).get("eos_token_id") if path else None
    found |= set(named if isinstance(named, list) else [] if named is None else [named])
    unknown = sorted(index for index in found if tokenizer.id_to_token(index) is None)
    if unknown:
        raise InputError(
            f"{folder}: end ids {unknown} are not in the tokenizer: correct eos_token_id in "
            "generation_config.json"
        )
    if not found:
        raise InputError(f"{folder} names no end token: add eos_token_id to generation_config.json")
    return frozenset(found)


def _text(token: str | Mapping[str, Any]) -> str:
    return token if isinstance(token, str) else str(token["content"])
