"""Level 2: several conditions."""

from potstill.katas.draws import each, integer, near, one_of
from potstill.katas.family import Family

FAMILIES = (
    Family(
        "sign(x)",
        level=2,
        phrasings="""
            - Write a function $signature that returns 1 if x is positive, -1 if x is negative and 0
              if x is zero.
            - Create the function $signature. Numbers above zero give 1, numbers below zero give -1,
              and zero gives 0.
            - Implement $signature, the sign of a number: -1, 0 or 1.
        """,
        plan=("Return 1 if x is above 0.", "Return -1 if x is below 0.", "Otherwise return 0."),
        python="""
            if x > 0:
                return 1
            if x < 0:
                return -1
            return 0
        """,
        javascript="""
            if (x > 0) {
              return 1;
            }
            if (x < 0) {
              return -1;
            }
            return 0;
        """,
        draw=each(integer()),
        edges=([0], [1], [-1]),
    ),
    Family(
        "grade(score)",
        level=2,
        phrasings="""
            - Write a function $signature that returns "A" if score is at least $a, "B" if it is at
              least $b, and "C" otherwise.
            - Create $signature to turn points into a grade: $a or more is "A", less than $b is "C",
              anything between is "B".
            - Implement $signature. A score below $b gives "C", one from $b up to but not including
              $a gives "B", and from $a on the grade is "A".
        """,
        grid={"a": (80, 85, 90), "b": (50, 60, 70)},
        plan=('Return "A" from $a on.', 'Return "B" from $b on.', 'Otherwise return "C".'),
        python="""
            if score >= $a:
                return "A"
            if score >= $b:
                return "B"
            return "C"
        """,
        javascript="""
            if (score >= $a) {
              return "A";
            }
            if (score >= $b) {
              return "B";
            }
            return "C";
        """,
        draw=lambda rng, values: [values[rng.choice("ab")] + rng.randint(-2, 2)],
        edges=([100], [0], [75]),
    ),
    Family(
        "is_leap_year(year)",
        level=2,
        phrasings="""
            - Write a function $signature that returns true if year is a leap year: divisible by 4,
              but not by 100 unless also by 400.
            - Create the function $signature. Years divisible by 400 are leap years; other years
              divisible by 100 are not; of the rest those divisible by 4 are.
            - Implement $signature to check for a leap year in the Gregorian calendar.
        """,
        plan=("Check whether 4 divides year.", "Check 100 and 400.", "Return the answer."),
        python="return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)",
        javascript="return year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0);",
        draw=each(integer(1900, 2100)),
        edges=([2000], [1900], [2024], [2023]),
    ),
    Family(
        "ticket_price(age)",
        level=2,
        phrasings="""
            - Write a function $signature that returns $child for an age below $young, $senior for
              an age of 65 or more, and $adult for all others.
            - Create $signature to find the price of a ticket: children younger than $young pay
              $child, people of at least 65 pay $senior, everyone else pays $adult.
            - Implement $signature. From the age of $young to 64 a ticket costs $adult. Younger
              visitors pay $child and older ones $senior.
        """,
        grid={"young": (6, 12, 14), "child": (4, 5), "senior": (7, 8), "adult": (10, 12)},
        plan=("Check for a child.", "Check for a senior.", "Otherwise return $adult."),
        python="""
            if age < $young:
                return $child
            if age >= 65:
                return $senior
            return $adult
        """,
        javascript="""
            if (age < $young) {
              return $child;
            }
            if (age >= 65) {
              return $senior;
            }
            return $adult;
        """,
        draw=each(near("young", 2)),
        edges=([64], [65], [80], [30]),
    ),
    Family(
        "is_triangle(a, b, c)",
        level=2,
        phrasings="""
            - Write a function $signature that returns true if three sides can form a triangle: any
              two of them together are longer than the third.
            - Create the function $signature to check whether each of the lengths a, b and c is less
              than the sum of the other two.
            - Implement $signature: return false if one of the three lengths is as long as the other
              two together or longer, else true.
        """,
        plan=("Add each pair of sides.", "Compare with the third.", "Return whether all hold."),
        python="return a + b > c and a + c > b and b + c > a",
        javascript="return a + b > c && a + c > b && b + c > a;",
        draw=each(integer(1, 9), integer(1, 9), integer(1, 9)),
        edges=([3, 4, 5], [1, 2, 3], [9, 2, 3]),
    ),
    Family(
        "days_in_month(month)",
        level=2,
        phrasings="""
            - Write a function $signature that returns the number of days of a month from 1 to 12.
              February has 28.
            - Create $signature: the months 4, 6, 9 and 11 have 30 days, month 2 has 28, and all
              others have 31. Return the days.
            - Implement $signature. January is month 1 and December is month 12; it is not a leap
              year. Return how many days the month has.
        """,
        plan=("Return 28 for February.", "Return 30 for 4, 6, 9, 11.", "Otherwise return 31."),
        python="""
            if month == 2:
                return 28
            if month in [4, 6, 9, 11]:
                return 30
            return 31
        """,
        javascript="""
            if (month === 2) {
              return 28;
            }
            if ([4, 6, 9, 11].includes(month)) {
              return 30;
            }
            return 31;
        """,
        draw=each(integer(1, 12)),
        edges=([1], [2], [4], [11]),
    ),
    Family(
        "fizz(n)",
        level=2,
        phrasings="""
            - Write a function $signature that returns "both" if n is divisible by $p and by $q,
              "$p" if only by $p, "$q" if only by $q, and "none" otherwise.
            - Create the function $signature. Check whether $p and $q divide n: return "both", the
              one that does as a string, or "none".
            - Implement $signature, which returns a string: "none" if neither $p nor $q divides n,
              "both" if both do, else the divisor as text.
        """,
        grid={"p": (2, 3), "q": (5, 7)},
        plan=("Check both divisors.", "Check each divisor alone.", 'Otherwise return "none".'),
        python="""
            if n % $p == 0 and n % $q == 0:
                return "both"
            if n % $p == 0:
                return "$p"
            if n % $q == 0:
                return "$q"
            return "none"
        """,
        javascript="""
            if (n % $p === 0 && n % $q === 0) {
              return "both";
            }
            if (n % $p === 0) {
              return "$p";
            }
            if (n % $q === 0) {
              return "$q";
            }
            return "none";
        """,
        draw=lambda rng, values: [rng.randint(1, 8) * values[rng.choice("pq")]],
        edges=([1], [210], [6], [35]),
    ),
    Family(
        "calculate(a, operator, b)",
        level=2,
        phrasings="""
            - Write a function $signature that returns a + b if operator is "+", a - b if it is "-",
              and a * b if it is "*".
            - Create $signature, a small calculator. The string operator is "+", "-" or "*"; apply
              it to the two numbers and return the result.
            - Implement $signature. Depending on operator it returns the sum, the difference or the
              product of a and b: "+", "-" or "*".
        """,
        plan=("Look at the operator.", "Apply it to a and b.", "Return the result."),
        python="""
            if operator == "+":
                return a + b
            if operator == "-":
                return a - b
            return a * b
        """,
        javascript="""
            if (operator === "+") {
              return a + b;
            }
            if (operator === "-") {
              return a - b;
            }
            return a * b;
        """,
        draw=each(integer(), one_of("+", "-", "*"), integer()),
        edges=([2, "+", 3], [2, "-", 3], [4, "*", 3]),
    ),
    Family(
        "bill(amount)",
        level=2,
        phrasings="""
            - Write a function $signature that returns amount with $p percent off if amount is
              greater than $limit, and amount unchanged otherwise.
            - Create $signature to apply a discount: orders above $limit cost $p percent less.
              Return what has to be paid.
            - Implement $signature. Up to and including $limit the full amount is returned; beyond
              it $p percent are taken off.
        """,
        grid={"limit": (50, 100, 200), "p": (5, 10, 20)},
        plan=("Compare amount with $limit.", "Take off $p percent if above.", "Return the price."),
        python="""
            if amount > $limit:
                return amount * (100 - $p) / 100
            return amount
        """,
        javascript="""
            if (amount > $limit) {
              return (amount * (100 - $p)) / 100;
            }
            return amount;
        """,
        draw=each(near("limit", 30)),
        edges=([50], [100], [200]),
    ),
    Family(
        "water_state(temperature)",
        level=2,
        phrasings="""
            - Write a function $signature that returns "ice" if temperature is below 0, "steam" if
              it is above 100, and "water" otherwise.
            - Create the function $signature: from 0 to 100 degrees the answer is "water", colder is
              "ice" and hotter is "steam".
            - Implement $signature. It names the state of water: "ice" under 0, "steam" over 100,
              else "water".
        """,
        plan=('Return "ice" below 0.', 'Return "steam" above 100.', 'Otherwise return "water".'),
        python="""
            if temperature < 0:
                return "ice"
            if temperature > 100:
                return "steam"
            return "water"
        """,
        javascript="""
            if (temperature < 0) {
              return "ice";
            }
            if (temperature > 100) {
              return "steam";
            }
            return "water";
        """,
        draw=each(integer(-40, 160)),
        edges=([0], [100], [-1], [101]),
    ),
)
