"""The least that an ASGI application can do: the same bytes at the same pace, and nothing else."""

import asyncio
import socket
import sys
import time
from typing import Any

CHUNK = (
    b'data: {"id":"chatcmpl-000000000000000000000000","object":"chat.completion.chunk",'
    b'"created":1700000000,"model":"mock-chat","service_tier":"default",'
    b'"system_fingerprint":"fp_awaited_mock","choices":[{"index":0,"delta":{"content":" word"},'
    b'"logprobs":null,"finish_reason":null}]}\n\n'
)


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Stream `tokens` chunks, `gap` seconds apart, as the query string says."""
    while (await receive()).get("more_body"):
        pass
    query = dict(part.split("=") for part in scope["query_string"].decode().split("&"))
    tokens, gap = int(query["tokens"]), float(query["gap"])
    head = [(b"content-type", b"text/event-stream")]
    await send({"type": "http.response.start", "status": 200, "headers": head})
    due = time.monotonic()
    for _ in range(tokens):
        if gap:
            due += gap
            await asyncio.sleep(due - time.monotonic())
        await send({"type": "http.response.body", "body": CHUNK, "more_body": True})
    await send({"type": "http.response.body", "body": b"data: [DONE]\n\n"})


def main() -> None:
    """Serve on a free port, with uvicorn as the mock server sets it up."""
    from uvicorn.config import Config
    from uvicorn.server import Server

    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", 0))
    config = Config(
        app, lifespan="off", ws="none", access_log=False, log_level="critical", backlog=4096
    )
    listener.listen(4096)
    print(f"Listening on http://127.0.0.1:{listener.getsockname()[1]}/v1", flush=True)
    Server(config).run(sockets=[listener])


if __name__ == "__main__":
    sys.exit(main())
