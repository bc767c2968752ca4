"""Replies that somebody wrote down before: what to say, to which request, and how fast."""

import json
from collections.abc import Iterable
from dataclasses import replace
from typing import Annotated, Any, TypeAlias

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    ValidationError,
    model_validator,
)
from pydantic_core import ErrorDetails

from helpers.mock_server.content import tokens
from helpers.mock_server.content.asked import looks_for
from helpers.mock_server.content.generation import Finish
from helpers.mock_server.protocol.errors import ApiError
from helpers.mock_server.protocol.pacing import MAX_SECONDS, Pace, Timed

MAX_TIMES = 1_000_000


def _readable(wanted: str) -> str:
    looks_for(wanted)
    return wanted


Looked: TypeAlias = Annotated[str, AfterValidator(_readable)]
Pieces: TypeAlias = str | list[str]
"""A text; or its pieces, each of which leaves at a moment of its own."""
Seconds: TypeAlias = Annotated[float, Field(ge=0, le=MAX_SECONDS)]
Count: TypeAlias = Annotated[int, Field(ge=0, strict=True)]


class _Part(BaseModel):
    # Built when the first is read: most servers are started without scripts.
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


class When(_Part):
    """What a request must have for a reply to be its answer."""

    message: Looked | None = None
    """Found in the last message, whosever it is."""
    exactly: str | None = None
    """All of the last message: what tells `Item 1` from `Item 10`."""
    model: str | None = None
    turn: Annotated[int, Field(ge=1, strict=True)] | None = None
    """Which turn of the model's it is: 1 where it has not spoken yet."""
    tool_result: Looked | StrictBool | None = None
    """Found in what a tool answered, where tools spoke last; true for any, false for none."""
    client: str | None = None
    """The header `x-mock-client`."""
    method: str | None = None
    path: str | None = None
    """Such as `/v1/responses`."""


class Call(_Part):
    """A call of a tool. Arguments in a string are sent as they are, valid JSON or not."""

    name: Annotated[str, Field(min_length=1)]
    arguments: dict[str, Any] | Pieces = Field(default_factory=dict)
    id: str | None = None

    @property
    def pieces(self) -> list[str]:
        """The arguments as JSON, in tokens."""
        if isinstance(self.arguments, dict):
            return tokens.split(json.dumps(self.arguments, ensure_ascii=False))
        return tokens.in_pieces(self.arguments)


class Usage(_Part):
    """What the answer says it cost; what is not named is counted."""

    prompt_tokens: Count | None = None
    completion_tokens: Count | None = None
    cached_tokens: Count | None = None
    reasoning_tokens: Count | None = None


class Error(_Part):
    """An error in the place of an answer."""

    status: Annotated[int, Field(ge=400, le=599, strict=True)] = 500
    message: str = "The request failed, as its scripted reply says."
    type: str | None = None
    code: str | int | None = None
    param: str | None = None
    headers: dict[
        Annotated[str, Field(pattern=r"^[A-Za-z0-9-]+$")],
        Annotated[str, Field(pattern=r"^[\x20-\x7e]*$")],
    ] = Field(default_factory=dict)


