"""Leases on a cluster: a Lease object for each model name, which its holder renews; the intent stands on it.

A holder is taken to be gone when its Lease has not been renewed for as long as that says, measured by the
clock of whoever waits, as client-go's leader election does it: clocks that differ don't matter. Each write
names the version that was read, so that of two who are quick one is told; what was written under a lease
that somebody else has taken over meanwhile is refused.
"""

import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any

from components.errors import InvalidInput, TunegateError
from components.serve.kubernetes.cluster import API_VERSIONS, Cluster, Outdated
from components.serve.kubernetes.labels import (
    COMPONENT,
    MANAGED_BY,
    MODEL,
    OWNED,
    is_of_model,
    label,
    left_alone,
)
from components.serve.lease import Intent, Lease, LeaseLost, Unfinished, read_intent, taken, waits_for

Found = dict[str, Any]

DURATION_S = 30
RENEWALS = 3  # in that time
POLL_S = 1.0
INTENT = "tunegate.io/intent"  # an annotation: the Intent as JSON
_MARK = "#"  # between who holds a Lease and what tells one holding of it from another


class KubernetesLease(Lease):
    """A Lease object that we hold.

    Args:
        cluster: Where it stands.
        found: As we have written it.
    """

    def __init__(self, cluster: Cluster, found: Found) -> None:
        self._cluster, self._found, self._lost_to = cluster, found, ""
        self._intent = _intent_of(found)  # ours alone to write: a person's hand on the object changes it not
        self._writes = threading.Lock()  # those who renew it and those who write an intent

    def require_held(self) -> None:
        """Renew it, which the API server refuses once somebody else has taken it over."""
        self._write(lambda intent: intent)

    def intent(self) -> Intent | None:
        """Return what was begun and is not over."""
        return self._intent

    def intend(self, intent: Intent | None) -> None:
        """Write down what is to be moved; refused once somebody else has taken the Lease over."""
        self._write(lambda before: intent)

    def let_go(self) -> None:
        """Let somebody else have it at once; what is intended stays on it."""
        self._write(lambda intent: intent, is_over=True)

    def renew(self, ended: threading.Event) -> None:
        """Renew it again and again until an event is set."""
        while not ended.wait(DURATION_S / RENEWALS):
            # One that could not be renewed is found out by whoever moves something.
            with suppress(TunegateError):
                self.require_held()

    def _write(self, intended: Callable[[Intent | None], Intent | None], is_over: bool = False) -> None:
        """Write the Lease over the one that we know; again if that is ours still and has another version.

        Args:
            intended: Returns the intent to write, from the one that stands when its turn has come.
            is_over: Whether nobody is to hold it.
        """
        with self._writes:
            ours = _identity(self._found)
            while not self._lost_to:
                intent = intended(self._intent)
                wanted = _lease(self._found, "" if is_over else ours, intent)
                try:
                    self._found, self._intent = self._cluster.replace(wanted), intent
                    return
                except Outdated:
                    there = self._cluster.get("Lease", self._found["metadata"]["name"])
                if there is None or _identity(there) != ours:
                    self._lost_to = _words(there) or "somebody who has let it go already"
                else:  # a write of ours whose answer was lost, or a person's annotation
                    self._found = there
            raise LeaseLost(
                f"Lease {self._found['metadata']['name']} was lost to {self._lost_to}: nothing more is moved"
            )


