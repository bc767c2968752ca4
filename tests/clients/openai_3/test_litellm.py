"""litellm: chat whole and streamed, tools, embeddings, Responses, and the kinds of its errors."""

import json

import litellm
import pytest

SAID = [{"role": "user", "content": "Count to 12"}]
CHAT = "openai/gpt-4o-mini"
TOOL = {
    "type": "function",
    "function": {
        "name": "degrees",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}


async def test_a_whole_answer_and_a_stream_say_the_same() -> None:
    whole = await litellm.acompletion(CHAT, SAID)
    stream = await litellm.acompletion(CHAT, SAID, stream=True)
    pieces = [chunk.choices[0].delta.content or "" async for chunk in stream]
    assert "".join(pieces) == whole.choices[0].message.content
    assert len(pieces) > 5


def test_a_tool_is_called_whole_and_streamed() -> None:
    choice = {"type": "function", "function": {"name": "degrees"}}
    whole = litellm.completion(CHAT, SAID, tools=[TOOL], tool_choice=choice)
    (call,) = whole.choices[0].message.tool_calls
    stream = litellm.completion(CHAT, SAID, tools=[TOOL], tool_choice=choice, stream=True)
    built = litellm.stream_chunk_builder(list(stream))
    (streamed,) = built.choices[0].message.tool_calls
    assert json.loads(call.function.arguments) == json.loads(streamed.function.arguments)


def test_embeddings_and_responses_are_read() -> None:
    made = litellm.embedding("openai/text-embedding-3-small", ["one", "two"])
    assert [len(row["embedding"]) for row in made.data] == [1536, 1536]
    assert litellm.responses(input="Hello", model=CHAT).output_text


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ("429", litellm.RateLimitError),
        ("401", litellm.AuthenticationError),
        ("503", litellm.ServiceUnavailableError),
        ("400", litellm.BadRequestError),
    ],
)
def test_an_error_is_of_the_kind_that_its_status_has(fault: str, kind: type[Exception]) -> None:
    with pytest.raises(kind):
        litellm.completion(CHAT, SAID, extra_headers={"x-mock-fault": fault}, max_retries=0)
