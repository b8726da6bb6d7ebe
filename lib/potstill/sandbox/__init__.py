"""Running untrusted Python and JavaScript.

`run` runs one program, `run_many` a batch in order. What is protected and what is not stands in
`potstill.sandbox.api`.
"""

from potstill.sandbox.api import Mode, check, layers, run, run_many
from potstill.sandbox.cases import Case, Limits, RunResult

__all__ = ["Case", "Limits", "Mode", "RunResult", "check", "layers", "run", "run_many"]
