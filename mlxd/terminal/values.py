"""How values of the admin API are written for people: times, spans, and text that is not ours."""

from datetime import datetime

NOTHING = "-"  # what is unknown, or does not apply
NOT_MEASURED = "n/a"  # there was nothing to measure


def time_of(text: str) -> datetime:
    """Reads a time in RFC 3339, as all times of the admin API are."""
    return datetime.fromisoformat(text)


def ago(since: str, now: datetime) -> str:
    """Returns the time from ``since`` to ``now``, as ``span``."""
    return span((now - time_of(since)).total_seconds())


def span(seconds: float) -> str:
    """Returns the two greatest units: ``"3d 4h"``, ``"2m 5s"``."""
    whole = max(0, int(seconds))
    parts = [(whole // 86400, "d"), (whole // 3600 % 24, "h"), (whole // 60 % 60, "m"), (whole % 60, "s")]
    first = next((index for index, (count, _) in enumerate(parts) if count), 3)
    return " ".join(f"{count}{unit}" for count, unit in parts[first : first + 2])


def per_second(rate: float | None) -> str:
    """Returns two digits or more: ``"8.4"``, ``"212"``, ``"1,024"``."""
    if rate is None:
        return NOTHING
    return f"{rate:.1f}" if 0 < rate < 9.95 else f"{rate:,.0f}"


def latency(seconds: float | None) -> str:
    """Returns seconds as ``"42 ms"``, ``"1.2 s"``, ``"48 s"``, ``"2m 5s"``."""
    if seconds is None:
        return NOT_MEASURED
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 59.5:
        return f"{seconds:.1f} s" if seconds < 9.95 else f"{seconds:.0f} s"
    return span(round(seconds))


def share(fraction: float | None) -> str:
    """Returns a percentage: ``"63%"``."""
    return NOT_MEASURED if fraction is None else f"{fraction:.0%}"


def counted(count: int, noun: str, plural: str = "") -> str:
    """Returns ``"1 request"``, ``"2 requests"``."""
    return f"{count} {noun if count == 1 else plural or noun + 's'}"


def on_one_line(text: str) -> str:
    """Returns ``printable`` text with its lines one after another."""
    return " ".join(printable(text).split())


def printable(text: str) -> str:
    """Returns text that cannot drive the terminal: a worker's last words, or an answer of a stranger, may hold anything."""
    return "".join(character if character.isprintable() or character == "\n" else repr(character)[1:-1] for character in text)
