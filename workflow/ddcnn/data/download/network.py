"""What may go wrong on the network, in words that a person understands and without secrets."""

import socket
import ssl
from collections.abc import Iterator
from urllib.parse import urlsplit

import requests
import urllib3


class TransferFailed(Exception):
    """An address does not give the file; another one may."""


def shown(url: str) -> str:
    """An address for messages: without user, password and query, which may hold a key."""
    parts = urlsplit(url)
    if not parts.netloc:
        return url
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def is_final(error: Exception) -> bool:
    """Whether another try of the same address is of no use."""
    wrong_address = (
        requests.exceptions.TooManyRedirects,
        requests.exceptions.InvalidURL,
        requests.exceptions.InvalidSchema,
        requests.exceptions.MissingSchema,
    )
    certificate = any(isinstance(cause, ssl.SSLCertVerificationError) for cause in _causes(error))
    return certificate or isinstance(error, wrong_address)


def reason_of(error: Exception) -> str:
    """Why a connection failed; never the library's own words, which hold the whole address."""
    if isinstance(error, requests.exceptions.TooManyRedirects):
        return "the server redirects without end"
    if isinstance(error, requests.exceptions.ProxyError):
        return "the proxy does not let it through; check HTTPS_PROXY and NO_PROXY"
    for cause in _causes(error):
        if reason := _reason_of_cause(cause):
            return reason
    if is_final(error):
        return "the address, or the one it redirects to, is not valid"
    return "the connection broke"


def _reason_of_cause(cause: BaseException) -> str | None:
    if isinstance(cause, ssl.SSLCertVerificationError):
        return (
            f"its https certificate is not trusted ({cause.verify_message}); check this "
            "machine's date, and behind a company's proxy set REQUESTS_CA_BUNDLE to its "
            "certificate"
        )
    if isinstance(cause, socket.gaierror):
        return f"the host is unknown, or there is no network ({cause.strerror})"
    if isinstance(cause, TimeoutError | requests.Timeout | urllib3.exceptions.TimeoutError):
        return "the server does not answer in time"
    if isinstance(cause, OSError) and cause.errno and cause.strerror:
        return f"the connection failed ({cause.strerror})"
    return None


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and what led to it, the libraries' own links included, the innermost first."""
    seen: dict[int, BaseException] = {}
    waiting = [error]
    while waiting:
        cause = waiting.pop()
        if id(cause) in seen:
            continue
        seen[id(cause)] = cause
        linked = [cause.__cause__, cause.__context__, getattr(cause, "reason", None), *cause.args]
        waiting += [item for item in linked if isinstance(item, BaseException)]
    return reversed(seen.values())
