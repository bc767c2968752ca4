"""pydantic-ai: agents with tools, typed outputs of each kind, and streams, in both APIs."""

from itertools import pairwise

import pytest
from pydantic import BaseModel
from pydantic_ai import Agent, NativeOutput, PromptedOutput, ToolOutput
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel

APIS = pytest.mark.parametrize("api", [OpenAIChatModel, OpenAIResponsesModel])


IN_WORDS = pytest.param(
    PromptedOutput,
    marks=pytest.mark.xfail(reason="the mock reads no schema that stands in a prompt's words"),
)


class Weather(BaseModel):
    city: str
    degrees: int


@APIS
@pytest.mark.parametrize("kind", [ToolOutput, NativeOutput, IN_WORDS])
async def test_a_typed_output_comes_out_typed(api: type, kind: type) -> None:
    ended = await Agent(api("gpt-4o-mini"), output_type=kind(Weather)).run("Weather in Paris?")
    assert isinstance(ended.output, Weather)


@APIS
@pytest.mark.parametrize("kind", [None, Weather])
async def test_an_agent_calls_its_tool_and_comes_to_its_end(api: type, kind: type | None) -> None:
    agent = Agent(api("gpt-4o-mini"), output_type=kind or str)
    asked: list[str] = []

    @agent.tool_plain
    def temperature(city: str) -> int:
        """Tell the temperature in a city."""
        asked.append(city)
        return 21

    ended = await agent.run("What is the temperature in Paris?")
    assert len(asked) == 1
    assert isinstance(ended.output, kind or str)
    assert ended.output


@APIS
async def test_a_stream_grows(api: type) -> None:
    async with Agent(api("gpt-4o-mini")).run_stream("Count to 12") as stream:
        texts = [text async for text in stream.stream_text(debounce_by=None)]
    assert len(texts) > 5
    assert all(late.startswith(early) for early, late in pairwise(texts))
    assert stream.usage.output_tokens
