"""Level 2: one loop that turns a list into a number, a string or an answer."""

from potstill.katas.draws import ascending, each, integer, integers, same_length
from potstill.katas.family import Family

FAMILIES = (
    Family(
        "sum_of_even(numbers)",
        level=2,
        phrasings="""
            - Write a function $signature that returns the sum of the even numbers in the list.
              Return 0 if there are none.
            - Create $signature to add up only those numbers of a list that are even; without any,
              the result is 0.
            - Implement $signature. Skip the odd numbers, add all the others and return the total,
              which starts at 0.
        """,
        plan=("Go through the numbers.", "Add the even ones.", "Return the sum."),
        python="""
            total = 0
            for number in numbers:
                if number % 2 == 0:
                    total += number
            return total
        """,
        javascript="""
            let total = 0;
            for (const number of numbers) {
              if (number % 2 === 0) {
                total += number;
              }
            }
            return total;
        """,
        draw=each(integers()),
        edges=([[]], [[1, 3]], [[-2, -3, 4]]),
    ),
    Family(
        "product(numbers)",
        level=2,
        phrasings="""
            - Write a function $signature that multiplies all numbers of the list and returns the
              result. For an empty list return 1.
            - Create the function $signature that returns the product of the numbers, which is 1
              when there are none.
            - Implement $signature: start with 1, multiply it by every number in the list and return
              it.
        """,
        plan=("Start with 1.", "Multiply by each number.", "Return the product."),
        python="""
            result = 1
            for number in numbers:
                result *= number
            return result
        """,
        javascript="""
            let result = 1;
            for (const number of numbers) {
              result *= number;
            }
            return result;
        """,
        draw=each(integers(-6, 9)),
        edges=([[]], [[0, 5]], [[-3]]),
    ),
    Family(
        "count_negative(numbers)",
        level=2,
        phrasings="""
            - Write a function $signature that counts the negative numbers in a list.
            - Create $signature to return how many of the numbers are less than zero.
            - Implement $signature. Go through the list and count each number below 0; return the
              count.
        """,
        plan=("Go through the numbers.", "Count those below 0.", "Return the count."),
        python="return sum(1 for number in numbers if number < 0)",
        javascript="return numbers.filter((number) => number < 0).length;",
        draw=each(integers()),
        edges=([[]], [[0, -1, -2]], [[-5]]),
    ),
    Family(
        "all_above(numbers)",
        level=2,
        phrasings="""
            - Write a function $signature that returns true if all numbers of the list are greater
              than $n. For an empty list return true.
            - Create the function $signature. If any number is $n or less, return false, otherwise
              true (also for no numbers).
            - Implement $signature to check whether every number in a list is above $n. An empty
              list gives true.
        """,
        grid={"n": (0, 5, 10, -1)},
        plan=("Compare each number with $n.", "Return whether all are greater."),
        python="return all(number > $n for number in numbers)",
        javascript="return numbers.every((number) => number > $n);",
        draw=lambda rng, values: [[values["n"] + rng.randint(0, 6) for _ in range(4)]],
        edges=([[]], [[30]], [[-3]]),
    ),
    Family(
        "any_multiple(numbers)",
        level=2,
        phrasings="""
            - Write a function $signature that returns true if at least one number in the list is
              divisible by $n, and false for an empty list.
            - Create $signature to find out whether the list contains a multiple of $n. Return true
              or false; no numbers give false.
            - Implement $signature: does $n divide any of the numbers? Return false if it divides
              none of them.
        """,
        grid={"n": (3, 4, 5, 7)},
        plan=("Test each number.", "Return whether $n divides one."),
        python="return any(number % $n == 0 for number in numbers)",
        javascript="return numbers.some((number) => number % $n === 0);",
        draw=each(integers(1, 60, 1, 5)),
        edges=([[]], [[420]], [[1]]),
    ),
    Family(
        "index_of_largest(numbers)",
        level=2,
        phrasings="""
            - Write a function $signature that returns the index of the largest number of a
              non-empty list, the first one if there are several.
            - Create the function $signature. Find the maximum of the list and return its position,
              counted from 0; take the first of equal ones. The list is not empty.
            - Implement $signature: at which zero-based index does the biggest number stand for the
              first time? There is at least one number.
        """,
        plan=("Find the largest number.", "Return its first index."),
        python="return numbers.index(max(numbers))",
        javascript="return numbers.indexOf(Math.max(...numbers));",
        draw=each(integers(0, 9, 3, 7)),
        edges=([[4]], [[2, 7, 7]], [[-1, -5]]),
    ),
    Family(
        "dot_product(a, b)",
        level=2,
        phrasings="""
            - Write a function $signature that returns the dot product of two lists of equal length.
            - Create $signature: multiply the numbers of a and b that stand at the same index and
              return the sum of the products. Both lists are equally long.
            - Implement $signature for two vectors of the same length: add up a[i] times b[i] over
              all indices i and return the total.
        """,
        plan=("Go through both lists together.", "Add the products.", "Return the sum."),
        python="return sum(x * y for x, y in zip(a, b))",
        javascript="""
            let total = 0;
            for (let i = 0; i < a.length; i++) {
              total += a[i] * b[i];
            }
            return total;
        """,
        draw=same_length(integer(-9, 9), integer(-9, 9)),
        edges=([[1, 2], [3, 4]], [[0], [5]]),
    ),
    Family(
        "count_between(numbers)",
        level=2,
        phrasings="""
            - Write a function $signature that counts the numbers from $low to $high in the list,
              both limits included.
            - Create $signature to return how many numbers are at least $low and at most $high.
            - Implement $signature. Ignore numbers smaller than $low or larger than $high and return
              how many are left.
        """,
        grid={"low": (0, 3, 5), "high": (10, 12, 15)},
        plan=("Compare each number with both limits.", "Count those inside.", "Return the count."),
        python="return len([x for x in numbers if $low <= x <= $high])",
        javascript="return numbers.filter((x) => x >= $low && x <= $high).length;",
        draw=each(integers(-3, 18, 2, 8)),
        edges=([[]], [[3, 5, 10, 12, 15, 0]]),
    ),
    Family(
        "is_sorted(numbers)",
        level=2,
        phrasings="""
            - Write a function $signature that returns true if the numbers are in ascending order.
              Equal neighbours are allowed; an empty list is sorted.
            - Create the function $signature to check that no number of the list is smaller than the
              one before it. Lists of 0 or 1 numbers give true.
            - Implement $signature: compare each number with the next and return false if one is
              greater than its successor, otherwise true.
        """,
        plan=("Compare each number with the next.", "Return whether all are in order."),
        python="return numbers == sorted(numbers)",
        javascript="return numbers.every((x, i) => i === 0 || numbers[i - 1] <= x);",
        draw=lambda rng, values: [rng.choice((ascending(), integers(0, 20, 2)))(rng, values)],
        edges=([[]], [[2, 2, 3]], [[1, 3, 2]]),
    ),
    Family(
        "count_greater_than_average(numbers)",
        level=2,
        phrasings="""
            - Write a function $signature that counts the numbers of a non-empty list that are
              greater than the average of the list.
            - Create the function $signature: calculate the mean of the numbers, at least one, and
              return how many of them are above it.
            - Implement $signature to return how many elements exceed the average of all elements.
              The list is never empty.
        """,
        plan=("Calculate the average.", "Count the numbers above it.", "Return the count."),
        python="""
            average = sum(numbers) / len(numbers)
            return len([x for x in numbers if x > average])
        """,
        javascript="""
            const average = numbers.reduce((a, b) => a + b, 0) / numbers.length;
            return numbers.filter((x) => x > average).length;
        """,
        draw=each(integers(0, 20, 2, 8)),
        edges=([[5]], [[1, 2, 3]], [[0, 0, 9]]),
    ),
)
