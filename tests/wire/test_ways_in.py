"""Other ways in than `/v1` and a bearer's key: Azure's paths, web pages, `/health`, chance."""

import asyncio
import ssl
from collections.abc import Callable
from typing import Any

import httpx2
import openai
import pytest
from openai import (
    AsyncAzureOpenAI,
    AzureOpenAI,
    DefaultAsyncHttpxClient,
    DefaultHttpxClient,
)
from openai.types.chat import ChatCompletion

from helpers.mock_server.content.replies import reply
from helpers.pytest_plugin import MockOpenAI
from tests.wire.conftest import Door
from tests.wire.wire import ask, strictly

BLUE = reply("Why is the sky blue?")

Azure = Callable[..., Any]


@pytest.fixture(params=["AzureOpenAI", "AsyncAzureOpenAI"])
def azure(request: pytest.FixtureRequest, mock_openai: MockOpenAI, trust: ssl.SSLContext) -> Azure:
    """Run a use of Azure's client, blocking or async; a stream comes as a list."""
    settings: dict[str, Any] = {
        "azure_endpoint": mock_openai.base_url.removesuffix("/v1"),
        "api_key": "mock",
        "api_version": "2024-10-21",
        "max_retries": 0,
    }

    async def run_async(use: Any, options: Any) -> Any:
        http = DefaultAsyncHttpxClient(verify=trust, trust_env=False)
        async with AsyncAzureOpenAI(**{**settings, **options}, http_client=http) as client:
            found = await use(client)
            return [item async for item in found] if hasattr(found, "__anext__") else found

    def run(use: Any, **options: Any) -> Any:
        if request.param == "AsyncAzureOpenAI":
            return asyncio.run(run_async(use, options))
        http = DefaultHttpxClient(verify=trust, trust_env=False)
        with AzureOpenAI(**{**settings, **options}, http_client=http) as client:
            found = use(client)
            return list(found) if hasattr(found, "__next__") else found

    return run


@pytest.mark.parametrize("deployment", [None, "my-gpt"])
def test_azure_clients_get_answers_and_streams_of_their_deployment(
    azure: Azure, mock_openai: MockOpenAI, deployment: str | None
) -> None:
    options = {"azure_deployment": deployment} if deployment else {}
    name = deployment or "mock-chat"
    completion = azure(lambda client: client.chat.completions.create(**ask()), **options)
    assert (completion.model, completion.choices[0].message.content) == (name, BLUE)
    chunks = azure(lambda client: client.chat.completions.create(**ask(stream=True)), **options)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == BLUE
    path = f"/openai/deployments/{name}/chat/completions"
    assert [(seen.path, seen.model) for seen in mock_openai.requests()] == [(path, name)] * 2


def test_azure_clients_reach_what_has_no_deployment(azure: Azure) -> None:
    assert azure(lambda client: client.embeddings.create(model="e", input="a")).model == "e"
    assert azure(lambda client: client.responses.create(model="m", input="sky blue")).output_text
    file = azure(lambda client: client.files.create(file=("a.txt", b"a"), purpose="user_data"))
    assert azure(lambda client: client.files.retrieve(file.id)).bytes == 1


def test_azure_clients_meet_errors(azure: Azure, mock_openai: MockOpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="temperature"):
        azure(lambda client: client.chat.completions.create(**ask(temperature=9)))
    mock_openai.fail("503", model="mock-chat")
    with pytest.raises(openai.InternalServerError):
        azure(lambda client: client.chat.completions.create(**ask()))
    mock_openai.fail("429", path="/openai/deployments/mock-chat/chat/completions")
    with pytest.raises(openai.RateLimitError):
        azure(lambda client: client.chat.completions.create(**ask(stream=True)))


def test_a_path_of_azure_wants_a_version(http: httpx2.Client, mock_openai: MockOpenAI) -> None:
    root = mock_openai.base_url.removesuffix("/v1")
    path = f"{root}/openai/deployments/d/chat/completions"
    answer = http.post(path, json=ask())
    assert (answer.status_code, answer.json()["error"]["message"]) == (404, "Resource not found")
    answer = http.post(f"{path}?api-version=1", json=ask())
    assert strictly(ChatCompletion, answer.content).model == "d"
    assert http.post(f"{path}?api-version=1", content=b"[").status_code == 400
    assert http.get(f"{root}/openai/nothing?api-version=1").status_code == 404


def test_the_new_api_of_azure_is_v1_with_its_own_key(sdk: Door, mock_openai: MockOpenAI) -> None:
    root = mock_openai.base_url.removesuffix("/v1")
    completion = sdk.run(
        lambda client: client.chat.completions.create(**ask()), base_url=f"{root}/openai/v1/"
    )
    assert completion.choices[0].message.content == BLUE
    answer = httpx2.post(
        f"{root}/openai/v1/chat/completions",
        json=ask(),
        headers={"api-key": "mock"},
        trust_env=False,
    )
    assert answer.status_code == 200
    nobody = httpx2.post(f"{root}/openai/v1/chat/completions", json=ask(), trust_env=False)
    assert nobody.status_code == 401


