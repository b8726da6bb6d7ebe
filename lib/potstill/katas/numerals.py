"""Levels 1 to 4: numbers as digits and signs."""

from potstill.katas.draws import each, integer
from potstill.katas.family import Family

FAMILIES = (
    Family(
        "number_to_text(n)",
        level=1,
        phrasings="""
            - Write a function $signature that returns the number n as a string followed by "$unit".
            - Create $signature, which converts the whole number n to text and adds "$unit" at the
              end.
            - Implement $signature: join the digits of n and the unit "$unit", without a space
              between them.
        """,
        grid={"unit": ("kg", "cm", "%", "px", "km")},
        plan=("Convert n to a string.", 'Add "$unit".', "Return the string."),
        python='return str(n) + "$unit"',
        javascript='return n + "$unit";',
        draw=each(integer(-99, 999)),
        edges=([0], [5]),
    ),
    Family(
        "text_to_number(s)",
        level=1,
        phrasings="""
            - Write a function $signature that converts the string s, which holds a whole number, to
              a number.
            - Create $signature to return the integer that the text s stands for.
            - Implement $signature: the string "42" becomes the number 42. s always holds a whole
              number.
            - Provide $signature: a whole number comes as a string of digits, maybe with a
              minus, and goes out as a number.
            - Define $signature to parse s as an integer; s is always a valid one.
            - Given a string such as "-7", $signature should give the number -7. Please write it.
        """,
        plan=("Convert s to a number.", "Return it."),
        python="return int(s)",
        javascript="return Number(s);",
        draw=lambda rng, _: [str(rng.randint(-500, 500))],
        edges=(["0"], ["-7"], ["42"]),
    ),
    Family(
        "pad(n)",
        level=2,
        phrasings="""
            - Write a function $signature that returns the number n as a string of at least $width
              digits, filled with zeros on the left. n is not negative.
            - Create $signature: convert the whole number n, 0 or more, to text and put zeros before
              it until it has $width characters. Longer numbers stay as they are.
            - Implement $signature. With a width of $width, return n with leading zeros as a string;
              n is at least 0 and is never cut.
        """,
        grid={"width": (3, 4, 5)},
        plan=("Convert n to a string.", "Add zeros on the left up to $width.", "Return it."),
        python="return str(n).zfill($width)",
        javascript='return String(n).padStart($width, "0");',
        draw=each(integer(0, 2000)),
        edges=([0], [7], [123456]),
    ),
    Family(
        "digit_sum(n)",
        level=2,
        phrasings="""
            - Write a function $signature that returns the sum of the digits of n. n is not
              negative.
            - Create the function $signature, which adds up the digits of the whole number n, where
              n is 0 or more.
            - Implement $signature: for 123 it returns 6, because 1 + 2 + 3 is 6. n is never
              negative.
        """,
        plan=("Take the digits of n.", "Add them.", "Return the sum."),
        python="return sum(int(digit) for digit in str(n))",
        javascript="""
            let total = 0;
            for (const digit of String(n)) {
              total += Number(digit);
            }
            return total;
        """,
        draw=each(integer(10, 99999)),
        edges=([0], [7], [123]),
    ),
    Family(
        "count_digits(n)",
        level=2,
        phrasings="""
            - Write a function $signature that returns how many digits the whole number n has. The
              sign does not count.
            - Create $signature to count the digits of n, which may be negative; a minus sign is not
              a digit.
            - Implement $signature: the number of digits of the absolute value of n. 0 has one
              digit.
        """,
        plan=("Drop the sign of n.", "Convert it to a string.", "Return its length."),
        python="return len(str(abs(n)))",
        javascript="return String(Math.abs(n)).length;",
        draw=lambda rng, _: [rng.randint(-(10 ** rng.randint(1, 6)), 10 ** rng.randint(1, 6))],
        edges=([0], [-45], [100]),
    ),
    Family(
        "reverse_number(n)",
        level=2,
        phrasings="""
            - Write a function $signature that returns the number with the digits of n in reverse
              order. n is not negative.
            - Create $signature, which turns 123 into 321 and 120 into 21. n is 0 or more.
            - Implement $signature: reverse the digits of the whole number n, at least 0, and return
              them as a number.
        """,
        plan=("Convert n to a string.", "Reverse it.", "Return it as a number."),
        python="return int(str(n)[::-1])",
        javascript='return Number(String(n).split("").reverse().join(""));',
        draw=each(integer(10, 9999)),
        edges=([0], [120], [7]),
    ),
    Family(
        "to_base(n)",
        level=3,
        phrasings="""
            - Write a function $signature that returns the whole number n in base $base as a string.
              n is not negative; 0 gives "0".
            - Create $signature to convert n, which is at least 0, to the number system with base
              $base. Return the digits as text, "0" for zero.
            - Implement $signature: divide n by $base again and again and write the remainders from
              the last to the first. For n = 0 return "0"; n is never negative.
        """,
        grid={"base": (2, 3, 5, 8)},
        plan=("Collect remainders by $base.", "Reverse their order.", "Return the string."),
        python="""
            if n == 0:
                return "0"
            digits = ""
            while n > 0:
                digits = str(n % $base) + digits
                n //= $base
            return digits
        """,
        javascript="return n.toString($base);",
        draw=each(integer(2, 100)),
        edges=([0], [1], [10]),
    ),
    Family(
        "binary_to_number(s)",
        level=3,
        phrasings="""
            - Write a function $signature that converts the string s of binary digits to a number.
            - Create the function $signature. s consists of "0" and "1"; return the number it stands
              for in base 2, so that "101" gives 5.
            - Implement $signature: read the binary digits from left to right, double the result
              each time and add the digit. s has at least one digit.
        """,
        plan=("Start with 0.", "Double it and add each digit.", "Return the number."),
        python="""
            result = 0
            for digit in s:
                result = result * 2 + int(digit)
            return result
        """,
        javascript="""
            let result = 0;
            for (const digit of s) {
              result = result * 2 + Number(digit);
            }
            return result;
        """,
        draw=lambda rng, _: [f"{rng.randint(0, 255):b}"],
        edges=(["0"], ["101"], ["0011"]),
    ),
    Family(
        "digital_root(n)",
        level=3,
        phrasings="""
            - Write a function $signature that replaces n by the sum of its digits until it has one
              digit and returns that digit. n is not negative.
            - Create $signature: add the digits of n, then the digits of the result and so on, as
              long as the number is greater than 9. n is 0 or more.
            - Implement $signature. 987 becomes 24 and 24 becomes 6, so the result is 6; a number
              from 0 to 9 is returned unchanged. n is never negative.
        """,
        plan=("Repeat while n is above 9.", "Replace n by its digit sum.", "Return n."),
        python="""
            while n > 9:
                n = sum(int(digit) for digit in str(n))
            return n
        """,
        javascript="""
            while (n > 9) {
              n = String(n).split("").reduce((sum, digit) => sum + Number(digit), 0);
            }
            return n;
        """,
        draw=each(integer(10, 9999)),
        edges=([0], [9], [987]),
    ),
    Family(
        "to_roman(n)",
        level=4,
        phrasings="""
            - Write a function $signature that converts a number from 1 to 3999 to a Roman numeral.
            - Create $signature: write n, at least 1 and below 4000, with the Roman digits M, D, C,
              L, X, V and I, so that 4 is IV and 9 is IX.
            - Implement $signature. Take the largest of 1000, 900, 500, 400, 100, 90, 50, 40, 10, 9,
              5, 4 and 1 that fits, add its Roman sign to the result and go on with the rest.
        """,
        plan=("Go through the values from M to I.", "Add each sign while it fits.", "Return."),
        python="""
            values = [1000, 900, 500, 400, 100, 90, 50, 40, 10, 9, 5, 4, 1]
            signs = ["M", "CM", "D", "CD", "C", "XC", "L", "XL", "X", "IX", "V", "IV", "I"]
            result = ""
            for i in range(len(values)):
                while n >= values[i]:
                    result += signs[i]
                    n -= values[i]
            return result
        """,
        javascript="""
            const values = [1000, 900, 500, 400, 100, 90, 50, 40, 10, 9, 5, 4, 1];
            const signs = ["M", "CM", "D", "CD", "C", "XC", "L", "XL", "X", "IX", "V", "IV", "I"];
            let result = "";
            for (let i = 0; i < values.length; i++) {
              while (n >= values[i]) {
                result += signs[i];
                n -= values[i];
              }
            }
            return result;
        """,
        draw=each(integer(1, 3999)),
        edges=([1], [4], [1994], [3999]),
    ),
    Family(
        "from_roman(s)",
        level=4,
        phrasings="""
            - Write a function $signature that converts a Roman numeral to a number.
            - Create the function $signature. s is written with I, V, X, L and C; a smaller sign
              before a larger one is subtracted, all others are added. Return the number.
            - Implement $signature to read a Roman numeral made of the signs I, V, X, L and C: XIV
              is 14.
        """,
        plan=("Look up each sign.", "Subtract it before a larger one, else add.", "Return."),
        python="""
            values = {"I": 1, "V": 5, "X": 10, "L": 50, "C": 100}
            total = 0
            for i in range(len(s)):
                value = values[s[i]]
                if i + 1 < len(s) and values[s[i + 1]] > value:
                    total -= value
                else:
                    total += value
            return total
        """,
        javascript="""
            const values = { I: 1, V: 5, X: 10, L: 50, C: 100 };
            let total = 0;
            for (let i = 0; i < s.length; i++) {
              const value = values[s[i]];
              if (i + 1 < s.length && values[s[i + 1]] > value) {
                total -= value;
              } else {
                total += value;
              }
            }
            return total;
        """,
        draw=lambda rng, _: [
            rng.choice(("", "C", "XC", "XL", "LX", "XX"))
            + rng.choice(("I", "IV", "VI", "VIII", "IX", "III"))
        ],
        edges=(["I"], ["XIV"], ["XCIX"]),
    ),
)
