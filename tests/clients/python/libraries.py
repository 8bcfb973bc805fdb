"""Client libraries for server-sent events, each used as its own readme does, and brought to one form: (event, id, data).

Each connects once, with the last id where there is one, and yields until the connection ends. Those that come back by themselves
(requests-sse after any end, aiohttp-sse-client2 after a clean one) do so; for the others the test comes back.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import timedelta

import aiohttp
import httpx
import httpx_sse
import requests
import requests_sse
import sseclient
from aiohttp_sse_client2.client import EventSource as AiohttpEventSource

Heard = tuple[str, str, str]
Follow = Callable[[str, str], Iterator[Heard]]

# How a cut connection shows itself.
CUT = (httpx.TransportError, requests.RequestException, aiohttp.ClientError, OSError)


def _headers(last_id: str) -> dict[str, str]:
    return {"Last-Event-ID": last_id} if last_id else {}


def with_httpx_sse(url: str, last_id: str) -> Iterator[Heard]:
    with httpx.Client(timeout=20, headers=_headers(last_id)) as client:
        with httpx_sse.connect_sse(client, "GET", url) as source:
            for event in source.iter_sse():
                yield event.event, event.id, event.data


def with_sseclient(url: str, last_id: str) -> Iterator[Heard]:
    headers = {"Accept": "text/event-stream"} | _headers(last_id)
    with requests.get(url, stream=True, timeout=20, headers=headers) as response:
        for event in sseclient.SSEClient(response).events():
            yield event.event, event.id or "", event.data


def with_requests_sse(url: str, last_id: str) -> Iterator[Heard]:
    soon = timedelta(milliseconds=50)
    with requests_sse.EventSource(url, timeout=20, reconnection_time=soon, latest_event_id=last_id) as source:
        for event in source:
            yield event.type, event.last_event_id, event.data


def with_aiohttp(url: str, last_id: str) -> Iterator[Heard]:
    async def follow() -> AsyncIterator[Heard]:
        async with AiohttpEventSource(url, headers=_headers(last_id), reconnection_time=timedelta(milliseconds=50)) as source:
            async for event in source:
                yield event.type, event.last_event_id, event.data

    loop = asyncio.new_event_loop()
    events = follow()
    try:
        while True:
            yield loop.run_until_complete(asyncio.wait_for(anext(events), 20))
    except StopAsyncIteration:
        return
    finally:
        loop.run_until_complete(events.aclose())
        loop.close()


LIBRARIES: dict[str, Follow] = {
    "httpx-sse": with_httpx_sse,
    "sseclient-py": with_sseclient,
    "requests-sse": with_requests_sse,
    "aiohttp-sse-client2": with_aiohttp,
}
