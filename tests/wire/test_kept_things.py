"""What clients leave with the server and come back for: completions, conversations, models."""

import json
from typing import Any

import httpx2
import openai
import pytest
from openai import OpenAI
from openai.types import ModelDeleted
from openai.types.chat import ChatCompletion, ChatCompletionDeleted
from openai.types.conversations import (
    Conversation,
    ConversationDeletedResource,
    ConversationItemList,
)
from openai.types.responses import CompactedResponse, InputTokenCountResponse, Response

from helpers.mock_server.content.replies import reply
from helpers.pytest_plugin import MockOpenAI
from tests.wire.wire import TOOL, ask, events, strictly

BLUE = reply("Why is the sky blue?")

# --- stored completions -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"n": 2, "logprobs": True, "top_logprobs": 2},
        {"tools": [TOOL], "tool_choice": "required"},
        {"max_tokens": 3},
    ],
)
def test_a_stored_completion_is_what_was_answered(
    client: OpenAI, http: httpx2.Client, more: dict[str, Any]
) -> None:
    said = client.chat.completions.create(**ask(store=True, metadata={"a": "b"}, **more))
    found = client.chat.completions.retrieve(said.id)
    assert found.metadata == {"a": "b"}
    assert found.to_dict() == {**said.to_dict(), "metadata": {"a": "b"}}
    strictly(ChatCompletion, http.get(f"/chat/completions/{said.id}").content)


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"n": 2, "logprobs": True, "top_logprobs": 2},
        {"tools": [TOOL], "tool_choice": "required"},
        {"stream_options": {"include_obfuscation": True, "include_usage": True}},
    ],
)
def test_a_streamed_completion_is_stored_as_the_sdk_puts_it_together(
    client: OpenAI, http: httpx2.Client, more: dict[str, Any]
) -> None:
    with client.chat.completions.stream(**ask(store=True, **more)) as stream:
        for _ in stream:
            pass
        said = stream.get_final_completion()
    answer = http.get(f"/chat/completions/{said.id}")
    found = strictly(ChatCompletion, answer.content)
    for mine, theirs in zip(found.choices, said.choices, strict=True):
        assert mine.message.content == theirs.message.content
        assert mine.finish_reason == theirs.finish_reason
        assert (mine.logprobs is None) == (theirs.logprobs is None)
        if mine.logprobs is not None and theirs.logprobs is not None:
            assert mine.logprobs.content == theirs.logprobs.content
        calls = [call.to_dict() for call in theirs.message.tool_calls or ()]
        for call in calls:
            call["function"].pop("parsed_arguments", None)  # type: ignore[attr-defined]
            call.pop("index", None)
        assert [call.to_dict() for call in mine.message.tool_calls or ()] == calls
    assert found.usage == said.usage


def test_only_what_is_to_be_stored_is_stored(client: OpenAI, mock_openai: MockOpenAI) -> None:
    said = client.chat.completions.create(**ask())
    client.chat.completions.create(**ask(store=False))
    with pytest.raises(openai.NotFoundError):
        client.chat.completions.retrieve(said.id)
    assert list(client.chat.completions.list()) == []
    kept = client.chat.completions.create(**ask(store=True))
    mock_openai.reset()
    with pytest.raises(openai.NotFoundError):
        client.chat.completions.retrieve(kept.id)


def test_stored_completions_are_listed_in_pages_and_by_what_they_are(client: OpenAI) -> None:
    made = [
        client.chat.completions.create(
            **{**ask(store=True, metadata={"turn": str(turn % 2)}), "model": f"m{turn % 3}"}
        ).id
        for turn in range(6)
    ]
    assert [found.id for found in client.chat.completions.list(limit=2)] == made
    assert [found.id for found in client.chat.completions.list(order="desc")] == made[::-1]
    assert [found.id for found in client.chat.completions.list(model="m1")] == [made[1], made[4]]
    odd = client.chat.completions.list(metadata={"turn": "1"})
    assert [found.id for found in odd] == made[1::2]


