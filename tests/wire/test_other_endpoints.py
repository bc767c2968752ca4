"""Models, embeddings, legacy completions, moderations, files and batches through the SDK."""

import asyncio
import base64
import itertools
import json
import math
import time
from array import array
from typing import Any

import httpx2
import openai
import pytest
from openai import OpenAI
from openai.types import (
    Batch,
    Completion,
    CreateEmbeddingResponse,
    FileObject,
    Model,
    ModerationCreateResponse,
)

from helpers.mock_server.api import batch_work, batches, chat, embeddings, files, moderations
from helpers.mock_server.content.replies import reply
from helpers.mock_server.control.state import State
from helpers.mock_server.protocol.answers import Answer, Call, whole
from helpers.mock_server.protocol.pacing import Pace
from helpers.pytest_plugin import MockOpenAI
from tests.wire.conftest import Door
from tests.wire.wire import ask, events, strictly


def test_the_models_are_listed(sdk: Door, http: httpx2.Client) -> None:
    assert [model.id for model in sdk.run(_listed).data] == ["mock-chat", "mock-embed"]
    for card in http.get("/models").json()["data"]:
        strictly(Model, card)


def _listed(client: Any) -> Any:
    return client.models.list() if isinstance(client, OpenAI) else _awaited(client.models.list())


async def _awaited(page: Any) -> Any:
    return await page


def test_a_model_can_be_looked_up(sdk: Door) -> None:
    assert sdk.run(lambda client: client.models.retrieve("org/any-name")).id == "org/any-name"


# --- embeddings -------------------------------------------------------------------------------


def embedded(http: httpx2.Client, text: Any, **more: Any) -> CreateEmbeddingResponse:
    answer = http.post("/embeddings", json={"model": "mock-embed", "input": text, **more})
    assert answer.status_code == 200, answer.text
    found: CreateEmbeddingResponse = strictly(CreateEmbeddingResponse, answer.content)
    return found


def test_a_vector_has_length_one_and_is_the_same_each_time(http: httpx2.Client) -> None:
    first, second = (embedded(http, "the sky is blue").data[0].embedding for _ in range(2))
    assert first == second
    assert len(first) == 1536
    assert math.hypot(*first) == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize("dimensions", [1, 8, 256, 3072])
def test_a_vector_has_as_many_numbers_as_asked_for(http: httpx2.Client, dimensions: int) -> None:
    vector = embedded(http, "the sky is blue", dimensions=dimensions).data[0].embedding
    assert len(vector) == dimensions
    assert math.hypot(*vector) == pytest.approx(1.0, abs=1e-6)


def test_like_texts_have_like_vectors(http: httpx2.Client) -> None:
    texts = ["the blue sky over the sea", "a blue sky over a sea", "quarterly tax report"]
    for dimensions in (64, 1536):
        found = embedded(http, texts, dimensions=dimensions).data
        sky, same, tax = (item.embedding for item in found)
        assert _likeness(sky, same) > 0.4 > 0.3 > _likeness(sky, tax)


def _likeness(one: list[float], other: list[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))


def test_base64_holds_the_same_numbers(http: httpx2.Client) -> None:
    plain = embedded(http, "the sky").data[0].embedding
    body = {"model": "mock-embed", "input": "the sky", "encoding_format": "base64"}
    text = http.post("/embeddings", json=body).json()["data"][0]["embedding"]
    assert list(array("f", base64.b64decode(text))) == plain


def test_both_clients_read_vectors(sdk: Door) -> None:
    found = sdk.run(
        lambda client: client.embeddings.create(
            model="mock-embed", input=["one", "two"], dimensions=16
        )
    )
    assert [item.index for item in found.data] == [0, 1]
    assert [len(item.embedding) for item in found.data] == [16, 16]
    assert found.usage.prompt_tokens == 2


@pytest.mark.parametrize("text", [[1, 2, 3], [[1, 2], [3]]])
def test_tokens_can_be_embedded_too(http: httpx2.Client, text: Any) -> None:
    assert len(embedded(http, text).data) == (2 if isinstance(text[0], list) else 1)


# --- legacy completions -----------------------------------------------------------------------


def test_a_legacy_completion(sdk: Door, http: httpx2.Client) -> None:
    request = {"model": "mock-chat", "prompt": "Why is the sky blue?", "max_tokens": 200}
    strictly(Completion, http.post("/completions", json=request).content)
    found = sdk.run(lambda client: client.completions.create(**request))
    assert found.choices[0].text == reply("Why is the sky blue?")


