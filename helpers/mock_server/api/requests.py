"""What each request may hold, declared once. `protocol.fields` reads by it and tells what is wrong.

A check that a field's type cannot make stands with the part that it is about. Some fields change
nothing here, such as `temperature`: they are declared for their type.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal, Self, TypeAlias, TypeVar

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Discriminator,
    Field,
    Tag,
    model_validator,
)

from helpers.mock_server.content import tools
from helpers.mock_server.content.generation import MAX_TOP_LOGPROBS, Limits
from helpers.mock_server.content.tools import CALLED, Choice, Tool, what_is_open
from helpers.mock_server.protocol import errors
from helpers.mock_server.protocol.fields import Declared, Wrong
from helpers.mock_server.protocol.pacing import MAX_TOKENS

MAX_CHOICES = 128
MAX_STOPS = 4
MAX_LOGPROBS = 5
MAX_BEST_OF = 20
MAX_DIMENSIONS = 4096
MAX_INPUTS = 2048
MAX_METADATA = 16
MAX_ITEMS = 20
"""Items that may be added to a conversation at once, as at OpenAI."""

# --- what several requests have ---------------------------------------------------------------

T = TypeVar("T")

TAGS: dict[type, str] = {str: "<text>", list: "<array>", dict: "<object>"}
TEXT = Tag(TAGS[str])
Text: TypeAlias = Annotated[str, TEXT]
Array: TypeAlias = Annotated[list[T], Field(fail_fast=True), Tag(TAGS[list])]
"""A list that is read up to the first that is wrong in it: it may have a million."""
Object: TypeAlias = Annotated[T, Tag(TAGS[dict])]

ModelName: TypeAlias = Annotated[str, Field(min_length=1)]
Name: TypeAlias = Annotated[str, Field(pattern=r"^[a-zA-Z0-9_-]{1,64}$")]
"""What OpenAI takes for the name of a function, or of a schema."""


def _few(pairs: Any) -> Any:
    # pydantic would look at all of them first: 0.7 s for 300,000.
    if isinstance(pairs, dict) and len(pairs) > MAX_METADATA:
        raise Wrong(errors.too_long, "", pairs, MAX_METADATA)
    return pairs


Metadata: TypeAlias = Annotated[
    dict[Annotated[str, Field(max_length=64)], Annotated[str, Field(max_length=512)]],
    BeforeValidator(_few),
]
"""Names and values, as long as at OpenAI."""


def tag_of(value: Any) -> str | None:
    return TAGS.get(type(value))


def one_of(expected: str, tag: Callable[[Any], str | None] = tag_of) -> Discriminator:
    """Return what tells apart the `Text`, the `Array` and the `Object` that a field may be."""
    return Discriminator(tag, custom_error_type="expected", custom_error_message=expected)


def by_type(*known: str, usual: str | None = None) -> Discriminator:
    """Return what tells objects apart by their `type`: those of a `known` one, and `<other>`."""

    def tag(value: Any) -> str:
        kind = value.get("type", usual) if isinstance(value, dict) else usual
        return f"<{kind}>" if kind in known else "<other>"

    return Discriminator(tag)


class StreamOptions(Declared):
    include_usage: bool | None = None
    include_obfuscation: bool | None = None


Stop: TypeAlias = Annotated[
    Text | Annotated[Array[str], Field(max_length=MAX_STOPS)],
    one_of("a string or an array of strings"),
]


class Written(Declared):
    """A request for words: of which model, in what form they come, and where they end."""

    model: ModelName
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


class Typed(Declared):
    """A part that has what its type needs."""

    type: str
    needs: ClassVar[Mapping[str, tuple[str, ...]]] = {}

    @model_validator(mode="after")
    def _has_what_it_needs(self) -> Self:
        for name in self.needs.get(self.type, ()):
            if getattr(self, name) is None:
                raise Wrong(errors.missing, name.removesuffix("_"))
        return self


def text_of(content: "str | Sequence[Part | ResponsePart]") -> str:
    """Return the text of a message's content."""
    if isinstance(content, str):
        return content
    return "\n".join(part.text for part in content if part.text is not None)


# --- tools ------------------------------------------------------------------------------------


class Named(Declared):
    name: str


def _refuse(problem: str | None, whose: str, at: str, code: str | None) -> None:
    if problem is not None:
        raise Wrong(errors.invalid, at, f"Invalid schema for {whose}: {problem}", code)


