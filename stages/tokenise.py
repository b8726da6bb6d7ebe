"""Turn chat rows into token ids once, for every stage that trains, prunes or caches.

Reads   dataset     folder with train.jsonl, validation.jsonl, test.jsonl and pairs.jsonl (messages,
                    group, tools)
        vocabulary  folder with the tokenizer, template and end ids that teacher and students share
Writes  out         train.arrow, validation.arrow, test.arrow and, if a pair fits, pairs.arrow: ids,
                    spans, weights, keys and groups, mapped and not read by the stages after
                    it; see `tokens.table`
        metrics     of each: rows, tokens, answer_tokens, rows rejected by reason, and how
                    many tokens half, nine tenths, 99 in a hundred and all of the rows have at most
"""

from pathlib import Path
from typing import Annotated

from potstill import files, splits, stage
from potstill.models.chat import ChatTokenizer
from potstill.params import Section
from pydantic import Field


class Params(Section):
    """Settings of `tokenise`."""

    max_length: Annotated[int, Field(ge=2)]  # tokens; longer rows are left out and counted


def main(params: Params, *, dataset: Path, vocabulary: Path, out: Path) -> dict[str, int]:
    """Write the tables and say what is in them."""
    from potstill.tokens import spans, table
    from rich.progress import track

    chat = ChatTokenizer(vocabulary)
    metrics: dict[str, int] = {}
    out.mkdir()
    for name in (*splits.SPLITS, "pairs"):
        path = out / f"{name}.arrow"
        rows = files.read_jsonl(dataset / f"{name}.jsonl", ["messages", "group"])
        try:
            rejected = table.write(path, track(rows, name, transient=True), chat, params.max_length)
        except spans.NothingFitsError:
            if name != "pairs":  # those need not be there
                raise
            files.remove(path)
            continue
        found = table.Table(path).summary() | {f"rejected_{k}": n for k, n in rejected.items()}
        metrics |= {f"{name}_{key}": value for key, value in found.items()}
    return metrics


if __name__ == "__main__":
    stage.run(main, Params)
