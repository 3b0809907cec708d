"""The replicas: which are well, which is least busy, and who waits on one that hangs."""

import asyncio
import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from aiohttp import ClientError, ClientSession, ClientTimeout, DummyCookieJar, TCPConnector

CHECK_EVERY_S = 1.0
CHECK_TIMEOUT_S = 1.0
# Missed checks: after one, others are asked first; after two, nobody asks it, and what waits for its first
# text goes to another that is well; after thirty, what is left there is given up. One alone may be a busy
# machine, and one that sends text meanwhile does not hang, however long its answer to a check takes.
UNSURE, UNWELL, LOST = 1, 2, 30


class Attempt:
    """One request on one replica.

    Attributes:
        clock: Ends the waiting.
        has_text: Whether its client has been sent text, so that nobody else can answer it any more.
    """

    __slots__ = ("clock", "has_text")

    def __init__(self, clock: asyncio.Timeout) -> None:
        self.clock, self.has_text = clock, False


class Replica:
    """One engine as the router sees it.

    Args:
        url: Its address: scheme, host and port.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.is_known = True
        self.missed = UNSURE  # until its first check
        self.chosen = 0
        self.was_heard = False  # since the last check, in an answer
        self.attempts: set[Attempt] = set()

    @contextmanager
    def asked(self, clock: asyncio.Timeout) -> Iterator[Attempt]:
        """Count a request that is on its way."""
        attempt = Attempt(clock)
        self.attempts.add(attempt)
        try:
            yield attempt
        finally:
            self.attempts.discard(attempt)

    def note(self, missed: int) -> None:
        """Remember how a check went.

        Args:
            missed: 0: it is well. 1: no answer in time. 2: it refuses, or says that it is not well.
        """
        if missed == UNSURE and self.was_heard:
            missed = 0
        self.missed, self.was_heard = self.missed + missed if missed else 0, False

    def give_up(self, everything: bool) -> None:
        """End the waiting of requests: of all, or of those whose clients have not been sent text."""
        now = asyncio.get_running_loop().time()
        for attempt in self.attempts:
            if everything or not attempt.has_text:
                attempt.clock.reschedule(now)

    def refused(self) -> None:
        """Remember that nobody answers there; the next check may find otherwise."""
        self.missed = max(self.missed, UNWELL)


class Replicas:
    """Those that may be asked. Made and closed inside a running loop."""

    def __init__(self) -> None:
        self._by_url: dict[str, Replica] = {}
        self._watches: set[asyncio.Task[None]] = set()
        self._turn = 0
        self._session = ClientSession(
            connector=TCPConnector(limit=0),
            timeout=ClientTimeout(total=CHECK_TIMEOUT_S),
            cookie_jar=DummyCookieJar(),
        )

    async def close(self) -> None:
        """End the checks."""
        for watch in self._watches:
            watch.cancel()
        await asyncio.gather(*self._watches, return_exceptions=True)
        await self._session.close()

    def set(self, urls: Iterable[str], well: Iterable[str] = ()) -> None:
        """Ask these from now on; what the others have begun they finish.

        Args:
            urls: All that may be asked.
            well: Those that were found well just now.
        """
        wanted, well = dict.fromkeys(urls), set(well)
        for url in [url for url in self._by_url if url not in wanted]:
            self._by_url.pop(url).is_known = False
        for url in wanted:
            if url in self._by_url:
                continue
            replica = self._by_url[url] = Replica(url)
            replica.missed = 0 if url in well else UNSURE
            watch = asyncio.get_running_loop().create_task(self._watch(replica))
            self._watches.add(watch)
            watch.add_done_callback(self._watches.discard)

    def urls(self) -> list[str]:
        """Return the addresses of those that may be asked."""
        return sorted(self._by_url)

    def any_well(self) -> bool:
        """Return whether at least one answered its last check."""
        return any(not replica.missed for replica in self._by_url.values())

    def states(self) -> list[tuple[str, bool, int]]:
        """Return each one's address, whether it is well, and the requests on it."""
        return [(url, not r.missed, len(r.attempts)) for url, r in sorted(self._by_url.items())]

    def choose(self, tried: Iterable[Replica] = ()) -> Replica | None:
        """Return the one to ask, or nothing where none can be.

        Well ones before those that missed a check, those not tried yet before others, then the least busy;
        among equals, the one that was chosen longest ago.
        """
        tried = set(tried)
        usable = [replica for replica in self._by_url.values() if replica.missed < UNWELL]
        if not usable:
            return None
        found = min(usable, key=lambda r: (r in tried, r.missed, len(r.attempts), r.chosen))
        self._turn += 1
        found.chosen = self._turn
        return found

    def has_other(self, tried: Iterable[Replica]) -> bool:
        """Return whether there is one to ask that was not tried."""
        return any(r.missed < UNWELL for r in set(self._by_url.values()) - set(tried))

    async def check(self, url: str) -> int:
        """Ask a replica how it is; return what `Replica.note` takes."""
        try:
            async with self._session.get(f"{url}/health", allow_redirects=False) as response:
                return 0 if response.status == 200 else UNWELL
        except TimeoutError:
            return UNSURE
        except (ClientError, OSError, ValueError):
            return UNWELL
        except Exception:  # whatever an engine answers, it is checked again
            logging.getLogger(__name__).exception("%s: its answer to a check can't be read", url)
            return UNWELL

    async def _watch(self, replica: Replica) -> None:
        """Check a replica as long as it may be asked or works on something."""
        loop = asyncio.get_running_loop()
        while replica.is_known or replica.attempts:
            started = loop.time()
            replica.note(await self.check(replica.url))
            is_lost = replica.missed >= LOST
            # Where nobody else could answer, waiting is the best that can be done.
            if is_lost or (replica.missed >= UNWELL and self.has_other([replica])):
                replica.give_up(is_lost)
            await asyncio.sleep(max(0.05, started + CHECK_EVERY_S - loop.time()))
