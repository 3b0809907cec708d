import io

import pytest

from components.errors import InvalidInput, TunegateError
from components.web import parse_address, quoted, read_at_most, shown


def test_an_address_is_used_as_it_was_parsed() -> None:
    address = parse_address("HTTPS://Models.Example:8443/v1/x?page=2")
    assert address.origin == ("https", "models.example", 8443)
    assert str(address) == "https://models.example:8443/v1/x?page=2"
    assert address.shown == "https://models.example:8443/v1/x"
    assert parse_address("http://[::1]:8000").host_and_port == "[::1]:8000"
    assert parse_address("https://a.example").origin == parse_address("https://a.example:443/x").origin


@pytest.mark.parametrize(
    "text",
    [
        "http://good.example\\@bad.example/",
        "http://good.example\t.bad.example/",
        "http://good.example /",
        "http://good.example\n",
        "http://user:secret@bad.example/",
        "http://good.example@bad.example/",
        "http:///path",
        "http:good.example",
        "http://good.example:port/",
        "http://good.example:99999/",
        "http://good\uff0eexample/",
        "http://[::1/",
        "http://-/",
        "http://good.example/#part",
        "file:///etc/passwd",
        "good.example",
        "",
    ],
)
def test_an_address_that_two_parsers_could_read_differently_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        parse_address(text)
    assert "secret" not in str(refused.value)


def test_credentials_are_taken_where_they_may_stand_and_shown_nowhere() -> None:
    address = parse_address("https://user:p%40ss@a.example/x?sig=abc", credentials=True)
    assert address.credentials == "user:p%40ss"
    assert "ss" not in address.shown and "sig" not in address.shown
    assert str(address) == "https://user:p%40ss@a.example/x?sig=abc"


def test_no_secret_of_an_address_is_shown_wherever_it_stands_in_a_text() -> None:
    text = "GET 'https://me:top@a.example/x?token=s3cret#f' failed; s3://key:word@bucket/y, twice: postgresql+psycopg2://u:p@d/b"
    assert shown(text) == (
        "GET 'https://a.example/x' failed; s3://bucket/y, twice: postgresql+psycopg2://d/b"
    )
    assert shown("https://me:to?p@a.example/x") == "https://a.example/x"
    assert shown("hf://o/n?split=a&config=b + x") == "hf://o/n?split=a&config=b + x"
    assert shown("hf://o/n?split=a&token=b + x") == "hf://o/n + x"
    assert shown("https://a.example/x?split=a") == "https://a.example/x"
    assert shown("plain a@b.example text") == "plain a@b.example text"
    assert shown("postgresql://me:p/w?x#y@db.example:5432/runs") == "postgresql://db.example:5432/runs"
    kept = "https://a.example:5000/name@1.0 https://a.example/x:y@z http://[::1]:80/x@y"
    assert shown(kept) == kept


def test_a_strangers_words_fit_on_a_line_and_steer_no_terminal() -> None:
    assert quoted("no\r\n  such\tthing") == "no such thing"
    assert (
        quoted("\x1b[2J\u202eé\ud800")
        == "\N{REPLACEMENT CHARACTER}[2J" + "\N{REPLACEMENT CHARACTER}é\N{REPLACEMENT CHARACTER}"
    )
    assert quoted("a" * 10_000) == "a" * 299 + "…"
    assert quoted("abcdef", limit=4) == "abc…"


def test_what_is_longer_than_its_limit_is_not_read_on() -> None:
    assert read_at_most(io.BytesIO(b"12345"), 5, "x") == b"12345"
    endless = io.BytesIO(b"1" * 1_000_000)
    with pytest.raises(TunegateError, match="manifest: is longer than 10 bytes"):
        read_at_most(endless, 10, "manifest")
    assert endless.tell() == 11


@pytest.mark.parametrize(
    ("source", "anybody_reads"),
    [
        pytest.param("data/rows.jsonl", "data/rows.jsonl", id="path"),
        pytest.param(
            "https://me:secret@host/a.jsonl?sig=secret", "https://host/a.jsonl", id="url-with-secrets"
        ),
        pytest.param("s3://bucket/a.jsonl", "s3://bucket/a.jsonl", id="bucket"),
    ],
)
def test_a_name_shows_no_secrets(source: str, anybody_reads: str) -> None:
    assert shown(source) == anybody_reads
