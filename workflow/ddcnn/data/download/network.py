"""What may go wrong on the network, in words that a person understands and without secrets."""

import socket
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from queue import Queue
from typing import Any
from urllib.parse import urlsplit

import requests
import urllib3
from requests import exceptions as errors

from ddcnn.data.download.source import Unfit


class Passing(Exception):
    """A try failed, another one may succeed; ``wait``: seconds that the server asks for."""

    def __init__(self, reason: str, wait: float = 0.0) -> None:
        super().__init__(reason)
        self.wait = wait


CERTIFICATE = (
    "its https certificate is not trusted ({0.verify_message}); check this machine's date, and "
    "behind a company's proxy set REQUESTS_CA_BUNDLE to its certificate"
)
ADDRESS = (errors.InvalidURL, errors.InvalidSchema, errors.MissingSchema)
ADDRESS_WORDS = "the address, or the one it redirects to, is not valid"
TIMEOUT = (TimeoutError, errors.Timeout, urllib3.exceptions.ReadTimeoutError)
PROXY = "the proxy does not let it through; check HTTPS_PROXY and NO_PROXY"
REASONS = (
    (ssl.SSLCertVerificationError, Unfit, CERTIFICATE),
    (errors.TooManyRedirects, Unfit, "the server redirects without end"),
    (ADDRESS, Unfit, ADDRESS_WORDS),
    (errors.ProxyError, Passing, PROXY),
    (socket.gaierror, Passing, "the host is unknown, or there is no network ({0.strerror})"),
    (TIMEOUT, Passing, "the server does not answer in time"),
    # Of other libraries, too: a redirect may hold whatever a server writes.
    (ValueError, Unfit, ADDRESS_WORDS),
    (OSError, Passing, "the connection failed ({0.strerror})"),
)


@contextmanager
def network_errors() -> Iterator[None]:
    """Turn what requests raises, whose words hold the whole address, into Unfit or Passing."""
    try:
        yield
    except (
        OSError,
        ValueError,
        urllib3.exceptions.HTTPError,
    ) as error:  # those of requests are OSErrors
        causes = _causes(error)
        for types, kind, words in REASONS:
            for cause in causes:
                # An OSError of requests has no strerror: what led to it says more.
                if isinstance(cause, types) and (types is not OSError or cause.strerror):
                    raise kind(words.format(cause)) from error
        raise Passing("the connection broke") from error


def ask(
    url: str,
    headers: Mapping[str, str],
    timeouts: tuple[float, float],
    found: "Queue[requests.Response | Exception]",
) -> None:
    """Put what a server answers into ``found``, its content unread, or why there is none."""
    how = {"headers": headers, "timeout": timeouts, "hooks": {"response": _leave_redirect}}
    try:
        with network_errors():
            found.put(requests.get(url, stream=True, **how))
    except Exception as error:  # for the thread that waits
        found.put(error)


def _leave_redirect(response: requests.Response, **_: Any) -> None:
    """The library would read what comes with a redirect, however much it is."""
    if response.is_redirect:
        response.raw.close()


def _causes(error: BaseException) -> list[BaseException]:
    """The error and what led to it, the libraries' own links included, the innermost first."""
    found = [error]
    for cause in found:  # grows meanwhile
        links = [cause.__cause__, cause.__context__, getattr(cause, "reason", None), *cause.args]
        found += [e for e in links if isinstance(e, BaseException) and e not in found]
    return found[::-1]


def shown(url: str) -> str:
    """An address for messages: without user, password and query, which may hold a key."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{parts.path}" if host else url
