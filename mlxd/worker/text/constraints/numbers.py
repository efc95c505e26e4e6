"""Numbers that a schema asks for, such that whatever a grammar lets be written is valid once it is read.

Readers of JSON know doubles. Rounding keeps order: a decimal that is at least a bound is read as a double that is, however long it is. But
one beyond an exclusive bound may be read as the bound itself, and a multiple of many digits as none. So an exclusive bound moves by a unit
of its fifteenth digit, and multiples stay where doubles keep every digit. The library that makes grammars rounds a number of more digits
to one of the doubles beside it: bounds with more move inward, too.
"""

import math
from collections.abc import Collection, Mapping
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Any

from mlxd.worker.text.constraints.pointers import Place

_EXACT = 2**53 - 1  # beyond, a double is no longer every whole number
_DIGITS = 15  # of any decimal that a double keeps
_DECIMALS = 22  # behind the point, with which a number of _EXACT or less is read by one division of doubles
_FARTHEST = 1e300  # of numbers in a schema
_FINEST = 10_000  # significant digits of "multipleOf", as a number: an automaton counts as far
_LARGEST = 10**18  # of a number, as far as a library counts
_LARGEST_WHOLE = 9 * 10**18
_MOST_COUNTED = 2**32 - 1  # of common multiples

ANY_NUMBER: Mapping[str, float] = {"minimum": -_LARGEST, "maximum": _LARGEST}
_ANY_WHOLE: Mapping[str, float] = {"minimum": -_LARGEST_WHOLE, "maximum": _LARGEST_WHOLE}


def numeric(given: Mapping[str, Any], place: Place) -> dict[str, float]:
    """Returns what a schema asks of numbers, as "minimum", "maximum" and "multipleOf" alone. Raises ``InvalidRequestError``."""
    lows = [_bound(given, "minimum", place), _bound(given, "exclusiveMinimum", place)]
    highs = [_bound(given, "maximum", place), _bound(given, "exclusiveMaximum", place)]
    found: dict[str, float] = {}
    if "multipleOf" in given:
        found["multipleOf"] = _divisor(given["multipleOf"], place / "multipleOf")
        most = _largest_multiple(found["multipleOf"])
        lows, highs = [*lows, -most], [*highs, most]
    if any(low is not None for low in lows):
        found["minimum"] = max(low for low in lows if low is not None)
    if any(high is not None for high in highs):
        found["maximum"] = min(high for high in highs if high is not None)
    return found


def bounds_of(types: Collection[str]) -> Mapping[str, float]:
    """Returns how far numbers of some types may go where nothing bounds them: they would come out as infinite."""
    return ANY_NUMBER if "number" in types else _ANY_WHOLE if "integer" in types else {}


def is_kept(value: float) -> bool:
    """Tells whether every reader makes the same of a number, so that it can be told apart from all others."""
    if not abs(value) <= _EXACT:
        return False
    number = _decimal(value)
    return _whole(number) <= _EXACT and _exponent(number) >= -_DECIMALS


def can_stand_together(divisors: Collection[float]) -> bool:
    """Tells whether the common multiples of some divisors are counted rightly, in any order."""
    numbers = {_decimal(divisor) for divisor in divisors}
    finest = min(map(_exponent, numbers), default=0)
    scaled = [int(number.scaleb(-min(finest, 0))) for number in numbers]
    return math.prod(scaled) * max(scaled, default=1) <= _MOST_COUNTED


def _bound(given: Mapping[str, Any], key: str, place: Place) -> float | None:
    """Returns the inclusive bound, as far out as a grammar can count, that a keyword comes to; None where it is not there."""
    value, plain = given.get(key), key.removeprefix("exclusive").lower()
    is_excluded, is_low = plain != key, plain == "minimum"
    if value is True and is_excluded:  # as draft 4 writes it, beside the bound
        key, value = plain, given.get(plain)
    if value is None or isinstance(value, bool):
        return None
    _require_number(value, place / key)
    if not abs(value) <= _EXACT:
        if (value > 0) == is_low:
            raise (place / key).refusal("it is beyond the numbers that can be told apart, 2**53")
        return _EXACT if value > 0 else -_EXACT
    number, sign = _decimal(value), 1 if is_low else -1
    if is_excluded:
        return _beyond(number, sign)
    return value + 0 if is_kept(value) else float(_rounded(number, sign))


def _beyond(number: Decimal, sign: int) -> float:
    """Returns the next number of few digits that is greater, or with a negative ``sign`` less."""
    return float(_rounded(number, -sign) + sign * _step(number))


def _rounded(number: Decimal, sign: int) -> Decimal:
    """Returns a number with few digits, rounded up, or with a negative ``sign`` down."""
    return number.quantize(_step(number), ROUND_CEILING if sign > 0 else ROUND_FLOOR)


def _step(number: Decimal) -> Decimal:
    """Returns a unit of the last digit that every reader keeps."""
    last = number.adjusted() - _DIGITS + 1 if number else -_DECIMALS
    return Decimal(1).scaleb(min(0, max(last, -_DECIMALS)))


def _divisor(value: Any, place: Place) -> float:
    _require_number(value, place)
    if value <= 0:
        raise place.refusal("it must be greater than 0")
    if _whole(_decimal(value)) > _FINEST or not _is_counted(value):
        raise place.refusal(f"multiples of a number with more digits than {_FINEST} cannot be enforced")
    return float(value)


def _is_counted(value: float) -> bool:
    """Tells whether the library finds the digits of a divisor, which it looks for by multiplication."""
    scaled, decimals = float(value), 0
    while scaled % 1:
        scaled, decimals = scaled * 10, decimals + 1
    return Decimal(scaled) == _decimal(value).scaleb(decimals) and decimals < _DIGITS


def _largest_multiple(divisor: float) -> float:
    """Returns how far out every multiple is read as what is written."""
    decimals = -_exponent(_decimal(divisor))
    return float(10 ** (_DIGITS - decimals)) if decimals > 0 else _EXACT


def _decimal(value: float) -> Decimal:
    """Returns a number as it is written."""
    return Decimal(repr(value)).normalize()


def _exponent(number: Decimal) -> int:
    return int(number.as_tuple().exponent)


def _whole(number: Decimal) -> int:
    """Returns the significant digits of a number as a whole one."""
    return int("".join(map(str, number.as_tuple().digits)))


def _require_number(value: Any, place: Place) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not -_FARTHEST <= value <= _FARTHEST:
        raise place.refusal(f"it must be a number, from -{_FARTHEST:g} to {_FARTHEST:g}")
