"""The command that asks a released model."""

from pathlib import Path

import pytest

from components.release.card.curl import curl_command


def test_it_names_the_variable_of_the_key_and_never_the_key(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "Authorization" not in curl_command("http://pet", "pet", [])

    monkeypatch.setenv("TUNEGATE_API_KEY", "sk-ann-1")
    command = curl_command("http://pet", "pet", [])

    assert '\n  -H "Authorization: Bearer $TUNEGATE_API_KEY" \\\n' in command
    assert "sk-ann-1" not in command
