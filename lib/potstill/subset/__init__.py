"""What code the target executor accepts: one check for curation, evaluation and serving."""

from potstill.subset.check import Reason, Verdict, check, check_many

__all__ = ["Reason", "Verdict", "check", "check_many"]
