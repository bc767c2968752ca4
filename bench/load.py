"""A client that costs little: many streams over raw sockets, and when each token came."""

import asyncio
import time
from array import array
from dataclasses import dataclass, field


@dataclass(slots=True)
class Stream:
    """What came over one connection."""

    started: float = 0.0
    tokens: "array[float]" = field(default_factory=lambda: array("d"))
    ended: float = 0.0
    complete: bool = False

    def gaps(self) -> list[float]:
        """Return the seconds between tokens."""
        return [there - here for here, there in zip(self.tokens, self.tokens[1:], strict=False)]


class _Reader(asyncio.Protocol):
    """Sends one request and notes each content token of its answer."""

    def __init__(self, request: bytes, mark: bytes, done: "asyncio.Future[None]") -> None:
        self.stream = Stream()
        self._request = request
        self._mark = mark
        self._done = done
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport
        self.stream.started = time.monotonic()
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        now = time.monotonic()
        text = self._rest + data
        found = text.count(self._mark)
        for _ in range(found):
            self.stream.tokens.append(now)
        # A mark may be cut in two by the network: look at its first part again with the rest.
        self._rest = text[-len(self._mark) + 1 :]
        if b"[DONE]" in text:
            self.stream.ended = now
            self.stream.complete = True
            self._transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        if not self._done.done():
            self._done.set_result(None)


async def streams(port: int, request: bytes, count: int, mark: bytes) -> list[Stream]:
    """Return what came over so many connections opened at once."""
    loop = asyncio.get_running_loop()

    async def one() -> Stream:
        done: asyncio.Future[None] = loop.create_future()
        _, reader = await loop.create_connection(
            lambda: _Reader(request, mark, done), "127.0.0.1", port
        )
        await done
        return reader.stream

    return list(await asyncio.gather(*(one() for _ in range(count))))


def post(path: str, body: bytes, headers: dict[str, str]) -> bytes:
    """Return an HTTP request as it goes over the wire."""
    lines = [f"POST {path} HTTP/1.1", "host: 127.0.0.1", "content-type: application/json"]
    lines += ["authorization: Bearer bench", f"content-length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body