def test_a_legacy_completion_stops_after_16_tokens(http: httpx2.Client) -> None:
    request = {"model": "mock-chat", "prompt": "Why is the sky blue?"}
    body = http.post("/completions", json=request).json()
    assert body["usage"]["completion_tokens"] == 16
    assert body["choices"][0]["finish_reason"] == "length"


def test_several_prompts_give_several_choices_echoed(http: httpx2.Client) -> None:
    request = {
        "model": "mock-chat",
        "prompt": ["One?", "Two?"],
        "n": 2,
        "echo": True,
        "logprobs": 2,
    }
    found = strictly(Completion, http.post("/completions", json=request).content)
    assert found.usage.completion_tokens == sum(
        len(choice.logprobs.tokens) - 2 for choice in found.choices
    ), "an echo is not written anew"
    assert [choice.index for choice in found.choices] == [0, 1, 2, 3]
    assert [choice.text[:4] for choice in found.choices] == ["One?", "One?", "Two?", "Two?"]
    for choice in found.choices:
        assert "".join(choice.logprobs.tokens) == choice.text
        assert choice.text[choice.logprobs.text_offset[3] :].startswith(choice.logprobs.tokens[3])


def test_a_legacy_completion_can_be_streamed(sdk: Door, http: httpx2.Client) -> None:
    request = {"model": "mock-chat", "prompt": "Why is the sky blue?", "max_tokens": 5}
    request |= {"stream": True, "stream_options": {"include_usage": True}}
    found = [data for _, data in events(http.post("/completions", json=request).text)]
    assert found.pop() == "[DONE]"
    for data in found:
        # The SDK's type is the one of whole answers: it does not know that a stream goes on.
        strictly(Completion, data.replace('"finish_reason":null', '"finish_reason":"stop"'))
    chunks = sdk.run(lambda client: client.completions.create(**request))
    *pieces, finish, usage = chunks
    assert len(pieces) == 5
    assert reply("Why is the sky blue?").startswith("".join(c.choices[0].text for c in pieces))
    assert finish.choices[0].finish_reason == "length"
    assert (usage.choices, usage.usage.completion_tokens) == ([], 5)


# --- moderations ------------------------------------------------------------------------------


def test_moderations_flag_a_few_plain_words(sdk: Door, http: httpx2.Client) -> None:
    texts = ["I will kill the process", "a fine day"]
    strictly(ModerationCreateResponse, http.post("/moderations", json={"input": texts}).content)
    found = sdk.run(lambda client: client.moderations.create(input=texts))
    assert [result.flagged for result in found.results] == [True, False]
    assert found.results[0].categories.violence


# --- files and batches ------------------------------------------------------------------------


def line(number: int, **more: Any) -> str:
    return json.dumps(
        {
            "custom_id": f"request-{number}",
            "method": "POST",
            "url": "/v1/chat/completions",
            "body": ask("Why is the sky blue?", **more),
        }
    )


def finished(client: OpenAI, batch: Batch) -> Batch:
    seen = batch
    while seen.status not in ("completed", "failed", "cancelled", "expired"):
        time.sleep(0.005)  # polling is what this API is made for
        seen = client.batches.retrieve(batch.id)
    return seen


def begun(client: OpenAI, *lines: str) -> Batch:
    content = "\n".join(lines).encode()
    file = client.files.create(file=("requests.jsonl", content), purpose="batch")
    return client.batches.create(
        input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"
    )


def test_a_file_can_be_uploaded_read_listed_and_deleted(sdk: Door, http: httpx2.Client) -> None:
    content = b'{"a": 1}\r\n--not-a-boundary\r\n\x00\xff'
    file = sdk.run(lambda client: client.files.create(file=("a b.jsonl", content), purpose="batch"))
    card = http.get(f"/files/{file.id}")
    assert strictly(FileObject, card.content).filename == "a b.jsonl"
    assert file.bytes == len(content)
    assert sdk.run(lambda client: client.files.content(file.id)).content == content
    assert http.get("/files", params={"purpose": "batch"}).json()["data"][0]["id"] == file.id
    assert http.get("/files", params={"purpose": "vision"}).json()["data"] == []
    assert sdk.run(lambda client: client.files.delete(file.id)).deleted
    with pytest.raises(openai.NotFoundError):
        sdk.run(lambda client: client.files.retrieve(file.id))


