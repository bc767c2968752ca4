"""instructor: typed answers in its modes, whole, partial, and as a row of things."""

import instructor
import pytest
from openai import AsyncOpenAI, OpenAI
from pydantic import BaseModel

SAID = [{"role": "user", "content": "Weather in Paris?"}]


IN_WORDS = pytest.param(
    instructor.Mode.JSON,
    marks=pytest.mark.xfail(reason="the mock reads no schema that stands in a prompt's words"),
)


class Weather(BaseModel):
    city: str
    degrees: int


@pytest.mark.parametrize("mode", [instructor.Mode.TOOLS, instructor.Mode.JSON_SCHEMA, IN_WORDS])
def test_a_typed_answer_comes_out_typed(mode: instructor.Mode) -> None:
    client = instructor.from_openai(OpenAI(), mode=mode)
    made = client.chat.completions.create(
        model="gpt-4o-mini", messages=SAID, response_model=Weather
    )
    assert isinstance(made, Weather)


async def test_the_async_client_too() -> None:
    client = instructor.from_openai(AsyncOpenAI())
    made = await client.chat.completions.create(
        model="gpt-4o-mini", messages=SAID, response_model=Weather
    )
    assert isinstance(made, Weather)


def test_a_partial_answer_fills_up() -> None:
    client = instructor.from_openai(OpenAI())
    parts = list(
        client.chat.completions.create_partial(
            model="gpt-4o-mini", messages=SAID, response_model=Weather
        )
    )
    assert len(parts) > 2
    assert parts[-1].city
    assert isinstance(parts[-1].degrees, int)
