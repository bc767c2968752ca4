"""What each request may hold, declared once. `protocol.fields` reads by it and tells what is wrong.

A check that a field's type cannot make stands with the part that it is about. Some fields change
nothing here, such as `temperature`: they are declared for their type.
"""

from collections.abc import Iterable
from typing import Annotated, Any, Literal, Self, TypeAlias

from pydantic import Field, model_validator

from helpers.mock_server.content import generation, tools
from helpers.mock_server.content.generation import Limits
from helpers.mock_server.protocol import errors
from helpers.mock_server.protocol.fields import (
    TEXT,
    Array,
    Declared,
    Metadata,
    Name,
    Object,
    Text,
    Wrong,
    one_of,
)
from helpers.mock_server.protocol.pacing import MAX_TOKENS

MAX_CHOICES = 128
MAX_STOPS = 4

# --- what several requests have ---------------------------------------------------------------


class StreamOptions(Declared):
    include_usage: bool | None = None
    include_obfuscation: bool | None = None


Stop: TypeAlias = Annotated[
    Text | Annotated[Array[str], Field(max_length=MAX_STOPS)],
    one_of("a string or an array of strings"),
]


class Written(Declared):
    """A request for words: of which model, in what form they come, and where they end."""

    model: str
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    stop: Stop | None = None
    min_tokens: Annotated[int, Field(ge=0, le=MAX_TOKENS)] | None = None
    ignore_eos: bool | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(ge=0, le=1)] | None = None
    user: str | None = None

    @property
    def includes(self) -> StreamOptions:
        return self.stream_options or StreamOptions()

    def limits(self, most: int | None, exactly: int | None) -> Limits:
        """Return where its words end: after `most` tokens; `exactly` as many as a pace asks for.

        Raises:
            ApiError: it wants more than that.
        """
        least = self.min_tokens or 0
        if most is not None and least > most:
            raise errors.invalid(
                "min_tokens",
                f"Invalid 'min_tokens': must not be greater than max_tokens={most}, got {least}.",
                "invalid_value",
            )
        endless = bool(self.ignore_eos) and exactly is None
        if endless:
            exactly = MAX_TOKENS if most is None else min(most, MAX_TOKENS)
        stops = [self.stop] if isinstance(self.stop, str) else self.stop or []
        return Limits(most, least, exactly, endless, tuple(filter(None, stops)))


class Sampled(Written):
    """What chat and the completions before it share."""

    n: Annotated[int, Field(ge=1, le=MAX_CHOICES)] | None = None
    presence_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    frequency_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    seed: int | None = None
    logit_bias: dict[str, Any] | None = None

    @model_validator(mode="after")
    def _streams_if_it_says_how(self) -> Self:
        if self.stream_options is not None and not self.stream:
            said = "The 'stream_options' parameter is only allowed when 'stream' is enabled."
            raise Wrong(errors.invalid, "stream_options", said)
        return self


# --- tools ------------------------------------------------------------------------------------


class Named(Declared):
    name: str


class Function(Declared):
    name: Name
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None

    @model_validator(mode="after")
    def _takes_an_object(self) -> Self:
        problem = None
        kind = (self.parameters or {}).get("type", "object")
        if kind != "object":
            problem = f"schema must be a JSON Schema of 'type: \"object\"', got 'type: \"{kind}\"'."
        elif self.strict:
            problem = tools.what_is_open(self.parameters)
        if problem is not None:
            said = f"Invalid schema for function '{self.name}': {problem}"
            raise Wrong(errors.invalid, "parameters", said, "invalid_function_parameters")
        return self

    @property
    def tool(self) -> tools.Tool:
        return tools.Tool(self.name, self.description or "", self.parameters or {})


class Grammar(Declared):
    syntax: Literal["lark", "regex"]
    definition: str


