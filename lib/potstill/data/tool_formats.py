r"""How tool calls are written: four formats, and the way between them.

`native` rows hold calls as data (`tool_calls`, messages of the role `tool`, `tools`), and the chat
template writes them. In the other three the row's texts hold them, for templates that know no
tools: the tools stand in the system message, the calls in the assistant's words, and a result in a
user's turn between `<tool_response>` tags.

    fenced_json   a Markdown block of JSON {"name", "arguments"} a call
    hermes        such JSON between <tool_call> tags, as Qwen2.5 writes it
    qwen3_coder   XML of Qwen3-Coder: <function=NAME>, <parameter=KEY>

From native to a format and back nothing is lost; what a format cannot say is refused.

Sources: the chat templates of Qwen2.5 and Qwen3-Coder; the names are those of vLLM's tool parsers.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from potstill.errors import InputError

Row = dict[str, Any]
Call = dict[str, Any]  # {"function": {"name", "arguments"}}
Tools = Sequence[Mapping[str, Any]]
ToolFormat = Literal["native", "fenced_json", "hermes", "qwen3_coder"]
_TOOLS = re.compile(r"(?:\n\n|\A)# Tools\n\n<tools>\n(.*?)\n</tools>\n\n[^\n]*\Z", re.S)
_RESULT = re.compile(r"<tool_response>\n(.*?)\n</tool_response>", re.S)
_FENCED = re.compile(r'```json\n(\{"(?:name|tool)": .*?\})\n```', re.S)
_HERMES = re.compile(r"<tool_call>\n(\{.*?\})\n</tool_call>", re.S)
_XML = re.compile(r"<tool_call>\n<function=([^>\n]+)>\n(.*?)</function>\n</tool_call>", re.S)
_PARAMETER = re.compile(r"<parameter=([^>\n]+)>\n(.*?)\n</parameter>\n", re.S)
_ASKS = {
    "fenced_json": 'Call one with a block ```json {"name": NAME, "arguments": {...}} ```.',
    "hermes": 'Call one with <tool_call>{"name": NAME, "arguments": {...}}</tool_call>.',
    "qwen3_coder": "Call one with <tool_call><function=NAME><parameter=KEY>VALUE</parameter>"
    "</function></tool_call>.",
}


def call(name: str, arguments: Mapping[str, Any]) -> Call:
    """Return a call as native rows hold it."""
    return {"type": "function", "function": {"name": name, "arguments": dict(arguments)}}


def found(row: Mapping[str, Any]) -> set[str]:
    """Return the formats that calls of a row are written in; none where it calls nothing."""
    names = set()
    for message in row["messages"]:
        if message.get("tool_calls"):
            names.add("native")
        if message["role"] == "assistant":
            text = message.get("content") or ""
            names |= {name for name, (pattern, _, _) in _WAYS.items() if pattern.search(text)}
    return names


def from_native(row: Mapping[str, Any], to: ToolFormat) -> Row:
    """Return a native row in another format; one without tools stays as it is.

    Raises:
        InputError: the format cannot say what the row does.
    """
    if to == "native" or not row.get("tools"):
        return dict(row)
    shown = "\n".join(json.dumps(tool, ensure_ascii=False) for tool in row["tools"])
    block = f"# Tools\n\n<tools>\n{shown}\n</tools>\n\n{_ASKS[to]}"
    first, *rest = row["messages"]
    system = first["content"] if first["role"] == "system" else ""
    rest = rest if system else row["messages"]
    messages = [{"role": "system", "content": f"{system}\n\n{block}" if system else block}]
    for message in rest:
        _append(messages, message, to)
    made = {key: value for key, value in row.items() if key != "tools"} | {"messages": messages}
    if _bare(to_native(made, to)) != _bare(row):
        raise InputError(f"row {row.get('id')}: {to} cannot say its calls or results")
    return made


def _bare(row: Mapping[str, Any]) -> list[tuple[str, str, list[tuple[str, Any]]]]:
    """Return what is said and called in a native row, whatever else its messages hold."""
    found = []
    for message in row["messages"]:
        functions = [each["function"] for each in message.get("tool_calls") or ()]
        called = [(function["name"], function["arguments"]) for function in functions]
        found.append((message["role"], message.get("content") or "", called))
    return found


def _append(messages: list[Row], message: Mapping[str, Any], to: ToolFormat) -> None:
    if message["role"] == "tool":
        said = f"<tool_response>\n{message['content']}\n</tool_response>"
        if messages[-1]["role"] == "user":
            messages[-1] = {"role": "user", "content": f"{messages[-1]['content']}\n{said}"}
        else:
            messages.append({"role": "user", "content": said})
        return
    kept = {key: value for key, value in message.items() if key != "tool_calls"}
    write = _WAYS[to][1]
    calls = [write(each["function"]) for each in message.get("tool_calls") or ()]
    text = "\n".join(filter(None, [message.get("content") or "", *calls]))
    messages.append({**kept, "content": text})


def to_native(row: Mapping[str, Any], of: ToolFormat) -> Row:
    """Return a row of a format as a native one: what `from_native` undoes.

    Raises:
        InputError: a call that cannot be read.
    """
    first, *rest = row["messages"]
    shown = _TOOLS.search(first["content"]) if first["role"] == "system" else None
    if of == "native" or shown is None:
        return dict(row)
    tools = [json.loads(line) for line in shown.group(1).splitlines()]
    system = first["content"][: shown.start()]
    messages: list[Row] = [{"role": "system", "content": system}] if system else []
    names: list[str] = []  # of the calls whose results are awaited
    for message in rest:
        results = _RESULT.findall(message["content"]) if names else []
        if message["role"] == "assistant":
            messages.append(_read(message, of, tools, row.get("id")))
            names = [each["function"]["name"] for each in messages[-1].get("tool_calls", ())]
        elif results:
            if len(results) != len(names):
                raise InputError(f"row {row.get('id')}: {len(names)} calls, {len(results)} results")
            messages += [
                {"role": "tool", "name": name, "content": text}
                for name, text in zip(names, results, strict=True)
            ]
        else:
            messages.append(dict(message))
    return {**row, "tools": tools, "messages": messages}


def _read(message: Mapping[str, Any], of: ToolFormat, tools: Tools, row: object) -> Row:
    pattern, _, read = _WAYS[of]
    text = message["content"]
    places = list(pattern.finditer(text))
    if not places:
        return dict(message)
    try:
        calls = [call(*read(place, tools)) for place in places]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"row {row}: a call of {of} cannot be read: {error}") from None
    return {**message, "content": text[: places[0].start()].rstrip("\n"), "tool_calls": calls}


def _write_fenced(function: Mapping[str, Any]) -> str:
    return f"```json\n{_json(function)}\n```"


def _write_hermes(function: Mapping[str, Any]) -> str:
    return f"<tool_call>\n{_json(function)}\n</tool_call>"


def _json(function: Mapping[str, Any]) -> str:
    whole = {"name": function["name"], "arguments": function["arguments"]}
    return json.dumps(whole, ensure_ascii=False)


def _read_json(place: re.Match[str], tools: Tools) -> tuple[str, dict[str, Any]]:  # noqa: ARG001
    said = json.loads(place.group(1))
    return said["name"] if "name" in said else said["tool"], said["arguments"]  # `tool`: of old


def _write_xml(function: Mapping[str, Any]) -> str:
    values = "".join(
        f"<parameter={key}>\n{value if isinstance(value, str) else _plain(value)}\n</parameter>\n"
        for key, value in function["arguments"].items()
    )
    return f"<tool_call>\n<function={function['name']}>\n{values}</function>\n</tool_call>"


def _plain(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _read_xml(place: re.Match[str], tools: Tools) -> tuple[str, dict[str, Any]]:
    """Read a call; whether a value is a text or JSON is for the tool's schema to say."""
    name = place.group(1)
    schema = next((each for each in map(_function, tools) if each["name"] == name), None)
    if schema is None:
        raise ValueError(f"no tool is called {name}")
    known = schema.get("parameters", {}).get("properties", {})
    return name, {
        key: _read_value(text, known.get(key, {}).get("type"))
        for key, text in _PARAMETER.findall(place.group(2))
    }


