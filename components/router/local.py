"""A router on this machine, whose replicas stand in a file.

python -m components.router.local FOLDER/router.json
"""

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

from components.router.limits import max_body_bytes
from components.router.orders import InForce, RouterConfig
from components.router.process import Ports, Router, run

LOOPBACK = "127.0.0.1"
LOOK_EVERY_S = 0.025
HEALTHY_WITHIN_S = 10.0  # a new replica; whoever switches to it has seen it answer
DRAIN_S = 8.0  # supervisord waits a little longer


class FileSource:
    """Follows a router's file.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    async def follow(self, router: Router) -> None:
        """Put what the file says in force, now and whenever it changes."""
        seen: tuple[int, ...] | None = None
        while True:
            stamp = self._stamp()
            if stamp is not None and stamp != seen:
                await self._obey(router, is_first=seen is None)
                seen = stamp
            await asyncio.sleep(LOOK_EVERY_S)

    async def _obey(self, router: Router, is_first: bool) -> None:
        try:
            config = RouterConfig.read(self._path)
        except (OSError, ValueError, TypeError) as error:
            print(f"{self._path}: can't be read, nothing is changed: {error}", file=sys.stderr, flush=True)
            return
        before = router.replicas.urls()
        # At the start nobody waits for an answer, and replicas may well come up later.
        new = [] if is_first else [url for url in config.worker_urls if url not in before]
        if sick := await _never_healthy(router, new):
            problem = f"{', '.join(sick)} not healthy within {HEALTHY_WITHIN_S:g} s"
            InForce(config.revision, before, problem).write(self._path)
            return
        router.serve(config.worker_urls, max_body_bytes(config.max_model_len), well=new)
        InForce(config.revision, router.replicas.urls()).write(self._path)

    def _stamp(self) -> tuple[int, ...] | None:
        try:
            found = self._path.stat()
        except OSError:  # its folder is being removed
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size


async def _never_healthy(router: Router, urls: Sequence[str]) -> list[str]:
    """Return those that do not answer that they are well, within the time."""

    async def is_sick(url: str) -> bool:
        deadline = asyncio.get_running_loop().time() + HEALTHY_WITHIN_S
        while await router.replicas.check(url):
            if asyncio.get_running_loop().time() > deadline:
                return True
            await asyncio.sleep(LOOK_EVERY_S)
        return False

    found = await asyncio.gather(*map(is_sick, urls))
    return [url for url, sick in zip(urls, found, strict=True) if sick]


def main() -> None:
    """Route until SIGTERM."""
    path = Path(sys.argv[1])
    config = RouterConfig.read(path)
    run(Ports(LOOPBACK, config.port, config.prometheus_port), FileSource(path).follow, DRAIN_S)


if __name__ == "__main__":
    main()