def test_a_stored_completion_can_be_marked_read_and_deleted(
    client: OpenAI, http: httpx2.Client
) -> None:
    parts: Any = [{"type": "text", "text": "hello"}]
    said = client.chat.completions.create(
        model="m",
        messages=[{"role": "system", "content": "Be brief."}, {"role": "user", "content": parts}],
        store=True,
    )
    assert client.chat.completions.update(said.id, metadata={"seen": "yes"}).metadata == {
        "seen": "yes"
    }
    first, second = client.chat.completions.messages.list(said.id)
    assert (first.id, first.content, first.content_parts) == (f"{said.id}-0", "Be brief.", None)
    assert second.content is None
    assert second.content_parts
    assert second.content_parts[0].type == "text"
    answer = http.delete(f"/chat/completions/{said.id}")
    assert strictly(ChatCompletionDeleted, answer.content).deleted
    for use in (client.chat.completions.retrieve, client.chat.completions.delete):
        with pytest.raises(openai.NotFoundError):
            use(said.id)
    with pytest.raises(openai.NotFoundError):
        client.chat.completions.messages.list(said.id)


# --- conversations ----------------------------------------------------------------------------


def test_a_conversation_holds_items_in_their_order(client: OpenAI, http: httpx2.Client) -> None:
    made = client.conversations.create(
        metadata={"topic": "sky"},
        items=[{"type": "message", "role": "user", "content": "Hello"}],
    )
    strictly(Conversation, http.get(f"/conversations/{made.id}").content)
    added = client.conversations.items.create(
        made.id,
        items=[
            {"role": "assistant", "content": "Hello to you"},
            {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c1", "output": "done"},
        ],
    )
    assert [item.type for item in added.data] == [
        "message",
        "function_call",
        "function_call_output",
    ]
    answer = http.get(f"/conversations/{made.id}/items?order=asc")
    listed = strictly(ConversationItemList, answer.content)
    assert [item.type for item in listed.data] == [
        "message",
        "message",
        "function_call",
        "function_call_output",
    ]
    newest = next(iter(client.conversations.items.list(made.id, order="desc", limit=1)))
    assert newest.type == "function_call_output"
    assert newest.id == listed.last_id
    assert len(list(client.conversations.items.list(made.id, order="asc", limit=1))) == 4
    one = client.conversations.items.retrieve(str(listed.first_id), conversation_id=made.id)
    assert one.type == "message"
    client.conversations.items.delete(str(newest.id), conversation_id=made.id)
    assert len(list(client.conversations.items.list(made.id))) == 3
    with pytest.raises(openai.NotFoundError):
        client.conversations.items.retrieve(str(newest.id), conversation_id=made.id)


def test_a_conversation_can_be_marked_and_deleted(client: OpenAI, http: httpx2.Client) -> None:
    made = client.conversations.create()
    assert client.conversations.update(made.id, metadata={"a": "b"}).metadata == {"a": "b"}
    assert client.conversations.retrieve(made.id).metadata == {"a": "b"}
    answer = http.delete(f"/conversations/{made.id}")
    assert strictly(ConversationDeletedResource, answer.content).id == made.id
    with pytest.raises(openai.NotFoundError):
        client.conversations.retrieve(made.id)
    with pytest.raises(openai.NotFoundError):
        client.responses.create(model="m", input="hello", conversation=made.id)


@pytest.mark.parametrize("stream", [False, True])
def test_a_response_goes_on_with_a_conversation_and_adds_to_it(
    client: OpenAI, http: httpx2.Client, stream: bool
) -> None:
    made = client.conversations.create(items=[{"role": "user", "content": "Why is the sky blue?"}])
    request = {"model": "m", "input": "Thanks", "conversation": {"id": made.id}, "stream": stream}
    body = http.post("/responses", json=request).text
    if stream:
        body = json.dumps(json.loads(events(body)[-1][1])["response"])
    response = strictly(Response, body)
    assert response.conversation is not None
    assert response.conversation.id == made.id
    alone = client.responses.create(model="m", input="Thanks")
    assert response.usage is not None
    assert alone.usage is not None
    assert response.usage.input_tokens > alone.usage.input_tokens
    items: list[Any] = list(client.conversations.items.list(made.id, order="asc"))
    assert [item.role for item in items] == ["user", "user", "assistant"]
    assert items[-1].content[0].text == response.output_text
    again = client.responses.create(model="m", input="And?", conversation=made.id)
    assert again.usage is not None
    assert again.usage.input_tokens > response.usage.input_tokens
    assert len(list(client.conversations.items.list(made.id))) == 5


def test_calls_in_a_conversation_want_their_answers(client: OpenAI) -> None:
    made = client.conversations.create()
    flat: Any = {"type": "function", **TOOL["function"], "strict": False}  # type: ignore[dict-item]
    asked = client.responses.create(
        model="m", input="weather?", conversation=made.id, tools=[flat], tool_choice="required"
    )
    call: Any = asked.output[0]
    with pytest.raises(openai.BadRequestError, match="No tool output found"):
        client.responses.create(model="m", input="well?", conversation=made.id)
    said = client.responses.create(
        model="m",
        input=[{"type": "function_call_output", "call_id": call.call_id, "output": "rain"}],
        conversation=made.id,
        tools=[flat],
    )
    assert "rain" in said.output_text
    assert client.responses.create(model="m", input="Thanks", conversation=made.id).output_text


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("/conversations", {"items": [{"role": "user"}]}, "items[0].content"),
        ("/conversations", {"items": [{"role": "user", "content": "a"}] * 21}, "items"),
        ("/conversations", {"items": 3}, "items"),
        ("/conversations", {"metadata": []}, "metadata"),
        ("/responses", {"model": "m", "input": "a", "conversation": 3}, "conversation"),
        ("/responses", {"model": "m", "input": "a", "conversation": {}}, "conversation"),
    ],
)
def test_what_is_no_conversation_is_refused(
    http: httpx2.Client, path: str, body: Any, param: str
) -> None:
    answer = http.post(path, json=body)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)