def _read_value(text: str, kind: object) -> Any:  # noqa: ANN401 - JSON
    if kind == "string":
        return text
    try:
        return json.loads(text)
    except ValueError:
        if kind is None:  # of any type
            return text
        raise


def _function(tool: Mapping[str, Any]) -> Mapping[str, Any]:
    return tool.get("function", tool)


_Write = Callable[[Mapping[str, Any]], str]
_Read = Callable[[re.Match[str], Tools], tuple[str, dict[str, Any]]]
_WAYS: dict[str, tuple[re.Pattern[str], _Write, _Read]] = {
    "fenced_json": (_FENCED, _write_fenced, _read_json),
    "hermes": (_HERMES, _write_hermes, _read_json),
    "qwen3_coder": (_XML, _write_xml, _read_xml),
}
_TURN = re.compile(r"<\|im_start\|>(\w+)\n(.*?)<\|im_end\|>\n?", re.S)


def to_text(row: Mapping[str, Any]) -> str:
    """Return the ChatML text of a row whose messages are texts: {"text"} rows hold it.

    Raises:
        InputError: the row has calls as data; write them with `from_native` first.
    """
    if "native" in found(row):
        raise InputError(f"row {row.get('id')}: its calls are no text; write them in a format")
    turns = (f"<|im_start|>{m['role']}\n{m['content']}<|im_end|>\n" for m in row["messages"])
    return "".join(turns)


def from_text(text: str) -> list[Row]:
    """Return the messages of a ChatML text.

    Raises:
        InputError: there is something between the turns.
    """
    if _TURN.sub("", text).strip():
        raise InputError(f"no ChatML text: {_TURN.sub('', text).strip()[:80]!r} is in no turn")
    return [{"role": role, "content": content} for role, content in _TURN.findall(text)]
