"""Numbers, digests and times as people read them."""

from datetime import datetime

from components.checks import Check

DIGEST_CHARACTERS = 12
MINUS = "\N{MINUS SIGN}"
_ACRONYMS = {"f1", "ttft", "itl", "slo", "oci"}
_WHOLE_UNITS = {"rows", "tokens", "requests", "replicas", "steps", "digest", "checks"}


def quantity(value: float | None, unit: str) -> str:
    """Write a value with its unit: `412 ms`, `97.3 %` for a share, `12 min 5 s`, `1,234 rows`."""
    if value is None or value != value:
        return "not measured"
    if value in (float("inf"), float("-inf")):
        return "never" if unit in ("s", "ms") else "unbounded"
    if unit == "share":
        return f"{_trimmed(value * 100, 1)} %"
    if unit == "ms":
        return f"{_trimmed(value, 0 if abs(value) >= 10 else 1)} ms"
    if unit == "s":
        return duration(value)
    if unit in _WHOLE_UNITS:
        return f"{_trimmed(value, 0)} {unit}"
    return f"{_significant(value)} {unit}".strip()


def margin(value: float | None, unit: str) -> str:
    """Write a margin with its sign; of shares, in percentage points."""
    if value is None:
        return ""
    text = quantity(abs(value), unit)
    if unit == "share":
        text = text.replace(" %", " pp")
    return f"{MINUS if value < 0 else '+'}{text}"


def duration(seconds: float) -> str:
    """Write a time span: `0.4 s`, `43 s`, `12 min 5 s`, `2 h 4 min`."""
    size = abs(seconds)
    if size < 9.95:
        return f"{_trimmed(seconds, 2 if size < 1 else 1)} s"
    if size < 299.5:
        return f"{seconds:.0f} s"
    if size < 3599.5:
        minutes, rest = divmod(round(size), 60)
        return f"{MINUS if seconds < 0 else ''}{minutes} min" + (f" {rest} s" if rest else "")
    hours, minutes = divmod(round(size / 60), 60)
    return f"{MINUS if seconds < 0 else ''}{hours:,} h {minutes} min"


def moment(epoch_s: float) -> str:
    """Write a point in time with its zone, to the minute."""
    return datetime.fromtimestamp(epoch_s).astimezone().strftime("%d %B %Y, %H:%M %Z").lstrip("0")


def short_digest(text: str) -> str:
    """Shorten every sha256 in a text to its first 12 digits."""
    head, found, tail = text.partition("sha256:")
    if not found or len(tail) <= DIGEST_CHARACTERS:
        return text
    return f"{head}sha256:{tail[:DIGEST_CHARACTERS]}…"


def check_name(check: Check) -> str:
    """Write a check's name as words; seconds at its end are left out, because the value has them."""
    return plain(check.name.removesuffix(f"_{check.unit}") if check.unit in ("s", "ms") else check.name)


def check_value(check: Check) -> str:
    """Write what a check has measured."""
    if check.unit == "digest" and check.value is not None:
        return "the same" if check.value == check.limit else "another"
    return quantity(check.value, check.unit)


def check_limit(check: Check) -> str:
    """Write what a check's value is held against: `≥ 90 %`."""
    if check.unit == "digest":
        return "the same"
    return f"{'≥' if check.bound == 'min' else '≤'} {quantity(check.limit, check.unit)}"


def check_margin(check: Check) -> str:
    """Write how far a check's value is on the good side of its limit."""
    return "" if check.unit == "digest" else margin(check.margin, check.unit)


def plain(name: str) -> str:
    """Write a snake_case name as words."""
    words = name.split("_")
    return " ".join(word.upper() if word in _ACRONYMS else word for word in words)


def number(value: float) -> str:
    """Write a bare number: thousands apart, four significant digits below that."""
    return quantity(value, "")


def _significant(value: float) -> str:
    if value == int(value) and abs(value) < 1e15:
        return f"{value:,.0f}"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.4g}"


def _trimmed(value: float, decimals: int) -> str:
    text = f"{value:,.{decimals}f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text == "-0" else text.replace("-", MINUS)
