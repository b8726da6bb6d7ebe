"""Level 2: one loop that turns lists into a new list or dictionary."""

from potstill.katas.draws import each, integer, integers, many, same_length
from potstill.katas.family import Family

FAMILIES = (
    Family(
        "squares(numbers)",
        level=2,
        phrasings="""
            - Write a function $signature that returns a list with the square of each number.
            - Create $signature to multiply every number of the list by itself and return the new
              list.
            - Implement $signature: given a list of numbers, return their squares in the same order.
        """,
        plan=("Go through the numbers.", "Square each.", "Return the new list."),
        python="return [number * number for number in numbers]",
        javascript="return numbers.map((number) => number * number);",
        draw=each(integers()),
        edges=([[]], [[-3, 0, 2]]),
    ),
    Family(
        "keep_greater(numbers)",
        level=2,
        phrasings="""
            - Write a function $signature that returns the numbers of the list that are greater than
              $n, in their order.
            - Create the function $signature, which removes all numbers up to and including $n from
              the list and returns the others.
            - Implement $signature to filter a list: only numbers above $n stay.
        """,
        grid={"n": (0, 3, 5, 10)},
        plan=("Compare each number with $n.", "Keep the greater ones.", "Return them."),
        python="return [x for x in numbers if x > $n]",
        javascript="return numbers.filter((x) => x > $n);",
        draw=each(integers(-5, 20, 2)),
        edges=([[]], [[0, 3, 5, 10, 11]]),
    ),
    Family(
        "remove_value(items)",
        level=2,
        phrasings="""
            - Write a function $signature that returns the list without any element equal to $x.
            - Create $signature to remove all occurrences of the number $x from a list.
            - Implement $signature. Keep the order of the items and leave out each $x.
        """,
        grid={"x": (0, 1, 2, 3)},
        plan=("Go through the items.", "Leave out each $x.", "Return the rest."),
        python="return [item for item in items if item != $x]",
        javascript="return items.filter((item) => item !== $x);",
        draw=each(integers(0, 4, 3, 8)),
        edges=([[]], [[0, 1, 2, 3, 3]]),
    ),
    Family(
        "positive_odd(numbers)",
        level=2,
        phrasings="""
            - Write a function $signature that returns the list of the odd numbers among the given
              numbers, none of which is negative.
            - Create the function $signature: keep a number if dividing it by 2 leaves 1, drop it
              otherwise. All numbers are at least 0.
            - Implement $signature to take the even ones out of a list of numbers from 0 upwards and
              return the odd ones.
        """,
        plan=("Go through the numbers.", "Keep the odd ones.", "Return them."),
        python="return [x for x in numbers if x % 2 == 1]",
        javascript="return numbers.filter((x) => x % 2 === 1);",
        draw=each(integers(0, 30, 2)),
        edges=([[]], [[0, 1, 2]]),
    ),
    Family(
        "add_lists(a, b)",
        level=2,
        phrasings="""
            - Write a function $signature that adds two lists of equal length element by element.
            - Create $signature: return a list whose number at each index is the sum of the numbers
              at that index in a and b, which are equally long.
            - Implement $signature. The lists a and b have the same length; add first to first,
              second to second and so on and return the sums.
        """,
        plan=("Go through both lists together.", "Add each pair.", "Return the sums."),
        python="return [x + y for x, y in zip(a, b)]",
        javascript="return a.map((x, i) => x + b[i]);",
        draw=same_length(integer(), integer()),
        edges=([[], []], [[1, 2], [3, 4]]),
    ),
    Family(
        "unique(items)",
        level=2,
        phrasings="""
            - Write a function $signature that removes duplicates from the list and keeps the order
              of first appearance.
            - Create the function $signature, which returns each different element once, in the
              order in which they come first.
            - Implement $signature: go through the items and add an item to the result only if it is
              not there yet.
        """,
        plan=("Go through the items.", "Add those not seen yet.", "Return the list."),
        python="""
            result = []
            for item in items:
                if item not in result:
                    result.append(item)
            return result
        """,
        javascript="""
            const result = [];
            for (const item of items) {
              if (!result.includes(item)) {
                result.push(item);
              }
            }
            return result;
        """,
        draw=each(integers(1, 5, 3, 8)),
        edges=([[]], [[2, 1, 2]]),
    ),
    Family(
        "absolute_values(numbers)",
        level=2,
        phrasings="""
            - Write a function $signature that returns a list with the absolute value of each
              number.
            - Create $signature, which makes all negative numbers of a list positive and returns the
              new list.
            - Implement $signature: drop the minus signs from the numbers of the list, keep their
              order.
        """,
        plan=("Go through the numbers.", "Take each absolute value.", "Return the list."),
        python="return [abs(x) for x in numbers]",
        javascript="return numbers.map((x) => Math.abs(x));",
        draw=each(integers()),
        edges=([[]], [[-1, 0, 1]]),
    ),
    Family(
        "replace_below(numbers)",
        level=2,
        phrasings="""
            - Write a function $signature that replaces each number below $limit by $limit and
              returns the list.
            - Create the function $signature. Numbers smaller than $limit become $limit, all others
              stay the same; return the new list.
            - Implement $signature: return the list where no number is less than $limit because the
              smaller ones were raised to $limit.
        """,
        grid={"limit": (0, 1, 5, 10)},
        plan=("Compare each number with $limit.", "Take the larger one.", "Return the list."),
        python="return [max(x, $limit) for x in numbers]",
        javascript="return numbers.map((x) => Math.max(x, $limit));",
        draw=each(integers(-10, 20, 2)),
        edges=([[]], [[0, 5, 12]]),
    ),
    Family(
        "flatten(lists)",
        level=2,
        phrasings="""
            - Write a function $signature that joins a list of lists into one flat list.
            - Create the function $signature: lists contains several lists of numbers; return one
              list with all the numbers in their order.
            - Implement $signature. Take the elements of each inner list one after the other and
              return them in a single list.
        """,
        plan=("Go through the inner lists.", "Add their elements.", "Return the flat list."),
        python="return [item for inner in lists for item in inner]",
        javascript="return lists.flat();",
        draw=each(many(integers(0, 9, 0, 3), 1, 4)),
        edges=([[]], [[[], [1]]]),
    ),
    Family(
        "common_items(a, b)",
        level=2,
        phrasings="""
            - Write a function $signature that returns the elements of a that are also in b, in the
              order of a. Neither list has duplicates.
            - Create $signature to return a list of what two lists without duplicates have in
              common, ordered as in the first.
            - Implement $signature: keep those items of the list a that the list b contains too. No
              item appears twice in a list.
        """,
        plan=("Go through a.", "Keep the items that are in b.", "Return them."),
        python="return [item for item in a if item in b]",
        javascript="return a.filter((item) => b.includes(item));",
        draw=lambda rng, _: [
            rng.sample(range(9), rng.randint(2, 6)),
            rng.sample(range(9), rng.randint(2, 6)),
        ],
        edges=([[], [1]], [[3, 1, 2], [2, 3]]),
    ),
    Family(
        "move_first_to_end(items)",
        level=2,
        phrasings="""
            - Write a function $signature that moves the first element of the list to its end. An
              empty list stays empty.
            - Create $signature to rotate a list by one place to the left: the second item becomes
              the first, the first becomes the last. Return an empty list for an empty one.
            - Implement $signature: return the items from the second on, followed by the first one;
              no items give an empty list.
        """,
        plan=("Take the elements from the second on.", "Add the first one.", "Return the list."),
        python="return items[1:] + items[:1]",
        javascript="return items.slice(1).concat(items.slice(0, 1));",
        draw=each(integers(0, 9, 2)),
        edges=([[]], [[1]], [[1, 2]]),
    ),
    Family(
        "differences(numbers)",
        level=2,
        phrasings="""
            - Write a function $signature that returns the differences between neighbouring numbers,
              each number minus the one before it.
            - Create the function $signature: from the second number on subtract the previous number
              and collect the results in a list. Fewer than two numbers give an empty list.
            - Implement $signature. For the list of 1, 4 and 2 it returns the list of 3 and -2, the
              steps from each number to the next.
        """,
        plan=("Go from the second number on.", "Subtract the previous.", "Return the list."),
        python="return [numbers[i] - numbers[i - 1] for i in range(1, len(numbers))]",
        javascript="return numbers.slice(1).map((x, i) => x - numbers[i]);",
        draw=each(integers(0, 20, 2)),
        edges=([[]], [[4]], [[1, 4, 2]]),
    ),
    Family(
        "running_total(numbers)",
        level=2,
        phrasings="""
            - Write a function $signature that returns the running totals of a list: at each place
              the sum of all numbers up to there.
            - Create $signature to return the cumulative sums of the numbers as a list of the same
              length.
            - Implement $signature. Add the numbers one by one and collect the total after each
              step: 1, 2, 3 gives 1, 3, 6.
        """,
        plan=("Start with 0.", "Add each number and keep the total.", "Return the totals."),
        python="""
            total = 0
            result = []
            for number in numbers:
                total += number
                result.append(total)
            return result
        """,
        javascript="""
            let total = 0;
            const result = [];
            for (const number of numbers) {
              total += number;
              result.push(total);
            }
            return result;
        """,
        draw=each(integers(-9, 9, 2)),
        edges=([[]], [[1, 2, 3]]),
    ),
)
