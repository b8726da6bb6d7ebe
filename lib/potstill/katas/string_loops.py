"""Level 2: one loop or comprehension over the characters or words of a string."""

from potstill.katas.draws import each, letters, sentence, word
from potstill.katas.family import Family

MIXED = "abcdeXYZ019 "

FAMILIES = (
    Family(
        "count_vowels(s)",
        level=2,
        phrasings="""
            - Write a function $signature that counts the vowels a, e, i, o and u in the lower-case
              string s.
            - Create the function $signature to return how many characters of s are one of aeiou. s
              is in lower case.
            - Implement $signature. Go through the lower-case text s and return the number of vowels
              (a, e, i, o, u).
        """,
        plan=("Go through the characters.", "Count the vowels.", "Return the count."),
        python='return sum(1 for c in s if c in "aeiou")',
        javascript="""
            let count = 0;
            for (const c of s) {
              if ("aeiou".includes(c)) {
                count++;
              }
            }
            return count;
        """,
        draw=each(sentence()),
        edges=([""], ["aeiou"], ["xyz"]),
    ),
    Family(
        "remove_digits(s)",
        level=2,
        phrasings="""
            - Write a function $signature that removes all digits from the string s.
            - Create $signature, which returns the text s without the characters 0 to 9.
            - Implement $signature: keep every character of s that is not a digit and return them as
              a string.
        """,
        plan=("Go through the characters.", "Keep those that are no digits.", "Return the string."),
        python='return "".join(c for c in s if not c.isdigit())',
        javascript='return s.replace(/[0-9]/g, "");',
        draw=each(letters(MIXED)),
        edges=([""], ["123"], ["a1b22"]),
    ),
    Family(
        "stretch(s)",
        level=2,
        phrasings="""
            - Write a function $signature that returns the string s with each character written $n
              times.
            - Create $signature, which repeats every single character of s $n times in its place.
            - Implement $signature. Each letter of the text becomes $n equal letters next to each
              other; return the longer string.
        """,
        grid={"n": (2, 3, 4)},
        plan=("Go through the characters.", "Repeat each $n times.", "Return the string."),
        python='return "".join(c * $n for c in s)',
        javascript='return s.split("").map((c) => c.repeat($n)).join("");',
        draw=each(word()),
        edges=([""], ["ab"]),
    ),
    Family(
        "is_palindrome(s)",
        level=2,
        phrasings="""
            - Write a function $signature that returns true if the string s reads the same forwards
              and backwards.
            - Create the function $signature to check whether s equals its own reverse.
            - Implement $signature: a text is a palindrome if reversing it changes nothing. Return
              whether s is one; the empty string is.
        """,
        plan=("Reverse s.", "Return whether it equals s."),
        python="return s == s[::-1]",
        javascript='return s === s.split("").reverse().join("");',
        draw=each(word()),
        edges=([""], ["level"], ["abba"], ["abca"]),
    ),
    Family(
        "count_uppercase(s)",
        level=2,
        phrasings="""
            - Write a function $signature that counts the upper-case letters from A to Z in s.
            - Create $signature to return how many capital letters, A to Z, the string s has.
            - Implement $signature. Go through the characters of s and count those between A and Z.
        """,
        plan=("Go through the characters.", "Count the capitals.", "Return the count."),
        python="""
            count = 0
            for c in s:
                if c.isupper():
                    count += 1
            return count
        """,
        javascript="""
            let count = 0;
            for (const c of s) {
              if (c >= "A" && c <= "Z") {
                count++;
              }
            }
            return count;
        """,
        draw=each(letters(MIXED)),
        edges=([""], ["ABC"], ["abc"]),
    ),
    Family(
        "mask(s)",
        level=2,
        phrasings="""
            - Write a function $signature that replaces all characters of s by "$sign" except the
              last $n. A string of at most $n characters is returned unchanged.
            - Create $signature to hide a secret: only the last $n characters of s stay, each one
              before them becomes "$sign".
            - Implement $signature. Return a string as long as s where "$sign" stands for every
              character but the final $n.
        """,
        grid={"n": (2, 3, 4), "sign": ("*", "#", "x")},
        plan=("Count the hidden characters.", 'Write "$sign" for each.', "Add the last $n."),
        python='return "$sign" * (len(s) - $n) + s[-$n:]',
        javascript='return "$sign".repeat(Math.max(s.length - $n, 0)) + s.slice(-$n);',
        draw=each(letters("0123456789abc", 3, 10)),
        edges=([""], ["ab"], ["abcde"]),
    ),
    Family(
        "every_other_character(s)",
        level=2,
        phrasings="""
            - Write a function $signature that returns the characters of s at the indices 0, 2, 4
              and so on.
            - Create $signature, which takes every second character of s, beginning with the first,
              and returns them as a string.
            - Implement $signature: keep the characters of s at even positions (counting from 0) and
              drop the others.
        """,
        plan=("Go through even indices.", "Take each character.", "Return the string."),
        python="return s[::2]",
        javascript="""
            let result = "";
            for (let i = 0; i < s.length; i += 2) {
              result += s[i];
            }
            return result;
        """,
        draw=each(sentence(1, 2)),
        edges=([""], ["a"], ["abcd"]),
    ),
    Family(
        "swap_ends(s)",
        level=2,
        phrasings="""
            - Write a function $signature that swaps the first and the last character of s. Strings
              of fewer than two characters stay as they are.
            - Create $signature to exchange the characters at both ends of the string s. If s has
              less than 2 characters, return it unchanged.
            - Implement $signature: the last character moves to the front and the first one to the
              end; the middle stays. A string with 0 or 1 characters is returned as it is.
        """,
        plan=("Return short strings.", "Put the last one first and the first one last."),
        python="""
            if len(s) < 2:
                return s
            return s[-1] + s[1:-1] + s[0]
        """,
        javascript="""
            if (s.length < 2) {
              return s;
            }
            return s[s.length - 1] + s.slice(1, -1) + s[0];
        """,
        draw=each(word()),
        edges=([""], ["x"], ["ab"]),
    ),
    Family(
        "letter_positions(s)",
        level=2,
        phrasings="""
            - Write a function $signature that returns the list of all indices at which "$letter"
              stands in s, counting from 0.
            - Create $signature to find every position of the letter "$letter" in the string s. The
              first character has position 0; no hit gives an empty list.
            - Implement $signature: go through s and collect the zero-based index of each "$letter".
        """,
        grid={"letter": ("a", "b", "e")},
        plan=("Go through the indices.", 'Keep those of "$letter".', "Return the list."),
        python='return [i for i in range(len(s)) if s[i] == "$letter"]',
        javascript="""
            const positions = [];
            for (let i = 0; i < s.length; i++) {
              if (s[i] === "$letter") {
                positions.push(i);
              }
            }
            return positions;
        """,
        draw=each(letters("aabbeecd", 3)),
        edges=([""], ["abe"]),
    ),
    Family(
        "is_number(s)",
        level=2,
        phrasings="""
            - Write a function $signature that returns true if s is not empty and all its characters
              are digits from 0 to 9.
            - Create the function $signature to check whether the text s consists only of digits.
              The empty string gives false.
            - Implement $signature: return false if s has a character that is no digit or has no
              characters, otherwise true.
        """,
        plan=("Check that s is not empty.", "Check each character.", "Return the answer."),
        python="return s.isdigit()",
        javascript="return /^[0-9]+$$/.test(s);",
        draw=each(letters("0123456789012345678901234567890123456789abcd", 2, 6)),
        edges=([""], ["42"], ["4a"], ["0"]),
    ),
)
