"""Level 4: tasks on lists of lists."""

import random

from potstill.katas.draws import Values, each, integer, many, matrix, one_of
from potstill.katas.family import Family


def _intervals(rng: random.Random, _: Values) -> list[list[list[int]]]:
    starts = [rng.randint(0, 20) for _ in range(rng.randint(2, 5))]
    return [[[start, start + rng.randint(1, 6)] for start in starts]]


def _square(rng: random.Random, values: Values) -> list[list[list[int]]]:
    size = rng.randint(2, 4)
    return [matrix((size, size), (size, size))(rng, values)]


def _factors(rng: random.Random, values: Values) -> list[list[list[int]]]:
    rows, inner, columns = (rng.randint(1, 3) for _ in range(3))
    return [
        matrix((rows, rows), (inner, inner))(rng, values),
        matrix((inner, inner), (columns, columns))(rng, values),
    ]


FAMILIES = (
    Family(
        "transpose(matrix)",
        level=4,
        phrasings="""
            - Write a function $signature that swaps the rows and the columns of a matrix, given as
              a non-empty list of equally long, non-empty rows.
            - Create $signature: return the list of the columns of matrix, each as a list from top
              to bottom. There is at least one row and one column; all rows have the same length.
            - Implement $signature. The number at row i and column j of the result stands at row j
              and column i of the given list of rows, which is not empty.
        """,
        plan=("Go through the columns.", "Collect each from top to bottom.", "Return them."),
        python="return [[row[i] for row in matrix] for i in range(len(matrix[0]))]",
        javascript="return matrix[0].map((_, i) => matrix.map((row) => row[i]));",
        draw=each(matrix()),
        edges=([[[1]]], [[[1, 2], [3, 4], [5, 6]]]),
    ),
    Family(
        "rotate_clockwise(matrix)",
        level=4,
        phrasings="""
            - Write a function $signature that rotates a matrix by 90 degrees clockwise. It is a
              non-empty list of equally long, non-empty rows.
            - Create the function $signature: the first row of the result is the first column of the
              matrix read from bottom to top, and so on. There is at least one row and one column.
            - Implement $signature to turn a grid of numbers, a non-empty list of rows, by a quarter
              to the right, so that its first row becomes its last column.
        """,
        plan=("Reverse the order of the rows.", "Swap rows and columns.", "Return the matrix."),
        python="return [[row[i] for row in matrix[::-1]] for i in range(len(matrix[0]))]",
        javascript="return matrix[0].map((_, i) => matrix.map((row) => row[i]).reverse());",
        draw=each(matrix()),
        edges=([[[1]]], [[[1, 2], [3, 4]]]),
    ),
    Family(
        "spiral(matrix)",
        level=4,
        phrasings="""
            - Write a function $signature that returns the numbers of a matrix, a list of equally
              long rows, in spiral order: clockwise from the top left corner to the inside.
            - Create $signature. Read the first row from left to right, then the last column down,
              the last row from right to left, the first column up, and go on with what is left
              inside. Return all numbers of the list of rows as one list.
            - Implement $signature: take away the top row of the matrix, rotate the rest by a
              quarter to the left and repeat until nothing is left. Return the numbers in that
              order.
        """,
        plan=("Take the top row.", "Turn the rest to the left.", "Repeat until it is empty."),
        python="""
            result = []
            while matrix:
                result += matrix[0]
                rest = matrix[1:]
                matrix = [list(column) for column in zip(*rest)][::-1]
            return result
        """,
        javascript="""
            const result = [];
            while (matrix.length > 0) {
              result.push(...matrix[0]);
              const rest = matrix.slice(1);
              if (rest.length === 0) {
                break;
              }
              matrix = rest[0].map((_, i) => rest.map((row) => row[i])).reverse();
            }
            return result;
        """,
        draw=each(matrix((2, 4))),
        edges=([[[1, 2], [4, 3]]], [[[1, 2, 3], [8, 9, 4], [7, 6, 5]]]),
    ),
    Family(
        "diagonal_sum(matrix)",
        level=4,
        phrasings="""
            - Write a function $signature that returns the sum of the main diagonal of a square
              matrix, from the top left to the bottom right.
            - Create the function $signature: add the first number of the first row, the second of
              the second row and so on. The matrix has as many rows as columns.
            - Implement $signature. For a square list of rows add up the numbers whose row index
              equals their column index.
        """,
        plan=("Go through the indices.", "Add each number of the diagonal.", "Return the sum."),
        python="return sum(matrix[i][i] for i in range(len(matrix)))",
        javascript="return matrix.reduce((sum, row, i) => sum + row[i], 0);",
        draw=_square,
        edges=([[[4]]], [[[1, 2], [3, 4]]]),
    ),
    Family(
        "multiply_matrices(a, b)",
        level=4,
        phrasings="""
            - Write a function $signature that returns the product of two matrices, given as lists
              of rows. a has as many columns as b has rows.
            - Create $signature: the number at row i and column j of the result is the sum of the
              products of row i of a with column j of b. The sizes fit.
            - Implement $signature, the multiplication of the matrix a by the matrix b. Each is a
              list of rows, and the rows of a are as long as b has rows.
        """,
        plan=("Go through rows of a.", "Combine each with the columns of b.", "Return the rows."),
        python="""
            return [
                [sum(row[k] * b[k][j] for k in range(len(b))) for j in range(len(b[0]))]
                for row in a
            ]
        """,
        javascript="""
            return a.map((row) =>
              b[0].map((_, j) => row.reduce((sum, x, k) => sum + x * b[k][j], 0))
            );
        """,
        draw=_factors,
        edges=([[[2]], [[3]]], [[[1, 2], [3, 4]], [[0, 1], [1, 0]]]),
    ),
    Family(
        "pascal_row(n)",
        level=4,
        phrasings="""
            - Write a function $signature that returns row n of Pascal's triangle as a list. Row 0
              is the list of the single number 1.
            - Create the function $signature. Each row begins and ends with 1, and every number
              between is the sum of the two above it; return the row with index n, counted from 0.
            - Implement $signature: start with the list of one 1 and build the next row n times by
              adding neighbours and putting a 1 at both ends.
        """,
        plan=("Start with the row of one 1.", "Build the next row n times.", "Return it."),
        python="""
            row = [1]
            for _ in range(n):
                row = [1] + [row[i] + row[i + 1] for i in range(len(row) - 1)] + [1]
            return row
        """,
        javascript="""
            let row = [1];
            for (let k = 0; k < n; k++) {
              row = [1, ...row.slice(1).map((x, i) => x + row[i]), 1];
            }
            return row;
        """,
        draw=each(integer(2, 12)),
        edges=([0], [1], [4]),
    ),
    Family(
        "merge_intervals(intervals)",
        level=4,
        phrasings="""
            - Write a function $signature that merges overlapping or touching intervals. Each is a
              list of its start and its end; return the result sorted by start.
            - Create $signature: intervals is a list of pairs of start and end. Join those that
              share at least one point and return the joined pairs in ascending order.
            - Implement $signature. Sort the start-end pairs; if one begins not later than the end
              of the one before, extend that one, otherwise keep it apart. Return the pairs.
        """,
        plan=("Sort by start.", "Extend the last or add a new one.", "Return the intervals."),
        python="""
            merged = []
            for start, end in sorted(intervals):
                if merged and start <= merged[-1][1]:
                    merged[-1][1] = max(merged[-1][1], end)
                else:
                    merged.append([start, end])
            return merged
        """,
        javascript="""
            const merged = [];
            for (const [start, end] of [...intervals].sort((a, b) => a[0] - b[0])) {
              const last = merged[merged.length - 1];
              if (last && start <= last[1]) {
                last[1] = Math.max(last[1], end);
              } else {
                merged.push([start, end]);
              }
            }
            return merged;
        """,
        draw=_intervals,
        edges=([[]], [[[1, 3], [2, 6], [8, 9]]], [[[4, 5], [1, 4]]]),
    ),
    Family(
        "subsets(items)",
        level=4,
        phrasings="""
            - Write a function $signature that returns all sublists that can be made by keeping or
              dropping each of the different items. Begin with the empty list, and for each item add
              copies of all lists so far with the item at the end.
            - Create the function $signature to build the power set of a list of different numbers:
              start with a list that holds the empty list, and for every item append to it each of
              its lists extended by that item, in their order.
            - Implement $signature: for the items 1 and 2 the result is the list of [], [1], [2] and
              [1, 2]. Every item doubles the lists: first those without it, then those with it.
        """,
        plan=("Start with the empty list.", "Add copies with each item.", "Return all lists."),
        python="""
            result = [[]]
            for item in items:
                result += [subset + [item] for subset in result]
            return result
        """,
        javascript="""
            let result = [[]];
            for (const item of items) {
              result = result.concat(result.map((subset) => [...subset, item]));
            }
            return result;
        """,
        draw=lambda rng, _: [rng.sample(range(10), rng.randint(2, 3))],
        edges=([[]], [[5]], [[1, 2]]),
    ),
    Family(
        "deep_sum(items)",
        level=4,
        phrasings="""
            - Write a function $signature that adds up all numbers in a list that may contain other
              lists, to any depth. No numbers give 0.
            - Create $signature. The items are numbers or lists of such items; return the sum of all
              the numbers at every level, 0 if there are none.
            - Implement $signature with recursion: add a number itself, and for a list inside the
              list add its own deep sum. An empty list counts 0.
        """,
        plan=("Go through the items.", "Call itself for lists.", "Return the sum."),
        python="""
            total = 0
            for item in items:
                if isinstance(item, list):
                    total += deep_sum(item)
                else:
                    total += item
            return total
        """,
        javascript="""
            let total = 0;
            for (const item of items) {
              if (Array.isArray(item)) {
                total += deepSum(item);
              } else {
                total += item;
              }
            }
            return total;
        """,
        draw=each(many(one_of(1, 2, [3, [4]], [], [[5], -2], 7), 1, 5)),
        edges=([[]], [[1, [2, [3]]]]),
    ),
)
