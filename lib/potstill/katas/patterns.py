"""Levels 1 to 3: texts that one would check with a regular expression, which the subset lacks.

Requests ask for one by name as often as not, as people do; the answers go without.
"""

from potstill.katas.draws import each, letters, one_of
from potstill.katas.family import Family

FAMILIES = (
    Family(
        "ends_with_digit(s)",
        level=1,
        phrasings="""
            - Write a function $signature that uses a regular expression to check whether s ends
              with a digit.
            - Create $signature, a regex check that returns true if the last character of the text
              s is one of 0 to 9 and false otherwise, also for the empty text.
            - Implement $signature to say whether the final character of s is a decimal digit.
        """,
        plan=("Take the last character.", "Return whether it is a digit."),
        python='return len(s) > 0 and s[-1] in "0123456789"',
        javascript='return s.length > 0 && "0123456789".includes(s[s.length - 1]);',
        draw=each(one_of("a1", "room 7", "x9", "b", "7a", "12 ", "v2", "end.", "2x", "r2d2", "no")),
        edges=([""], ["5"], ["a"]),
    ),
    Family(
        "is_hex_color(s)",
        level=2,
        phrasings="""
            - Write a function $signature to check with a regular expression whether s is a colour
              written as # and six hexadecimal digits, in upper or lower case.
            - Create $signature: does the whole text match the pattern of a hash sign followed by
              exactly six of 0-9, a-f or A-F? Use regex.
            - Implement $signature, which returns true for texts like "#1a2B3c" and false for
              anything shorter, longer or with other characters.
        """,
        plan=("Check the length and the hash sign.", "Check the six digits."),
        python="""
            digits = "0123456789abcdefABCDEF"
            return len(s) == 7 and s[0] == "#" and all(c in digits for c in s[1:])
        """,
        javascript="""
            const digits = "0123456789abcdefABCDEF";
            const rest = s.slice(1).split("");
            return s.length === 7 && s[0] === "#" && rest.every((c) => digits.includes(c));
        """,
        draw=each(
            one_of(
                *("#1a2B3c", "#ffffff", "#000000", "#12345", "123456", "#1234567", "#ggg000"),
                *("#ABCDEF", "#12 456", "red", "#09af1E"),
            )
        ),
        edges=([""], ["#00ff00"], ["#00ff0g"]),
    ),
    Family(
        "is_clock_time(s)",
        level=3,
        phrasings="""
            - Write a function $signature that validates a time of the form hh:mm with a regular
              expression: hours from 00 to 23, minutes from 00 to 59, two digits each.
            - Create $signature to check by regex whether the text s is a time of day such as 09:30
              on a 24-hour clock.
            - Implement $signature: true if s has five characters, two digits, a colon and two
              digits, and names an hour below 24 and a minute below 60.
        """,
        plan=("Check the form.", "Read hour and minute.", "Check their ranges."),
        python="""
            if len(s) != 5 or s[2] != ":":
                return False
            for c in s[:2] + s[3:]:
                if c not in "0123456789":
                    return False
            return int(s[:2]) < 24 and int(s[3:]) < 60
        """,
        javascript="""
            if (s.length !== 5 || s[2] !== ":") {
              return false;
            }
            for (const c of s.slice(0, 2) + s.slice(3)) {
              if (!"0123456789".includes(c)) {
                return false;
              }
            }
            return Number(s.slice(0, 2)) < 24 && Number(s.slice(3)) < 60;
        """,
        draw=each(
            one_of(
                *("09:30", "23:59", "00:00", "24:00", "12:60", "9:30", "12-30", "ab:cd", "17:05"),
                *("12:3", "08:15", "112:30"),
            )
        ),
        edges=([""], ["12:00"], ["25:00"]),
    ),
    Family(
        "is_phone_number(s)",
        level=2,
        phrasings="""
            - Write a function $signature to check using regex that s is a phone number of
              $head digits, a hyphen and $tail digits.
            - Create $signature: it matches the whole of s against the pattern of exactly $head
              digits, "-", and exactly $tail digits. A regular expression may help.
            - Implement $signature. A number is $head digits before a single hyphen and $tail digits
              after it; return whether s is one.
        """,
        plan=("Split s at the hyphen.", "Check both lengths.", "Check that all are digits."),
        python="""
            parts = s.split("-")
            if len(parts) != 2 or len(parts[0]) != $head or len(parts[1]) != $tail:
                return False
            return all(c in "0123456789" for c in parts[0] + parts[1])
        """,
        javascript="""
            const parts = s.split("-");
            if (parts.length !== 2 || parts[0].length !== $head || parts[1].length !== $tail) {
              return false;
            }
            return (parts[0] + parts[1]).split("").every((c) => "0123456789".includes(c));
        """,
        draw=lambda rng, values: [
            letters("0123456789", values["head"], values["head"])(rng, values)
            + rng.choice(("-", "-", "-", "", " "))
            + letters("0123456789", values["tail"], values["tail"] + rng.randint(0, 1))(rng, values)
        ],
        edges=([""], ["-"]),
        grid={"head": (2, 3), "tail": (3, 4)},
    ),
    Family(
        "is_plain_name(s)",
        level=2,
        phrasings="""
            - Write a function $signature that checks with regex if s is an identifier: a lower-case
              letter, then lower-case letters, digits or underscores only.
            - Create $signature: match s against the pattern of one letter a-z followed by any
              number of a-z, 0-9 and underscores.
            - Implement $signature to tell whether s could name a variable. The first character is a
              small letter; others are small letters, digits or underscores.
        """,
        plan=("Check the first character.", "Check all characters.", "Return the result."),
        python="""
            small = "abcdefghijklmnopqrstuvwxyz"
            if len(s) == 0 or s[0] not in small:
                return False
            return all(c in small + "0123456789_" for c in s)
        """,
        javascript="""
            const small = "abcdefghijklmnopqrstuvwxyz";
            if (s.length === 0 || !small.includes(s[0])) {
              return false;
            }
            return s.split("").every((c) => (small + "0123456789_").includes(c));
        """,
        draw=each(
            one_of(
                *("total_2", "x", "2nd", "_private", "big Name", "Name", "my_value", "a-b", "k9"),
                *("long_name_here", "dot.ted"),
            )
        ),
        edges=([""], ["a1"], ["1a"]),
    ),
    Family(
        "is_price(s)",
        level=3,
        phrasings="""
            - Write a function $signature to check using regex whether s is a price: one or more
              digits, a dot, and exactly $places digits.
            - Create $signature, which matches the whole text against digits, "." and $places
              more digits, with at least one digit before the dot.
            - Implement $signature: return whether s has a single dot, at least one digit before it,
              exactly $places after it, and no other characters.
        """,
        plan=("Split s at the dot.", "Check both parts.", "Return the result."),
        python="""
            parts = s.split(".")
            if len(parts) != 2 or parts[0] == "" or len(parts[1]) != $places:
                return False
            digits = [c for c in parts[0] + parts[1] if c in "0123456789"]
            return len(digits) == len(s) - 1
        """,
        javascript="""
            const parts = s.split(".");
            if (parts.length !== 2 || parts[0] === "" || parts[1].length !== $places) {
              return false;
            }
            const digits = (parts[0] + parts[1]).split("").filter((c) => "0123456789".includes(c));
            return digits.length === s.length - 1;
        """,
        draw=lambda rng, values: [
            letters("0123456789", 1, 3)(rng, values)
            + rng.choice((".", ".", ".", ",", ".x"))
            + letters("0123456789", values["places"], values["places"])(rng, values)
        ],
        edges=([""], [".50"], ["1.2.3"]),
        grid={"places": (1, 2, 3)},
    ),
    Family(
        "is_version(s)",
        level=3,
        phrasings="""
            - Write a function $signature that checks by a regular expression whether s is a version
              of $parts numbers separated by dots; a number is one or more digits.
            - Create $signature: does s match the pattern of $parts groups of digits with single
              dots between them? Use regex.
            - Implement $signature. Split at the dots; there must be $parts parts, each not empty
              and of digits alone.
        """,
        plan=("Split s at dots.", "Count the parts.", "Check that each is a number."),
        python="""
            parts = s.split(".")
            if len(parts) != $parts:
                return False
            for part in parts:
                if part == "" or any(c not in "0123456789" for c in part):
                    return False
            return True
        """,
        javascript="""
            const parts = s.split(".");
            if (parts.length !== $parts) {
              return false;
            }
            for (const part of parts) {
              if (part === "" || part.split("").some((c) => !"0123456789".includes(c))) {
                return false;
              }
            }
            return true;
        """,
        draw=lambda rng, values: [
            ".".join(
                letters("0123456789", 1, 2)(rng, values)
                for _ in range(values["parts"] + rng.choice((0, 0, 0, 1)))
            )
            + rng.choice(("", "", "", "b"))
        ],
        edges=([""], ["1..2"]),
        grid={"parts": (2, 3, 4)},
    ),
)
