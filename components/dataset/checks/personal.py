"""Personal data in texts: card numbers, IBANs, e-mail addresses and phone numbers, by form and checksum.

One pass of RE2 over a column says which texts are worth a closer look; a name or an address of a street is
not found. Numbers of orders, prices and years have neither the checksum nor the form.
"""

import re
from collections.abc import Iterator, Sequence

from components.dataset.arrays import text_column
from components.dataset.checks.spans import Span

# An @, seven digits near one another, or the beginning of an IBAN.
WORTH_A_LOOK = r"[^\s@]@[^\s@]|[0-9](?:[ ./()-]{0,3}[0-9]){6}|[A-Za-z]{2}[0-9]{2}(?:[ -]?[A-Za-z0-9]){11}"
_EMAIL = re.compile(
    r"(?<![\w.%+-])[\w%+-][\w.%+-]{0,63}"
    r"@(?:[A-Za-z0-9][A-Za-z0-9-]{0,62}\.){1,8}[A-Za-z]{2,24}(?![\w@-])"
)
# icon@2x.png is a picture, not a person.
_FILE_ENDINGS = frozenset(
    ["png", "jpg", "jpeg", "gif", "svg", "webp", "js", "css", "html", "json", "py", "md"]
)
# In one piece, or in the groups in which cards show it; not a part of a longer number or name.
_CARD = re.compile(
    r"(?<![\w/-])(?<![0-9][.,])(?:[0-9]{13,19}"
    r"|[0-9]{4}(?P<sign>[ -])(?:[0-9]{4}(?P=sign)){2}[0-9]{4}(?:(?P=sign)[0-9]{3})?"
    r"|[0-9]{4}(?P<mark>[ -])[0-9]{6}(?P=mark)[0-9]{4,5})(?![\w/-]|[.,][0-9])"
)
# Issuers' first digits and the lengths that their numbers have (ISO/IEC 7812).
_BRANDS = re.compile(
    r"4(?:\d{12}|\d{15}|\d{18})"  # Visa
    r"|(?:5[1-5]\d\d|222[1-9]|22[3-9]\d|2[3-6]\d\d|27[01]\d|2720)\d{12}"  # Mastercard
    r"|3[47]\d{13}"  # American Express
    r"|(?:6011|65\d\d|64[4-9]\d)\d{12}"  # Discover
    r"|3(?:0[0-5]|[689]\d)\d{11}"  # Diners Club
    r"|35(?:2[89]|[3-8]\d)\d{12}"  # JCB
    r"|62\d{14,17}"  # UnionPay
)
_IBAN = re.compile(r"(?<![A-Za-z0-9])(?=([A-Za-z]{2}[0-9]{2}(?:[ -]?[A-Za-z0-9]){11,30}))")
_IBAN_LENGTHS = range(34, 14, -1)
# A number with its country, or one of North America in the way people write it there.
_PHONE = re.compile(
    r"(?<![\w+])(?:\+[1-9]|00[1-9](?=[0-9]{0,2}[ /().-]))(?:[ ./()-]{0,3}[0-9]){6,14}(?![\w-]|[.,][0-9])"
    r"|(?<![\w+/-])(?<![0-9][.,])(?:1[ .-])?(?:\([2-9][0-9]{2}\) ?|[2-9][0-9]{2}[.-])"
    r"[2-9][0-9]{2}[.-][0-9]{4}(?![\w-]|[.,][0-9])"
)


def find_personal(texts: Sequence[str]) -> dict[int, list[Span]]:
    """Return what was found, by the number of the text that it stands in."""
    import pyarrow.compute as pc

    if not texts:
        return {}
    hits = pc.indices_nonzero(pc.match_substring_regex(text_column(texts), WORTH_A_LOOK)).to_pylist()
    return {number: spans for number in hits if (spans := look_closer(texts[number]))}


def look_closer(text: str) -> list[Span]:
    """Return the personal data of one text."""
    return [*_emails(text), *_cards(text), *_ibans(text), *_phones(text)]


def _emails(text: str) -> Iterator[Span]:
    if "@" not in text:
        return
    for found in _EMAIL.finditer(text):
        if found[0].rpartition(".")[2].lower() not in _FILE_ENDINGS:
            yield Span(found.start(), found.end(), "email")


def _cards(text: str) -> Iterator[Span]:
    from stdnum import luhn

    for found in _CARD.finditer(text):
        digits = re.sub("[ -]", "", found[0])
        if _BRANDS.fullmatch(digits) and luhn.is_valid(digits):
            yield Span(found.start(), found.end(), "card")


def _ibans(text: str) -> Iterator[Span]:
    from stdnum import iban

    for found in _IBAN.finditer(text):
        # Words may stand right behind it: try what begins there, the longest first.
        places = [place for place, sign in enumerate(found[1]) if sign not in " -"]
        for length in _IBAN_LENGTHS:
            if length > len(places):
                continue
            end = found.start() + places[length - 1] + 1
            if not text[end : end + 1].isalnum() and iban.is_valid(text[found.start() : end]):
                yield Span(found.start(), end, "iban")
                break


def _phones(text: str) -> Iterator[Span]:
    import phonenumbers

    for found in _PHONE.finditer(text):
        number = found[0]
        if number.startswith("00"):
            number = f"+{number[2:]}"
        try:
            parsed = phonenumbers.parse(number, None if number.startswith("+") else "US")
        except phonenumbers.NumberParseException:
            continue
        if phonenumbers.is_valid_number(parsed):
            yield Span(found.start(), found.end(), "phone")
