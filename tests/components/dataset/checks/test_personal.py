"""Personal data by form and checksum, and the numbers that only look like it."""

import pytest

from components.dataset.checks.personal import find_personal
from components.dataset.checks.spans import Span, masked


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("mail maria@petmail.org.", "mail [email]."),
        ("<jürgen.o@post.co.uk>", "<[email]>"),
        ("https://u:pw@host.com/x", "https://u:[email]/x"),
        ("a,4012888888881881,b", "a,[card],b"),
        ("12 4012 8888 8888 1881 12", "12 [card] 12"),
        ("3782 822463 10005 is Amex", "[card] is Amex"),
        ("IBAN DE89 3704 0044 0532 0130 00 please", "IBAN [iban] please"),
        ("AB12 de89370400440532013000", "AB12 [iban]"),
        ("MT84MALT011000012345MTLCAST001S", "[iban]"),
        ("call +49 30 901820 now", "call [phone] now"),
        ("(415) 555-2671, 212-736-5000", "[phone], [phone]"),
        ("0049 30 901820", "[phone]"),
        ("maria@petmail.org or +1 212 736 5000", "[email] or [phone]"),
    ],
)
def test_what_is_found(text: str, expected: str):
    assert masked(text, find_personal(["nothing", text])[1]) == expected


@pytest.mark.parametrize(
    "text",
    [
        "order 1234567890123456",
        "order 4012888888881882",
        "ORD-4012888888881881",
        "0xdead4012888888881881",
        "4 0 1 2 8 8 8 8 8 8 8 8 1 8 8 1",
        "9012888888881888",
        "$1,234,567.89",
        "3.14159265358979",
        "2026-10-11 12:13:14",
        "in 1999 2000 2001 2002 2003 2004",
        "978-3-16-148410-0",
        "192.168.100.100",
        "123e4567-e89b-12d3-a456-426614174000",
        "DE89370400440532013001",
        "DE89370400440532013000X",
        "+12 34",
        "+999 1234567",
        "icon@2x.png",
        "lodash@4.17.21",
        "@dataclass def f(): ...",
        "somebody@localhost",
        "",
    ],
)
def test_what_only_looks_like_it(text: str):
    assert find_personal([text]) == {}


def test_any_text_can_be_looked_at():
    texts = [
        "\ud800 maria@petmail.org",
        "\x00" * 9,
        "@" * 20_000,
        "1 " * 20_000,
        "a.b" * 9_000 + "@",
        "DE12" * 9_000,
    ]
    assert list(find_personal(texts)) == [0]
    assert find_personal([]) == {}


@pytest.mark.parametrize(
    ("spans", "expected"),
    [
        ([Span(1, 3, "email")], "a[email]defgh"),
        ([Span(4, 6, "card"), Span(0, 2, "phone")], "[phone]cd[card]gh"),
        ([Span(0, 4, "email"), Span(2, 6, "secret")], "[secret]gh"),
        ([Span(0, 6, "card"), Span(2, 3, "phone")], "[card]gh"),
        ([], "abcdefgh"),
    ],
)
def test_masks(spans: list[Span], expected: str):
    assert masked("abcdefgh", spans) == expected
