"""Work that takes long lets others run, and things that are too old are gone."""

import asyncio
import json
import time
from typing import Any

import pytest

from tests.server.inside import Inside


@pytest.fixture
def inside() -> Inside:
    return Inside()


def turns(server: Inside, path: str, body: dict[str, Any]) -> tuple[int, int, bytes]:
    """Return how often others could run while a request was answered, its status and its body."""

    async def ask() -> tuple[int, int, bytes]:
        count = 0

        async def others() -> None:
            nonlocal count
            while True:
                await asyncio.sleep(0)
                count += 1

        running = asyncio.create_task(others())
        status, answer = await server._ask("POST", path, json.dumps(body).encode(), {})
        running.cancel()
        return count, status, answer

    return asyncio.run(ask())


def test_others_run_while_many_choices_are_written(inside: Inside) -> None:
    body = {"model": "m", "prompt": [f"word {at}" for at in range(16)], "n": 32, "max_tokens": 2}
    count, status, answer = turns(inside, "/v1/completions", body)
    assert status == 200
    assert len(json.loads(answer)["choices"]) == 512
    # 16 prompts, 16 stretches written and 16 told; the first may come before others began.
    assert count >= 47


def test_others_run_while_many_vectors_are_made_and_sent(inside: Inside) -> None:
    body = {"model": "m", "input": [f"word {at}" for at in range(100)]}
    count, status, answer = turns(inside, "/v1/embeddings", body)
    assert status == 200
    assert len(answer) > 1024 * 1024
    assert [one["index"] for one in json.loads(answer)["data"]] == list(range(100))
    assert count >= 200  # once for each vector made, once for each sent


@pytest.mark.parametrize("fault", ["bad-json", "error-body", "error-event"])
def test_a_fault_spoils_a_large_body_as_any_other(inside: Inside, fault: str) -> None:
    body = json.dumps({"model": "m", "input": ["a"] * 100}).encode()
    status, answer = inside.ask("POST", "/v1/embeddings", body, {"x-mock-fault": fault})
    assert status == 200
    assert b'"embedding":' not in answer


def test_a_file_is_gone_when_it_has_expired(
    inside: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = {"purpose": "user_data", "expires_after[seconds]": "3600"}
    text = "".join(
        f'--x\r\ncontent-disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in parts.items()
    )
    text += '--x\r\ncontent-disposition: form-data; name="file"; filename="a"\r\n\r\nA\r\n--x--'
    form = {"content-type": "multipart/form-data; boundary=x"}
    status, answer = inside.ask("POST", "/v1/files", text.encode(), form)
    assert status == 200
    path = f"/v1/files/{json.loads(answer)['id']}"
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 3500)
    assert inside.ask("GET", path)[0] == inside.ask("GET", f"{path}/content")[0] == 200
    assert len(json.loads(inside.ask("GET", "/v1/files")[1])["data"]) == 1
    monkeypatch.setattr(time, "time", lambda: now + 3601)
    assert json.loads(inside.ask("GET", "/v1/files")[1])["data"] == []
    assert inside.ask("GET", path)[0] == inside.ask("GET", f"{path}/content")[0] == 404