class KubernetesLeases:
    """The Leases of one namespace.

    Args:
        cluster: The namespace.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    @contextmanager
    def hold(
        self, model_name: str, holder: str, say: Callable[[str], None], wait_s: float
    ) -> Iterator[Lease]:
        """Hold the Lease of a model name; see `Backend.lease`."""
        lease = KubernetesLease(self._cluster, self._acquire(model_name, holder, say, wait_s))
        ended = threading.Event()
        renewal = threading.Thread(target=lease.renew, args=(ended,), daemon=True)
        renewal.start()
        try:
            yield lease
        finally:
            ended.set()
            renewal.join()
            with suppress(TunegateError):  # then it expires
                lease.let_go()

    def unfinished(self, model_name: str) -> Unfinished | None:
        """Return what was begun and is not over, and who is at it, as far as our own clock can tell."""
        found = self._find(model_name)
        intent = _intent_of(found) if found else None
        if found is None or intent is None:
            return None
        spec = found["spec"]
        last = datetime.fromisoformat(str(spec.get("renewTime") or _now()))
        gone = datetime.now(UTC) > last + timedelta(seconds=int(spec.get("leaseDurationSeconds") or 0))
        return Unfinished(intent, "" if gone else _words(found))

    def _acquire(self, model_name: str, holder: str, say: Callable[[str], None], wait_s: float) -> Found:
        """Write ourselves into the Lease as soon as nobody holds it, or who does is gone."""
        ours = f"{holder}{_MARK}{secrets.token_hex(4)}"
        began, waited_for = time.monotonic(), ""
        last_sign, since = "", began
        while True:
            found, now = self._find(model_name), time.monotonic()
            other = _identity(found)
            if other == ours and found:  # a write of ours whose answer was lost
                return found
            sign = f"{other} {found['spec'].get('renewTime')}" if found else ""
            if sign != last_sign:
                last_sign, since = sign, now
            if not other or (found and now - since >= int(found["spec"].get("leaseDurationSeconds") or 0)):
                wanted = _lease(found or _new(model_name, self._cluster.namespace), ours, _intent_of(found))
                with suppress(Outdated):
                    return self._cluster.replace(wanted) if found else self._cluster.create(wanted)
                continue
            if now - began >= wait_s:
                raise taken(model_name, _words(found), now - began)
            if _words(found) != waited_for:
                waited_for = _words(found)
                say(waits_for(model_name, waited_for))
            time.sleep(POLL_S)

    def _find(self, model_name: str) -> Found | None:
        """Return the Lease of a model name, if there is one.

        Raises:
            InvalidInput: Somebody else has one of that name.
        """
        found = self._cluster.get("Lease", lease_name(model_name))
        if found is not None and not is_of_model(found, model_name):
            raise InvalidInput(f"lease of {model_name}", [left_alone(found)])
        return found


def lease_name(model_name: str) -> str:
    """Return the name of the Lease of a model name."""
    return f"tunegate-{model_name}"


def _new(model_name: str, namespace: str) -> Found:
    own = {MANAGED_BY: OWNED, MODEL: model_name, COMPONENT: "live"}
    metadata = {"name": lease_name(model_name), "namespace": namespace, "labels": own}
    return {"metadata": metadata, "spec": {}}


def _lease(found: Found, holder: str, intent: Intent | None) -> Found:
    """Return a Lease with a holder, renewed just now, and an intent; empty: nobody holds it."""
    before, metadata = found["spec"], dict(found["metadata"])
    annotations = {k: v for k, v in (metadata.get("annotations") or {}).items() if k != INTENT}
    metadata["annotations"] = annotations | ({INTENT: intent.model_dump_json()} if intent else {})
    spec: Found = {
        "leaseDurationSeconds": DURATION_S,
        "renewTime": _now(),
        "acquireTime": before.get("acquireTime") or _now(),
        "leaseTransitions": int(before.get("leaseTransitions") or 0),
    }
    if holder:
        spec["holderIdentity"] = holder
    if holder and holder != before.get("holderIdentity"):
        spec |= {"acquireTime": spec["renewTime"], "leaseTransitions": spec["leaseTransitions"] + 1}
    kind = {"apiVersion": API_VERSIONS["Lease"], "kind": "Lease"}
    return {**kind, "metadata": metadata, "spec": spec}


def _identity(found: Found | None) -> str:
    return str(found["spec"].get("holderIdentity") or "") if found else ""


def _words(found: Found | None) -> str:
    """Return who holds a Lease, and since when; empty if nobody does."""
    holder = _identity(found).partition(_MARK)[0]
    return f"{holder} since {found['spec'].get('acquireTime')}" if found and holder else ""


def _intent_of(found: Found | None) -> Intent | None:
    written = (found["metadata"].get("annotations") or {}).get(INTENT) if found else None
    if found is None or written is None:
        return None
    place = found["metadata"]
    return read_intent(written, label(found, MODEL), f"annotation {INTENT} of Lease {place['name']}")


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
