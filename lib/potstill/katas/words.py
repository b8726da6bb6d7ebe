"""Levels 1 to 3: words of a sentence and lists of words."""

from potstill.katas.draws import each, letters, many, one_of, sentence, words
from potstill.katas.family import Family

FAMILIES = (
    Family(
        "sort_words_down(words)",
        level=1,
        phrasings="""
            - Write a function $signature that returns the words in reverse alphabetical order. All
              words are in lower case.
            - Create $signature to sort a list of lower-case words from z to a.
            - Implement $signature: sort the lower-case words so that the alphabetically last one
              comes first, and return the list.
        """,
        plan=("Sort the words.", "Reverse the order.", "Return the list."),
        python="return sorted(words, reverse=True)",
        javascript="return [...words].sort().reverse();",
        draw=each(words()),
        edges=([[]], [["b", "c", "a"]]),
    ),
    Family(
        "capitalize_words(s)",
        level=2,
        phrasings="""
            - Write a function $signature that makes the first letter of each word upper case. The
              words are in lower case with single spaces between them.
            - Create the function $signature: s holds lower-case words separated by one space each;
              return it with a capital letter at the start of every word.
            - Implement $signature, which turns a title in small letters, words separated by single
              spaces, into one where each word begins with a capital.
        """,
        plan=("Split s into words.", "Capitalise each word.", "Join them with spaces."),
        python='return " ".join(word.capitalize() for word in s.split(" "))',
        javascript="""
            return s
              .split(" ")
              .map((word) => word.charAt(0).toUpperCase() + word.slice(1))
              .join(" ");
        """,
        draw=each(sentence()),
        edges=(["a"], ["one two"]),
    ),
    Family(
        "count_words(s)",
        level=2,
        phrasings="""
            - Write a function $signature that returns the number of words in s. Words are separated
              by one or more spaces; the empty string has 0 words.
            - Create $signature to count the words of a text, where any number of spaces may stand
              between, before and after them. No words give 0.
            - Implement $signature. Split the string s at its spaces, ignore empty parts and return
              how many words are left.
        """,
        plan=("Split s at spaces.", "Drop empty parts.", "Return how many are left."),
        python="return len(s.split())",
        javascript='return s.split(" ").filter((word) => word !== "").length;',
        draw=lambda rng, values: [(" " * rng.randint(1, 2)).join(sentence()(rng, values).split())],
        edges=([""], ["  "], [" one  two "]),
    ),
    Family(
        "initials(name)",
        level=2,
        phrasings="""
            - Write a function $signature that returns the first letters of all words of name,
              joined together. Single spaces separate the words.
            - Create the function $signature to return the initials of a name: "Mary Ann Lee" gives
              "MAL".
            - Implement $signature: split name at the spaces, take the first character of each part
              and return them as one string.
        """,
        plan=("Split name into words.", "Take each first letter.", "Join them."),
        python='return "".join(word[0] for word in name.split())',
        javascript='return name.split(" ").map((word) => word[0]).join("");',
        draw=lambda rng, values: [sentence()(rng, values).title()],
        edges=(["Ada"], ["Mary Ann Lee"]),
    ),
    Family(
        "reverse_words(s)",
        level=2,
        phrasings="""
            - Write a function $signature that returns the words of s in reverse order. Single
              spaces separate the words.
            - Create the function $signature: "one two three" becomes "three two one".
            - Implement $signature. Split the text at its single spaces, put the last word first and
              join the words with spaces again.
        """,
        plan=("Split s into words.", "Reverse their order.", "Join them with spaces."),
        python='return " ".join(s.split(" ")[::-1])',
        javascript='return s.split(" ").reverse().join(" ");',
        draw=each(sentence(2, 5)),
        edges=(["one"], ["one two three"]),
    ),
    Family(
        "word_lengths(words)",
        level=2,
        phrasings="""
            - Write a function $signature that returns a list with the length of each word.
            - Create $signature to return how many characters each string of the list has, in the
              same order.
            - Implement $signature: for the words "to" and "house" it returns the list of 2 and 5.
        """,
        plan=("Go through the words.", "Take each length.", "Return the list."),
        python="return [len(word) for word in words]",
        javascript="return words.map((word) => word.length);",
        draw=each(words()),
        edges=([[]], [["to", "house"]], [[""]]),
    ),
    Family(
        "long_words(words)",
        level=2,
        phrasings="""
            - Write a function $signature that returns the words that have at least $n characters.
            - Create the function $signature, which drops all words shorter than $n letters from a
              list and returns the rest.
            - Implement $signature: filter the list so that only strings of length $n or more stay.
        """,
        grid={"n": (3, 4, 5)},
        plan=("Take the length of each word.", "Keep those from $n on.", "Return them."),
        python="return [word for word in words if len(word) >= $n]",
        javascript="return words.filter((word) => word.length >= $n);",
        draw=each(words(2, 6)),
        edges=([[]], [["a", "to", "cat", "pear", "apple"]]),
    ),
    Family(
        "non_empty(texts)",
        level=2,
        phrasings="""
            - Write a function $signature that returns the strings of the list that are not empty,
              each in upper case.
            - Create the function $signature: drop the empty strings and convert the others to
              capital letters.
            - Implement $signature. It takes a list of texts, ignores those without characters and
              returns the rest in upper case.
        """,
        plan=("Go through the strings.", "Skip empty ones.", "Return the rest in upper case."),
        python='return [text.upper() for text in texts if text != ""]',
        javascript='return texts.filter((text) => text !== "").map((text) => text.toUpperCase());',
        draw=each(many(one_of("", "ab", "cat", "x", "Go"), 2, 6)),
        edges=([[]], [[""]]),
    ),
    Family(
        "numbered(lines)",
        level=2,
        phrasings="""
            - Write a function $signature that puts the number of each line and "$sep" before it,
              beginning with 1.
            - Create $signature: the first string of the list gets "1$sep" at its front, the second
              "2$sep" and so on. Return the new list.
            - Implement $signature, which returns the lines as a numbered list of strings: number,
              then "$sep", then the line. The first number is 1.
        """,
        grid={"sep": (". ", ": ", ") ")},
        plan=("Count the lines from 1.", 'Join number, "$sep" and line.', "Return the list."),
        python='return [str(i + 1) + "$sep" + lines[i] for i in range(len(lines))]',
        javascript='return lines.map((line, i) => i + 1 + "$sep" + line);',
        draw=each(many(letters("abc "), 1, 4)),
        edges=([[]], [["a", "b"]]),
    ),
    Family(
        "longest_word(words)",
        level=2,
        phrasings="""
            - Write a function $signature that returns the longest word of a non-empty list, the
              first one if several are equally long.
            - Create the function $signature to find the string with the most characters. Of equally
              long ones return the first; the list is never empty.
            - Implement $signature: go through the words, at least one, remember the longest so far
              and replace it only by a longer one.
        """,
        plan=("Compare the lengths of the words.", "Return the first longest."),
        python="return max(words, key=len)",
        javascript="""
            let longest = words[0];
            for (const word of words) {
              if (word.length > longest.length) {
                longest = word;
              }
            }
            return longest;
        """,
        draw=each(words(2, 6)),
        edges=([["a"]], [["cat", "dog"]]),
    ),
    Family(
        "join_words(words)",
        level=2,
        phrasings="""
            - Write a function $signature that joins the words of the list with "$sep" between them.
              An empty list gives an empty string.
            - Create $signature to make one string of a list of words, separated by "$sep". No words
              give an empty string.
            - Implement $signature. Put "$sep" between neighbouring words, but not at the ends, and
              return the text, empty for an empty list.
        """,
        grid={"sep": (", ", "-", " and ", "/", " ")},
        plan=('Join the words with "$sep".', "Return the string."),
        python='return "$sep".join(words)',
        javascript='return words.join("$sep");',
        draw=each(words()),
        edges=([[]], [["one"]]),
    ),
    Family(
        "most_common_word(words)",
        level=3,
        phrasings="""
            - Write a function $signature that returns the word that appears most often in the list.
              On a tie return the one that comes first in the list; the list is not empty.
            - Create the function $signature to find the most frequent string of a non-empty list,
              the earliest one among equals.
            - Implement $signature. Count each word and return the one with the largest count; if
              two are equally frequent, the one seen first. There is at least one word.
        """,
        plan=("Count each word.", "Return the first with the highest count."),
        python="return max(words, key=words.count)",
        javascript="""
            let best = words[0];
            let most = 0;
            for (const word of words) {
              const count = words.filter((other) => other === word).length;
              if (count > most) {
                best = word;
                most = count;
              }
            }
            return best;
        """,
        draw=lambda rng, _: [rng.choices(("cat", "dog", "fox", "eel"), k=rng.randint(3, 7))],
        edges=([["one"]], [["dog", "cat"]], [["cat", "dog", "dog"]]),
    ),
    Family(
        "snake_to_camel(name)",
        level=3,
        phrasings="""
            - Write a function $signature that converts a name like first_second_third to
              firstSecondThird. The name consists of lower-case words joined by underscores.
            - Create the function $signature: remove the underscores of name and make the letter
              after each of them upper case. Every underscore stands between two lower-case words.
            - Implement $signature. Split the lower-case name at its underscores, capitalise every
              part but the first and join them.
        """,
        plan=("Split name at underscores.", "Capitalise all but the first.", "Join the parts."),
        python="""
            parts = name.split("_")
            return parts[0] + "".join(part.capitalize() for part in parts[1:])
        """,
        javascript="""
            const parts = name.split("_");
            return parts[0] + parts.slice(1).map((p) => p[0].toUpperCase() + p.slice(1)).join("");
        """,
        draw=lambda rng, values: ["_".join(words(2, 4)(rng, values))],
        edges=(["one"], ["first_second_third"]),
    ),
)
