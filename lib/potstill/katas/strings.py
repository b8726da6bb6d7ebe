"""Level 1: one expression with strings."""

from potstill.katas.draws import each, letters, sentence, word, words
from potstill.katas.family import Family

FAMILIES = (
    Family(
        "string_length(s)",
        level=1,
        phrasings="""
            - Write a function $signature that returns the length of the string s.
            - Create the function $signature that counts how many characters s has.
            - Implement $signature. It returns the number of characters of a text; spaces count too.
        """,
        plan=("Take the length of s.", "Return it."),
        python="return len(s)",
        javascript="return s.length;",
        draw=each(sentence()),
        edges=([""], ["a b"]),
    ),
    Family(
        "reverse_string(s)",
        level=1,
        phrasings="""
            - Write a function $signature that returns the string s reversed.
            - Create a function $signature that returns the characters of s in reverse order.
            - Implement $signature: turn the text around, so that its last character comes first.
            - I need $signature to write a string backwards.
        """,
        plan=("Reverse the characters of s.", "Return the new string."),
        python="return s[::-1]",
        javascript='return s.split("").reverse().join("");',
        draw=each(sentence(1, 3)),
        edges=([""], ["ab"]),
    ),
    Family(
        "to_upper(s)",
        level=1,
        phrasings="""
            - Write a function $signature that converts the string s to upper case.
            - Create $signature to return s with all letters as capital letters.
            - Implement $signature, which returns the upper-case version of a text.
        """,
        plan=("Convert s to upper case.", "Return it."),
        python="return s.upper()",
        javascript="return s.toUpperCase();",
        draw=each(sentence(1, 3)),
        edges=([""], ["Ab c"]),
    ),
    Family(
        "lower_and_strip(s)",
        level=1,
        phrasings="""
            - Write a function $signature that removes the spaces at both ends of s and converts it
              to lower case.
            - Create the function $signature. It strips leading and trailing spaces from s and
              returns the rest in lower case.
            - Implement $signature to clean a text: no spaces at the start or at the end, and only
              small letters.
            - Provide $signature: "  Hello World " becomes "hello world".
            - Define $signature to trim the blanks around a string and turn its capitals into
              lower-case letters.
            - Given user input s, $signature should give it without surrounding spaces and without
              capital letters. Please write it.
        """,
        plan=("Strip the spaces of s.", "Convert it to lower case.", "Return it."),
        python="return s.strip().lower()",
        javascript="return s.trim().toLowerCase();",
        draw=lambda rng, values: [
            " " * rng.randint(0, 2) + sentence(1, 2)(rng, values).title() + " " * rng.randint(0, 2)
        ],
        edges=([""], [" A "]),
    ),
    Family(
        "full_name(first, last)",
        level=1,
        phrasings="""
            - Write a function $signature that joins the first and the last name with a space
              between them.
            - Create $signature to return first, then a space, then last as one string.
            - Implement $signature. It concatenates two names, separated by one space.
        """,
        plan=("Put a space between first and last.", "Return the string."),
        python='return first + " " + last',
        javascript='return first + " " + last;',
        draw=lambda rng, values: [word()(rng, values).title(), word()(rng, values).title()],
        edges=(["Ada", "Lovelace"], ["A", "B"]),
    ),
    Family(
        "greet(name)",
        level=1,
        phrasings="""
            - Write a function $signature that returns "$word, " followed by name and an exclamation
              mark.
            - Create a function $signature that returns a greeting: for the name "Tom" it returns
              "$word, Tom!".
            - Implement $signature. It puts "$word, " before the name and "!" behind it and returns
              the text.
        """,
        grid={"word": ("Hello", "Welcome", "Goodbye", "Hi", "Good morning")},
        plan=('Put "$word, " before name.', 'Add "!" at the end.', "Return the greeting."),
        python='return "$word, " + name + "!"',
        javascript='return "$word, " + name + "!";',
        draw=lambda rng, values: [word()(rng, values).title()],
        edges=(["Tom"], ["Ann Lee"]),
    ),
    Family(
        "replace_character(s)",
        level=1,
        phrasings="""
            - Write a function $signature that replaces every "$old" in s with "$new".
            - Create the function $signature. It returns the string s with each "$old" changed to
              "$new".
            - Implement $signature: all "$old" characters of the text become "$new", the others stay
              as they are.
        """,
        grid={"old": ("a", "e", "o"), "new": ("_", "*", "-")},
        plan=('Replace each "$old" in s with "$new".', "Return the new string."),
        python='return s.replace("$old", "$new")',
        javascript='return s.replaceAll("$old", "$new");',
        draw=each(sentence(1, 3)),
        edges=([""], ["aaeeoo"]),
    ),
    Family(
        "first_characters(s)",
        level=1,
        phrasings="""
            - Write a function $signature that returns the first $n characters of s. A shorter
              string is returned whole.
            - Create $signature to return the beginning of s, at most $n characters.
            - Implement $signature: cut the string s after $n characters. Return s unchanged if it
              is not longer than that.
        """,
        grid={"n": (2, 3, 4, 5)},
        plan=("Take the characters before index $n.", "Return them."),
        python="return s[:$n]",
        javascript="return s.slice(0, $n);",
        draw=each(word()),
        edges=([""], ["a"], ["abcdefgh"]),
    ),
    Family(
        "without_first(s)",
        level=1,
        phrasings="""
            - Write a function $signature that returns the string s without its first character.
            - Create the function $signature. It removes the first character of s; an empty string
              stays empty.
            - Implement $signature: return everything of the text s from the second character on.
        """,
        plan=("Take s from index 1 on.", "Return it."),
        python="return s[1:]",
        javascript="return s.slice(1);",
        draw=each(word()),
        edges=([""], ["a"]),
    ),
    Family(
        "wrap(s)",
        level=1,
        phrasings="""
            - Write a function $signature that puts "$mark" before and after the string s.
            - Create a function $signature that returns s between two "$mark".
            - Implement $signature, which surrounds a text: first "$mark", then the text, then
              "$mark" again.
        """,
        grid={"mark": ("*", "--", "_", "|", "==")},
        plan=('Add "$mark" before s.', 'Add "$mark" after s.', "Return the string."),
        python='return "$mark" + s + "$mark"',
        javascript='return "$mark" + s + "$mark";',
        draw=each(word()),
        edges=([""], ["a b"]),
    ),
    Family(
        "count_letter(s)",
        level=1,
        phrasings="""
            - Write a function $signature that counts how often "$letter" appears in the string s.
            - Create $signature to return the number of "$letter" characters in s.
            - Implement $signature: how many times does the letter "$letter" occur in the text?
        """,
        grid={"letter": ("a", "e", "n", "r")},
        plan=('Count each "$letter" in s.', "Return the count."),
        python='return s.count("$letter")',
        javascript='return s.split("$letter").length - 1;',
        draw=each(letters("aaeennrrx")),
        edges=([""], ["aern"]),
    ),
    Family(
        "position_of_letter(s)",
        level=1,
        phrasings="""
            - Write a function $signature that returns the index of the first "$letter" in s, or -1
              if there is none.
            - Create the function $signature that finds where "$letter" appears first in the string
              s. Counting starts at 0; return -1 when it is missing.
            - Implement $signature: return the zero-based position of "$letter" in s and -1 if s
              does not contain it.
        """,
        grid={"letter": ("a", "e", "o", " ")},
        plan=('Search s for "$letter".', "Return its index or -1."),
        python='return s.find("$letter")',
        javascript='return s.indexOf("$letter");',
        draw=each(sentence(1, 3)),
        edges=([""], ["xyz"]),
    ),
    Family(
        "split_fields(s)",
        level=1,
        phrasings="""
            - Write a function $signature that splits the string s at every "$sep" and returns the
              list of the parts.
            - Create $signature to return a list of the fields of s, which are separated by "$sep".
            - Implement $signature. The text s holds words with "$sep" between them; return the
              words as a list.
        """,
        grid={"sep": (",", ";", "-", "/", ":")},
        plan=('Split s at "$sep".', "Return the list."),
        python='return s.split("$sep")',
        javascript='return s.split("$sep");',
        draw=lambda rng, values: [values["sep"].join(words()(rng, values))],
        edges=(["a"],),
    ),
    Family(
        "list_characters(s)",
        level=1,
        phrasings="""
            - Write a function $signature that returns a list of the characters of s.
            - Create the function $signature that turns the string s into a list with one character
              in each place.
            - Implement $signature: for "abc" it returns the list with "a", "b" and "c".
        """,
        plan=("Split s into its characters.", "Return the list."),
        python="return list(s)",
        javascript='return s.split("");',
        draw=each(word()),
        edges=([""], ["a b"]),
    ),
)
