"""Level 1: one comparison or one logical expression."""

from potstill.katas.draws import each, flag, integer, near, one_of, word
from potstill.katas.family import Family

FAMILIES = (
    Family(
        "is_even(n)",
        level=1,
        phrasings="""
            - Write a function $signature that returns true if n is even and false otherwise.
            - Create the function $signature. It checks whether the whole number n is even.
            - Implement $signature: return whether n can be divided by 2 without a remainder.
            - I need $signature. The result is true for even numbers and false for odd numbers.
        """,
        plan=("Divide n by 2.", "Return whether the remainder is 0."),
        python="return n % 2 == 0",
        javascript="return n % 2 === 0;",
        draw=each(integer()),
        edges=([0], [-3], [-2]),
    ),
    Family(
        "is_positive(x)",
        level=1,
        phrasings="""
            - Write a function $signature that returns true if x is positive. Zero is not positive.
            - Create the function $signature that checks whether x is greater than zero.
            - Implement $signature: return true for numbers above 0 and false for all others.
        """,
        plan=("Compare x with 0.", "Return whether x is greater."),
        python="return x > 0",
        javascript="return x > 0;",
        draw=each(integer()),
        edges=([0], [1], [-1]),
    ),
    Family(
        "is_at_least(x)",
        level=1,
        phrasings="""
            - Write a function $signature that returns true if x is at least $n.
            - Create $signature to check whether the number x is greater than or equal to $n.
            - Implement $signature. Numbers below $n give false, $n and all larger numbers give
              true.
        """,
        grid={"n": (10, 18, 21, 50, 65, 100)},
        plan=("Compare x with $n.", "Return whether x is greater or equal."),
        python="return x >= $n",
        javascript="return x >= $n;",
        draw=each(near("n", 2)),
        edges=([0], [200]),
    ),
    Family(
        "is_between(x, low, high)",
        level=1,
        phrasings="""
            - Write a function $signature that returns true if x is between low and high, both
              included.
            - Create the function $signature. It checks whether x is not below low and not above
              high.
            - Implement $signature: return whether x lies in the range from low to high, where the
              two limits belong to the range.
        """,
        plan=("Compare x with low.", "Compare x with high.", "Return whether both hold."),
        python="return low <= x <= high",
        javascript="return low <= x && x <= high;",
        draw=each(integer(0, 20), integer(3, 8), integer(9, 16)),
        edges=([5, 5, 9], [9, 5, 9], [4, 5, 9]),
    ),
    Family(
        "is_equal(a, b)",
        level=1,
        phrasings="""
            - Write a function $signature that returns true if a and b are equal.
            - Create $signature to check whether two numbers are the same.
            - Implement $signature: return true when the first number equals the second, otherwise
              false.
        """,
        plan=("Compare a with b.", "Return whether they are equal."),
        python="return a == b",
        javascript="return a === b;",
        draw=each(integer(0, 2), integer(0, 2)),
        edges=([4, 4], [-4, 4]),
    ),
    Family(
        "may_enter(age, ticket)",
        level=1,
        phrasings="""
            - Write a function $signature that returns true if age is at least $n and ticket is
              true.
            - Create the function $signature. Entry needs both an age of $n or more and a ticket;
              return whether entry is allowed.
            - Implement $signature: the result is true only when age is not below $n and the boolean
              ticket is true.
        """,
        grid={"n": (12, 16, 18, 21)},
        plan=("Check that age is at least $n.", "Check ticket.", "Return whether both hold."),
        python="return age >= $n and ticket",
        javascript="return age >= $n && ticket;",
        draw=each(near("n"), flag()),
        edges=([40, True], [40, False], [5, True], [99, True]),
    ),
    Family(
        "is_free_day(day, holiday)",
        level=1,
        phrasings="""
            - Write a function $signature that returns true if holiday is true or day is "$day".
            - Create $signature to check whether a day is free: every $day is free, and every day is
              free when the boolean holiday is true.
            - Implement $signature. Return whether day equals "$day" or holiday is true.
        """,
        grid={"day": ("Sunday", "Monday", "Friday")},
        plan=('Compare day with "$day".', "Return whether that or holiday is true."),
        python='return day == "$day" or holiday',
        javascript='return day === "$day" || holiday;',
        draw=each(one_of("Sunday", "Monday", "Tuesday", "Wednesday", "Friday"), flag()),
        edges=(["Sunday", False], ["Monday", False], ["Friday", False], ["Tuesday", True]),
    ),
    Family(
        "choose(flag, a, b)",
        level=1,
        phrasings="""
            - Write a function $signature that returns a if flag is true and b otherwise.
            - Create the function $signature. The boolean flag decides: true gives a, false gives b.
            - Implement $signature: when flag is false return b, else return a.
        """,
        plan=("Check flag.", "Return a if it is true, else b."),
        python="return a if flag else b",
        javascript="return flag ? a : b;",
        draw=each(flag(), integer(), integer()),
        edges=([True, 1, 2], [False, 1, 2]),
    ),
    Family(
        "pass_or_fail(score)",
        level=1,
        phrasings="""
            - Write a function $signature that returns "pass" if score is at least $n and "fail"
              otherwise.
            - Create the function $signature. A score below $n gives "fail", any other score gives
              "pass".
            - Implement $signature to grade a test: with $n points or more return "pass", with fewer
              return "fail".
        """,
        grid={"n": (40, 50, 60, 70)},
        plan=("Compare score with $n.", 'Return "pass" or "fail".'),
        python='return "pass" if score >= $n else "fail"',
        javascript='return score >= $n ? "pass" : "fail";',
        draw=each(near("n")),
        edges=([0], [100]),
    ),
    Family(
        "is_too_long(s)",
        level=1,
        phrasings="""
            - Write a function $signature that returns true if the string s has more than $n
              characters.
            - Create $signature to check whether the length of the string s is greater than $n.
            - Implement $signature. A text of $n characters or fewer gives false, a longer one gives
              true.
        """,
        grid={"n": (2, 3, 4, 5)},
        plan=("Take the length of s.", "Return whether it is greater than $n."),
        python="return len(s) > $n",
        javascript="return s.length > $n;",
        draw=each(word()),
        edges=([""], ["abc"], ["abcdefghi"]),
    ),
    Family(
        "starts_with(s)",
        level=1,
        phrasings="""
            - Write a function $signature that returns true if the string s starts with "$prefix".
            - Create a function $signature that checks whether s begins with the letters "$prefix".
            - Implement $signature: return whether "$prefix" is the prefix of the text s.
        """,
        grid={"prefix": ("un", "re", "pre", "a", "no")},
        plan=('Check the start of s for "$prefix".', "Return the answer."),
        python='return s.startswith("$prefix")',
        javascript='return s.startsWith("$prefix");',
        draw=lambda rng, values: [rng.choice(("", values["prefix"])) + word()(rng, values)],
        edges=([""], ["x"]),
    ),
    Family(
        "ends_with(s)",
        level=1,
        phrasings="""
            - Write a function $signature that returns true if the string s ends with "$suffix".
            - Create the function $signature. It checks whether the last letters of s are "$suffix".
            - Implement $signature, which returns whether the text s has "$suffix" at its end.
        """,
        grid={"suffix": ("ing", "ed", ".txt", "s", "er")},
        plan=('Check the end of s for "$suffix".', "Return the answer."),
        python='return s.endswith("$suffix")',
        javascript='return s.endsWith("$suffix");',
        draw=lambda rng, values: [word()(rng, values) + rng.choice(("", values["suffix"]))],
        edges=([""], ["x"]),
    ),
    Family(
        "has_letter(s)",
        level=1,
        phrasings="""
            - Write a function $signature that returns true if the string s contains "$letter".
            - Create $signature to check whether the letter "$letter" appears anywhere in s.
            - Implement $signature: is there at least one "$letter" in the text s? Return true or
              false.
        """,
        grid={"letter": ("a", "e", "n", "o", "r")},
        plan=('Look for "$letter" in s.', "Return whether it was found."),
        python='return "$letter" in s',
        javascript='return s.includes("$letter");',
        draw=each(word()),
        edges=([""], ["x"]),
    ),
    Family(
        "is_longer(a, b)",
        level=1,
        phrasings="""
            - Write a function $signature that returns true if the string a is longer than the
              string b.
            - Create the function $signature. It compares the lengths of two strings and returns
              whether the first one is longer.
            - Implement $signature: return whether a has more characters than b.
        """,
        plan=("Take both lengths.", "Return whether the first is greater."),
        python="return len(a) > len(b)",
        javascript="return a.length > b.length;",
        draw=each(word(), word()),
        edges=(["", ""], ["cat", "dog"], ["a", ""]),
    ),
    Family(
        "is_upper(s)",
        level=1,
        phrasings="""
            - Write a function $signature that returns true if all letters of s are upper case. s
              holds only letters.
            - Create $signature to check whether the word s, made of letters only, is written in
              capital letters.
            - Implement $signature: return whether s, a string of letters, equals its own upper-case
              version.
        """,
        plan=("Convert s to upper case.", "Return whether it equals s."),
        python="return s == s.upper()",
        javascript="return s === s.toUpperCase();",
        draw=lambda rng, values: [
            rng.choice((str.upper, str.lower, str.title))(word()(rng, values))
        ],
        edges=(["ABC"], ["aBC"], ["ABc"]),
    ),
    Family(
        "contains(items, x)",
        level=1,
        phrasings="""
            - Write a function $signature that returns true if the list items contains x.
            - Create the function $signature that checks whether the number x is in a list of
              numbers.
            - Implement $signature: return true when one of the items equals x, and false when none
              does.
        """,
        plan=("Look for x in items.", "Return whether it was found."),
        python="return x in items",
        javascript="return items.includes(x);",
        draw=each(lambda rng, _: [rng.randint(1, 6) for _ in range(4)], integer(1, 6)),
        edges=([[], 1], [[3], 3]),
    ),
)