class Function(Declared):
    name: Name
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None

    @model_validator(mode="after")
    def _takes_an_object(self) -> Self:
        kind = (self.parameters or {}).get("type", "object")
        problem = what_is_open(self.parameters) if self.strict else None
        if kind != "object":
            problem = f"schema must be a JSON Schema of 'type: \"object\"', got 'type: \"{kind}\"'."
        _refuse(problem, f"function '{self.name}'", "parameters", "invalid_function_parameters")
        return self

    @property
    def tool(self) -> Tool:
        return Tool(self.name, self.description or "", self.parameters or {})


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
    def tool(self) -> Tool:
        grammar = None
        if self.format is not None and self.format.type == "grammar":
            given = self.format.grammar or self.format
            grammar = tools.Grammar(given.syntax or "", given.definition or "")
        return Tool(self.name, self.description or "", {}, custom=True, grammar=grammar)


STRING_OR_OBJECT = one_of("a string or an object")
Mode: TypeAlias = Annotated[Literal["none", "auto", "required"], TEXT]


class ChatChoice(Typed):
    """One tool, or those that may be called."""

    function: Named | None = None
    custom: Named | None = None
    allowed_tools: "ChatAllowed | None" = None
    needs: ClassVar = {kind: (kind,) for kind in (*CALLED, "allowed_tools")}

    @property
    def choice(self) -> Choice:
        if self.type == "allowed_tools" and self.allowed_tools is not None:
            return _some(self.allowed_tools.mode, self.allowed_tools.tools)
        named = self.function if self.type == "function" else self.custom
        return _one(self.type, None if named is None else named.name)


class ChatAllowed(Declared):
    mode: Literal["auto", "required"]
    tools: Array[ChatChoice]


def _one(kind: str, name: str | None) -> Choice:
    # Any other tool would run on OpenAI's side, and never does here.
    return Choice("named", (name or "",)) if kind in CALLED else Choice("none")


def _some(mode: str, given: "Iterable[ChatChoice | ResponseChoice]") -> Choice:
    return Choice(mode, tuple(name for one in given for name in one.choice.names or ()))


def choice_of(
    given: "str | ChatChoice | ResponseChoice | None",
    offered: tuple[Tool, ...],
    *,
    hosted: bool = False,
) -> Choice:
    """Return what a request says about calling the tools that it offers.

    `hosted`: whether there are others beside them, which would run on OpenAI's side.

    Raises:
        ApiError: it names none of them.
    """
    if given is None:
        return Choice("auto" if offered else "none")
    if not isinstance(given, str):
        for name in given.choice.names or ():
            if name not in [tool.name for tool in offered]:
                said = f"Invalid value for 'tool_choice': function '{name}' is not among 'tools'."
                raise errors.invalid("tool_choice", said)
        return given.choice
    if given != "none" and not offered and not hosted:
        said = "'tool_choice' is only allowed when 'tools' are specified."
        raise errors.invalid("tool_choice", f"Invalid value for 'tool_choice': {said}")
    return Choice(given)


class ChatTool(Typed):
    type: Literal["function", "custom"]
    function: Function | None = None
    custom: Custom | None = None
    needs: ClassVar = {kind: (kind,) for kind in CALLED}

    @property
    def tool(self) -> Tool:
        described: Function | Custom = getattr(self, self.type)
        return described.tool


# --- chat -------------------------------------------------------------------------------------


class Image(Declared):
    url: str


class Part(Typed):
    """A part of a message: of OpenAI's kinds, or vLLM's, which are the last two."""

    type: Literal[
        "text", "image_url", "input_audio", "refusal", "audio", "file", "audio_url", "video_url"
    ]
    text: str | None = None
    image_url: Image | None = None
    needs: ClassVar = {"text": ("text",), "image_url": ("image_url",)}


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


class Schema(Declared):
    name: Name
    schema_: dict[str, Any] = Field(alias="schema")
    strict: bool | None = None


class ChatFormat(Typed):
    type: Literal["json_object", "json_schema", "text"]
    json_schema: Schema | None = None
    needs: ClassVar = {"json_schema": ("json_schema",)}

    @model_validator(mode="after")
    def _is_as_strict_as_it_says(self) -> Self:
        wanted = self.json_schema
        problem = what_is_open(wanted.schema_) if wanted and wanted.strict else None
        _refuse(problem, f"response_format '{wanted and wanted.name}'", "", None)
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
    top_logprobs: Annotated[int, Field(ge=0, le=MAX_TOP_LOGPROBS)] | None = None
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


# --- responses --------------------------------------------------------------------------------

HOSTED_TOOLS = (
    "file_search", "web_search", "web_search_preview", "code_interpreter", "image_generation",
    "mcp", "computer", "computer_use_preview", "local_shell", "shell", "apply_patch",
    "tool_search", "programmatic_tool_calling", "namespace",
)  # fmt: skip
"""Tools that OpenAI runs, or has a protocol of its own for. They are taken, and never called; with
a date at the end of the name too, such as `web_search_2025_08_26`."""

