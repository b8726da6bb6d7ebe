"""Level 3: pairs, pieces and runs of neighbours of a list."""

from potstill.katas.draws import each, integers
from potstill.katas.family import Family

FAMILIES = (
    Family(
        "has_pair_with_sum(numbers)",
        level=3,
        phrasings="""
            - Write a function $signature that returns true if two numbers at different places of
              the list add up to $target.
            - Create $signature to check whether there are two different indices whose numbers have
              the sum $target.
            - Implement $signature: try every pair of numbers in the list, never a number with
              itself, and return whether one pair makes $target.
        """,
        grid={"target": (8, 10, 12)},
        plan=("Go through all pairs.", "Return true at the sum $target.", "Else return false."),
        python="""
            for i in range(len(numbers)):
                for j in range(i + 1, len(numbers)):
                    if numbers[i] + numbers[j] == $target:
                        return True
            return False
        """,
        javascript="""
            for (let i = 0; i < numbers.length; i++) {
              for (let j = i + 1; j < numbers.length; j++) {
                if (numbers[i] + numbers[j] === $target) {
                  return true;
                }
              }
            }
            return false;
        """,
        draw=each(integers(0, 12, 3, 5)),
        edges=([[]], [[4, 5, 6]], [[4, 4, 2, 6, 6]]),
    ),
    Family(
        "chunks(items)",
        level=3,
        phrasings="""
            - Write a function $signature that splits the list into lists of $n elements. The last
              one may be shorter.
            - Create the function $signature to return a list of pieces: the first $n items, the
              next $n items and so on; what is left at the end forms a smaller piece.
            - Implement $signature: cut the list after every $n elements and return the parts. An
              empty list has no parts.
        """,
        grid={"n": (2, 3, 4)},
        plan=("Step through the list by $n.", "Take $n elements.", "Return the pieces."),
        python="return [items[i:i + $n] for i in range(0, len(items), $n)]",
        javascript="""
            const result = [];
            for (let i = 0; i < items.length; i += $n) {
              result.push(items.slice(i, i + $n));
            }
            return result;
        """,
        draw=each(integers(0, 9, 2, 9)),
        edges=([[]], [[1]], [[1, 2, 3, 4]]),
    ),
    Family(
        "window_sums(numbers)",
        level=3,
        phrasings="""
            - Write a function $signature that returns the sums of all $n neighbouring numbers: the
              first $n, then $n beginning with the second number and so on.
            - Create $signature. Slide a window of $n numbers over the list by one place at a time
              and collect the sum of each window; a shorter list gives an empty list.
            - Implement $signature: for every index at which $n numbers follow one another, add them
              up, and return the list of these sums.
        """,
        grid={"n": (2, 3)},
        plan=("Slide a window of $n.", "Add the numbers in it.", "Return the sums."),
        python="return [sum(numbers[i:i + $n]) for i in range(len(numbers) - $n + 1)]",
        javascript="""
            const sums = [];
            for (let i = 0; i + $n <= numbers.length; i++) {
              sums.push(numbers.slice(i, i + $n).reduce((a, b) => a + b, 0));
            }
            return sums;
        """,
        draw=each(integers(-5, 9, 4, 7)),
        edges=([[]], [[1]], [[1, 2, 3, 4]]),
    ),
    Family(
        "best_sum(numbers)",
        level=3,
        phrasings="""
            - Write a function $signature that returns the largest sum of one or more neighbouring
              numbers in a non-empty list.
            - Create the function $signature: of all non-empty contiguous parts of the list, find
              the one with the greatest total and return the total. The list is not empty.
            - Implement $signature. Keep the best sum that ends at each number, which is the number
              alone or added to the sum before it, and return the largest. There is at least one.
        """,
        plan=("Keep the best sum ending here.", "Keep the best sum of all.", "Return it."),
        python="""
            best = numbers[0]
            current = numbers[0]
            for number in numbers[1:]:
                current = max(number, current + number)
                best = max(best, current)
            return best
        """,
        javascript="""
            let best = numbers[0];
            let current = numbers[0];
            for (const number of numbers.slice(1)) {
              current = Math.max(number, current + number);
              best = Math.max(best, current);
            }
            return best;
        """,
        draw=each(integers(-9, 9, 3, 8)),
        edges=([[-3]], [[-5, -2]], [[2, -1, 3, -9, 4]]),
    ),
    Family(
        "best_profit(prices)",
        level=3,
        phrasings="""
            - Write a function $signature that returns the largest profit from buying once and
              selling at a later place of the list, or 0 if no profit is possible.
            - Create $signature: prices holds one price a day. Find the greatest difference between
              a price and an earlier one; return 0 if it would be negative or the list is empty.
            - Implement $signature. Remember the lowest price so far and return the most that any
              later price is above it, at least 0.
        """,
        plan=("Remember the lowest price.", "Compare each later price.", "Return the best."),
        python="""
            best = 0
            for i in range(len(prices)):
                for j in range(i + 1, len(prices)):
                    best = max(best, prices[j] - prices[i])
            return best
        """,
        javascript="""
            let best = 0;
            for (let i = 0; i < prices.length; i++) {
              for (let j = i + 1; j < prices.length; j++) {
                best = Math.max(best, prices[j] - prices[i]);
              }
            }
            return best;
        """,
        draw=each(integers(1, 20, 3, 6)),
        edges=([[]], [[5, 3, 1]], [[4, 1, 6, 2]]),
    ),
)
