"""The engines of one deployment, as the API server of the cluster has them: listed, then watched."""

import asyncio
import json
import ssl
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from aiohttp import ClientError, ClientResponse, ClientSession, ClientTimeout, DummyCookieJar

AGAIN_S = 1.0
LIST_TIMEOUT_S = 10.0
# Then everything is listed anew: so long, at most, a connection that nobody answers any more goes unnoticed.
WATCH_S = 30
_MAX_LIST_BYTES, _MAX_EVENT_BYTES = 64 << 20, 4 << 20

Pod = dict[str, Any]


@dataclass(frozen=True)
class ApiServer:
    """Where the API server is, and as whom it is asked.

    Attributes:
        url: Scheme, host and port.
        token_path: Of the account's token, which changes now and then; nothing: none is sent.
        context: Whom to believe; nothing: plain HTTP.
    """

    url: str
    token_path: Path | None = None
    context: ssl.SSLContext | None = None

    def headers(self) -> dict[str, str]:
        """Return the headers that say who asks."""
        token = self.token_path.read_text(encoding="ascii").strip() if self.token_path else ""
        return {"Accept": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})


async def follow_pods(
    server: ApiServer, namespace: str, selector: str, port: int, serve: Callable[[list[str]], None]
) -> None:
    """Tell the addresses of the engines that take requests, now and whenever they change; for ever.

    While the API server is away the known ones stay; whether they are well is not asked of it.
    """
    async with ClientSession(cookie_jar=DummyCookieJar(), timeout=ClientTimeout(total=None)) as session:
        watch = _Watch(session, server, namespace, selector, port, serve)
        while True:
            try:
                await watch.once()
            except (ClientError, OSError, TimeoutError, ValueError, KeyError, TypeError) as error:
                print(
                    f"pods {selector}: {type(error).__name__}: {error}; the known ones stay",
                    file=sys.stderr,
                    flush=True,
                )
                await asyncio.sleep(AGAIN_S)


def takes_requests(pod: Pod) -> bool:
    """Return whether a pod is ready and not about to end."""
    status = pod.get("status") or {}
    is_ready = any(
        condition.get("type") == "Ready" and condition.get("status") == "True"
        for condition in status.get("conditions") or []
    )
    is_ending = pod["metadata"].get("deletionTimestamp") or status.get("phase") in ("Failed", "Succeeded")
    return bool(status.get("podIP")) and is_ready and not is_ending


class _Watch:
    def __init__(
        self,
        session: ClientSession,
        server: ApiServer,
        namespace: str,
        selector: str,
        port: int,
        serve: Callable[[list[str]], None],
    ) -> None:
        self._session, self._server, self._port, self._serve = session, server, port, serve
        self._url = f"{server.url}/api/v1/namespaces/{quote(namespace, safe='')}/pods"
        self._selector = selector
        self._pods: dict[str, Pod] = {}

    async def once(self) -> None:
        """List the pods and watch them until the watch ends."""
        async with asyncio.timeout(LIST_TIMEOUT_S), self._get({}) as response:
            listed = json.loads(await _read(response, _MAX_LIST_BYTES))
        self._pods = {pod["metadata"]["uid"]: pod for pod in listed.get("items") or []}
        self._tell()
        since = listed["metadata"]["resourceVersion"]
        options = {"watch": "1", "resourceVersion": since, "timeoutSeconds": str(WATCH_S)}
        async with asyncio.timeout(WATCH_S + LIST_TIMEOUT_S), self._get(options) as response:
            async for line in _lines(response):
                if not self._take(json.loads(line)):
                    return

    def _take(self, event: dict[str, Any]) -> bool:
        """Take one event; return whether the watch goes on."""
        kind, pod = event["type"], event["object"]
        if kind == "ERROR":  # 410: what it began from is too old
            return False
        if kind == "DELETED":
            self._pods.pop(pod["metadata"]["uid"], None)
        elif kind in ("ADDED", "MODIFIED"):
            self._pods[pod["metadata"]["uid"]] = pod
        self._tell()
        return True

    def _tell(self) -> None:
        addresses = {ip_address(pod["status"]["podIP"]) for pod in self._pods.values() if takes_requests(pod)}
        hosts = [f"[{address}]" if address.version == 6 else str(address) for address in addresses]
        self._serve([f"http://{host}:{self._port}" for host in sorted(hosts)])

    def _get(self, options: dict[str, str]) -> Any:
        query = urlencode({"labelSelector": self._selector} | options)
        return self._session.get(
            f"{self._url}?{query}",
            headers=self._server.headers(),
            ssl=self._server.context if self._server.context is not None else True,
            allow_redirects=False,
            raise_for_status=True,
        )


async def _read(response: ClientResponse, most: int) -> bytes:
    content = bytearray()
    async for piece in response.content.iter_any():
        content += piece
        if len(content) > most:
            raise ValueError(f"the API server's answer is longer than {most} bytes")
    return bytes(content)


async def _lines(response: ClientResponse) -> AsyncIterator[bytes]:
    """Give an answer line by line; aiohttp's own way refuses long ones, and a pod may be one."""
    rest = bytearray()
    async for piece in response.content.iter_any():
        rest += piece
        *lines, last = rest.split(b"\n")
        rest = bytearray(last)
        if len(rest) > _MAX_EVENT_BYTES:
            raise ValueError(f"an event is longer than {_MAX_EVENT_BYTES} bytes")
        for line in lines:
            if line.strip():
                yield bytes(line)
