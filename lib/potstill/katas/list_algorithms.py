"""Level 3: small algorithms on lists."""

import random

from potstill.katas.draws import Values, ascending, each, integer, integers
from potstill.katas.family import Family


def _all_but_one(rng: random.Random, _: Values) -> list[list[int]]:
    length = rng.randint(2, 7)
    return [rng.sample(range(length + 1), length)]


FAMILIES = (
    Family(
        "second_largest(numbers)",
        level=3,
        phrasings="""
            - Write a function $signature that returns the second largest different number of a
              list. The list has at least two different numbers.
            - Create the function $signature: leave out the maximum, however often it appears, and
              return the largest of the other numbers. There is always another one.
            - Implement $signature. Remove duplicates, sort the numbers and return the one before
              the last. At least two of them differ.
        """,
        plan=("Remove duplicates.", "Sort the numbers.", "Return the second from the end."),
        python="return sorted(set(numbers))[-2]",
        javascript="""
            const largest = Math.max(...numbers);
            return Math.max(...numbers.filter((x) => x < largest));
        """,
        draw=lambda rng, _: [[*rng.sample(range(-9, 20), 3), rng.randint(-9, 20)]],
        edges=([[1, 2]], [[5, 5, 3]], [[-1, -2, -3]]),
    ),
    Family(
        "merge_sorted(a, b)",
        level=3,
        phrasings="""
            - Write a function $signature that merges two sorted lists of numbers into one sorted
              list.
            - Create $signature: a and b are in ascending order; return all their numbers in one
              list in ascending order.
            - Implement $signature. Compare the first numbers of two ascending lists, take the
              smaller one each time and return the merged list.
        """,
        plan=("Compare the first of each.", "Take the smaller one.", "Return the merged list."),
        python="return sorted(a + b)",
        javascript="return [...a, ...b].sort((x, y) => x - y);",
        draw=each(ascending(), ascending()),
        edges=([[], []], [[1, 3], [2]], [[5], []]),
    ),
    Family(
        "binary_search(numbers, target)",
        level=3,
        phrasings="""
            - Write a function $signature that searches a sorted list of different numbers for
              target and returns its index, or -1 if it is missing.
            - Create the function $signature. Halve the search range of the ascending list, which
              has no duplicates, until target is found at an index or the range is empty: then
              return -1.
            - Implement $signature: at which zero-based index does target stand in the ascending
              list of different numbers? Return -1 if it does not.
        """,
        plan=(
            "Look at the middle.",
            "Go on in the half that can hold target.",
            "Return the index.",
        ),
        python="""
            low = 0
            high = len(numbers) - 1
            while low <= high:
                middle = (low + high) // 2
                if numbers[middle] == target:
                    return middle
                if numbers[middle] < target:
                    low = middle + 1
                else:
                    high = middle - 1
            return -1
        """,
        javascript="""
            let low = 0;
            let high = numbers.length - 1;
            while (low <= high) {
              const middle = Math.floor((low + high) / 2);
              if (numbers[middle] === target) {
                return middle;
              }
              if (numbers[middle] < target) {
                low = middle + 1;
              } else {
                high = middle - 1;
              }
            }
            return -1;
        """,
        draw=each(ascending(0, 12, 5, 9), integer(0, 12)),
        edges=([[], 3], [[1, 4, 9], 9], [[1, 4, 9], 5]),
    ),
    Family(
        "missing_number(numbers)",
        level=3,
        phrasings="""
            - Write a function $signature that returns the missing number: the list holds all whole
              numbers from 0 to its length except one, in any order.
            - Create $signature. A list of n different numbers contains every number from 0 to n but
              one; find the one that is not there.
            - Implement $signature: starting at 0, return the smallest whole number that does not
              appear in the list.
        """,
        plan=("Start at 0.", "Count up while the number is in the list.", "Return it."),
        python="""
            number = 0
            while number in numbers:
                number += 1
            return number
        """,
        javascript="""
            let number = 0;
            while (numbers.includes(number)) {
              number++;
            }
            return number;
        """,
        draw=_all_but_one,
        edges=([[0]], [[1]], [[2, 0]]),
    ),
    Family(
        "zeros_to_end(numbers)",
        level=3,
        phrasings="""
            - Write a function $signature that moves all zeros of the list to its end and keeps the
              order of the other numbers.
            - Create the function $signature: return the numbers different from 0 in their order,
              followed by as many zeros as the list has.
            - Implement $signature. Take the zeros out of the list and put them behind the rest.
        """,
        plan=("Collect the other numbers.", "Count the zeros.", "Add the zeros at the end."),
        python="""
            rest = [x for x in numbers if x != 0]
            return rest + [0] * (len(numbers) - len(rest))
        """,
        javascript="""
            const rest = numbers.filter((x) => x !== 0);
            return rest.concat(numbers.filter((x) => x === 0));
        """,
        draw=each(integers(0, 3, 3, 8)),
        edges=([[]], [[0, 1]], [[0, 0, 5, 0, 2]]),
    ),
    Family(
        "partition(numbers)",
        level=3,
        phrasings="""
            - Write a function $signature that returns two lists in a list: the numbers less than
              $pivot and the numbers that are at least $pivot.
            - Create $signature to divide the numbers at $pivot. The result is a list of two lists,
              smaller numbers first, the others second, each in the original order.
            - Implement $signature: put each number below $pivot into one list and every other
              number into a second list, and return both lists as a list.
        """,
        grid={"pivot": (0, 5, 10)},
        plan=("Collect the smaller numbers.", "Collect the others.", "Return both lists."),
        python="""
            small = [x for x in numbers if x < $pivot]
            large = [x for x in numbers if x >= $pivot]
            return [small, large]
        """,
        javascript="""
            const small = numbers.filter((x) => x < $pivot);
            const large = numbers.filter((x) => x >= $pivot);
            return [small, large];
        """,
        draw=each(integers(-5, 15, 2)),
        edges=([[]], [[0, 5, 10]]),
    ),
    Family(
        "interleave(a, b)",
        level=3,
        phrasings="""
            - Write a function $signature that takes elements from a and b in turn, beginning with
              a. When one list is used up, the rest of the other follows.
            - Create the function $signature to mix two lists: first of a, first of b, second of a,
              second of b and so on; left-over elements of the longer list come at the end.
            - Implement $signature. Alternate between the two lists as long as both have elements,
              then add what remains.
        """,
        plan=("Go through the indices.", "Take from a, then from b.", "Return the list."),
        python="""
            result = []
            for i in range(max(len(a), len(b))):
                result += a[i:i + 1] + b[i:i + 1]
            return result
        """,
        javascript="""
            const result = [];
            for (let i = 0; i < Math.max(a.length, b.length); i++) {
              result.push(...a.slice(i, i + 1), ...b.slice(i, i + 1));
            }
            return result;
        """,
        draw=each(integers(0, 9, 1, 4), integers(0, 9, 1, 4)),
        edges=([[], []], [[1, 3, 5], [2]], [[], [7]]),
    ),
    Family(
        "rotate_right(items)",
        level=3,
        phrasings="""
            - Write a function $signature that moves the last $k elements of the list to its front.
              The list has at least $k elements.
            - Create the function $signature to rotate a list by $k places to the right. It is never
              shorter than $k.
            - Implement $signature: repeat $k times that the last element becomes the first, and
              return the list, which has $k or more elements.
        """,
        grid={"k": (2, 3)},
        plan=("Take the last $k elements.", "Add the others behind.", "Return the list."),
        python="return items[-$k:] + items[:-$k]",
        javascript="return items.slice(-$k).concat(items.slice(0, -$k));",
        draw=each(integers(0, 9, 3, 7)),
        edges=([[1, 2, 3]], [[1, 2, 3, 4, 5]]),
    ),
    Family(
        "median(numbers)",
        level=3,
        phrasings="""
            - Write a function $signature that returns the median of a non-empty list of numbers.
            - Create $signature: sort the numbers and return the middle one, or the mean of the two
              in the middle if their count is even. There is at least one number.
            - Implement $signature. Half of the numbers are not above the median and half are not
              below it; for an even count it is the average of the two central ones. The list is
              never empty.
        """,
        plan=("Sort the numbers.", "Find the middle.", "Return it or the mean of two."),
        python="""
            ordered = sorted(numbers)
            middle = len(ordered) // 2
            if len(ordered) % 2 == 1:
                return ordered[middle]
            return (ordered[middle - 1] + ordered[middle]) / 2
        """,
        javascript="""
            const ordered = [...numbers].sort((a, b) => a - b);
            const middle = Math.floor(ordered.length / 2);
            if (ordered.length % 2 === 1) {
              return ordered[middle];
            }
            return (ordered[middle - 1] + ordered[middle]) / 2;
        """,
        draw=each(integers(-9, 30, 2, 7)),
        edges=([[5]], [[10, 9, 1]], [[1, 2]]),
    ),
)
