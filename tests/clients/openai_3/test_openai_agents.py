"""openai-agents: tools, typed outputs, handoffs, sessions and streams, in both APIs."""

from typing import Any

import pytest
from agents import (
    Agent,
    OpenAIChatCompletionsModel,
    OpenAIConversationsSession,
    OpenAIResponsesModel,
    Runner,
    function_tool,
)
from openai import AsyncOpenAI
from pydantic import BaseModel

APIS = pytest.mark.parametrize("api", [OpenAIChatCompletionsModel, OpenAIResponsesModel])


class Weather(BaseModel):
    city: str
    degrees: int


def of(api: type) -> Any:
    return api(model="gpt-4o-mini", openai_client=AsyncOpenAI())


@APIS
async def test_an_agent_calls_its_tool_and_comes_to_its_end(api: type) -> None:
    asked: list[str] = []

    @function_tool
    def temperature(city: str) -> int:
        """Tell the temperature in a city."""
        asked.append(city)
        return 21

    agent = Agent(name="Weather", model=of(api), tools=[temperature])
    ended = await Runner.run(agent, "What is the temperature in Paris?")
    assert len(asked) == 1
    assert ended.final_output


@APIS
async def test_a_typed_output_comes_out_typed(api: type) -> None:
    agent = Agent(name="Weather", model=of(api), output_type=Weather)
    ended = await Runner.run(agent, "Weather in Paris?")
    assert isinstance(ended.final_output, Weather)


@APIS
async def test_a_stream_gives_its_pieces_and_ends(api: type) -> None:
    run = Runner.run_streamed(Agent(name="Counter", model=of(api)), "Count to 12")
    pieces = [
        event.data.delta
        async for event in run.stream_events()
        if event.type == "raw_response_event" and event.data.type == "response.output_text.delta"
    ]
    assert "".join(pieces) == run.final_output
    assert len(pieces) > 5


@APIS
async def test_a_handoff_gives_the_word_to_the_other_agent(api: type) -> None:
    other = Agent(name="Second", model=of(api))
    first = Agent(name="First", model=of(api), handoffs=[other])
    ended = await Runner.run(first, "Transfer me to the second agent")
    assert ended.last_agent is other


async def test_a_session_at_the_server_keeps_what_was_said() -> None:
    agent = Agent(name="Helper", model=of(OpenAIResponsesModel))
    session = OpenAIConversationsSession(openai_client=AsyncOpenAI())
    for question in ("Hello", "And again"):
        await Runner.run(agent, question, session=session)
    said = await session.get_items()
    assert [item["role"] for item in said if "role" in item] == [
        "user", "assistant", "user", "assistant",
    ]  # fmt: skip
    await session.clear_session()