def test_a_response_goes_on_with_one_thing_alone(client: OpenAI) -> None:
    made = client.conversations.create()
    before = client.responses.create(model="m", input="hello")
    with pytest.raises(openai.BadRequestError, match="Mutually exclusive"):
        client.responses.create(
            model="m", input="a", conversation=made.id, previous_response_id=before.id
        )


# --- counts, compacted responses, models ------------------------------------------------------


def test_input_is_counted_as_a_response_counts_it(client: OpenAI, http: httpx2.Client) -> None:
    body = {"model": "m", "input": "Why is the sky blue?", "instructions": "Be brief."}
    counted = strictly(
        InputTokenCountResponse, http.post("/responses/input_tokens", json=body).text
    )
    said = client.responses.create(
        model="m", input="Why is the sky blue?", instructions="Be brief."
    )
    assert said.usage is not None
    assert counted.input_tokens == said.usage.input_tokens
    assert client.responses.input_tokens.count().input_tokens < counted.input_tokens


def test_a_compacted_response_has_the_users_words_and_can_be_gone_on_from(
    client: OpenAI, http: httpx2.Client
) -> None:
    talk: Any = [
        {"role": "user", "content": "Why is the sky blue?"},
        {"role": "assistant", "content": BLUE},
    ]
    answer = http.post("/responses/compact", json={"model": "m", "input": talk})
    found = answer.json()
    assert [item["type"] for item in found["output"]] == ["message", "compaction"]
    assert found["output"][0]["role"] == "user"
    strictly(CompactedResponse, json.dumps({**found, "output": found["output"][1:]}))
    compacted = client.responses.compact(model="m", input=talk)
    assert [item.type for item in compacted.output] == ["message", "compaction"]
    again = client.responses.create(
        model="m", input=[*found["output"], {"role": "user", "content": "More?"}]
    )
    assert again.output_text


def test_a_fine_tuned_model_can_be_deleted_and_no_other(
    client: OpenAI, http: httpx2.Client, mock_openai: MockOpenAI
) -> None:
    answer = http.delete("/models/ft:mock-chat:me::1")
    assert strictly(ModelDeleted, answer.content).deleted
    with pytest.raises(openai.NotFoundError):
        client.chat.completions.create(**{**ask(), "model": "ft:mock-chat:me::1"})
    with pytest.raises(openai.PermissionDeniedError):
        client.models.delete("mock-chat")
    mock_openai.reset()
    assert client.models.retrieve("ft:mock-chat:me::1").id
