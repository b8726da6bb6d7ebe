"""Level 3: small algorithms on whole numbers."""

import random

from potstill.katas.draws import Values, each, integer, one_of
from potstill.katas.family import Family


def _with_common_factor(rng: random.Random, _: Values) -> list[int]:
    factor = rng.randint(1, 9)
    return [factor * rng.randint(1, 12), factor * rng.randint(1, 12)]


FAMILIES = (
    Family(
        "fibonacci(n)",
        level=3,
        phrasings="""
            - Write a function $signature that returns the n-th Fibonacci number, where the numbers
              with index 0 and 1 are 0 and 1.
            - Create $signature. The sequence begins with 0 and 1 and every further number is the
              sum of the two before it; return the number at index n, counted from 0.
            - Implement $signature to calculate a Fibonacci number: n = 0 gives 0, n = 1 gives 1, n
              = 2 gives 1, n = 3 gives 2.
        """,
        plan=("Start with 0 and 1.", "Add the last two n times.", "Return the first."),
        python="""
            a, b = 0, 1
            for _ in range(n):
                a, b = b, a + b
            return a
        """,
        javascript="""
            let a = 0;
            let b = 1;
            for (let i = 0; i < n; i++) {
              [a, b] = [b, a + b];
            }
            return a;
        """,
        draw=each(integer(2, 30)),
        edges=([0], [1], [2]),
    ),
    Family(
        "greatest_common_divisor(a, b)",
        level=3,
        phrasings="""
            - Write a function $signature that returns the greatest common divisor of two positive
              numbers.
            - Create the function $signature: which is the largest whole number that divides both a
              and b? Both are positive.
            - Implement $signature with Euclid's algorithm: replace a, b by b, a modulo b until b is
              0, then return a. At the start a and b are positive.
        """,
        plan=("Repeat while b is not 0.", "Replace a, b by b, a modulo b.", "Return a."),
        python="""
            while b != 0:
                a, b = b, a % b
            return a
        """,
        javascript="""
            while (b !== 0) {
              [a, b] = [b, a % b];
            }
            return a;
        """,
        draw=_with_common_factor,
        edges=([12, 18], [7, 5], [4, 4]),
    ),
    Family(
        "least_common_multiple(a, b)",
        level=3,
        phrasings="""
            - Write a function $signature that returns the least common multiple of two positive
              whole numbers.
            - Create $signature to find the smallest positive number that both a and b divide. a and
              b are positive.
            - Implement $signature: try a, 2 * a, 3 * a and so on and return the first that is
              divisible by b. Both numbers are above 0.
        """,
        plan=("Start with a.", "Add a until b divides it.", "Return it."),
        python="""
            multiple = a
            while multiple % b != 0:
                multiple += a
            return multiple
        """,
        javascript="""
            let multiple = a;
            while (multiple % b !== 0) {
              multiple += a;
            }
            return multiple;
        """,
        draw=each(integer(1, 20), integer(1, 20)),
        edges=([4, 6], [3, 3], [1, 7]),
    ),
    Family(
        "is_prime(n)",
        level=3,
        phrasings="""
            - Write a function $signature that returns true if n is a prime number. Numbers below 2
              are not prime.
            - Create the function $signature. A prime is greater than 1 and divisible only by 1 and
              itself; return whether n is one.
            - Implement $signature to check that no number from 2 to n - 1 divides n. For n less
              than 2 return false.
        """,
        plan=("Return false below 2.", "Try the divisors from 2.", "Return true if none divides."),
        python="""
            if n < 2:
                return False
            for i in range(2, n):
                if n % i == 0:
                    return False
            return True
        """,
        javascript="""
            if (n < 2) {
              return false;
            }
            for (let i = 2; i < n; i++) {
              if (n % i === 0) {
                return false;
              }
            }
            return true;
        """,
        draw=each(integer(2, 120)),
        edges=([0], [2], [9], [13]),
    ),
    Family(
        "primes_below(n)",
        level=3,
        phrasings="""
            - Write a function $signature that returns the list of all prime numbers less than n.
            - Create $signature to collect the primes from 2 up to but not including n, in ascending
              order.
            - Implement $signature: go through the numbers smaller than n and keep those above 1
              that have no divisor except 1 and themselves.
        """,
        plan=("Go through 2 to n - 1.", "Keep those without a divisor.", "Return the list."),
        python="""
            primes = []
            for number in range(2, n):
                if all(number % p != 0 for p in primes):
                    primes.append(number)
            return primes
        """,
        javascript="""
            const primes = [];
            for (let number = 2; number < n; number++) {
              if (primes.every((p) => number % p !== 0)) {
                primes.push(number);
              }
            }
            return primes;
        """,
        draw=each(integer(5, 60)),
        edges=([0], [2], [3], [12]),
    ),
    Family(
        "prime_factors(n)",
        level=3,
        phrasings="""
            - Write a function $signature that returns the prime factors of n in ascending order,
              repeated ones as often as they divide n. n is at least 2.
            - Create the function $signature: split n, a number from 2 upwards, into primes whose
              product is n and return them sorted.
            - Implement $signature. Divide n, at least 2, by 2 as long as possible, then by 3 and so
              on, and collect every divisor used: 12 gives 2, 2, 3.
        """,
        plan=("Start with the divisor 2.", "Divide while possible.", "Return the factors."),
        python="""
            factors = []
            divisor = 2
            while n > 1:
                while n % divisor == 0:
                    factors.append(divisor)
                    n //= divisor
                divisor += 1
            return factors
        """,
        javascript="""
            const factors = [];
            let divisor = 2;
            while (n > 1) {
              while (n % divisor === 0) {
                factors.push(divisor);
                n /= divisor;
              }
              divisor++;
            }
            return factors;
        """,
        draw=each(integer(4, 200)),
        edges=([2], [12], [17]),
    ),
    Family(
        "collatz_steps(n)",
        level=3,
        phrasings="""
            - Write a function $signature that counts the steps until n becomes 1, when an even n is
              halved and an odd n becomes 3 * n + 1. n is positive.
            - Create $signature. Repeat until n, a positive number, is 1: divide it by two if it is
              even, otherwise multiply it by three and add one. Return the number of repetitions.
            - Implement $signature, the length of the Collatz sequence from n to 1, counted in
              steps; n = 1 needs 0. n is never below 1.
        """,
        plan=("Start a counter at 0.", "Apply the rule until n is 1.", "Return the counter."),
        python="""
            steps = 0
            while n != 1:
                n = n // 2 if n % 2 == 0 else 3 * n + 1
                steps += 1
            return steps
        """,
        javascript="""
            let steps = 0;
            while (n !== 1) {
              n = n % 2 === 0 ? n / 2 : 3 * n + 1;
              steps++;
            }
            return steps;
        """,
        draw=each(integer(2, 60)),
        edges=([1], [2], [6]),
    ),
    Family(
        "is_perfect(n)",
        level=3,
        phrasings="""
            - Write a function $signature that returns true if the positive number n equals the sum
              of its divisors that are smaller than n.
            - Create the function $signature to check whether n is a perfect number like 6, which is
              1 + 2 + 3. n is positive.
            - Implement $signature: add all numbers from 1 to n - 1 that divide n, which is at least
              1, and return whether the sum is n.
        """,
        plan=("Add the divisors below n.", "Return whether the sum is n."),
        python="return sum(i for i in range(1, n) if n % i == 0) == n",
        javascript="""
            let sum = 0;
            for (let i = 1; i < n; i++) {
              if (n % i === 0) {
                sum += i;
              }
            }
            return sum === n;
        """,
        draw=each(one_of(*range(1, 31), 496, 6, 28, 6, 28, 496)),
        edges=([6], [28], [12], [1]),
    ),
    Family(
        "is_power(n)",
        level=3,
        phrasings="""
            - Write a function $signature that returns true if the positive number n is a power of
              $base. 1 is one, too.
            - Create $signature: divide n, which is positive, by $base as long as that leaves no
              remainder and return whether 1 is left.
            - Implement $signature to check whether n is 1, $base, $base * $base and so on. n is at
              least 1.
        """,
        grid={"base": (2, 3, 5)},
        plan=("Divide n by $base while possible.", "Return whether 1 is left."),
        python="""
            while n % $base == 0:
                n //= $base
            return n == 1
        """,
        javascript="""
            while (n % $base === 0) {
              n /= $base;
            }
            return n === 1;
        """,
        draw=lambda rng, values: [values["base"] ** rng.randint(1, 6) * rng.choice((1, 1, 7, 11))],
        edges=([1], [30], [10]),
    ),
)
