"""Whether a request was meant for this service, and came from a page of it."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection
from urllib.parse import urlsplit

from starlette.datastructures import Headers

HARMLESS = frozenset({"GET", "HEAD", "OPTIONS"})
OF_OURS = frozenset({"same-origin", "none"})


def host_named(headers: Headers) -> str | None:
    """The one host that a request names, with its port; None where it names none, or several."""
    hosts = headers.getlist("host")
    return hosts[0].strip().lower() if len(hosts) == 1 and hosts[0].strip() else None


def is_served(host: str, names: Collection[str]) -> bool:
    """Whether a host is one of ours: an address in numbers, or a name that we know.

    A page of a stranger can make its own name lead to this machine, but not numbers.
    """
    name = _without_port(host)
    if name is None:
        return False
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return name in names
    return True


def is_loopback(address: str) -> bool:
    """Whether only programs on this machine reach an address."""
    try:
        return ipaddress.ip_address(address.strip("[]")).is_loopback
    except ValueError:
        return address.lower() == "localhost"


def is_foreign(method: str, headers: Headers, host: str, origins: Collection[str] = ()) -> bool:
    """Whether a request that may change something comes from a page that is not ours.

    Browsers say where a request comes from (Origin, Sec-Fetch-Site); other programs say nothing.
    origins: of pages that may write all the same
    """
    if method in HARMLESS:
        return False
    senders = [origin.strip().lower() for origin in headers.getlist("origin")]
    if senders and all(origin in origins for origin in senders):
        return False
    sites = headers.getlist("sec-fetch-site")
    if any(site.strip().lower() not in OF_OURS for site in sites):
        return True
    return any(urlsplit(origin).netloc != host for origin in senders)


def says_where_from(headers: Headers) -> bool:
    """Whether a request says which page it comes from, as those of browsers do."""
    return "origin" in headers or "sec-fetch-site" in headers


def _without_port(host: str) -> str | None:
    try:
        parts = urlsplit(f"//{host}")
        return parts.hostname if parts.port is None or parts.port >= 0 else None
    except ValueError:
        return None
