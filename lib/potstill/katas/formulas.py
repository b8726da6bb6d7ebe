"""Levels 1 and 2: formulas and conversions of units."""

from potstill.katas.draws import each, integer
from potstill.katas.family import Family

FAMILIES = (
    Family(
        "celsius_to_fahrenheit(c)",
        level=1,
        phrasings="""
            - Write a function $signature that converts Celsius to Fahrenheit.
            - Create the function $signature. It takes a temperature c in degrees Celsius and
              returns it in degrees Fahrenheit.
            - Implement $signature: multiply c by 9, divide by 5, add 32 and return the result.
        """,
        plan=("Multiply c by 9 / 5.", "Add 32.", "Return the result."),
        python="return c * 9 / 5 + 32",
        javascript="return c * 9 / 5 + 32;",
        draw=each(integer(-30, 120)),
        edges=([0], [100], [-40]),
    ),
    Family(
        "fahrenheit_to_celsius(f)",
        level=1,
        phrasings="""
            - Write a function $signature that converts Fahrenheit to Celsius.
            - Create the function $signature. It takes a temperature f in degrees Fahrenheit and
              returns it in degrees Celsius.
            - Implement $signature: subtract 32 from f, multiply by 5, divide by 9 and return the
              result.
            - Provide $signature: 212 becomes 100 and 32 becomes 0, as thermometers in Europe
              show it.
            - How many degrees Celsius are f degrees Fahrenheit? Define $signature to answer with
              the exact number.
            - Given a Fahrenheit reading f, $signature should give the Celsius value, five ninths of
              what f is above 32.
        """,
        plan=("Subtract 32 from f.", "Multiply by 5 / 9.", "Return the result."),
        python="return (f - 32) * 5 / 9",
        javascript="return (f - 32) * 5 / 9;",
        draw=each(integer(-30, 200)),
        edges=([32], [212], [-40]),
    ),
    Family(
        "to_seconds(hours, minutes)",
        level=1,
        phrasings="""
            - Write a function $signature that converts hours and minutes to seconds.
            - Create the function $signature that returns how many seconds the given hours and
              minutes are together.
            - Implement $signature. An hour has 3600 seconds and a minute has 60; return the total
              number of seconds.
            - Provide $signature: 1 hour and 2 minutes are 3720 seconds.
            - How long, in seconds, is a film of the given hours and minutes? Define $signature to
              answer that.
            - Given a duration as hours and minutes, $signature should give it in seconds. Please
              write it.
        """,
        plan=("Multiply hours by 3600.", "Multiply minutes by 60.", "Return the sum."),
        python="return hours * 3600 + minutes * 60",
        javascript="return hours * 3600 + minutes * 60;",
        draw=each(integer(0, 12), integer(0, 59)),
        edges=([0, 0], [1, 0], [0, 1]),
    ),
    Family(
        "rectangle_perimeter(width, height)",
        level=1,
        phrasings="""
            - Write a function $signature that returns the perimeter of a rectangle.
            - Create the function $signature that returns the length of all four sides of a
              rectangle together.
            - Implement $signature. Add width and height and return twice the sum.
            - Provide $signature: a rectangle of 3 by 4 has 14 around it.
            - How long is a fence around a field that is width wide and height high? Define
              $signature to answer that.
            - Given both side lengths, $signature should give the way once around the rectangle.
              Please write it.
        """,
        plan=("Add width and height.", "Multiply by 2.", "Return the perimeter."),
        python="return 2 * (width + height)",
        javascript="return 2 * (width + height);",
        draw=each(integer(1, 20), integer(1, 20)),
        edges=([3, 4], [1, 1]),
    ),
    Family(
        "triangle_area(base, height)",
        level=1,
        phrasings="""
            - Write a function $signature that calculates the area of a triangle from its base and
              its height.
            - Create $signature, which returns half of the product of base and height.
            - Implement $signature: multiply base by height, divide by 2 and return the result.
        """,
        plan=("Multiply base by height.", "Divide by 2.", "Return the area."),
        python="return base * height / 2",
        javascript="return base * height / 2;",
        draw=each(integer(1, 20), integer(1, 20)),
        edges=([3, 4], [1, 1], [0, 5]),
    ),
    Family(
        "circle_area(radius)",
        level=1,
        phrasings="""
            - Write a function $signature that returns the area of a circle. Use $pi for pi.
            - Create the function $signature. It multiplies $pi by the square of the radius and
              returns the result.
            - Implement $signature to calculate the area of a circle with the given radius, where pi
              is $pi.
        """,
        grid={"pi": (3.14, 3.1416, 3.14159)},
        plan=("Square the radius.", "Multiply by $pi.", "Return the area."),
        python="return $pi * radius * radius",
        javascript="return $pi * radius * radius;",
        draw=each(integer(0, 20)),
        edges=([0], [1], [2.5]),
    ),
    Family(
        "cube_volume(side)",
        level=1,
        phrasings="""
            - Write a function $signature that returns the volume of a cube.
            - Create a function $signature that returns side to the power of three.
            - Implement $signature: multiply side by side by side and return the volume of the cube.
        """,
        plan=("Multiply side by itself three times.", "Return the volume."),
        python="return side ** 3",
        javascript="return side ** 3;",
        draw=each(integer(0, 30)),
        edges=([0], [1], [3]),
    ),
    Family(
        "percent_of(x)",
        level=1,
        phrasings="""
            - Write a function $signature that returns $p percent of x.
            - Create the function $signature, which calculates $p% of the number x.
            - Implement $signature. Multiply x by $p, divide by 100 and return the result.
        """,
        grid={"p": (5, 10, 15, 20, 25, 40, 75)},
        plan=("Multiply x by $p.", "Divide by 100.", "Return the result."),
        python="return x * $p / 100",
        javascript="return x * $p / 100;",
        draw=each(integer(0, 400)),
        edges=([0], [100], [50]),
    ),
    Family(
        "sum_of_squares(a, b)",
        level=1,
        phrasings="""
            - Write a function $signature that returns the sum of the squares of a and b.
            - Create $signature to return a squared plus b squared.
            - Implement $signature: multiply a by itself, multiply b by itself and return the two
              results added together.
        """,
        plan=("Square a.", "Square b.", "Return the sum."),
        python="return a * a + b * b",
        javascript="return a * a + b * b;",
        draw=each(integer(), integer()),
        edges=([3, 4], [0, 0], [-2, 1]),
    ),
    Family(
        "total_price(price, quantity)",
        level=1,
        phrasings="""
            - Write a function $signature that returns the total price with a shipping fee of $fee.
            - Create the function $signature. It multiplies price by quantity, adds $fee and returns
              the result.
            - Implement $signature: the cost of all pieces plus $fee for delivery.
        """,
        grid={"fee": (2, 4, 5, 10)},
        plan=("Multiply price by quantity.", "Add $fee.", "Return the total."),
        python="return price * quantity + $fee",
        javascript="return price * quantity + $fee;",
        draw=each(integer(1, 50), integer(1, 9)),
        edges=([10, 0], [3, 1]),
    ),
    Family(
        "middle_of_range(low, high)",
        level=1,
        phrasings="""
            - Write a function $signature that returns the whole number halfway between low and
              high, rounded down. Both are at least 0.
            - Create $signature to add low and high, divide by 2 and round down. Neither number is
              negative.
            - Implement $signature, the middle index between low and high, as a whole number. Round
              down; both indices are 0 or more.
        """,
        plan=("Add low and high.", "Divide by 2 and round down.", "Return the result."),
        python="return (low + high) // 2",
        javascript="return Math.floor((low + high) / 2);",
        draw=each(integer(0, 20), integer(20, 50)),
        edges=([0, 1], [0, 10], [3, 3]),
    ),
    Family(
        "clamp(x)",
        level=2,
        phrasings="""
            - Write a function $signature that limits x to the range from $low to $high.
            - Create $signature: return $low if x is below $low, $high if x is above $high, and x
              itself otherwise.
            - Implement $signature. It returns the number of the range $low to $high that is nearest
              to x.
        """,
        grid={"low": (-5, 0, 1), "high": (10, 20, 100)},
        plan=("Compare x with $low.", "Compare x with $high.", "Return the limited number."),
        python="return max($low, min(x, $high))",
        javascript="return Math.max($low, Math.min(x, $high));",
        draw=each(integer(-15, 120)),
        edges=([5], [-50], [500]),
    ),
    Family(
        "middle_of_three(a, b, c)",
        level=2,
        phrasings="""
            - Write a function $signature that returns the middle one of three numbers, neither the
              smallest nor the largest.
            - Create the function $signature to return the median of the numbers a, b and c.
            - Implement $signature: sort the three numbers and return the second one.
        """,
        plan=("Sort the three numbers.", "Return the one in the middle."),
        python="return sorted([a, b, c])[1]",
        javascript="return [a, b, c].sort((x, y) => x - y)[1];",
        draw=each(integer(), integer(), integer()),
        edges=([1, 2, 3], [10, 9, 2], [5, 5, 1]),
    ),
)
