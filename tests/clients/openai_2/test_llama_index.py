"""llama-index-llms-openai-like: chat, streams, and a tool called by a function-calling agent."""

import os
from typing import Any

import pytest
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.llms import ChatMessage
from llama_index.core.tools import FunctionTool
from llama_index.llms.openai_like import OpenAILike
from pydantic import BaseModel

SAID = [ChatMessage(role="user", content="Count to 12")]


class Weather(BaseModel):
    city: str
    degrees: int


@pytest.fixture
def llm() -> Any:
    return OpenAILike(
        model="mock-chat",
        api_base=os.environ["OPENAI_BASE_URL"],
        api_key="mock",
        is_chat_model=True,
        is_function_calling_model=True,
        context_window=8192,
    )


async def test_a_whole_answer_and_a_stream_say_the_same(llm: Any) -> None:
    whole = llm.chat(SAID).message.content
    pieces = [part.delta async for part in await llm.astream_chat(SAID)]
    assert "".join(pieces) == whole
    assert len(pieces) > 5


async def test_completions_are_read(llm: Any) -> None:
    llm.is_chat_model = False
    assert (await llm.acomplete("Count to 12")).text
    assert "".join(part.delta for part in llm.stream_complete("Count to 12"))


def test_a_typed_answer_comes_out_typed(llm: Any) -> None:
    made = llm.as_structured_llm(Weather).chat(SAID).raw
    assert isinstance(made, Weather)


async def test_an_agent_calls_its_tool_and_comes_to_its_end(llm: Any) -> None:
    asked: list[str] = []

    def temperature(city: str) -> int:
        """Tell the temperature in a city."""
        asked.append(city)
        return 21

    agent = FunctionAgent(tools=[FunctionTool.from_defaults(temperature)], llm=llm)
    ended = await agent.run("What is the temperature in Paris?")
    assert len(asked) == 1
    assert str(ended)
