"""The rows: are they what the student reads, and is what it shall say what is trained."""

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from potstill.doctor.finding import Finding, judged
from potstill.doctor.patient import Patient
from potstill.errors import InputError
from potstill.models.chat import ChatTokenizer
from potstill.tokens import spans
from potstill.tokens.examples import Example
from potstill.tokens.table import Table

AGAIN = "run `dvc repro tokenise`"


def ids(patient: Patient, table: Table) -> Finding:
    """Tokenise rows again: ids and spans must be the table's, and ids those of the embedding."""
    if difference := table.differs_from(patient.begin.chat()):
        words = f"the rows are tokenised again for this student: {difference}"
        return Finding("ids", "not-run", words)
    wrong, count = 0, 0
    for row, source in _with_sources(patient, table):
        wrong += row is None or _tokenised(patient, source) != (row.ids, row.spans)
        count += 1
    return judged(
        "ids",
        not wrong,
        f"{wrong} of {count} rows have other ids or spans than their text",
        f"the table or the tokenizer was changed by hand, {AGAIN}",
        rows=count,
        wrong=wrong,
    )


def _tokenised(patient: Patient, source: dict[str, Any]) -> object:
    try:
        made, places = spans.tokenise(patient.begin.chat(), source)
    except spans.RejectedError:
        return None
    return tuple(made), tuple(places)


def mask(patient: Patient, table: Table) -> Finding:
    """Read what the loss is taken on: the assistant's words as the template has them, to the end.

    Rows of which parts are weighed are left to `ids`.
    """
    chat = patient.begin.chat()
    if table.differs_from(chat):
        return Finding("mask", "not-run", "the rows are tokenised again for this student")
    wrong, count = 0, 0
    for row, source in _with_sources(patient, table):
        if any("weights" in message for message in source["messages"]):
            continue
        count += 1
        wrong += row is None or len(row.spans) != 1 or not _says(chat, row, source)
    if not count:
        return Finding("mask", "not-run", "all rows weigh parts of their answers")
    return judged(
        "mask",
        not wrong,
        f"of {count} rows {count - wrong} are trained on exactly what the assistant says",
        f"a span begins or ends elsewhere, {AGAIN}",
        rows=count,
        wrong=wrong,
    )


def _says(chat: ChatTokenizer, row: Example, source: dict[str, Any]) -> bool:
    """Say whether a row's span is what the template writes behind its prompt, up to its end token.

    Both are compared as the tokenizer gives them back: it may compose accents.
    """
    start, stop, _ = row.spans[0]
    messages, tools = source["messages"], source.get("tools")
    prompt = chat.render(messages[:-1], tools=tools)
    whole = chat.render(messages, tools=tools, add_generation_prompt=False)
    said = _text(chat, row.ids[start:stop])
    turn = _text(chat, chat.encode(whole.removeprefix(prompt)))
    content = _text(chat, chat.encode(str(messages[-1].get("content") or "").strip()))
    return said.strip() == turn.strip() and content in said


def _text(chat: ChatTokenizer, ids: Sequence[int]) -> str:
    text: str = chat.tokenizer.decode(list(ids), skip_special_tokens=False)
    return text


def end(patient: Patient) -> Finding:
    """Ask whether a student is ever shown how to end."""
    stops = patient.begin.chat().stop_ids
    trained = [row for row in patient.rows if row.spans]  # `span_weights` may leave a format out
    ending = sum(any(row.ids[stop - 1] in stops for _, stop, _ in row.spans) for row in trained)
    return judged(
        "end",
        ending == len(trained),
        f"{ending} of {len(trained)} rows are trained on an end token",
        "the template writes none behind an answer, or generation_config.json names another: "
        "correct eos_token_id, else the student never stops",
        rows=len(trained),
        ending=ending,
    )


def _with_sources(
    patient: Patient, table: Table
) -> Iterator[tuple[Example | None, dict[str, Any]]]:
    """Yield rows of the table with what they were made of; None for one that no embedding reads."""
    num_ids = min(patient.begin.chat().vocab_size, patient.model.lm_head.out_features)
    for number, source in enumerate(islice(table.sources(), 64)):
        try:
            row = table.example(number, num_ids)
        except InputError:
            row = None
        yield row, source