def test_it_says_that_it_is_well_and_does_not_note_it(mock_openai: MockOpenAI) -> None:
    answer = mock_openai.http.get("/health")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})
    assert mock_openai.requests() == []


# --- web pages --------------------------------------------------------------------------------

LOCAL = ["http://localhost:3000", "http://127.0.0.1", "https://[::1]:8443", "http://app.localhost"]
STRANGE = [
    "https://evil.example",
    "http://localhost.evil.example",
    "http://10.0.0.7:3000",
    "null",
    "http://[",
    "file://localhost",
]


def preflight(origin: str) -> dict[str, str]:
    return {
        "origin": origin,
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization,content-type,x-stainless-lang",
    }


@pytest.mark.parametrize("origin", LOCAL)
def test_pages_of_this_machine_may_ask_and_read(
    http: httpx2.Client, mock_openai: MockOpenAI, origin: str
) -> None:
    answer = http.request("OPTIONS", "/chat/completions", headers=preflight(origin))
    assert answer.status_code == 204
    assert answer.headers["access-control-allow-origin"] == origin
    assert "POST" in answer.headers["access-control-allow-methods"]
    assert "x-stainless-lang" in answer.headers["access-control-allow-headers"]
    for body in (ask(), ask(stream=True), {}):
        found = http.post("/chat/completions", json=body, headers={"origin": origin})
        assert found.headers["access-control-allow-origin"] == origin
        assert "x-request-id" in found.headers["access-control-expose-headers"]
    assert [seen.method for seen in mock_openai.requests()] == ["POST"] * 3  # no preflight


@pytest.mark.parametrize("origin", STRANGE)
def test_pages_of_others_may_not(http: httpx2.Client, origin: str) -> None:
    for path in ("/chat/completions", "/mock/faults"):
        answer = http.request("OPTIONS", path, headers=preflight(origin))
        assert answer.status_code == 403
        assert "--allow-origin" in answer.text
        assert not [name for name in answer.headers if name.startswith("access-control")]
    found = http.post("/chat/completions", json=ask(), headers={"origin": origin})
    assert "access-control-allow-origin" not in found.headers


def test_a_page_meets_a_dropped_connection_like_others(http: httpx2.Client) -> None:
    headers = {"origin": LOCAL[0], "x-mock-fault": "disconnect; after=3"}
    with pytest.raises(httpx2.TransportError):
        http.post("/chat/completions", json=ask(stream=True), headers=headers)


# --- chance -----------------------------------------------------------------------------------


def statuses(http: httpx2.Client, fault: str) -> list[int]:
    headers = {"x-mock-fault": fault}
    return [
        http.post("/chat/completions", json=ask(max_tokens=1), headers=headers).status_code
        for _ in range(60)
    ]


def test_chance_meets_its_share_of_tries_and_the_same_ones_after_a_reset(
    http: httpx2.Client, mock_openai: MockOpenAI
) -> None:
    first = statuses(http, "503; chance=0.3")
    assert 8 <= first.count(503) <= 28
    assert first.count(200) == 60 - first.count(503)
    mock_openai.reset()
    assert statuses(http, "503; chance=0.3") == first
    mock_openai.reset()
    assert statuses(http, "503; chance=0.3; seed=7") != first
    assert set(statuses(http, "503; chance=0")) == {200}
    assert set(statuses(http, "503; chance=1")) == {503}


def test_an_order_by_chance_counts_those_it_met(
    http: httpx2.Client, mock_openai: MockOpenAI
) -> None:
    mock_openai.fail("503; chance=0.5", times=5)
    found = [http.post("/chat/completions", json=ask(max_tokens=1)).status_code for _ in range(60)]
    assert found.count(503) == 5
    assert 200 in found[: 60 - found[::-1].index(503)]


@pytest.mark.parametrize("fault", ["503; chance=2", "503; chance=x", "503; seed=-1"])
def test_what_is_no_chance_is_refused(http: httpx2.Client, fault: str) -> None:
    answer = http.post("/chat/completions", json=ask(), headers={"x-mock-fault": fault})
    assert answer.status_code == 400


def test_an_error_may_have_another_code(sdk: Door) -> None:
    with pytest.raises(openai.BadRequestError) as raised:
        sdk.run(
            lambda client: client.chat.completions.create(
                **ask(), extra_headers={"x-mock-fault": "400; code=content_policy_violation"}
            )
        )
    assert raised.value.code == "content_policy_violation"
