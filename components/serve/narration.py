"""What is said while a deployment comes up."""

import time
from collections.abc import Callable

from components.serve.backend import Replica, WaitProgress

SAY_EVERY_S = 15


def narrator(say: Callable[[str], None]) -> WaitProgress:
    """Return what says how many replicas are ready: when that has changed, and now and then.

    Args:
        say: Called with one line.
    """
    started, said, next_s = time.monotonic(), "", 0.0

    def narrate(replicas: list[Replica]) -> None:
        nonlocal said, next_s
        ready = sum(replica.state == "ready" for replica in replicas)
        text = f"{ready} of {len(replicas)} replicas are ready"
        if failed := [replica.name for replica in replicas if replica.state == "failed"]:
            text += f", {', '.join(failed)} failed"
        now = time.monotonic()
        if text != said or now >= next_s:
            waited_s = now - started
            say(f"{text} after {waited_s:.0f} s" if said else text)
            said, next_s = text, now + SAY_EVERY_S

    return narrate
