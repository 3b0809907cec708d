"""The router of a pod: whom it believes and asks, out of what a pod is given."""

import ssl
import subprocess
import sys
from pathlib import Path

import pytest

from components.router import cluster


@pytest.mark.parametrize(
    ("host", "url"),
    [("10.96.0.1", "https://10.96.0.1:443"), ("fd00::1", "https://[fd00::1]:443")],
)
def test_the_api_server_is_that_of_the_pod(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host: str, url: str
) -> None:
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", host)
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    monkeypatch.setattr(cluster, "ACCOUNT", tmp_path)
    (tmp_path / "token").write_text("secret\n")
    asked: list[str] = []
    context = ssl.create_default_context()
    monkeypatch.setattr(ssl, "create_default_context", lambda cafile: asked.append(cafile) or context)

    server = cluster.in_cluster()

    assert (server.url, server.context) == (url, context)
    assert server.headers()["Authorization"] == "Bearer secret"
    assert asked == [str(tmp_path / "ca.crt")]
    assert context.verify_mode == ssl.CERT_REQUIRED


def test_a_router_does_not_import_what_it_does_not_need() -> None:
    """A pod of it is promised 128 MiB, and is to be there in a second."""
    script = (
        "import sys, components.router.cluster, components.router.local\n"
        "print(*{'kubernetes', 'pydantic', 'fsspec', 'torch', 'vllm', 'mlflow'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)

    assert (done.returncode, done.stdout) == (0, "\n"), done.stderr
