"""The API server away in the middle of a roll-out."""

import contextlib
import os
import socket
import threading
import time
from pathlib import Path
from urllib.parse import urlparse

import pytest
import yaml

from components.errors import TunegateError
from tests.cluster.conftest import BackendOf, MakeSpec, kubectl, objects

AWAY_S = 30


class Forwarder:
    """A port that leads to the API server, and can be closed for a while; its connections break then."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._open: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in list(self._open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def reopen(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", self.port), reuse_port=False)
        self._start()

    def _start(self) -> None:
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                server = socket.create_connection(self._target)
                self._open |= {client, server}
                for source, target in ((client, server), (server, client)):
                    threading.Thread(target=self._copy, args=(source, target), daemon=True).start()

    def _copy(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


def kubeconfig_through(port: int, path: Path) -> None:
    config = yaml.safe_load(kubectl("config", "view", "--raw", "--minify"))
    config["clusters"][0]["cluster"] = {
        "server": f"https://127.0.0.1:{port}",
        "insecure-skip-tls-verify": True,
    }
    path.write_text(yaml.safe_dump(config))


@pytest.mark.filterwarnings("ignore::urllib3.exceptions.InsecureRequestWarning")
def test_a_roll_out_survives_an_api_server_that_is_away(
    backend_of: BackendOf,
    make_spec: MakeSpec,
    namespace: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = yaml.safe_load(kubectl("config", "view", "--raw", "--minify"))
    address = urlparse(config["clusters"][0]["cluster"]["server"])
    forwarder = Forwarder(str(address.hostname), address.port or 443)
    kubeconfig_through(forwarder.port, tmp_path / "kubeconfig")
    spec = make_spec("pet-patient", replicas=1)
    direct = os.environ["KUBECONFIG"]
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
    backend = backend_of()
    backend.apply(spec)
    forwarder.close()
    timer = threading.Timer(AWAY_S, forwarder.reopen)
    timer.start()
    started = time.monotonic()
    try:
        backend.wait_ready(spec.name, 120)
        assert time.monotonic() - started >= AWAY_S
        assert [replica.state for replica in backend.replicas(spec.name)] == ["ready"]
    finally:
        timer.join()
        backend.retire(spec.name)
        forwarder.close()
    monkeypatch.setenv("KUBECONFIG", direct)
    assert objects(namespace, spec.name) == []


def test_a_cluster_that_never_answers_is_told_soon(
    backend_of: BackendOf, make_spec: MakeSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    kubeconfig_through(port, tmp_path / "kubeconfig")
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
    monkeypatch.delenv("RELEASE_ID")  # a person asks, no stage

    with pytest.raises(TunegateError, match=r"the API server does not answer .*check KUBECONFIG"):
        backend_of().apply(make_spec("pet-nobody"))
