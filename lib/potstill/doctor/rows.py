"""The rows: are they what the student reads, and is what it shall say what is trained."""

from collections.abc import Iterator
from itertools import islice
from typing import Any

from potstill.doctor.finding import Finding, judged
from potstill.doctor.patient import Patient
from potstill.tokens import spans, table
from potstill.tokens.examples import Example

AGAIN = "run `dvc repro tokenise`"


def ids(patient: Patient) -> Finding:
    """Tokenise rows again: ids and spans must be the table's, and ids those of the embedding."""
    chat = patient.begin.chat()
    stored = table.Table(patient.folder / "train.arrow")
    if difference := stored.differs_from(chat):
        words = f"the rows are tokenised again for this student: {difference}"
        return Finding("ids", "pass", words)
    num_rows = patient.model.lm_head.out_features
    wrong, largest, count = 0, 0, 0
    for number, source in enumerate(islice(stored.sources(), 64)):
        row = stored.example(number, chat.vocab_size)
        made, places = spans.tokenise(chat, source)
        wrong += tuple(made) != row.ids or tuple(places) != row.spans
        largest, count = max(largest, *row.ids), count + 1
    return judged(
        "ids",
        not wrong and largest < num_rows,
        f"{wrong} of {count} rows have other ids or spans than their text; largest id {largest} of "
        f"{num_rows}",
        f"the table or the tokenizer was changed by hand, {AGAIN}",
        rows=count,
        wrong=wrong,
    )


def mask(patient: Patient) -> Finding:
    """Read what the loss is taken on: it must be the assistant's words, and its end."""
    chat = patient.begin.chat()
    wrong, count = 0, 0
    for row, source in _with_sources(patient, 64):
        message = source["messages"][-1]
        if "weights" in message or message.get("tool_calls") or not row.spans:
            continue  # parts of it are weighed, which `ids` looks at
        start, end, _ = row.spans[0]
        said = chat.decode(row.ids[start:end])
        wrong += said.strip() != message["content"].strip() or start == 0
        count += 1
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


def end(patient: Patient) -> Finding:
    """Ask whether a student is ever shown how to end."""
    stops = patient.begin.chat().stop_ids
    ending = sum(
        any(row.ids[stop - 1] in stops and weight > 0 for _, stop, weight in row.spans)
        for row in patient.rows
    )
    return judged(
        "end",
        ending == len(patient.rows),
        f"{ending} of {len(patient.rows)} rows are trained on an end token",
        "the template writes none behind an answer, or generation_config.json names another: "
        "correct eos_token_id, else the student never stops",
        rows=len(patient.rows),
        ending=ending,
    )


def _with_sources(patient: Patient, count: int) -> Iterator[tuple[Example, dict[str, Any]]]:
    """Yield rows of the table with the messages that they were made of."""
    chat = patient.begin.chat()
    stored = table.Table(patient.folder / "train.arrow")
    if stored.differs_from(chat):
        return
    for number, source in enumerate(islice(stored.sources(), count)):
        yield stored.example(number, chat.vocab_size), source