DATED = re.compile(r"_\d{4}_\d{2}_\d{2}$")

LEAST_OUTPUT = 16
"""The smallest `max_output_tokens` that OpenAI takes."""

CALLS = ("function_call", "custom_tool_call")
CALL_OUTPUTS = ("function_call_output", "custom_tool_call_output")


class ResponsePart(Typed):
    """A part of a message, or of a tool's answer."""

    type: Literal[
        "input_text", "input_image", "input_file", "input_audio", "output_text", "refusal",
        "summary_text", "computer_screenshot",
    ]  # fmt: skip
    text: str | None = None
    needs: ClassVar = dict.fromkeys(("input_text", "output_text", "summary_text"), ("text",))


ResponseContent: TypeAlias = Annotated[
    Text | Array[ResponsePart], one_of("one of a string or array of objects")
]


class ResponseMessage(Declared):
    role: Literal["user", "assistant", "system", "developer"]
    content: ResponseContent


class CallOutput(Declared):
    call_id: str
    output: ResponseContent


class CallItem(Declared):
    call_id: str


class OtherItem(Declared):
    """Reasoning and the like: taken, and changes nothing."""

    type: str


Item: TypeAlias = Annotated[
    Annotated[ResponseMessage, Tag("<message>")]
    | Annotated[CallOutput, Tag("<function_call_output>")]
    | Annotated[CallOutput, Tag("<custom_tool_call_output>")]
    | Annotated[CallItem, Tag("<function_call>")]
    | Annotated[CallItem, Tag("<custom_tool_call>")]
    | Annotated[OtherItem, Tag("<other>")],
    by_type("message", *CALLS, *CALL_OUTPUTS, usual="message"),
]


class Items(Declared):
    """What a response's `input` and a conversation's `items` are."""

    items: Array[Item]


class FunctionTool(Function):
    type: Literal["function"]


class CustomTool(Custom):
    type: Literal["custom"]


def _hosted(kind: Any) -> Any:
    if DATED.sub("", str(kind)) not in HOSTED_TOOLS:
        raise Wrong(errors.unsupported_value, "", kind, (*CALLED, *HOSTED_TOOLS))
    return kind


class HostedTool(Declared):
    type: Annotated[str, BeforeValidator(_hosted)]


ResponseTool: TypeAlias = Annotated[
    Annotated[FunctionTool, Tag("<function>")]
    | Annotated[CustomTool, Tag("<custom>")]
    | Annotated[HostedTool, Tag("<other>")],
    by_type(*CALLED),
]


class ResponseChoice(Typed):
    """One tool, or those that may be called."""

    name: str | None = None
    mode: Literal["auto", "required"] | None = None
    tools: "Array[ResponseChoice] | None" = None
    needs: ClassVar = {**dict.fromkeys(CALLED, ("name",)), "allowed_tools": ("mode", "tools")}

    @property
    def choice(self) -> Choice:
        if self.type == "allowed_tools":
            return _some(self.mode or "auto", self.tools or ())
        return _one(self.type, self.name)


class ResponseFormat(Typed):
    type: Literal["json_object", "json_schema", "text"]
    name: Name | None = None
    schema_: dict[str, Any] | None = Field(None, alias="schema")
    strict: bool | None = None
    needs: ClassVar = {"json_schema": ("name", "schema_")}

    @model_validator(mode="after")
    def _is_as_strict_as_it_says(self) -> Self:
        problem = what_is_open(self.schema_) if self.strict else None
        _refuse(problem, f"response_format '{self.name}'", "schema", "invalid_json_schema")
        return self


class TextOptions(Declared):
    format: ResponseFormat | None = None
    verbosity: str | None = None


class Reasoning(Declared):
    effort: str | None = None
    summary: str | None = None


class Prompt(Declared):
    id: str


def _id_of(conversation: Any) -> Any:
    found = conversation.get("id") if isinstance(conversation, dict) else conversation
    if not isinstance(found, str):
        raise Wrong(errors.wrong_type, "", "one of a string or object with an id", conversation)
    return found


class Response(Written):
    input: Annotated[Text | Array[Any], one_of("one of a string or array of objects")] | None = None
    instructions: str | None = None
    previous_response_id: str | None = None
    conversation: Annotated[str, BeforeValidator(_id_of)] | None = None
    prompt: Prompt | None = None
    tools: Array[ResponseTool] | None = None
    tool_choice: Annotated[Mode | Object[ResponseChoice], STRING_OR_OBJECT] | None = None
    parallel_tool_calls: bool | None = None
    text: TextOptions | None = None
    max_output_tokens: Annotated[int, Field(ge=LEAST_OUTPUT)] | None = None
    max_tool_calls: Annotated[int, Field(ge=1)] | None = None
    include: Array[str] | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=MAX_TOP_LOGPROBS)] | None = None
    store: bool | None = None
    background: bool | None = None
    reasoning: Reasoning | None = None
    metadata: Metadata | None = None
    service_tier: str | None = None
    truncation: str | None = None
    prompt_cache_key: str | None = None
    safety_identifier: str | None = None


