"""How an API server is found, and what is told where none is named."""

from pathlib import Path

import pytest

from components.errors import InvalidInput
from components.serve.kubernetes.connection import connect


def test_no_cluster_at_all_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", "/nowhere")

    with pytest.raises(InvalidInput, match=r"no cluster is named .*set KUBECONFIG"):
        connect()


CONTEXT = "current-context: x\ncontexts: [{name: x, context: {cluster: c, user: u}}]\n"
USER = "users: [{name: u, user: {}}]\n"
BAD_KEY = "clusters: [{name: c, cluster: {server: 'https://c', certificate-authority-data: a}}]\n"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("clusters: [", id="no YAML"),
        pytest.param("", id="empty"),
        pytest.param("clusters", id="a word"),
        pytest.param("- clusters", id="a list"),
        pytest.param("clusters: 1", id="a number"),
        pytest.param("clusters: []", id="no context"),
        pytest.param(CONTEXT + USER, id="no cluster of the name"),
        pytest.param(CONTEXT + USER + BAD_KEY, id="no certificate"),
    ],
)
def test_a_kubeconfig_that_can_not_be_used_is_named(kubeconfig: Path, text: str) -> None:
    kubeconfig.write_text(text)

    with pytest.raises(
        InvalidInput, match=rf"KUBECONFIG '{kubeconfig}'(?s:.*)no cluster is named \(.+\); set"
    ):
        connect()


def test_one_that_can_not_be_read_is_named(kubeconfig: Path) -> None:
    kubeconfig.mkdir()

    with pytest.raises(InvalidInput, match=r"no cluster is named \(.*Is a directory"):
        connect()
