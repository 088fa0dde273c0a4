"""Passes a request on to another server and its answer back, streaming both ways."""

from __future__ import annotations

import aiohttp
from aiohttp import web
from yarl import URL

HOP_BY_HOP = frozenset({"connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailers",
                        "transfer-encoding", "upgrade", "content-length", "host"})  # fmt: skip


async def forward(
    session: aiohttp.ClientSession, request: web.Request, url: str, headers: dict[str, str] | None = None
) -> web.StreamResponse:
    """The upstream's answer; 502 when it cannot be reached, 504 when it is too slow to connect."""
    sent = [(name, value) for name, value in request.headers.items() if name.lower() not in HOP_BY_HOP]
    body = request.content.iter_any() if request.can_read_body else None
    timeout = aiohttp.ClientTimeout(total=None, connect=10)
    try:
        async with session.request(
            request.method, URL(url, encoded=True), headers=[*sent, *(headers or {}).items()], data=body,
            allow_redirects=False, timeout=timeout, auto_decompress=False, ssl=False,
        ) as upstream:  # fmt: skip
            return await _relay(request, upstream)
    except aiohttp.ClientConnectorError:
        return gateway_error(502, "Bad Gateway")
    except (TimeoutError, aiohttp.ServerTimeoutError):
        return gateway_error(504, "Gateway Time-out")
    except aiohttp.ClientError:
        return gateway_error(502, "Bad Gateway")


async def _relay(request: web.Request, upstream: aiohttp.ClientResponse) -> web.StreamResponse:
    kept = [(name, value) for name, value in upstream.headers.items() if name.lower() not in HOP_BY_HOP]
    length = upstream.headers.get("Content-Length")
    if "text/event-stream" not in upstream.headers.get("Content-Type", "") and length is not None:
        body = await upstream.read()
        response = web.Response(status=upstream.status, body=body)
        response.headers.clear()
        response.headers.extend(kept)
        return response
    streamed = web.StreamResponse(status=upstream.status)
    streamed.headers.extend(kept)
    await streamed.prepare(request)
    async for chunk in upstream.content.iter_any():
        await streamed.write(chunk)
    await streamed.write_eof()
    return streamed


def gateway_error(status: int, reason: str) -> web.Response:
    """The page that nginx gives for a failed upstream."""
    text = (f"<html>\r\n<head><title>{status} {reason}</title></head>\r\n<body>\r\n<center><h1>{status} {reason}"
            "</h1></center>\r\n<hr><center>openresty</center>\r\n</body>\r\n</html>\r\n")  # fmt: skip
    return web.Response(status=status, text=text, content_type="text/html")
