import pytest

from components import wording
from components.checks import at_least, at_most


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (412.34, "ms", "412 ms"),
        (4.26, "ms", "4.3 ms"),
        (12345.0, "ms", "12,345 ms"),
        (0.9731, "share", "97.3 %"),
        (1.0, "share", "100 %"),
        (-0.02, "share", "\N{MINUS SIGN}2 %"),
        (-0.0001, "share", "0 %"),
        (0.31, "s", "0.31 s"),
        (3.14, "s", "3.1 s"),
        (71.9, "s", "72 s"),
        (725.0, "s", "12 min 5 s"),
        (3600.0, "s", "1 h 0 min"),
        (59.97 * 60, "s", "59 min 58 s"),
        (1234.0, "rows", "1,234 rows"),
        (312.77, "tokens/s", "312.8 tokens/s"),
        (45120.0, "", "45,120"),
        (0.0020001, "", "0.002"),
        (None, "ms", "not measured"),
        (float("nan"), "s", "not measured"),
        (float("inf"), "s", "never"),
    ],
)
def test_quantity(value: float | None, unit: str, text: str):
    assert wording.quantity(value, unit) == text


def test_a_check_reads_like_a_sentence():
    check = at_most("killed_recovery_s", 287.4, 240, "s", "w")
    assert wording.check_name(check) == "killed recovery"
    assert wording.check_limit(check) == "≤ 240 s"
    assert wording.check_margin(check) == "\N{MINUS SIGN}47 s"
    share = at_least("steady_goodput", 0.98, 0.9, "share", "w")
    assert wording.check_margin(share) == "+8 pp"
    assert wording.check_name(at_most("ttft_p95_ms", 1, 2, "ms", "w")) == "TTFT p95"


def test_a_digest_check_is_said_in_words():
    same = at_least("adapter_digest", 1.0, 1.0, "digest", "w")
    assert (wording.check_value(same), wording.check_limit(same), wording.check_margin(same)) == (
        "the same",
        "the same",
        "",
    )
    assert wording.check_value(at_least("adapter_digest", 0.0, 1.0, "digest", "w")) == "another"


def test_a_digest_is_shortened_wherever_it_stands():
    digest = "sha256:" + "0123456789ab" + "c" * 52
    assert wording.short_digest(f"oci:/images@{digest}") == "oci:/images@sha256:0123456789ab…"
    assert wording.short_digest("version 3") == "version 3"
