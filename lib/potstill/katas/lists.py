"""Level 1: one expression with a list."""

from potstill.katas.draws import each, integer, integers, words
from potstill.katas.family import Family

FAMILIES = (
    Family(
        "first_element(items)",
        level=1,
        phrasings="""
            - Write a function $signature that returns the first element of the list. The list is
              not empty.
            - Create $signature to return the element at the start of a non-empty list.
            - Implement $signature: return the item at index 0. There is always at least one item.
        """,
        plan=("Take the element at index 0.", "Return it."),
        python="return items[0]",
        javascript="return items[0];",
        draw=each(integers()),
        edges=([[5]], [[3, 1, 2]]),
    ),
    Family(
        "last_element(items)",
        level=1,
        phrasings="""
            - Write a function $signature that returns the last element of the non-empty list items.
            - Create the function $signature. It returns the item at the end of a list with at least
              one item.
            - Implement $signature: which element comes last in the list? It is never empty.
            - Provide $signature: of [4, 7, 9] it gives 9. There is always something in items.
            - Define $signature to give back the final entry of items, which has one entry or more.
            - Given a list that holds something, $signature should give what stands at its very end.
              Please write it.
        """,
        plan=("Take the last element.", "Return it."),
        python="return items[-1]",
        javascript="return items[items.length - 1];",
        draw=each(words()),
        edges=([["a"]], [["b", "a"]]),
    ),
    Family(
        "sum_list(numbers)",
        level=1,
        phrasings="""
            - Write a function $signature that returns the sum of a list of numbers. The sum of an
              empty list is 0.
            - Create the function $signature that adds up all numbers of the list and returns the
              total, 0 for an empty list.
            - Implement $signature: what do all the numbers together make? Return 0 if there are
              none.
        """,
        plan=("Add all numbers.", "Return the sum."),
        python="return sum(numbers)",
        javascript="return numbers.reduce((a, b) => a + b, 0);",
        draw=each(integers()),
        edges=([[]], [[-4]]),
    ),
    Family(
        "largest(numbers)",
        level=1,
        phrasings="""
            - Write a function $signature that returns the largest number of a non-empty list.
            - Create $signature to find the maximum of the list numbers, which is never empty.
            - Implement $signature. It returns the biggest of the numbers; there is at least one.
        """,
        plan=("Find the largest number.", "Return it."),
        python="return max(numbers)",
        javascript="return Math.max(...numbers);",
        draw=each(integers()),
        edges=([[-4, -9]], [[5]]),
    ),
    Family(
        "spread(numbers)",
        level=1,
        phrasings="""
            - Write a function $signature that returns the difference between the largest and the
              smallest number of a non-empty list.
            - Create the function $signature, which subtracts the minimum of the list from its
              maximum. The list is never empty.
            - Implement $signature: how far do the numbers spread from the smallest to the largest?
              There is at least one number.
        """,
        plan=("Find the largest number.", "Find the smallest number.", "Return the difference."),
        python="return max(numbers) - min(numbers)",
        javascript="return Math.max(...numbers) - Math.min(...numbers);",
        draw=each(integers()),
        edges=([[7]], [[-2, 3]]),
    ),
    Family(
        "sort_numbers(numbers)",
        level=1,
        phrasings="""
            - Write a function $signature that returns the numbers sorted in ascending order.
            - Create the function $signature. It returns a list with the same numbers, the smallest
              first.
            - Implement $signature to sort a list of numbers from low to high and return it.
            - Provide $signature: put the given numbers in order, the largest comes last.
            - Define a function $signature whose result holds every element of numbers in rising
              order.
            - Given an unordered list, $signature should give it back in increasing order,
              duplicates kept. Please write it.
        """,
        plan=("Sort the numbers.", "Return the sorted list."),
        python="return sorted(numbers)",
        javascript="return [...numbers].sort((a, b) => a - b);",
        draw=each(integers()),
        edges=([[]], [[10, 9, 1]]),
    ),
    Family(
        "append_item(items)",
        level=1,
        phrasings="""
            - Write a function $signature that returns a list with the elements of items and the
              number $x at the end.
            - Create $signature, which adds $x behind the last element of the list and returns the
              list.
            - Implement $signature: return all the items followed by $x.
        """,
        grid={"x": (0, 1, 7, 99, 100)},
        plan=("Put $x at the end of the list.", "Return the list."),
        python="return items + [$x]",
        javascript="return [...items, $x];",
        draw=each(integers()),
        edges=([[]], [[0]]),
    ),
    Family(
        "without_last(items)",
        level=1,
        phrasings="""
            - Write a function $signature that returns the list without its last element. An empty
              list stays empty.
            - Create the function $signature, which drops the final item of a list and returns the
              others. For an empty list it returns an empty list.
            - Implement $signature: all items but the last one. No items give an empty list.
            - Provide $signature: [1, 2, 3] becomes [1, 2] and [] becomes [].
            - Define $signature to give a shorter list, the same but for the element at the end; an
              empty one has nothing to lose.
            - What remains of items when the rearmost element is taken away? Answer with $signature,
              with an empty list for an empty one.
        """,
        plan=("Take all elements but the last.", "Return them."),
        python="return items[:-1]",
        javascript="return items.slice(0, -1);",
        draw=each(integers()),
        edges=([[]], [[4]], [[1, 2]]),
    ),
    Family(
        "element_at(items, index)",
        level=1,
        phrasings="""
            - Write a function $signature that returns the element of items at the given index.
              Counting starts at 0.
            - Create $signature to return the item at position index, where 0 is the first position.
              The index is always valid.
            - Implement $signature: look up a list by index and return what stands there. The index
              is zero-based and inside the list.
        """,
        plan=("Take the element at the index.", "Return it."),
        python="return items[index]",
        javascript="return items[index];",
        draw=each(integers(0, 50, 4, 6), integer(0, 3)),
        edges=([[9], 0], [[1, 2], 1]),
    ),
    Family(
        "average(numbers)",
        level=1,
        phrasings="""
            - Write a function $signature that returns the average of a non-empty list of numbers.
            - Create the function $signature: add all numbers and divide by how many there are. The
              list is never empty.
            - Implement $signature to calculate the mean of one or more numbers.
            - Provide $signature: of [1, 2, 6] it gives 3. At least one number is there.
            - Define a function $signature whose result is the sum of the list over its length,
              which is never zero.
            - Given the marks of a class with at least one pupil, $signature should give the average
              mark.
        """,
        plan=("Add all numbers.", "Divide by their count.", "Return the result."),
        python="return sum(numbers) / len(numbers)",
        javascript="return numbers.reduce((a, b) => a + b, 0) / numbers.length;",
        draw=each(integers()),
        edges=([[4]], [[1, 2]], [[-3, 3]]),
    ),
    Family(
        "count_up(n)",
        level=1,
        phrasings="""
            - Write a function $signature that returns the list of the whole numbers from 1 to n.
              For n equal to 0 the list is empty.
            - Create $signature to return a list that counts from 1 up to and including n; it is
              empty when n is 0.
            - Implement $signature. With n = 3 it returns the list of 1, 2 and 3, with n = 0 an
              empty list.
        """,
        plan=("Count from 1 to n.", "Return the list."),
        python="return list(range(1, n + 1))",
        javascript="return Array.from({ length: n }, (_, i) => i + 1);",
        draw=each(integer(2, 15)),
        edges=([0], [1], [3]),
    ),
    Family(
        "swap(pair)",
        level=1,
        phrasings="""
            - Write a function $signature that returns a list with the two elements of pair swapped.
            - Create the function $signature. pair is a list of two numbers; return a list with the
              second number first.
            - Implement $signature: exchange the places of the two items of a list and return it.
        """,
        plan=("Take both elements.", "Return them in the other order."),
        python="return [pair[1], pair[0]]",
        javascript="return [pair[1], pair[0]];",
        draw=each(integers(-20, 20, 2, 2)),
        edges=([[1, 2]], [[5, 5]]),
    ),
)
