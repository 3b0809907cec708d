"""What stood in the way of a source, in words that say what to do next."""

import re
import socket
import ssl
from collections.abc import Iterator, Mapping

from components.errors import InvalidInput
from components.sources.address import Source
from components.sources.client import AddressRefused
from components.web import WEB, quoted, shown

CREDENTIALS = {
    "https": "give it as https://USER:PASSWORD@HOST/..., as a signed address, or in ~/.netrc",
    "s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE or the machine's role say who asks",
    "gs": "GOOGLE_APPLICATION_CREDENTIALS or the machine's account say who asks",
    "az": "AZURE_STORAGE_ACCOUNT_NAME with AZURE_STORAGE_ACCOUNT_KEY, AZURE_STORAGE_SAS_TOKEN or "
    "AZURE_STORAGE_CONNECTION_STRING say who asks",
    "hf": "HF_TOKEN says who asks; a gated one wants its terms accepted, too",
}
CREDENTIALS["http"] = CREDENTIALS["https"].replace("https://", "http://")
_BROKE_OFF = {
    "ClientPayloadError",
    "ServerDisconnectedError",
    "IncompleteReadError",
    "ResponseStreamingError",
    "FSTimeoutError",
}


def explain(source: Source, error: BaseException) -> InvalidInput:
    """Return what to tell about a source that could not be opened or read on.

    Args:
        source: What was read.
        error: What its client raised; the answer shows none of the credentials in it. Raise the answer
            `from None`, as a traceback shows them otherwise.
    """
    if isinstance(error, InvalidInput):
        return error
    return InvalidInput(source.shown, [_problem(source, error)])


def may_pass(error: BaseException) -> bool:
    """Tell whether what a client raised may be over at the next try: a connection, a server in trouble."""
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLError | InvalidInput):
            return False
        if isinstance(cause, ConnectionError | TimeoutError) or type(cause).__name__ in _BROKE_OFF:
            return True
        if status := _status(cause):
            return status in (408, 425, 429) or status >= 500
    return False


def _problem(source: Source, error: BaseException) -> str:
    for cause in _causes(error):
        if told := _network(source, cause):
            return told
        if status := _status(cause):
            return _answered(source, status, _code(cause))
    detail = _detail(error)
    if isinstance(error, FileNotFoundError) and source.scheme in WEB:
        return _answered(source, 404, "")
    if isinstance(error, FileNotFoundError):
        return "no such file; " + (
            f"check the address; {CREDENTIALS[source.scheme]}"
            if source.scheme in ("hf", "gs")  # which say so of a file that is not for whoever asks, too
            else "check the address"
            if source.scheme
            else "check the path (relative to where you started)"
            + "; several stand with + between them, as in 'a.jsonl + b.jsonl'"
            * bool(re.search("[, ]", source.target))
        )
    if isinstance(error, IsADirectoryError):
        return "is a directory; name it with / at its end, and all files of rows in it are read"
    if isinstance(error, ImportError):
        return f"this kind of address needs one more package: {quoted(detail)}"
    if source.scheme and (isinstance(error, PermissionError) or detail.startswith("Forbidden")):
        return _answered(source, 403, "")
    if "credentials" in detail.lower():
        return f"could not be read: {quoted(detail)}; {CREDENTIALS.get(source.scheme, '')}"
    return f"could not be read: {quoted(detail)}"