def test_the_list_of_files_comes_in_pages(client: OpenAI) -> None:
    for number in range(5):
        client.files.create(file=(f"{number}.txt", b"x"), purpose="user_data")
    names = [file.filename for file in client.files.list(limit=2)]
    assert names == ["4.txt", "3.txt", "2.txt", "1.txt", "0.txt"]


def test_a_batch_answers_each_line(client: OpenAI, http: httpx2.Client) -> None:
    batch = finished(client, begun(client, line(1), line(2, n=-1), line(3, stream=True)))
    strictly(Batch, http.get(f"/batches/{batch.id}").content)
    assert batch.status == "completed"
    assert batch.request_counts is not None
    counts = batch.request_counts
    assert (counts.total, counts.completed, counts.failed) == (3, 2, 1)
    output = client.files.content(batch.output_file_id or "").text
    answers = {one["custom_id"]: one for one in map(json.loads, output.splitlines())}
    assert list(answers) == ["request-1", "request-3"]
    body = answers["request-1"]["response"]["body"]
    assert body["choices"][0]["message"]["content"] == reply("Why is the sky blue?")
    refused = json.loads(client.files.content(batch.error_file_id or "").text)
    assert refused["custom_id"] == "request-2"
    assert refused["response"]["status_code"] == 400
    assert refused["response"]["body"]["error"]["param"] == "n"
    assert batch.usage is not None
    assert batch.usage.output_tokens == 2 * body["usage"]["completion_tokens"]


def test_a_batch_goes_through_its_states(client: OpenAI, mock_openai: MockOpenAI) -> None:
    mock_openai.pace(1.0, first=0.05)
    batch = begun(client, line(1), line(2))
    seen = [batch.status]
    while seen[-1] != "completed":
        status = client.batches.retrieve(batch.id).status
        if status != seen[-1]:
            seen.append(status)
    assert seen == ["validating", "in_progress", "finalizing", "completed"]


def test_a_batch_can_be_cancelled_and_keeps_what_it_has(
    client: OpenAI, mock_openai: MockOpenAI
) -> None:
    mock_openai.pace(1.0, first=0.02)
    batch = begun(client, *(line(number) for number in range(1000)))
    while not (client.batches.retrieve(batch.id).request_counts or batch).completed:  # type: ignore
        pass
    assert client.batches.cancel(batch.id).status == "cancelling"
    ended = finished(client, batch)
    assert ended.status == "cancelled"
    assert ended.request_counts is not None
    answered = client.files.content(ended.output_file_id or "").text.splitlines()
    assert len(answered) == ended.request_counts.completed < 1000
    with pytest.raises(openai.ConflictError):
        client.batches.cancel(batch.id)


@pytest.mark.parametrize(
    ("lines", "code", "where"),
    [
        ([line(1), "{not json"], "invalid_json_line", 2),
        ([line(1), line(1)], "duplicate_custom_id", 2),
        ([line(1).replace("chat/completions", "embeddings")], "invalid_url", 1),
        (['{"method": "POST"}'], "missing_required_parameter", 1),
        ([""], "empty_file", None),
    ],
)
def test_a_batch_with_a_wrong_line_fails_and_says_which(
    client: OpenAI, lines: list[str], code: str, where: int | None
) -> None:
    batch = finished(client, begun(client, *lines))
    assert batch.status == "failed"
    assert batch.errors is not None
    assert batch.errors.data is not None
    assert (batch.errors.data[0].code, batch.errors.data[0].line) == (code, where)


def test_batches_are_listed_newest_first(client: OpenAI) -> None:
    first, second = begun(client, line(1)), begun(client, line(1))
    assert [batch.id for batch in client.batches.list()] == [second.id, first.id]
    with pytest.raises(openai.NotFoundError):
        client.batches.retrieve("batch_none")


def test_a_batch_takes_no_file_of_another_purpose(client: OpenAI) -> None:
    file = client.files.create(file=("notes.jsonl", b"{}"), purpose="user_data")
    with pytest.raises(openai.BadRequestError, match="another purpose"):
        client.batches.create(
            input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"
        )


def test_a_batch_whose_file_is_deleted_says_so(client: OpenAI, mock_openai: MockOpenAI) -> None:
    mock_openai.pace(1.0, first=0.2)
    batch = begun(client, line(1))
    client.files.delete(batch.input_file_id)
    ended = finished(client, batch)
    assert ended.errors is not None
    assert ended.errors.data is not None
    assert (ended.status, ended.errors.data[0].code) == ("failed", "file_not_found")


