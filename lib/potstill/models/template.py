"""Chat templates: Jinja texts that turn messages into the text that a model reads.

The environment is that of transformers 5.17 (utils/chat_template_utils.py), for which hub models'
templates are written. It is made here because theirs is private and takes a second to import (this
one 0.04), which every command that only runs an artefact would pay; tests hold the two equal,
string for string.
"""

import json
from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any

from potstill.errors import InputError


def render(template: str, values: Mapping[str, Any]) -> str:
    """Return the text that a template makes of messages, tools and what else it may name.

    Raises:
        InputError: the template is no Jinja text, refuses these values or fails on them.
    """
    from jinja2 import TemplateError, TemplateSyntaxError

    try:
        return str(_compiled(template).render(**values))
    except TemplateSyntaxError as error:
        raise InputError(
            f"the chat template is no Jinja text: line {error.lineno}: {error.message}; "
            "correct chat_template.jinja"
        ) from None
    except (TemplateError, TypeError, ValueError, LookupError, ArithmeticError) as error:
        said = " ".join(str(error).split())
        raise InputError(
            f"the chat template refuses these messages: {said or type(error).__name__}; "
            "change the messages or chat_template.jinja"
        ) from None


@lru_cache(maxsize=8)
def _compiled(template: str) -> Any:  # noqa: ANN401 - jinja2.Template is untyped here
    from jinja2.ext import loopcontrols
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_generation_extension(), loopcontrols]
    )
    environment.filters["tojson"] = _to_json
    environment.globals["raise_exception"] = _refuse
    environment.globals["strftime_now"] = _now
    return environment.from_string(template)


def _generation_extension() -> Any:  # noqa: ANN401 - a class of jinja2, imported late
    """Return the extension that knows `{% generation %}`: here the block only shows its content."""
    from jinja2 import nodes
    from jinja2.ext import Extension

    class Generation(Extension):
        tags = {"generation"}  # noqa: RUF012 - jinja2's way to name an extension's tags

        def parse(self, parser: Any) -> nodes.Node:  # noqa: ANN401
            line = next(parser.stream).lineno
            body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
            call = self.call_method("_content")
            # A call block has a scope of its own: what is set inside does not reach the outside.
            return nodes.CallBlock(call, [], [], body).set_lineno(line)

        def _content(self, caller: Any) -> str:  # noqa: ANN401
            return str(caller())

    return Generation


def _to_json(
    value: Any,  # noqa: ANN401
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """Return JSON that is not escaped for HTML, unlike that of Jinja's own filter."""
    return json.dumps(
        value,
        ensure_ascii=ensure_ascii,
        indent=indent,
        separators=separators,
        sort_keys=sort_keys,
    )


def _now(form: str) -> str:
    return datetime.now().strftime(form)


def _refuse(message: str) -> None:
    from jinja2 import TemplateError

    raise TemplateError(message)
