"""The doors for clients: whatever is not named here is not passed on.

A list of what is open, not of what is closed: vLLM has paths that manage an engine under /v1 as well
(/v1/load_lora_adapter), and its next version may have more. Those of an answer that is kept
(/v1/responses/ID) are left out, too: an engine keeps it for itself, so another one would not know it, and
whoever guesses an ID would read somebody else's. Paths are compared as they were sent, byte for byte, and the
replica is asked for the one that stands here: nothing is decoded, joined or normalised, so no two parsers
can disagree about it.
"""

import re
from dataclasses import dataclass

from components.router.answers import Refused

HEALTH = "/health"
OPEN = {
    HEALTH: "GET",
    "/v1/models": "GET",
    "/v1/completions": "POST",
    "/v1/chat/completions": "POST",
    "/v1/responses": "POST",
    "/v1/messages": "POST",
    "/v1/messages/count_tokens": "POST",
}
NO_ROUTE = "none"  # what such requests are counted under
_QUERY = re.compile(r"[A-Za-z0-9._~!$&'()*+,;=:@/?%-]*")


@dataclass(frozen=True)
class Asked:
    """What a client asks for.

    Attributes:
        method: GET or POST.
        path: One of `OPEN`.
        query: As it was sent, without the question mark.
    """

    method: str
    path: str
    query: str


def find_route(method: str, target: str) -> Asked:
    """Return what a request's first line asks for.

    Args:
        method: As it was sent.
        target: As it was sent.

    Raises:
        Refused: There is no such door.
    """
    path, _, query = target.partition("?")
    wanted = OPEN.get(path)
    if wanted is None:
        known = ", ".join(OPEN)
        raise Refused(404, "not_found", f"There is no {path[:200]!r} here. There are {known}.", close=True)
    if method != wanted:
        message = f"{path} is asked by {wanted}, not by {method[:20]!r}."
        raise Refused(405, "method_not_allowed", message, {"Allow": wanted}, close=True)
    if not _QUERY.fullmatch(query):
        raise Refused(400, "invalid_query", "The query has signs in it that no URL has.", close=True)
    return Asked(method, path, query)