@pytest.mark.parametrize(
    "metadata",
    [{str(number): "" for number in range(17)}, {"n" * 65: "short"}, {"name": "v" * 513}],
)
def test_metadata_has_its_bounds(client: OpenAI, metadata: dict[str, str]) -> None:
    with pytest.raises(openai.BadRequestError, match="metadata"):
        client.responses.create(model="mock-chat", input="Hello", metadata=metadata)


def test_a_files_name_is_kept_up_to_a_length(client: OpenAI) -> None:
    file = client.files.create(file=("x" * 5000 + ".jsonl", b"{}"), purpose="batch")
    assert len(file.filename) == 255


def test_a_line_that_the_server_fails_at_does_not_stop_its_batch(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def answer(call: Call, state: State) -> Answer:
        if b"broken" in call.body:
            raise OverflowError("a fault of ours")
        return whole({})

    monkeypatch.setitem(batch_work.ENDPOINTS, "/v1/chat/completions", answer)
    state = State(pace=Pace(dial=0))
    lines = "\n".join((line(1), line(2, user="broken"), line(3))).encode()
    file = files.keep(state, "requests.jsonl", "batch", lines)
    body = {
        "input_file_id": file.id,
        "endpoint": "/v1/chat/completions",
        "completion_window": "24h",
    }

    async def worked() -> batches.Batch:
        await batches.create(Call("POST", "/v1/batches", {}, json.dumps(body).encode()), state)
        await asyncio.wait_for(asyncio.gather(*state.tasks), 10)
        (batch,) = state.batches.newest_first()
        assert isinstance(batch, batches.Batch)
        return batch

    batch = asyncio.run(worked())
    assert (batch.status, batch.answered, batch.failed) == ("completed", 2, 1)
    refused = json.loads(state.files.get(batch.error_file or "").content)
    assert refused["response"]["status_code"] == 500
    assert "a fault of ours" in capsys.readouterr().err


# --- how much one request may ask for ---------------------------------------------------------

ENDLESS: dict[str, Any] = {"ignore_eos": True, "max_tokens": 50_000}


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("/chat/completions", {**ask(), **ENDLESS, "n": 3}, "n"),
        ("/completions", {"model": "m", "prompt": ["a", "b"], **ENDLESS, "n": 2}, "n"),
        ("/completions", {"model": "m", "prompt": "a " * 30_000, "echo": True, "n": 4}, "n"),
        ("/completions", {"model": "m", "prompt": "a", **ENDLESS, "logprobs": 5}, "top_logprobs"),
        (
            "/chat/completions",
            {**ask(), "ignore_eos": True, "max_tokens": 3000, "logprobs": True, "top_logprobs": 20},
            "top_logprobs",
        ),
        (
            "/responses",
            {"model": "m", "input": "Hi", "ignore_eos": True, "max_output_tokens": 1000,
             "top_logprobs": 20, "stream": True},
            "top_logprobs",
        ),
        ("/moderations", {"input": [""] * 2049}, "input"),
    ],
)  # fmt: skip
def test_a_small_request_for_a_huge_answer_is_refused(
    http: httpx2.Client, path: str, body: dict[str, Any], param: str
) -> None:
    answer = http.post(path, json=body)
    assert answer.status_code == 400, answer.text[:500]
    assert answer.json()["error"]["param"] == param


def test_the_longest_answer_is_given(http: httpx2.Client) -> None:
    body = {**ask(), "ignore_eos": True, "max_tokens": 25_000, "n": 4}
    usage = http.post("/chat/completions", json=body).json()["usage"]
    assert usage["completion_tokens"] == 100_000


def rounds(handler: Any, body: dict[str, Any]) -> int:
    """Return how often others may run while a request is answered."""

    async def counted() -> int:
        call = Call("POST", "/", {}, json.dumps(body).encode())
        answering = asyncio.ensure_future(handler(call, State()))
        count = 0
        while not answering.done():
            await asyncio.sleep(0)
            count += 1
        assert answering.result().status == 200
        return count

    return asyncio.run(counted())


def test_others_run_while_a_long_text_is_embedded() -> None:
    letters = "abcdefghijklmnopqrstuvwxyz"
    text = " ".join(map("".join, itertools.product(letters, letters, "abcd")))
    assert rounds(embeddings.create, {"model": "m", "input": [text, text]}) > 10


def test_others_run_between_the_choices_of_an_answer() -> None:
    assert rounds(chat.create, {**ask(), "n": 50}) > 49