class Script(_Part):
    """One reply, and when to give it."""

    when: When = Field(default_factory=When)
    times: Annotated[int, Field(ge=1, le=MAX_TIMES, strict=True)] | None = 1
    """For how many requests; None for all that fit."""
    text: Pieces | None = None
    tool_calls: list[Call] = Field(default_factory=list)
    refusal: Pieces | None = None
    reasoning: Pieces | None = None
    finish: Finish | None = None
    usage: Usage | None = None
    error: Error | None = None
    raw: Any = Field(default=None, alias="json")
    """A body sent as it is; to a stream a list of them, each an event."""
    status: Annotated[int, Field(ge=200, le=599, strict=True)] = 200
    """The status of a raw body."""
    first: Seconds | None = None
    """Seconds to the first token, at dial 1."""
    gaps: Seconds | list[Seconds] | None = None
    """Seconds between tokens, at dial 1: one number for all, or one for each."""
    optional: StrictBool = False
    """Whether a test does not mind that it was not needed."""
    check: StrictBool = True
    """Whether its calls, its JSON and its length have to be such as the request asks for."""

    @model_validator(mode="before")
    @classmethod
    def _when_is_brief(cls, value: Any) -> Any:
        if isinstance(value, dict) and isinstance(value.get("when"), str):
            return {**value, "when": {"message": value["when"]}}
        return value

    @model_validator(mode="after")
    def _says_one_thing(self) -> "Script":
        said = self.model_fields_set & {"text", "tool_calls", "refusal", "reasoning"}
        kinds = [name for name in ("error", "raw") if name in self.model_fields_set]
        if not said and not kinds:
            raise ValueError("It says nothing: give it a text, tool_calls, a refusal, an error …")
        if len(kinds) > 1 or (kinds and said):
            raise ValueError("An error, and json, stand alone: each is the whole answer.")
        if self.refusal is not None and (self.text is not None or self.tool_calls):
            raise ValueError("A refusal stands in the place of a text and of tool_calls.")
        if isinstance(self.gaps, list) and self.first is None:
            raise ValueError("A list of gaps needs 'first', the seconds to the first token.")
        return self

    @property
    def is_raw(self) -> bool:
        return "raw" in self.model_fields_set

    def at(self, pace: Pace) -> Pace:
        """Return the pace of the answer, where that of the request is given."""
        first = pace.first if self.first is None else self.first
        if not isinstance(self.gaps, list):
            return replace(pace, first=first, gap=pace.gap if self.gaps is None else self.gaps)
        return Timed(
            first=first,
            gap=self.gaps[-1] if self.gaps else pace.gap,
            gaps=tuple(self.gaps),
            dial=pace.dial,
            tokens=pace.tokens,
        )

    def brief(self) -> dict[str, Any]:
        """Return it as the JSON value that it was read from."""
        return self.model_dump(mode="json", by_alias=True, exclude_unset=True)


def _fields(kind: type[_Part]) -> list[str]:
    return [field.alias or name for name, field in kind.model_fields.items()]


_NAMES = frozenset(name for kind in (Script, When, Call, Usage, Error) for name in _fields(kind))


def read(value: Any) -> Script:
    """Return a reply that is given as a JSON value.

    Raises:
        ApiError: 400, what is wrong with it.
    """
    try:
        return Script.model_validate(value)
    except ValidationError as problem:
        raise ApiError(400, _told(problem.errors()), code="invalid_reply") from None


def read_lines(lines: Iterable[str]) -> list[Script]:
    """Return the replies of a file: a JSON object a line; lines that are empty or begin with #.

    Raises:
        ValueError: a line is no reply; the message names it.
    """
    found = []
    for at, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        try:
            found.append(read(json.loads(line)))
        except ApiError as problem:
            raise ValueError(f"line {at}: {problem.message}") from None
        except (ValueError, RecursionError) as problem:
            raise ValueError(f"line {at} is no JSON: {problem}") from None
    return found


def _told(problems: list[ErrorDetails]) -> str:
    """Return the first problem in one sentence: a wrong value may fit none of several types."""
    first = problems[0]
    # Between the fields' names stand those of the types that were tried.
    place = ".".join(str(part) for part in first["loc"] if isinstance(part, int) or part in _NAMES)
    if first["type"] == "extra_forbidden":
        name = first["loc"][-1]
        holder: dict[str, type[_Part]] = {"when": When, "error": Error, "usage": Usage}
        kind = Call if place.startswith("tool_calls") else holder.get(place, Script)
        known = _fields(kind)
        whose = f"A reply's '{place}'" if place else "A reply"
        return f"{whose} has no '{name}'; it has {', '.join(known)}."
    said = first["msg"].removeprefix("Value error, ")
    return f"A reply's '{place}': {said}" if place else f"A reply: {said}"
