"""The errors that OpenAI gives, in its words and its form."""

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


def missing(param: str) -> ApiError:
    return ApiError(
        400,
        f"Missing required parameter: '{param}'.",
        param=param,
        code="missing_required_parameter",
    )


def wrong_type(param: str, expected: str, value: Any) -> ApiError:
    return ApiError(
        400,
        f"Invalid type for '{param}': expected {expected}, but got {described(value)} instead.",
        param=param,
        code="invalid_type",
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


def unsupported_value(param: str, value: Any, supported: tuple[str, ...]) -> ApiError:
    names = [f"'{name}'" for name in supported]
    listed = names[0] if len(names) == 1 else f"{', '.join(names[:-1])}, and {names[-1]}"
    return ApiError(
        400,
        f"Invalid value: '{value}'. Supported values are: {listed}.",
        param=param,
        code="invalid_value",
    )


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
