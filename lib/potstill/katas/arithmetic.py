"""Level 1: one expression with numbers."""

from potstill.katas.draws import each, integer
from potstill.katas.family import Family

FAMILIES = (
    Family(
        "add(a, b)",
        level=1,
        phrasings="""
            - Write a function $signature that returns the sum of a and b.
            - Create the function $signature. It should add the two numbers and return the result.
            - I need $signature: given two numbers a and b, give back a plus b.
            - Implement $signature so that calling it with two numbers gives their total.
        """,
        plan=("Add a and b.", "Return the sum."),
        python="return a + b",
        javascript="return a + b;",
        draw=each(integer(), integer()),
        edges=([0, 0], [-3, 5], [1.5, 2]),
    ),
    Family(
        "increase(x)",
        level=1,
        phrasings="""
            - Write a function $signature that returns x plus $n.
            - Create a function $signature that adds $n to the number x and returns it.
            - Implement $signature. The result is the number that is $n more than x.
        """,
        grid={"n": (1, 2, 3, 5, 7, 10, 12, 25, 100)},
        plan=("Add $n to x.", "Return the result."),
        python="return x + $n",
        javascript="return x + $n;",
        draw=each(integer(-50, 50)),
        edges=([0], [-1]),
    ),
    Family(
        "subtract(a, b)",
        level=1,
        phrasings="""
            - Write a function $signature that subtracts b from a and returns the result.
            - Create the function $signature, which returns the difference a minus b.
            - Implement $signature: take b away from a and return what is left.
            - Given the two numbers a and b, $signature should give a reduced by b. Please write it.
            - How much larger is a than b? Define $signature to answer with that number, negative
              where b is larger.
            - Provide $signature, a function of two numbers whose value is the first minus the
              second.
        """,
        plan=("Subtract b from a.", "Return the difference."),
        python="return a - b",
        javascript="return a - b;",
        draw=each(integer(), integer()),
        edges=([0, 0], [3, 8]),
    ),
    Family(
        "multiply(x)",
        level=1,
        phrasings="""
            - Write a function $signature that returns x multiplied by $n.
            - Create a function $signature that returns $n times the number x.
            - Implement $signature. It takes a number and returns the product of x and $n.
        """,
        grid={"n": (2, 3, 4, 5, 6, 8, 9, 10, 20)},
        plan=("Multiply x by $n.", "Return the product."),
        python="return x * $n",
        javascript="return x * $n;",
        draw=each(integer()),
        edges=([0], [-4], [1]),
    ),
    Family(
        "divide(a, b)",
        level=1,
        phrasings="""
            - Write a function $signature that returns a divided by b. The number b is not zero.
            - Create $signature to divide a by b, which is never zero, and return the exact result.
            - Implement $signature. It returns the result of dividing the first number by the
              second, without rounding. The second number is not 0.
            - Provide $signature: its value is the quotient of a and b with all decimals. There
              is no division by zero.
            - Define the function $signature; for 7 and 2 it gives 3.5, so nothing is rounded. Zero
              is never passed as b.
            - How often does b go into a, fractions included? Answer with $signature; b differs from
              zero.
        """,
        plan=("Divide a by b.", "Return the result."),
        python="return a / b",
        javascript="return a / b;",
        draw=each(integer(), integer(1, 8)),
        edges=([0, 4], [7, 2], [-9, 3]),
    ),
    Family(
        "whole_quotient(a, b)",
        level=1,
        phrasings="""
            - Write a function $signature that divides a by b and rounds the result down to a whole
              number. Both are positive.
            - Create $signature. It returns how many whole times the positive number b fits into a.
            - Implement $signature, the integer division of the positive number a by the positive
              number b.
            - Provide $signature: for 17 and 5 its value is 3. Neither argument is zero or
              negative.
            - Define the function $signature, which is a over b with the decimals cut off; both
              numbers are above zero.
            - Given a apples and b children, $signature should give how many apples each child gets.
              Both numbers are at least 1.
        """,
        plan=("Divide a by b.", "Round down.", "Return the whole number."),
        python="return a // b",
        javascript="return Math.floor(a / b);",
        draw=each(integer(1, 60), integer(2, 9)),
        edges=([7, 2], [3, 5], [8, 4]),
    ),
    Family(
        "remainder(a, b)",
        level=1,
        phrasings="""
            - Write a function $signature that returns the remainder when a is divided by b. Both
              are positive.
            - Create the function $signature that returns a modulo b for positive numbers a and b.
            - Implement $signature: divide the positive number a by the positive number b and return
              what remains.
            - Provide $signature: for 17 and 5 its value is 2. Neither argument is zero or
              negative.
            - How much is left over after taking b away from a as often as possible? Define
              $signature to answer; both numbers are above zero.
            - Given a sweets shared evenly by b children, $signature should give the sweets that are
              left. Both numbers are at least 1.
        """,
        plan=("Divide a by b.", "Return the remainder."),
        python="return a % b",
        javascript="return a % b;",
        draw=each(integer(1, 60), integer(2, 9)),
        edges=([7, 2], [3, 5], [8, 4]),
    ),
    Family(
        "square(x)",
        level=1,
        phrasings="""
            - Write a function $signature that returns the square of x.
            - Create a function $signature that multiplies the number x by itself and returns it.
            - Implement $signature, which returns x to the power of two.
            - I need $signature to calculate the square of a number.
        """,
        plan=("Multiply x by itself.", "Return the result."),
        python="return x * x",
        javascript="return x * x;",
        draw=each(integer()),
        edges=([0], [-3], [2]),
    ),
    Family(
        "power(base, exponent)",
        level=1,
        phrasings="""
            - Write a function $signature that returns base raised to the power of exponent.
            - Create $signature to calculate base to the power exponent, where exponent is a whole
              number that is not negative.
            - Implement $signature: multiply base with itself exponent times and return the result.
              An exponent of 0 gives 1.
            - Provide $signature: for 2 and 5 its value is 32. Exponents are whole and never
              below zero.
            - Define the function $signature, the exponent-th power of base; both are whole numbers
              and the second is 0 or more.
            - Given a base and a non-negative whole exponent, $signature should give the power.
              Please write it.
        """,
        plan=("Raise base to the power of exponent.", "Return the result."),
        python="return base ** exponent",
        javascript="return base ** exponent;",
        draw=each(integer(-5, 9), integer(0, 5)),
        edges=([2, 0], [2, 10], [-2, 3]),
    ),
    Family(
        "average_of_two(a, b)",
        level=1,
        phrasings="""
            - Write a function $signature that returns the average of a and b.
            - Create the function $signature that returns the mean of two numbers.
            - Implement $signature. It returns the number in the middle between a and b.
            - Provide $signature: add both numbers and halve the sum.
            - Which number lies exactly half-way from a to b? Define $signature to answer that.
            - Given a and b, $signature should give their arithmetic mean, 2.5 for 2 and 3. Please
              write it.
        """,
        plan=("Add a and b.", "Divide the sum by 2.", "Return the result."),
        python="return (a + b) / 2",
        javascript="return (a + b) / 2;",
        draw=each(integer(), integer()),
        edges=([0, 0], [1, 2], [-4, 4]),
    ),
    Family(
        "larger(a, b)",
        level=1,
        phrasings="""
            - Write a function $signature that returns the larger of two numbers a and b.
            - Create $signature to return the maximum of a and b.
            - Implement $signature. If a is greater than b, return a, otherwise return b.
        """,
        plan=("Compare a and b.", "Return the larger one."),
        python="return max(a, b)",
        javascript="return Math.max(a, b);",
        draw=each(integer(), integer()),
        edges=([2, 2], [-1, -5], [3, 8]),
    ),
    Family(
        "smallest_of_three(a, b, c)",
        level=1,
        phrasings="""
            - Write a function $signature that returns the smallest of three numbers.
            - Create the function $signature that returns the minimum of a, b and c.
            - Implement $signature: of the numbers a, b and c return the one that is not larger than
              the others.
        """,
        plan=("Compare the three numbers.", "Return the smallest."),
        python="return min(a, b, c)",
        javascript="return Math.min(a, b, c);",
        draw=each(integer(), integer(), integer()),
        edges=([1, 2, 3], [3, 1, 2], [3, 2, 1], [4, 4, 4]),
    ),
    Family(
        "absolute_value(x)",
        level=1,
        phrasings="""
            - Write a function $signature that returns the absolute value of x.
            - Create a function $signature that returns x without its sign.
            - Implement $signature. A negative x is returned as a positive number, any other x
              unchanged.
        """,
        plan=("Drop the sign of x.", "Return the result."),
        python="return abs(x)",
        javascript="return Math.abs(x);",
        draw=each(integer()),
        edges=([0], [-7], [7]),
    ),
    Family(
        "opposite(x)",
        level=1,
        phrasings="""
            - Write a function $signature that returns x with the opposite sign.
            - Create $signature to return minus x.
            - Implement $signature: a positive number becomes negative and a negative number becomes
              positive.
        """,
        plan=("Change the sign of x.", "Return the result."),
        python="return -x",
        javascript="return -x;",
        draw=each(integer()),
        edges=([5], [-5]),
    ),
    Family(
        "distance(a, b)",
        level=1,
        phrasings="""
            - Write a function $signature that returns the distance between the numbers a and b.
            - Create the function $signature that returns the absolute difference of two numbers.
            - Implement $signature. It returns how far apart a and b are, never a negative number.
        """,
        plan=("Subtract b from a.", "Return the absolute value."),
        python="return abs(a - b)",
        javascript="return Math.abs(a - b);",
        draw=each(integer(), integer()),
        edges=([3, 3], [2, 9], [-2, 4]),
    ),
    Family(
        "last_digit(n)",
        level=1,
        phrasings="""
            - Write a function $signature that returns the last digit of n as a number. n is not
              negative.
            - Create a function $signature that returns the units digit of the whole number n, which
              is 0 or more.
            - Implement $signature: return the remainder of n divided by ten. n is at least 0.
        """,
        plan=("Divide n by 10.", "Return the remainder."),
        python="return n % 10",
        javascript="return n % 10;",
        draw=each(integer(0, 999)),
        edges=([0], [7], [120]),
    ),
)