class Form(Declared):
    """What the text for a custom tool is like. Chat has one level more around a grammar."""

    type: Literal["text", "grammar"]
    grammar: Grammar | None = None
    syntax: Literal["lark", "regex"] | None = None
    definition: str | None = None

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if self.type == "grammar" and self.grammar is None:
            for name in ("syntax", "definition"):
                if getattr(self, name) is None:
                    raise Wrong(errors.missing, name)
        return self


class Custom(Declared):
    name: Name
    description: str | None = None
    format: Form | None = None

    @property
    def tool(self) -> tools.Tool:
        grammar = None
        if self.format is not None and self.format.type == "grammar":
            given = self.format.grammar or self.format
            grammar = tools.Grammar(given.syntax or "", given.definition or "")
        return tools.Tool(self.name, self.description or "", {}, custom=True, grammar=grammar)


STRING_OR_OBJECT = one_of("a string or an object")
Mode: TypeAlias = Annotated[Literal["none", "auto", "required"], TEXT]


class ChatChoice(Declared):
    """One tool, or those that may be called."""

    type: str
    function: Named | None = None
    custom: Named | None = None
    allowed_tools: "ChatAllowed | None" = None

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if self.type in (*tools.CALLED, "allowed_tools") and getattr(self, self.type) is None:
            raise Wrong(errors.missing, self.type)
        return self

    @property
    def choice(self) -> tools.Choice:
        if self.type == "allowed_tools" and self.allowed_tools is not None:
            return _some(self.allowed_tools.mode, self.allowed_tools.tools)
        named = self.function if self.type == "function" else self.custom
        return _one(self.type, None if named is None else named.name)


class ChatAllowed(Declared):
    mode: Literal["auto", "required"]
    tools: Array[ChatChoice]


def _one(kind: str, name: str | None) -> tools.Choice:
    # Any other tool would run on OpenAI's side, and never does here.
    return tools.Choice("named", (name or "",)) if kind in tools.CALLED else tools.Choice("none")


def _some(mode: str, given: "Iterable[ChatChoice]") -> tools.Choice:
    return tools.Choice(mode, tuple(name for one in given for name in one.choice.names or ()))


def choice_of(
    given: "str | ChatChoice | None", offered: tuple[tools.Tool, ...], *, hosted: bool = False
) -> tools.Choice:
    """Return what a request says about calling the tools that it offers.

    `hosted`: whether there are others beside them, which would run on OpenAI's side.

    Raises:
        ApiError: it names none of them.
    """
    if given is None:
        return tools.Choice("auto" if offered else "none")
    if not isinstance(given, str):
        for name in given.choice.names or ():
            if name not in [tool.name for tool in offered]:
                said = f"Invalid value for 'tool_choice': function '{name}' is not among 'tools'."
                raise errors.invalid("tool_choice", said)
        return given.choice
    if given != "none" and not offered and not hosted:
        said = "'tool_choice' is only allowed when 'tools' are specified."
        raise errors.invalid("tool_choice", f"Invalid value for 'tool_choice': {said}")
    return tools.Choice(given)


class ChatTool(Declared):
    type: Literal["function", "custom"]
    function: Function | None = None
    custom: Custom | None = None

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if getattr(self, self.type) is None:
            raise Wrong(errors.missing, self.type)
        return self

    @property
    def tool(self) -> tools.Tool:
        described: Function | Custom = getattr(self, self.type)
        return described.tool


# --- chat -------------------------------------------------------------------------------------


class Image(Declared):
    url: str


class Part(Declared):
    """A part of a message: of OpenAI's kinds, or vLLM's, which are the last two."""

    type: Literal[
        "text", "image_url", "input_audio", "refusal", "audio", "file", "audio_url", "video_url"
    ]
    text: str | None = None
    image_url: Image | None = None

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if self.type in ("text", "image_url") and getattr(self, self.type) is None:
            raise Wrong(errors.missing, self.type)
        return self


Content: TypeAlias = Annotated[Text | Array[Part], one_of("one of a string or array of objects")]


class MadeCall(Declared):
    """A call that the model made before."""

    id: str
    type: str | None = None
    function: Named | None = None
    custom: Named | None = None


