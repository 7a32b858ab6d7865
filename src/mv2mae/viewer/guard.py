"""Who may talk to the viewer: the page itself, under a name of this machine; nobody else's page in the same browser.

A page from elsewhere can make a browser send requests to this machine. It cannot read the answers (no CORS headers
are sent), but must not get work done or files stored either, and must not read them under a name of its own that it
lets point here (DNS rebinding). So a request must name this machine as its `Host`, and if the browser says where it
comes from (`Origin`, `Sec-Fetch-Site`), that must be the page.
"""

from __future__ import annotations

import ipaddress
import re
import socket

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOOPBACK = ("localhost", "127.0.0.1", "::1")
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:[0-9]{1,5})?")
"""A Host header: a name or an address, IPv6 in brackets, and perhaps a port."""
HEADERS = {
    "content-security-policy": "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
}


class Guard:
    """Refuses requests that do not come from the viewer's own page, and gives every answer its safety headers.

    Args:
        app: what answers the others.
        host: the address that the viewer listens on. Unless it is a loopback address, requests may name this machine
            by any address or by its own name too; by no other name.
    """

    def __init__(self, app: ASGIApp, host: str) -> None:
        self.app, self.is_open = app, not is_loopback(host)
        self.names = {*LOOPBACK, host.lower()}
        if self.is_open:
            self.names |= {socket.gethostname().lower(), socket.getfqdn().lower()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return await self.app(scope, receive, send)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        why = self.refusal(Headers(scope=scope), is_page=scope["path"] == "/")
        answer = self.app if why is None else JSONResponse({"error": why}, status_code=403)
        await answer(scope, receive, send_with_headers)

    def refusal(self, headers: Headers, is_page: bool) -> str | None:
        """Why a request is refused, if it is; the page itself may be opened by a link from anywhere."""
        hosts = headers.getlist("host")
        host = hosts[0] if len(hosts) == 1 else ""
        if not _HOST.fullmatch(host):
            return f"the request's Host header is none: {', '.join(hosts)[:60]!r}"
        if not self._is_here(_name_of(host)):
            return f"the viewer does not answer to the name {_name_of(host)[:60]!r}"
        if is_page:
            return None
        origin = headers.get("origin")
        if origin is not None and origin != f"http://{host}":
            return "the request comes from another site"
        if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
            return "the request comes from another site"
        return None

    def _is_here(self, name: str) -> bool:
        return name in self.names or (self.is_open and _is_address(name))


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address."""
    return host == "localhost" or (_is_address(host) and ipaddress.ip_address(host).is_loopback)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _name_of(host: str) -> str:
    """A Host header without its port, in lower case; an IPv6 address without its brackets."""
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    return host.partition(":")[0].lower()
