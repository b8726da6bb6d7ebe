"""The one way from chat messages to token ids: sampling, training, runtimes and servers use it.

In the projects this tool learnt from, a chat template that differed between training and serving
cost up to 60 points; here nothing else may render a prompt, and a test compares the token ids.
"""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from potstill.errors import InputError

Message = dict[str, str]


class ChatTokenizer:
    """A tokenizer.json with its chat template.

    Attributes:
        template: the Jinja text of the chat template.
        stop_ids: ids that end an answer.
    """

    def __init__(self, folder: Path) -> None:
        import tokenizers

        from potstill import files

        path = folder / "tokenizer.json"
        if not path.exists():
            raise InputError(f"{folder} has no tokenizer.json: it is not a checkpoint or artefact")
        self.tokenizer = tokenizers.Tokenizer.from_file(str(path))
        self.config = files.read_json(folder / "tokenizer_config.json")
        template_file = folder / "chat_template.jinja"
        self.template: str = (
            template_file.read_text(encoding="utf-8")
            if template_file.exists()
            else self.config.get("chat_template") or ""
        )
        if not self.template:
            raise InputError(
                f"{folder} has no chat template: use an instruct model, or put one into "
                "chat_template.jinja"
            )
        self.stop_ids = frozenset({self._id(self.config["eos_token"])})

    def _id(self, token: str | dict[str, Any]) -> int:
        text = token["content"] if isinstance(token, dict) else token
        index = self.tokenizer.token_to_id(text)
        if index is None:
            raise InputError(f"the tokenizer has no token {text!r}, named in its configuration")
        return int(index)

    @property
    def vocab_size(self) -> int:
        """Number of ids, special tokens included."""
        return self.tokenizer.get_vocab_size(with_added_tokens=True)

    def render(self, messages: Sequence[Message], *, add_generation_prompt: bool = True) -> str:
        """Return the text that the model reads for these messages."""
        return _compiled(self.template).render(
            messages=messages,
            add_generation_prompt=add_generation_prompt,
            bos_token=self._text("bos_token"),
            eos_token=self._text("eos_token"),
        )

    def _text(self, role: str) -> str:
        token = self.config.get(role) or ""
        return token["content"] if isinstance(token, dict) else token

    def encode(self, text: str) -> list[int]:
        """Return the ids of a rendered text; special tokens in it are parsed, none are added."""
        return self.tokenizer.encode(text, add_special_tokens=False).ids

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of ids, without special tokens."""
        return self.tokenizer.decode(list(ids), skip_special_tokens=True)

    def example(self, messages: Sequence[Message]) -> tuple[list[int], int]:
        """Return (ids, start) of a training example: the loss is taken on ids[start:].

        The last message is the answer; the answer's end token is part of it. The prompt's ids are
        exactly those that a runtime will read, because both come from `render`.
        """
        prompt = self.encode(self.render(messages[:-1]))
        whole = self.render(messages, add_generation_prompt=False)
        ids = self.encode(whole)
        assert ids[: len(prompt)] == prompt, "the template renders a prompt differently in training"
        ends = [index for index, token in enumerate(ids) if token in self.stop_ids]
        return ids[: ends[-1] + 1], len(prompt)


@lru_cache(maxsize=8)
def _compiled(template: str) -> Any:  # noqa: ANN401 - jinja2.Template is untyped here
    """Compile a template as transformers does: a sandbox, trimmed blocks, `tojson`."""
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    environment.globals["raise_exception"] = _refuse
    return environment.from_string(template)


def _refuse(message: str) -> None:
    raise InputError(f"the chat template refuses these messages: {message}")
