"""Running untrusted Python and JavaScript.

`run` runs one program, `run_many` a batch in order. What is protected and what is not stands in
`potstill.sandbox.api`.
"""

from potstill.sandbox.api import Case, Limits, RunResult, run, run_many

__all__ = ["Case", "Limits", "RunResult", "run", "run_many"]
