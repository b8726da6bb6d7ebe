"""What a data set is built of: the folders of curation, prompts and tools, read."""

from dataclasses import dataclass
from pathlib import Path

from potstill import files
from potstill.data.rows import Row
from potstill.splits import Split


@dataclass(frozen=True)
class Sources:
    """Rows by what they are for.

    Attributes:
        accepted: curated rows of training families and of mined modules.
        rejected: what curation put aside, with the reason.
        broken: code with its real error and a fix; for training.
        tasks: task rows of "validation" and "test"; their references are the answers.
        tool_rows: native rows of all splits, which their groups decide.
        results: keys of what tools returned in them; see `tools.key`.
    """

    accepted: list[Row]
    rejected: list[Row]
    broken: list[Row]
    tasks: dict[Split, list[Row]]
    tool_rows: list[Row]
    results: frozenset[str]


def read(curated: Path, prompts: Path, tools: Path) -> Sources:
    """Read the folders that the stages before have written."""

    def rows(path: Path, *keys: str) -> list[Row]:
        return list(files.read_jsonl(path, keys))

    return Sources(
        accepted=rows(curated / "accepted.jsonl", "code", "group", "origin"),
        rejected=rows(curated / "rejected.jsonl", "code", "group", "reason"),
        broken=rows(curated / "reflect.jsonl", "error", "fix"),
        tasks={
            "validation": rows(prompts / "validation.jsonl", "family", "task"),
            "test": rows(prompts / "test.jsonl", "family", "task"),
        },
        tool_rows=rows(tools / "rows.jsonl", "messages", "group"),
        results=frozenset(row["key"] for row in rows(tools / "results.jsonl", "key")),
    )
