"""The errors that OpenAI gives, in its words and its form."""

from collections.abc import Sequence, Sized
from typing import Any

from helpers.mock_server.protocol.answers import Whole, whole


class ApiError(Exception):
    """A request that cannot be served; becomes the answer that OpenAI would send."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        kind: str = "invalid_request_error",
        param: str | None = None,
        code: str | int | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.kind = kind
        self.param = param
        self.code = code
        self.headers = headers or {}

    def body(self) -> dict[str, Any]:
        """Return the error as the JSON value that a client reads."""
        return {
            "error": {
                "message": self.message,
                "type": self.kind,
                "param": self.param,
                "code": self.code,
            }
        }

    def answer(self) -> Whole:
        """Return the error as an answer."""
        return whole(self.body(), status=self.status, headers=self.headers)


def bad_json() -> ApiError:
    return ApiError(
        400,
        "We could not parse the JSON body of your request. (HINT: This likely means you aren't "
        "using your HTTP library correctly. The OpenAI API expects a JSON payload, but what was "
        "sent was not valid JSON.)",
    )


def invalid(param: str, said: str, code: str | None = None) -> ApiError:
    return ApiError(400, said, param=param or None, code=code)


def missing(param: str) -> ApiError:
    return invalid(param, f"Missing required parameter: '{param}'.", "missing_required_parameter")


def wrong_type(param: str, expected: str, value: Any) -> ApiError:
    said = f"expected {expected}, but got {described(value)} instead."
    return invalid(param, f"Invalid type for '{param}': {said}", "invalid_type")


def no_content(param: str) -> ApiError:
    where = param.removesuffix(".content")
    said = f"Invalid value for 'content': expected a string, got null. (at {where})"
    return invalid(param, said)


def empty_array(param: str) -> ApiError:
    return invalid(
        param,
        f"Invalid '{param}': empty array. Expected an array with minimum length 1, but got an "
        "empty array instead.",
        "empty_array",
    )


def too_long(param: str, value: Sized, most: int) -> ApiError:
    """Return the error for a text, an array or an object that has more than `most`."""
    kind, size = described(value).split()[-1], len(value)
    if kind == "object":
        told = f"too many properties. Expected an object with at most {most} properties, but got "
        told += f"an object with {size} properties instead."
        code = "object_above_max_properties"
    else:
        told = f"{kind} too long. Expected {described(value)} with maximum length {most}, but got "
        told += f"{described(value)} with length {size} instead."
        code = f"{kind}_above_max_length"
    return invalid(param, f"Invalid '{param}': {told}", code)


def below(param: str, value: float, least: float) -> ApiError:
    return _beyond(param, "below", "minimum", ">=", value, least)


def above(param: str, value: float, most: float) -> ApiError:
    return _beyond(param, "above", "maximum", "<=", value, most)


def _beyond(param: str, side: str, end: str, sign: str, value: float, edge: float) -> ApiError:
    kind = "integer" if isinstance(edge, int) else "decimal"
    shown = int(edge) if edge == int(edge) else edge
    return invalid(
        param,
        f"Invalid '{param}': {kind} {side} {end} value. Expected a value {sign} {shown}, but got "
        f"{value} instead.",
        f"{kind}_{side}_{end[:3]}_value",
    )


def no_match(param: str, pattern: str) -> ApiError:
    return invalid(
        param,
        f"Invalid '{param}': string does not match pattern. Expected a string that matches the "
        f"pattern '{pattern}'.",
        "invalid_value",
    )


def described(value: Any) -> str:
    """Return a JSON value's type in OpenAI's words."""
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int():
            return "an integer"
        case float():
            return "a decimal"
        case str():
            return "a string"
        case list():
            return "an array"
        case _:
            return "an object"


def unsupported_value(param: str, value: Any, supported: Sequence[str]) -> ApiError:
    names = [f"'{name}'" for name in supported]
    listed = names[0] if len(names) == 1 else f"{', '.join(names[:-1])}, and {names[-1]}"
    said = f"Invalid value: '{value}'. Supported values are: {listed}."
    return invalid(param, said, "invalid_value")


def no_model() -> ApiError:
    return ApiError(400, "you must provide a model parameter")


def unknown_model(name: str) -> ApiError:
    return ApiError(
        404,
        f"The model `{name}` does not exist or you do not have access to it.",
        code="model_not_found",
    )


def no_key() -> ApiError:
    return ApiError(
        401,
        "You didn't provide an API key. You need to provide your API key in an Authorization "
        "header using Bearer auth (i.e. Authorization: Bearer YOUR_KEY).",
    )


def wrong_key(key: str) -> ApiError:
    shown = f"{key[:2]}***{key[-2:]}" if len(key) > 8 else "***"
    return ApiError(401, f"Incorrect API key provided: {shown}.", code="invalid_api_key")


def unknown_url(method: str, path: str) -> ApiError:
    return ApiError(404, f"Invalid URL ({method} {path})", code="unknown_url")


def wrong_method(method: str, path: str, allowed: str) -> ApiError:
    return ApiError(
        405,
        f"Not allowed to {method} on {path} "
        "(HINT: Perhaps you meant to use a different HTTP method?)",
        code="method_not_supported",
        headers={"allow": allowed},
    )


def body_too_large(limit: int) -> ApiError:
    return ApiError(413, f"Maximum content size limit ({limit} bytes) exceeded.")


def our_fault() -> ApiError:
    return ApiError(
        500,
        "The server had an error while processing your request. Sorry about that!",
        kind="server_error",
    )