class Message(Declared):
    role: Literal["system", "assistant", "user", "function", "tool", "developer"]
    tool_call_id: str | None = None
    content: Content | None = None
    tool_calls: Annotated[Array[MadeCall], Field(min_length=1)] | None = None
    function_call: Named | None = None
    refusal: Any = None
    audio: Any = None

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.role == "tool" and self.tool_call_id is None:
            raise Wrong(errors.missing, "tool_call_id")
        instead = (self.tool_calls, self.function_call, self.refusal, self.audio)
        spoken = any(one is not None for one in instead)
        if self.content is None and not (
            self.role == "function" or (self.role == "assistant" and spoken)
        ):
            raise Wrong(errors.no_content, "content")
        return self

    @property
    def text(self) -> str:
        return text_of(self.content or "")

    @property
    def called(self) -> list[str]:
        """The names of the tools that it calls."""
        made = [call.function or call.custom for call in self.tool_calls or ()]
        return [one.name for one in (*made, self.function_call) if one is not None]


def text_of(content: str | list[Part]) -> str:
    """Return the text of a message's content."""
    if isinstance(content, str):
        return content
    return "\n".join(part.text for part in content if part.text is not None)


class Schema(Declared):
    name: Name
    schema_: dict[str, Any] = Field(alias="schema")
    strict: bool | None = None


class ChatFormat(Declared):
    type: Literal["json_object", "json_schema", "text"]
    json_schema: Schema | None = None

    @model_validator(mode="after")
    def _has_its_schema(self) -> Self:
        wanted = self.json_schema
        if self.type == "json_schema" and wanted is None:
            raise Wrong(errors.missing, "json_schema")
        problem = tools.what_is_open(wanted.schema_) if wanted and wanted.strict else None
        if wanted and problem is not None:
            said = f"Invalid schema for response_format '{wanted.name}': {problem}"
            raise Wrong(errors.invalid, "", said)
        return self

    @property
    def schema_(self) -> dict[str, Any] | None:
        wanted = self.json_schema if self.type == "json_schema" else None
        return None if wanted is None else wanted.schema_


class Chat(Sampled):
    messages: Annotated[Array[Message], Field(min_length=1)]
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    response_format: ChatFormat | None = None
    functions: Annotated[Array[Function], Field(min_length=1)] | None = None
    function_call: (
        Annotated[Annotated[Literal["none", "auto"], TEXT] | Object[Named], STRING_OR_OBJECT] | None
    ) = None
    tools: Array[ChatTool] | None = None
    tool_choice: Annotated[Mode | Object[ChatChoice], STRING_OR_OBJECT] | None = None
    parallel_tool_calls: bool | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=generation.MAX_TOP_LOGPROBS)] | None = None
    metadata: Metadata | None = None
    store: bool | None = None
    reasoning_effort: str | None = None
    service_tier: str | None = None
    modalities: list[Any] | None = None

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        if self.max_completion_tokens is not None and self.max_tokens is not None:
            raise Wrong(
                errors.invalid,
                "max_tokens",
                "Setting 'max_tokens' and 'max_completion_tokens' at the same time is not "
                "supported.",
                "invalid_parameter_combination",
            )
        if self.functions is not None and self.tools is not None:
            raise Wrong(
                errors.invalid,
                "functions",
                "The 'functions' parameter is not allowed beside 'tools', which replaces it.",
            )
        if self.top_logprobs is not None and not self.logprobs:
            said = "The 'top_logprobs' parameter is only allowed when 'logprobs' is enabled."
            raise Wrong(errors.invalid, "top_logprobs", said)
        wants_json = self.response_format is not None and self.response_format.type == "json_object"
        if wants_json and not any("json" in message.text.lower() for message in self.messages):
            raise Wrong(
                errors.invalid,
                "messages",
                "'messages' must contain the word 'json' in some form, to use 'response_format' "
                "of type 'json_object'.",
            )
        return self
