"""Level 4: harder tasks on strings and numbers."""

from potstill.katas.draws import each, integer, letters, word
from potstill.katas.family import Family

FAMILIES = (
    Family(
        "is_balanced(s)",
        level=4,
        phrasings="""
            - Write a function $signature that returns true if all brackets (), [] and {} in s are
              closed by the right kind in the right order. Other characters do not appear.
            - Create the function $signature: s consists of the brackets ()[]{} only. Return whether
              every opening one has its matching closing one; the empty string is balanced.
            - Implement $signature with a stack: push opening brackets, pop at a closing one and
              compare. Return whether all of the brackets ()[]{} in s match.
        """,
        plan=("Push opening brackets.", "Compare closing ones with the top.", "Check the stack."),
        python="""
            pairs = {")": "(", "]": "[", "}": "{"}
            stack = []
            for c in s:
                if c not in pairs:
                    stack.append(c)
                elif not stack or stack.pop() != pairs[c]:
                    return False
            return stack == []
        """,
        javascript="""
            const pairs = { ")": "(", "]": "[", "}": "{" };
            const stack = [];
            for (const c of s) {
              if (!(c in pairs)) {
                stack.push(c);
              } else if (stack.pop() !== pairs[c]) {
                return false;
              }
            }
            return stack.length === 0;
        """,
        draw=each(letters("()()[]{}", 2, 6)),
        edges=([""], ["([]{})"], ["(]"], ["(("], ["{[()]}()"]),
    ),
    Family(
        "common_prefix(words)",
        level=4,
        phrasings="""
            - Write a function $signature that returns the longest string with which all words of
              the list begin. The list has at least one word.
            - Create $signature to find the longest common prefix of one or more words; it may be
              empty.
            - Implement $signature: shorten the first word from its end until every word starts with
              it, and return what is left. There is at least one word.
        """,
        plan=("Start with the first word.", "Shorten it until all words match.", "Return it."),
        python="""
            prefix = words[0]
            while not all(word.startswith(prefix) for word in words):
                prefix = prefix[:-1]
            return prefix
        """,
        javascript="""
            let prefix = words[0];
            while (!words.every((word) => word.startsWith(prefix))) {
              prefix = prefix.slice(0, -1);
            }
            return prefix;
        """,
        draw=lambda rng, values: [
            [stem + word()(rng, values) for stem in [rng.choice(("in", "re", "auto", "", "b"))] * 3]
        ],
        edges=([["one"]], [["cat", "dog"]], [["flow", "flower", "flight"]]),
    ),
    Family(
        "shift_letters(s)",
        level=4,
        phrasings="""
            - Write a function $signature that replaces each lower-case letter of s by the letter $k
              places later in the alphabet, with a after z. Other characters stay.
            - Create the function $signature, a Caesar cipher with the shift $k for lower-case
              letters: z is followed by a again, spaces and all else are left unchanged.
            - Implement $signature. Move every letter from a to z forward by $k, beginning again at
              a behind z, keep any other character and return the text.
        """,
        grid={"k": (1, 3, 5, 13)},
        plan=("Go through the characters.", "Shift letters by $k around z.", "Return the text."),
        python="""
            alphabet = "abcdefghijklmnopqrstuvwxyz"
            result = ""
            for c in s:
                if c in alphabet:
                    result += alphabet[(alphabet.index(c) + $k) % 26]
                else:
                    result += c
            return result
        """,
        javascript="""
            const alphabet = "abcdefghijklmnopqrstuvwxyz";
            let result = "";
            for (const c of s) {
              if (alphabet.includes(c)) {
                result += alphabet[(alphabet.indexOf(c) + $k) % 26];
              } else {
                result += c;
              }
            }
            return result;
        """,
        draw=each(letters("abcmnwxyz ", 2, 9)),
        edges=([""], ["xyz"], ["Hi, you"]),
    ),
    Family(
        "edit_distance(a, b)",
        level=4,
        phrasings="""
            - Write a function $signature that returns the smallest number of single-character
              insertions, deletions and replacements that turn a into b.
            - Create $signature to calculate the Levenshtein distance of two strings.
            - Implement $signature: one step inserts, removes or changes one character. How many
              steps are needed at least to get from a to b?
        """,
        plan=("Compare all beginnings of both.", "Keep the cheapest step.", "Return the last."),
        python="""
            row = list(range(len(b) + 1))
            for i in range(len(a)):
                new = [i + 1]
                for j in range(len(b)):
                    cost = 0 if a[i] == b[j] else 1
                    new.append(min(new[j] + 1, row[j + 1] + 1, row[j] + cost))
                row = new
            return row[-1]
        """,
        javascript="""
            let row = Array.from({ length: b.length + 1 }, (_, j) => j);
            for (let i = 0; i < a.length; i++) {
              const next = [i + 1];
              for (let j = 0; j < b.length; j++) {
                const cost = a[i] === b[j] ? 0 : 1;
                next.push(Math.min(next[j] + 1, row[j + 1] + 1, row[j] + cost));
              }
              row = next;
            }
            return row[b.length];
        """,
        draw=each(letters("abc", 2, 6), letters("abc", 2, 6)),
        edges=(["", ""], ["cat", "cut"], ["", "abc"], ["sitting", "kitten"]),
    ),
    Family(
        "evaluate_postfix(tokens)",
        level=4,
        phrasings="""
            - Write a function $signature that calculates an expression in postfix notation: "2",
              "3", "+" gives 5. The tokens are whole numbers and the operators +, - and *.
            - Create the function $signature. tokens is a list of strings in reverse Polish notation
              with whole numbers, +, - and *; return the value of the expression.
            - Implement $signature with a stack: push numbers; at +, - or * take the last two from
              the stack, the second operand first, and push the result. Return the final value.
        """,
        plan=("Push numbers on a stack.", "Apply operators to the top two.", "Return the top."),
        python="""
            stack = []
            for token in tokens:
                if token in ["+", "-", "*"]:
                    b = stack.pop()
                    a = stack.pop()
                    if token == "+":
                        stack.append(a + b)
                    elif token == "-":
                        stack.append(a - b)
                    else:
                        stack.append(a * b)
                else:
                    stack.append(int(token))
            return stack[0]
        """,
        javascript="""
            const stack = [];
            for (const token of tokens) {
              if (["+", "-", "*"].includes(token)) {
                const b = stack.pop();
                const a = stack.pop();
                if (token === "+") {
                  stack.push(a + b);
                } else if (token === "-") {
                  stack.push(a - b);
                } else {
                  stack.push(a * b);
                }
              } else {
                stack.push(Number(token));
              }
            }
            return stack[0];
        """,
        draw=lambda rng, _: [
            rng.choice(
                (
                    [str(rng.randint(1, 9)), str(rng.randint(1, 9)), rng.choice("+-*")],
                    [
                        *(str(rng.randint(1, 9)) for _ in range(3)),
                        rng.choice("+-*"),
                        rng.choice("+-*"),
                    ],
                )
            )
        ],
        edges=([["7"]], [["2", "3", "+"]], [["9", "4", "-"]]),
    ),
    Family(
        "longest_without_repeat(s)",
        level=4,
        phrasings="""
            - Write a function $signature that returns the length of the longest part of s, without
              gaps, in which no character appears twice.
            - Create $signature: of all substrings of s whose characters are all different, how long
              is the longest? The empty string gives 0.
            - Implement $signature. Extend a window to the right and drop characters on its left as
              soon as one repeats; return the greatest length of the window.
        """,
        plan=("Extend a window.", "Drop up to the repeated one.", "Return the greatest length."),
        python="""
            window = ""
            best = 0
            for c in s:
                if c in window:
                    window = window[window.index(c) + 1:]
                window += c
                best = max(best, len(window))
            return best
        """,
        javascript="""
            let window = "";
            let best = 0;
            for (const c of s) {
              if (window.includes(c)) {
                window = window.slice(window.indexOf(c) + 1);
              }
              window += c;
              best = Math.max(best, window.length);
            }
            return best;
        """,
        draw=each(letters("abcdefg", 2, 9)),
        edges=([""], ["aaa"], ["abcab"]),
    ),
    Family(
        "coin_ways(amount)",
        level=4,
        phrasings="""
            - Write a function $signature that returns in how many ways amount can be paid with
              coins of $a, $b and $c. The order of the coins does not matter; 0 can be paid in 1
              way.
            - Create the function $signature: count the combinations of any number of coins worth
              $a, $b and $c that add up to amount. For amount 0 return 1.
            - Implement $signature. There are enough coins of the values $a, $b and $c; how many
              different sets of them make amount? Taking no coin is the one way to make 0.
        """,
        grid={"a": (1,), "b": (2, 3), "c": (5, 10)},
        plan=("Start with one way for 0.", "Add the ways of each coin.", "Return the last."),
        python="""
            ways = [1] + [0] * amount
            for coin in [$a, $b, $c]:
                for i in range(coin, amount + 1):
                    ways[i] += ways[i - coin]
            return ways[amount]
        """,
        javascript="""
            const ways = Array(amount + 1).fill(0);
            ways[0] = 1;
            for (const coin of [$a, $b, $c]) {
              for (let i = coin; i <= amount; i++) {
                ways[i] += ways[i - coin];
              }
            }
            return ways[amount];
        """,
        draw=each(integer(2, 40)),
        edges=([0], [1], [10]),
    ),
)
