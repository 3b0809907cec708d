"""Secrets are found where they stand, and a search that did not go through is never "nothing found"."""

import base64
import errno
from collections.abc import Callable
from pathlib import Path

import kingfisher
import pytest

from components.dataset.checks.secrets import CACHE_VARIABLE, ScanFailed, find_secrets
from components.dataset.checks.spans import Span, masked

# Put together here, so that this file holds no token itself.
TOKEN = "ghp_" + "b7Kq2ZtWm9XcR4vLpY8sNdJ3fHgT6aEuQ1oB"
OTHER = "glpat-" + "qtYygX0bKRVitGoPZrpu"
PEM = f"-----BEGIN RSA PRIVATE KEY-----\n{'x3mnPQC4vkRB5ICpeyOx' * 8}\n-----END RSA PRIVATE KEY-----"
KEY_ID, KEY = "AKIA" + "PIX6EA6QOM66ZJOJ", "37HyVaQXekW9LctXb03r" + "EMU64yTY6BzUZKC97i4x"


def test_each_is_found_where_it_stands():
    rows = [
        ["Where is it?", "Aisle 3, for $1,234.50."],
        [f"é € {TOKEN}, and", f"ü {OTHER}"],
        [f"two {TOKEN} {TOKEN}"],
        [f"as ever:\n{PEM}\nthanks"],
        [f"{TOKEN} # gitleaks:allow kingfisher:ignore"],
        [f"\x00\ud800 {TOKEN}"],
        ["in " + base64.b64encode(f"my token is {TOKEN}".encode()).decode() + " hidden"],
        [f"aws_access_key_id {KEY_ID}", f"aws_secret_access_key = {KEY}"],
        [f"once more {KEY}"],
        ["", ""],
    ]
    found = find_secrets(rows)
    shown = [
        [masked(text, found.get((row, number), ())) for number, text in enumerate(texts)]
        for row, texts in enumerate(rows)
    ]
    assert shown == [
        rows[0],
        ["é € [secret], and", "ü [secret]"],
        ["two [secret] [secret]"],
        ["as ever:\n[secret]\nthanks"],
        ["[secret] # gitleaks:allow kingfisher:ignore"],
        ["\x00\ud800 [secret]"],
        ["in [secret] hidden"],
        ["aws_access_key_id [secret]", "aws_secret_access_key = [secret]"],
        ["once more [secret]"],
        ["", ""],
    ]
    assert found[1, 0] == [Span(4, 44, "secret", "github-pat")]


def test_nothing_is_looked_for_in_nothing():
    assert find_secrets([]) == find_secrets([["", ""]]) == {}


def test_rows_are_numbered_over_all_batches(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("components.dataset.checks.secrets.BATCH_BYTES", 50)
    rows = [[TOKEN], ["nothing"], ["x", "y " * 30], [OTHER]]
    assert sorted(find_secrets(iter(rows))) == [(0, 0), (3, 0)]


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Put a script in the place of Kingfisher."""

    def replace(script: str) -> None:
        path = tmp_path / "stand-in"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o700)
        monkeypatch.setattr(kingfisher, "get_binary_path", lambda: str(path))

    return replace


AUDIT = '{"audit": {"repositories": [{"stats": {"bytes_scanned": %d}}]}}'


@pytest.mark.parametrize(
    ("script", "words"),
    [
        pytest.param("exit 3", "ended with status 3", id="it fails"),
        pytest.param("kill -9 $$", "ended with status -9", id="it is ended"),
        pytest.param("exit 0", "can't be read (FileNotFoundError)", id="it writes nothing"),
        pytest.param("echo '{' > found.jsonl", "can't be read (JSONDecodeError)", id="it writes half a line"),
        pytest.param("echo '{}' > found.jsonl", "looked at 0 of 6 bytes", id="it does not say what it saw"),
        pytest.param(f"echo '{AUDIT % 5}' > found.jsonl", "looked at 5 of 6 bytes", id="it skips something"),
        pytest.param("exec sleep 60", "took longer than 0.2 s", id="it hangs"),
    ],
)
def test_a_search_that_did_not_go_through_is_told(program: Callable[[str], None], script: str, words: str):
    program(script)
    with pytest.raises(ScanFailed) as caught:
        find_secrets([["hello"]], timeout_s=0.2 if "sleep" in script else 60)
    assert words in str(caught.value)


def test_a_program_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr(kingfisher, "get_binary_path", lambda: str(tmp_path / "none"))
    with pytest.raises(ScanFailed, match="can't be run"):
        find_secrets([["hello"]])


def test_a_full_disk_is_told(monkeypatch: pytest.MonkeyPatch):
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(ScanFailed, match=r"No space left on device.*TMPDIR"):
        find_secrets([["hello"]])


def test_the_program_gets_nothing_of_the_environment(
    program: Callable[[str], None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setenv("HF_TOKEN", "do not pass on")
    seen = tmp_path / "seen"
    program(f"env > {seen}; echo '{AUDIT % 6}' > found.jsonl")
    assert find_secrets([["hello"]]) == {}
    assert "HOME=" in seen.read_text() and "HF_TOKEN" not in seen.read_text()


@pytest.mark.parametrize("is_writable", [True, False])
def test_rules_are_kept_in_a_folder_of_our_own_where_there_can_be_one(
    program: Callable[[str], None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, is_writable: bool
):
    above = tmp_path / "above"
    above.mkdir() if is_writable else above.write_text("a file")
    monkeypatch.setenv(CACHE_VARIABLE, str(above / "rules"))
    program(f"echo \"$@\" > {tmp_path}/seen; echo '{AUDIT % 6}' > found.jsonl")
    assert find_secrets([["hello"]]) == {}
    assert (str(above / "rules") in (tmp_path / "seen").read_text()) == is_writable
    if is_writable:
        assert (above / "rules").stat().st_mode & 0o777 == 0o700