def test_others_run_while_many_texts_are_judged() -> None:
    assert rounds(moderations.create, {"input": ["a fine day"] * 50}) > 50


def test_a_streamed_legacy_completion_says_where_each_token_is(http: httpx2.Client) -> None:
    request = {"model": "mock-chat", "prompt": ["One?", "Two?"], "logprobs": 1, "stream": True}
    texts = ["", ""]
    for _, data in events(http.post("/completions", json=request).text)[:-1]:
        choice = json.loads(data)["choices"][0]
        if choice["logprobs"] is not None:
            assert choice["logprobs"]["text_offset"] == [len(texts[choice["index"]])]
        texts[choice["index"]] += choice["text"]


def test_files_are_listed_oldest_first_when_asked_for(client: OpenAI) -> None:
    for number in range(3):
        client.files.create(file=(f"{number}.txt", b"x"), purpose="user_data")
    names = [file.filename for file in client.files.list(order="asc", limit=2)]
    assert names == ["0.txt", "1.txt", "2.txt"]


@pytest.mark.parametrize("name", ['é"0.txt', "a\r\nb.txt", "plain%20.txt"])
def test_a_files_name_comes_back_as_it_was(client: OpenAI, name: str) -> None:
    assert client.files.create(file=(name, b"x"), purpose="user_data").filename == name


def test_a_file_says_when_it_expires(client: OpenAI, http: httpx2.Client) -> None:
    expiry: Any = {"anchor": "created_at", "seconds": 3600}
    file = client.files.create(file=("a.txt", b"x"), purpose="user_data", expires_after=expiry)
    assert file.expires_at == file.created_at + 3600
    form = {"purpose": "user_data", "expires_after[seconds]": "soon"}
    answer = http.post("/files", data=form, files={"file": ("a.txt", b"x")})
    assert answer.json()["error"]["param"] == "expires_after.seconds"


def test_a_batch_tells_when_it_was_in_each_state_and_what_it_was_given(client: OpenAI) -> None:
    file = client.files.create(file=("a.jsonl", line(1).encode()), purpose="batch")
    made = client.batches.create(
        input_file_id=file.id,
        endpoint="/v1/chat/completions",
        completion_window="24h",
        metadata={"lesson": "2"},
    )
    batch = finished(client, made)
    assert batch.metadata == {"lesson": "2"}
    assert batch.in_progress_at
    assert batch.finalizing_at
    assert batch.completed_at
    times = [batch.created_at, batch.in_progress_at, batch.finalizing_at, batch.completed_at]
    assert times == sorted(times)


def test_a_batch_says_when_its_files_expire(client: OpenAI, http: httpx2.Client) -> None:
    line = {"custom_id": "a", "method": "POST", "url": "/v1/completions"}
    text = json.dumps({**line, "body": {"model": "m", "prompt": "hello"}})
    file = client.files.create(file=("a.jsonl", text.encode()), purpose="batch")
    batch = client.batches.create(
        input_file_id=file.id,
        endpoint="/v1/completions",
        completion_window="24h",
        output_expires_after={"anchor": "created_at", "seconds": 7200},
    )
    while batch.status != "completed":
        batch = client.batches.retrieve(batch.id)
    output = client.files.retrieve(str(batch.output_file_id))
    assert output.expires_at == output.created_at + 7200
    for wrong in ({"anchor": "now", "seconds": 7200}, {"anchor": "created_at", "seconds": 5}):
        asked = {"input_file_id": file.id, "endpoint": "/v1/completions"}
        body = {**asked, "completion_window": "24h", "output_expires_after": wrong}
        assert http.post("/batches", json=body).status_code == 400


@pytest.mark.parametrize(
    "form",
    [
        {"type": "json_object"},
        {
            "type": "json_schema",
            "json_schema": {
                "name": "a",
                "schema": {"type": "object", "properties": {"city": {"type": "string"}}},
            },
        },
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_json_whose_characters_are_cut_stays_json(
    client: OpenAI, form: dict[str, Any], stream: bool
) -> None:
    request: Any = {
        "model": "m",
        "messages": [{"role": "user", "content": "Answer in json: why is the sky blue?"}],
        "response_format": form,
        "extra_headers": {"x-mock-fault": "split-utf8"},
    }
    if stream:
        chunks = client.chat.completions.create(**request, stream=True)
        text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    else:
        text = client.chat.completions.create(**request).choices[0].message.content
    found = json.loads(text)
    if form["type"] == "json_object":
        assert "☕" in found["answer"]