def _answered(source: Source, status: int, code: str) -> str:
    """Say what an HTTP status means for whoever wants the file."""
    said = f"{status} ({code})" if code else str(status)
    credentials = CREDENTIALS.get(source.scheme, "")
    if status == 401:
        return f"answers {said}: it wants to know who asks; {credentials}"
    if status == 403 or code in ("ExpiredToken", "InvalidToken", "AuthorizationHeaderMalformed"):
        return (
            f"answers {said}: whoever asks so may not read it, or what was signed has run out; {credentials}"
        )
    if status == 404:
        hidden = f", or not for whoever asks; {credentials}" if source.scheme in ("hf", "gs") else ""
        return f"answers {said}: there is no such file{hidden}; check the address"
    if status == 407:
        return f"answers {said}: the proxy wants to know who asks; HTTPS_PROXY can hold user and password"
    if status == 410:
        return f"answers {said}: it was taken away for good; ask whoever kept it for its new address"
    if status in (408, 425, 429) or code == "SlowDown":
        return f"answers {said}: it is asked too much at present; try again later"
    if status >= 500:
        return f"answers {said}: the server has trouble of its own; try again later"
    return f"answers {said}: it does not take this request; check the address"


def _network(source: Source, error: BaseException) -> str:
    """Say what an error of the network means; nothing for another."""
    name, detail = type(error).__name__, _detail(error)
    if isinstance(error, AddressRefused):
        return str(error.strerror)
    no_http = (kind.__name__ == "HttpProcessingError" for kind in type(error.__cause__).__mro__)
    if name == "ClientResponseError" and any(no_http):  # which aiohttp calls a 400
        return "what answers there does not speak HTTP; check host and port"
    if isinstance(error, ssl.SSLCertVerificationError) or name == "ClientConnectorCertificateError":
        variable = "AWS_CA_BUNDLE" if source.scheme == "s3" else "SSL_CERT_FILE"
        return (
            f"its certificate is not trusted ({quoted(detail)}); if an authority of your own has signed it, "
            f"{variable} names that one's file"
        )
    if isinstance(error, ssl.SSLError):
        return f"TLS fails ({quoted(detail)}); does the server speak https at this port?"
    if isinstance(error, socket.gaierror) or name == "ClientConnectorDNSError":
        return "there is no host of that name, or no name server answers; check the address and the network"
    if isinstance(error, ConnectionRefusedError):
        return "nothing listens at that host and port (connection refused); check both, or try again later"
    if isinstance(error, TimeoutError) or name in (
        "FSTimeoutError",
        "ConnectTimeoutError",
        "ReadTimeoutError",
    ):
        return "did not answer in time; try again later"
    if isinstance(error, ConnectionError) or name in _BROKE_OFF:
        return "the connection broke off before all had arrived; try again"
    if name == "TooManyRedirects":
        return "redirects in circles; check the address"
    return ""


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and what led to it, as the clients keep it."""
    waiting, seen = [error], set[int]()
    while waiting:
        one = waiting.pop(0)
        if id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        others = (
            one.__cause__ or one.__context__,
            *(getattr(one, name, None) for name in ("os_error", "certificate_error", "inner_exception")),
        )
        waiting += [other for other in others if isinstance(other, BaseException)]


def _status(error: BaseException) -> int:
    """Return the HTTP status that an error of aiohttp, botocore, gcsfs, azure, httpx or requests holds."""
    response = getattr(error, "response", None)
    if isinstance(response, Mapping):
        return int(response.get("ResponseMetadata", {}).get("HTTPStatusCode") or 0)
    for holder, name in (
        (response, "status_code"),
        (error, "status"),
        (error, "status_code"),
        (error, "code"),
    ):
        status = getattr(holder, name, None)
        if isinstance(status, int) and 400 <= status < 600:
            return status
    return 0


def _code(error: BaseException) -> str:
    """Return what a store calls the error, such as NoSuchKey; empty where it calls it nothing."""
    response = getattr(error, "response", None)
    code = response.get("Error", {}).get("Code") if isinstance(response, Mapping) else None
    code = code or getattr(error, "error_code", None)
    text = str(getattr(code, "value", code) or "")
    return text if re.fullmatch(r"[A-Za-z]{3,60}", text) else ""


def _detail(error: BaseException) -> str:
    """Return an error's first line as anybody may read it."""
    text = getattr(error, "strerror", None) or str(error)
    return shown(str(text).partition("\n")[0]) or type(error).__name__
