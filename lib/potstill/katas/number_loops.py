"""Level 2: one loop over whole numbers, or one digit after the other."""

from potstill.katas.draws import each, integer
from potstill.katas.family import Family

FAMILIES = (
    Family(
        "factorial(n)",
        level=2,
        phrasings="""
            - Write a function $signature that returns the factorial of n. The factorial of 0 is 1.
            - Create the function $signature: multiply all whole numbers from 1 to n and return the
              product, which is 1 for n = 0.
            - Implement $signature to calculate n! for a whole number n that is not negative, where
              0! is 1.
        """,
        plan=("Start with 1.", "Multiply it by each number from 2 to n.", "Return the product."),
        python="""
            result = 1
            for i in range(2, n + 1):
                result *= i
            return result
        """,
        javascript="""
            let result = 1;
            for (let i = 2; i <= n; i++) {
              result *= i;
            }
            return result;
        """,
        draw=each(integer(2, 15)),
        edges=([0], [1], [5]),
    ),
    Family(
        "sum_to(n)",
        level=2,
        phrasings="""
            - Write a function $signature that returns the sum of all whole numbers from 1 to n, and
              0 if n is 0.
            - Create $signature, which adds up 1, 2, 3 and so on up to n. For n = 0 return 0.
            - Implement $signature. It returns the total of the first n positive whole numbers; for
              no numbers the total is 0.
        """,
        plan=("Start with 0.", "Add each number from 1 to n.", "Return the sum."),
        python="""
            total = 0
            for i in range(1, n + 1):
                total += i
            return total
        """,
        javascript="""
            let total = 0;
            for (let i = 1; i <= n; i++) {
              total += i;
            }
            return total;
        """,
        draw=each(integer(2, 60)),
        edges=([0], [1], [10]),
    ),
    Family(
        "sum_multiples(n)",
        level=2,
        phrasings="""
            - Write a function $signature that returns the sum of all multiples of $k from 1 to n,
              and 0 if there are none.
            - Create $signature to add up the numbers between 1 and n, both included, that $k
              divides. Return 0 if no number does.
            - Implement $signature: go through 1 to n, add every number divisible by $k and return
              the total, which starts at 0.
        """,
        grid={"k": (2, 3, 4, 5)},
        plan=("Go through the numbers 1 to n.", "Add those divisible by $k.", "Return the sum."),
        python="""
            total = 0
            for i in range(1, n + 1):
                if i % $k == 0:
                    total += i
            return total
        """,
        javascript="""
            let total = 0;
            for (let i = 1; i <= n; i++) {
              if (i % $k === 0) {
                total += i;
              }
            }
            return total;
        """,
        draw=each(integer(5, 60)),
        edges=([1], [10], [12]),
    ),
    Family(
        "multiplication_table(n)",
        level=2,
        phrasings="""
            - Write a function $signature that returns the list of n times 1, n times 2 and so on up
              to n times $k.
            - Create a function $signature that returns the first $k multiples of n as a list,
              starting with n itself.
            - Implement $signature: a row of the multiplication table, n multiplied by each number
              from 1 to $k.
        """,
        grid={"k": (3, 5, 10)},
        plan=("Go through 1 to $k.", "Multiply each by n.", "Return the list."),
        python="return [n * i for i in range(1, $k + 1)]",
        javascript="""
            const result = [];
            for (let i = 1; i <= $k; i++) {
              result.push(n * i);
            }
            return result;
        """,
        draw=each(integer(1, 25)),
        edges=([0], [1], [-2]),
    ),
    Family(
        "countdown(n)",
        level=2,
        phrasings="""
            - Write a function $signature that returns a list that counts down from n to $last. n is
              greater than $last.
            - Create $signature to return the whole numbers n, n - 1, n - 2 and so on until $last,
              included, as a list. n starts above $last.
            - Implement $signature, a countdown: the list begins with n, each number is one less
              than the one before, and $last, smaller than n, is the last.
        """,
        grid={"last": (0, 1)},
        plan=("Start at n.", "Go down by one until $last.", "Return the list."),
        python="return list(range(n, $last - 1, -1))",
        javascript="""
            const result = [];
            for (let i = n; i >= $last; i--) {
              result.push(i);
            }
            return result;
        """,
        draw=each(integer(3, 14)),
        edges=([2], [3], [5]),
    ),
    Family(
        "divisors(n)",
        level=2,
        phrasings="""
            - Write a function $signature that returns all divisors of the positive number n in
              ascending order.
            - Create the function $signature. It returns the list of the numbers from 1 to n that
              divide n without a remainder, the smallest first; n is positive.
            - Implement $signature: which whole numbers divide n, with n at least 1? Return them as
              a sorted list.
        """,
        plan=("Go through 1 to n.", "Keep the numbers that divide n.", "Return the list."),
        python="return [i for i in range(1, n + 1) if n % i == 0]",
        javascript="""
            const result = [];
            for (let i = 1; i <= n; i++) {
              if (n % i === 0) {
                result.push(i);
              }
            }
            return result;
        """,
        draw=each(integer(2, 60)),
        edges=([1], [7], [12]),
    ),
    Family(
        "powers(base)",
        level=2,
        phrasings="""
            - Write a function $signature that returns the list of the first $k powers of base,
              beginning with 1.
            - Create $signature to return a list of $k numbers: the first is 1 and each next one is
              base times as large.
            - Implement $signature. Raise base to the powers 0, 1, 2 and so on and return the first
              $k results as a list.
        """,
        grid={"k": (3, 4, 5, 6)},
        plan=("Go through the exponents from 0.", "Raise base to each.", "Return $k results."),
        python="return [base ** i for i in range($k)]",
        javascript="""
            const result = [];
            for (let i = 0; i < $k; i++) {
              result.push(base ** i);
            }
            return result;
        """,
        draw=each(integer(-9, 15)),
        edges=([1], [2], [0]),
    ),
    Family(
        "halvings(n)",
        level=2,
        phrasings="""
            - Write a function $signature that counts how often the positive number n can be halved,
              rounding down, until it is 1.
            - Create $signature: while n is greater than 1, divide it by 2 and round down. Return
              the number of steps; n is at least 1.
            - Implement $signature. It returns how many times you have to divide n by two, without
              the remainder, to reach 1. n is positive.
        """,
        plan=("Start a counter at 0.", "Halve n while it is above 1.", "Return the counter."),
        python="""
            count = 0
            while n > 1:
                n //= 2
                count += 1
            return count
        """,
        javascript="""
            let count = 0;
            while (n > 1) {
              n = Math.floor(n / 2);
              count++;
            }
            return count;
        """,
        draw=each(integer(2, 300)),
        edges=([1], [2], [9]),
    ),
    Family(
        "years_to_goal(amount)",
        level=2,
        phrasings="""
            - Write a function $signature that returns after how many years amount is at least $goal
              if it grows by $step each year.
            - Create $signature. Add $step to amount until it reaches $goal or more, and return how
              many additions were needed, 0 if none.
            - Implement $signature to count how often $step must be added to amount before it is not
              below $goal any more.
        """,
        grid={"goal": (50, 100), "step": (3, 7, 10)},
        plan=("Start a counter at 0.", "Add $step while below $goal.", "Return the counter."),
        python="""
            years = 0
            while amount < $goal:
                amount += $step
                years += 1
            return years
        """,
        javascript="""
            let years = 0;
            while (amount < $goal) {
              amount += $step;
              years++;
            }
            return years;
        """,
        draw=each(integer(0, 49)),
        edges=([100], [0], [49]),
    ),
)