class NewConversation(Declared):
    metadata: Metadata | None = None
    items: Annotated[Array[Any], Field(max_length=MAX_ITEMS)] | None = None


class NewItems(Declared):
    items: Annotated[Array[Any], Field(max_length=MAX_ITEMS)]


class Update(Declared):
    """Of a conversation, or of a completion that is stored."""

    metadata: Metadata | None


# --- texts ------------------------------------------------------------------------------------


def _is_tokens(value: Any) -> bool:
    return isinstance(value, list) and all(type(one) is int for one in value)


def _texts(most: int, token: str) -> Callable[[Any], list[str]]:
    """Return what reads one text or several, each as it is or in tokens' numbers.

    What these stand for cannot be known: each is written as `token` says.
    """

    def read(value: Any) -> list[str]:
        if isinstance(value, str):
            return [value]
        if not isinstance(value, list):
            raise Wrong(errors.wrong_type, "", "a string or an array", value)
        if not value:
            raise Wrong(errors.empty_array, "")
        several = [value] if _is_tokens(value) else value
        if len(several) > most:
            raise Wrong(errors.too_long, "", several, most)
        texts = []
        for at, one in enumerate(several):
            text = " ".join(map(token.format, one)) if _is_tokens(one) else one
            if not isinstance(text, str) or type(one) is not type(several[0]):
                raise Wrong(errors.wrong_type, at, "a string", one)
            texts.append(text)
        return texts

    return read


class Completion(Sampled):
    prompt: Annotated[list[str], BeforeValidator(_texts(MAX_CHOICES, "<{}>"))] | None = None
    max_tokens: Annotated[int, Field(ge=0)] | None = None
    best_of: Annotated[int, Field(ge=1, le=MAX_BEST_OF)] | None = None
    logprobs: Annotated[int, Field(ge=0, le=MAX_LOGPROBS)] | None = None
    echo: bool | None = None
    suffix: str | None = None

    @model_validator(mode="after")
    def _returns_no_more_than_it_makes(self) -> Self:
        n = self.n or 1
        if self.best_of is not None and self.best_of < n:
            raise Wrong(
                errors.invalid,
                "best_of",
                "You requested that the server return more choices than it will generate (HINT: "
                f"you must set 'n' (currently {n}) to be at most 'best_of' (currently "
                f"{self.best_of}), or omit either parameter if you don't specifically want to use "
                "them.)",
                "invalid_value",
            )
        return self


def _with_words(texts: list[str]) -> list[str]:
    if not all(texts):
        said = "Invalid 'input': input cannot be an empty string."
        raise Wrong(errors.invalid, "", said, "invalid_value")
    return texts


class Embedding(Declared):
    model: ModelName
    input: Annotated[
        list[str], BeforeValidator(_texts(MAX_INPUTS, "{}")), AfterValidator(_with_words)
    ]
    dimensions: Annotated[int, Field(ge=1, le=MAX_DIMENSIONS)] | None = None
    encoding_format: Literal["float", "base64"] | None = None
    user: str | None = None


def _tag_of_many(value: Any) -> str | None:
    many = isinstance(value, list) and value and isinstance(value[0], str)
    return "<texts>" if many else tag_of(value)


class Moderation(Declared):
    model: ModelName | None = None
    input: Annotated[
        Text
        | Annotated[list[str], Field(max_length=MAX_INPUTS), Tag("<texts>")]
        | Annotated[Array[Part], Field(min_length=1, max_length=MAX_INPUTS)],
        one_of("a string or an array", _tag_of_many),
    ]


# --- files and batches ------------------------------------------------------------------------


class Expiry(Declared):
    anchor: Literal["created_at"]
    seconds: Annotated[int, Field(ge=3600, le=2_592_000)]
    """An hour to thirty days, as at OpenAI."""


class Upload(Declared):
    file: tuple[str, bytes]
    """Its name, and what is in it."""
    purpose: Literal["assistants", "batch", "fine-tune", "vision", "user_data", "evals"]
    expires_after: Expiry | None = None


class Batch(Declared):
    input_file_id: str
    endpoint: Literal[
        "/v1/chat/completions",
        "/v1/completions",
        "/v1/embeddings",
        "/v1/moderations",
        "/v1/responses",
    ]
    completion_window: Literal["24h"]
    metadata: Metadata | None = None
    output_expires_after: Expiry | None = None
