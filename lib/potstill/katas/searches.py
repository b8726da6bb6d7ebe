"""Levels 1 to 3: texts that one would search or change by a regular expression, which is outside.

Requests ask for one by name as often as not, as people do; the answers go without.
"""

from potstill.katas.draws import each, letters, one_of, sentence
from potstill.katas.family import Family

_MIXED = one_of(
    *("one  two", "a   b c", "plain text", "x  y   z", "so   it goes", "end  ", "  start", "a b"),
    *("two  spaces  here", "many      spaces", "none"),
)
_CODED = one_of(
    *("order A1 and B22", "plain words", "room 101 is free", "x2 y3 z", "take bus 7", "v2 is out"),
    *("no digits here", "3 of 4", "mp3 and mp4 files", "route 66", "all letters"),
)
_QUOTED = one_of(
    *('say "yes" now', "no quotes", '"a" and "b"', 'he said "go"', '"all of it"', 'x "y" z "w"'),
    *('a "b c" d', '"one" "two" "three"', 'nothing "" here'),
)

FAMILIES = (
    Family(
        "mask_digits(s)",
        level=1,
        phrasings="""
            - Write a function $signature to replace every digit of s by "$mark" using regex.
            - Create $signature: with a regular expression, or without, put "$mark" in the place of
              each of the digits 0 to 9 in the string s and return it.
            - Implement $signature, which hides all digits of a text by writing "$mark" for each.
        """,
        plan=("Go through the characters.", "Write $mark for digits.", "Join them."),
        python='return "".join("$mark" if c in "0123456789" else c for c in s)',
        javascript="""
            return s
              .split("")
              .map((c) => ("0123456789".includes(c) ? "$mark" : c))
              .join("");
        """,
        draw=each(_CODED),
        edges=([""], ["a1b22"], ["007"]),
        grid={"mark": ("#", "*", "?", "_")},
    ),
    Family(
        "collapse_spaces(s)",
        level=2,
        phrasings="""
            - Write a function $signature that replaces multiple spaces in s with a single space by
              using regex.
            - Create the function $signature: use a regular expression to turn every run of spaces
              into one space, at the ends of s too.
            - Implement $signature. Wherever one or more spaces stand side by side in the text s,
              write one space instead.
        """,
        plan=("Split s at spaces.", "Keep one gap of each run.", "Join with the new text."),
        python="""
            result = ""
            last = ""
            for c in s:
                if c != " ":
                    result += c
                elif last != " ":
                    result += " "
                last = c
            return result
        """,
        javascript="""
            let result = "";
            let last = "";
            for (const c of s) {
              if (c !== " ") {
                result += c;
              } else if (last !== " ") {
                result += " ";
              }
              last = c;
            }
            return result;
        """,
        draw=each(_MIXED),
        edges=([""], ["  "], ["a  b"]),
    ),
    Family(
        "split_at_capitals(s)",
        level=3,
        phrasings="""
            - Write a function $signature to split a string at its upper-case letters by using
              regex: "goHomeNow" gives the list of "go", "Home" and "Now".
            - Create the function $signature, which cuts s before each capital letter and returns
              the parts; no part is empty. A regular expression is one way.
            - Implement $signature: a new part begins at every letter from A to Z. Return all parts
              in order, without empty ones.
        """,
        plan=("Go through the characters.", "Begin a part at a capital.", "Return the parts."),
        python="""
            parts = []
            for c in s:
                if "A" <= c <= "Z" or len(parts) == 0:
                    parts.append(c)
                else:
                    parts[-1] += c
            return parts
        """,
        javascript="""
            const parts = [];
            for (const c of s) {
              if ((c >= "A" && c <= "Z") || parts.length === 0) {
                parts.push(c);
              } else {
                parts[parts.length - 1] += c;
              }
            }
            return parts;
        """,
        draw=each(letters("abcdeABC", 1, 8)),
        edges=([""], ["goHomeNow"], ["ABC"]),
    ),
    Family(
        "between_quotes(s)",
        level=2,
        phrasings="""
            - Write a function $signature to extract the texts between double quotes in s using
              regular expressions.
            - Create $signature with a regex that finds everything inside pairs of double quotation
              marks and returns the list. Quotation marks always come in pairs.
            - Implement $signature: return the list of what is quoted in s, without the double
              quotes; every opening quote is closed.
        """,
        plan=("Split s at double quotes.", "Return every second part."),
        python="return s.split('\"')[1::2]",
        javascript="return s.split('\"').filter((part, place) => place % 2 === 1);",
        draw=each(_QUOTED),
        edges=([""], ['"a" "b"']),
    ),
    Family(
        "words_with_digits(s)",
        level=2,
        phrasings="""
            - Write a function $signature to find all words of s that contain a digit, using a
              regular expression. Words are separated by single spaces.
            - Create $signature: with regex or otherwise, return the list of those words in which at
              least one character is a digit.
            - Implement $signature. Split the text at its spaces and keep the words that have one of
              0 to 9 in them.
        """,
        plan=("Split s into words.", "Look for digits in each.", "Return those that have one."),
        python='return [word for word in s.split(" ") if any(c in "0123456789" for c in word)]',
        javascript="""
            const digits = "0123456789".split("");
            return s.split(" ").filter((word) => digits.some((digit) => word.includes(digit)));
        """,
        draw=each(_CODED),
        edges=([""], ["a1 b c2"]),
    ),
    Family(
        "count_vowel_runs(s)",
        level=3,
        phrasings="""
            - Write a function $signature that counts with a regular expression how many groups of
              neighbouring vowels (a, e, i, o, u) the lower-case text s has.
            - Create $signature: the number of matches of the pattern "one or more vowels" in s,
              which is in lower case. Use regex.
            - Implement $signature, where vowels side by side count once: "queue" has 1 group,
              "banana" has 3.
        """,
        plan=("Go through the characters.", "Count vowels that follow none.", "Return the count."),
        python="""
            count = 0
            inside = False
            for c in s:
                if c in "aeiou" and not inside:
                    count += 1
                inside = c in "aeiou"
            return count
        """,
        javascript="""
            let count = 0;
            let inside = false;
            for (const c of s) {
              if ("aeiou".includes(c) && !inside) {
                count += 1;
              }
              inside = "aeiou".includes(c);
            }
            return count;
        """,
        draw=each(sentence(1, 4)),
        edges=([""], ["queue"], ["banana"]),
    ),
    Family(
        "strip_punctuation(s)",
        level=2,
        phrasings="""
            - Write a function $signature to remove all characters of s except letters and digits
              using regex. Letters are a to z and A to Z.
            - Create the function $signature: drop whatever matches "neither an English letter nor a
              digit" and return the rest.
            - Implement $signature, which keeps of a text only a-z, A-Z and 0-9, in their order, by
              a regular expression or by hand.
        """,
        plan=("Go through the characters.", "Keep letters and digits.", "Join them."),
        python="""
            result = ""
            for c in s:
                if "a" <= c.lower() <= "z" or "0" <= c <= "9":
                    result += c
            return result
        """,
        javascript="""
            let result = "";
            for (const c of s) {
              const low = c.toLowerCase();
              if ((low >= "a" && low <= "z") || (c >= "0" && c <= "9")) {
                result += c;
              }
            }
            return result;
        """,
        draw=each(letters("abXY12 .,!-_", 1, 9)),
        edges=([""], ["a.b, c!"], ["..."]),
    ),
    Family(
        "find_capitalized(s)",
        level=2,
        phrasings="""
            - Write a function $signature to find the words of s that begin with an upper-case
              letter, using a regular expression. Single spaces separate the words.
            - Create $signature: return the list of all words whose first letter is a capital from A
              to Z. Use regex if you like.
            - Implement $signature, which keeps of a text's words, in their order, those that start
              with a capital letter.
        """,
        plan=("Split s into words.", "Check each first letter.", "Return those with a capital."),
        python='return [word for word in s.split(" ") if word != "" and "A" <= word[0] <= "Z"]',
        javascript="""
            return s.split(" ").filter((word) => word !== "" && word[0] >= "A" && word[0] <= "Z");
        """,
        draw=lambda rng, values: [
            " ".join(
                word.capitalize() if rng.random() < 0.5 else word
                for word in sentence(1, 5)(rng, values).split(" ")
            )
        ],
        edges=([""], ["Ann met bob"]),
    ),
    Family(
        "find_labels(s)",
        level=3,
        phrasings="""
            - Write a function $signature to find all words of s that are a capital letter followed
              by $count digits, using a regular expression. Single spaces separate the words.
            - Create $signature, which returns by regex the list of all labels in a text: a label is
              a word of one letter from A to Z and exactly $count digits.
            - Implement $signature: split s at its spaces and keep those words that begin
              with a capital letter and have exactly $count characters after it, all digits.
        """,
        plan=("Split s into words.", "Check letter, length and digits.", "Return the labels."),
        python="""
            labels = []
            for word in s.split(" "):
                if len(word) == $count + 1 and "A" <= word[0] <= "Z":
                    if all(c in "0123456789" for c in word[1:]):
                        labels.append(word)
            return labels
        """,
        javascript="""
            const labels = [];
            for (const word of s.split(" ")) {
              if (word.length === $count + 1 && word[0] >= "A" && word[0] <= "Z") {
                if (word.slice(1).split("").every((c) => "0123456789".includes(c))) {
                  labels.push(word);
                }
              }
            }
            return labels;
        """,
        draw=lambda rng, values: [
            " ".join(
                rng.choice("ABCx")
                + letters("0123456789", values["count"], values["count"] + 1)(rng, values)
                for _ in range(rng.randint(1, 4))
            )
        ],
        edges=([""], ["none here"]),
        grid={"count": (1, 2)},
    ),
)
