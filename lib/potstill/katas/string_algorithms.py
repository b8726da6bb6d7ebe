"""Level 3: small algorithms on strings and words."""

from potstill.katas.draws import each, letters, sentence
from potstill.katas.family import Family

FAMILIES = (
    Family(
        "is_palindrome_text(s)",
        level=3,
        phrasings="""
            - Write a function $signature that returns true if s is a palindrome when spaces and the
              difference between upper and lower case are ignored.
            - Create the function $signature: remove the spaces of s, convert it to lower case and
              check whether it reads the same backwards.
            - Implement $signature, so that "Never odd or even" gives true: only the letters count,
              not their case and not the spaces.
        """,
        plan=("Remove the spaces.", "Convert to lower case.", "Compare with the reverse."),
        python="""
            text = s.replace(" ", "").lower()
            return text == text[::-1]
        """,
        javascript="""
            const text = s.split(" ").join("").toLowerCase();
            return text === text.split("").reverse().join("");
        """,
        draw=each(sentence(1, 3)),
        edges=(["Never odd or even"], ["Level"], ["Step on no pets"], ["No way"]),
    ),
    Family(
        "run_lengths(s)",
        level=3,
        phrasings="""
            - Write a function $signature that returns a list of pairs, a character and how often it
              stands in a row, for each run of equal characters in s.
            - Create the function $signature: "aab" gives the list with the lists "a", 2 and "b", 1.
              The empty string gives an empty list.
            - Implement $signature, the run-length encoding of a string. Each group of equal
              neighbours becomes a list of the character and the length of the group.
        """,
        plan=("Go through the characters.", "Extend or begin a run.", "Return the runs."),
        python="""
            runs = []
            for c in s:
                if runs and runs[-1][0] == c:
                    runs[-1][1] += 1
                else:
                    runs.append([c, 1])
            return runs
        """,
        javascript="""
            const runs = [];
            for (const c of s) {
              const last = runs[runs.length - 1];
              if (last && last[0] === c) {
                last[1]++;
              } else {
                runs.push([c, 1]);
              }
            }
            return runs;
        """,
        draw=each(letters("aaab", 2, 9)),
        edges=([""], ["aab"], ["aba"]),
    ),
    Family(
        "are_anagrams(a, b)",
        level=3,
        phrasings="""
            - Write a function $signature that returns true if the strings a and b consist of the
              same letters, each equally often.
            - Create $signature to check whether b can be made by putting the characters of a in
              another order.
            - Implement $signature: sort the characters of both words and return whether the results
              are equal.
        """,
        plan=("Sort the characters of both.", "Return whether they are equal."),
        python="return sorted(a) == sorted(b)",
        javascript="""
            return a.split("").sort().join("") === b.split("").sort().join("");
        """,
        draw=each(letters("abc", 2, 3), letters("abc", 2, 3)),
        edges=(["listen", "silent"], ["aab", "abb"], ["stone", "notes"], ["ab", "abc"]),
    ),
    Family(
        "most_common_letter(s)",
        level=3,
        phrasings="""
            - Write a function $signature that returns the character that appears most often in the
              non-empty string s. Of equally frequent ones return the alphabetically first.
            - Create the function $signature. Count the letters of s, which is not empty, and return
              the one with the highest count; on a tie the one that comes first in the alphabet.
            - Implement $signature: which letter of the non-empty word is the most frequent? If
              there are several, choose the smallest in alphabetical order.
        """,
        plan=("Sort the letters.", "Count each letter.", "Return the most frequent."),
        python="""
            best = ""
            for c in sorted(s):
                if s.count(c) > s.count(best) or best == "":
                    best = c
            return best
        """,
        javascript="""
            let best = "";
            let most = 0;
            for (const c of s.split("").sort()) {
              const count = s.split(c).length - 1;
              if (count > most) {
                best = c;
                most = count;
              }
            }
            return best;
        """,
        draw=each(letters("abcde", 3, 9)),
        edges=(["x"], ["ba"], ["abb"]),
    ),
    Family(
        "first_unique_letter(s)",
        level=3,
        phrasings="""
            - Write a function $signature that returns the first character of s that appears exactly
              once, or an empty string if there is none.
            - Create $signature to find the first letter without a second occurrence anywhere in s.
              If all letters repeat, return an empty string.
            - Implement $signature: go through s from the left and return the first character whose
              count in s is 1. Without one return "".
        """,
        plan=("Go through the characters.", "Return the first counted once.", "Else return empty."),
        python="""
            for c in s:
                if s.count(c) == 1:
                    return c
            return ""
        """,
        javascript="""
            for (const c of s) {
              if (s.indexOf(c) === s.lastIndexOf(c)) {
                return c;
              }
            }
            return "";
        """,
        draw=each(letters("aabbccde", 3, 8)),
        edges=([""], ["aa"], ["aba"]),
    ),
    Family(
        "has_all_letters(s)",
        level=3,
        phrasings="""
            - Write a function $signature that returns true if s contains every letter of "$needed"
              at least once, in upper or lower case.
            - Create the function $signature, which checks that no letter of "$needed" is missing in
              s. Case does not matter.
            - Implement $signature: convert s to lower case and return whether each of the letters
              "$needed" is in it.
        """,
        grid={"needed": ("abc", "aeio", "xyz")},
        plan=("Convert s to lower case.", 'Look for each letter of "$needed".', "Return."),
        python="""
            text = s.lower()
            return all(c in text for c in "$needed")
        """,
        javascript="""
            const text = s.toLowerCase();
            return "$needed".split("").every((c) => text.includes(c));
        """,
        draw=lambda rng, values: [
            "".join(rng.sample(values["needed"] + "mk", len(values["needed"]) + 1)).title()
        ],
        edges=([""], ["AbcXyz aeIO"], ["abx"]),
    ),
    Family(
        "is_subsequence(a, b)",
        level=3,
        phrasings="""
            - Write a function $signature that returns true if the characters of a appear in b in
              the same order, not necessarily next to each other.
            - Create $signature to check whether a can be made from b by deleting characters without
              changing the order of the others.
            - Implement $signature: walk through b and tick off the characters of a one after the
              other; return whether all of a was found.
        """,
        plan=("Walk through b.", "Step on in a at each match.", "Return whether a was used up."),
        python="""
            position = 0
            for c in b:
                if position < len(a) and a[position] == c:
                    position += 1
            return position == len(a)
        """,
        javascript="""
            let position = 0;
            for (const c of b) {
              if (position < a.length && a[position] === c) {
                position++;
              }
            }
            return position === a.length;
        """,
        draw=each(letters("abc", 2, 3), letters("abc", 4, 7)),
        edges=(["", "abc"], ["ace", "abcde"], ["ba", "ab"], ["a", ""]),
    ),
    Family(
        "longest_run(s)",
        level=3,
        phrasings="""
            - Write a function $signature that returns the length of the longest run of "$letter" in
              s, and 0 if there is none.
            - Create $signature to count how many "$letter" characters stand directly one after
              another at most. Return 0 for a string without any.
            - Implement $signature: go through s, count equal neighbours "$letter", start again at 0
              at any other character and return the highest count.
        """,
        grid={"letter": ("a", "b")},
        plan=('Count "$letter" in a row.', "Reset at other characters.", "Return the highest."),
        python="""
            best = 0
            count = 0
            for c in s:
                if c == "$letter":
                    count += 1
                else:
                    count = 0
                best = max(best, count)
            return best
        """,
        javascript="""
            let best = 0;
            let count = 0;
            for (const c of s) {
              if (c === "$letter") {
                count++;
              } else {
                count = 0;
              }
              best = Math.max(best, count);
            }
            return best;
        """,
        draw=each(letters("aaaabbbbx", 3, 14)),
        edges=([""], ["aabbbaaaa"], ["xyz"]),
    ),
)
