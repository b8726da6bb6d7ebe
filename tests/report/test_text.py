"""Numbers as people read them, at both ends of what a run can give."""

import math

import pytest
from potstill.report import text
from potstill.report.results import Estimate


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (2.6667, "2.67 (2.67 to 2.67)"),
        (99_999.0, "99999.00 (99999.00 to 99999.00)"),
        (8.71e19, "8.7e+19 (8.7e+19 to 8.7e+19)"),  # the perplexity of a model cut to pieces
        (3.5e-7, "3.5e-07 (3.5e-07 to 3.5e-07)"),  # a ratio to it
        (0.0, "0.00 (0.00 to 0.00)"),
    ],
)
def test_a_number_shows_what_it_is(value, shown):
    assert text.plain(Estimate(value, value, value, 7)) == shown


@pytest.mark.parametrize("value", [1e-9, 0.004, 0.0051, 1.0, 12345.6, 1e5, 1e30])
def test_no_number_is_shown_as_nothing_or_as_a_line_of_digits(value):
    shown = text.plain(Estimate(value, value, value, 7)).split()[0]
    assert math.isclose(float(shown), value, rel_tol=0.1)
    assert len(shown) <= 8
