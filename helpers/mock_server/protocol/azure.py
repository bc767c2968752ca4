"""Azure's ways in: which of our paths one of its paths means, and whom it asks there."""

import json

from helpers.mock_server.protocol.answers import dump
from helpers.mock_server.protocol.errors import ApiError

ROOT = "/openai/"


def plain(path: str, query: bytes) -> tuple[str, str | None]:
    """Return the path under `/v1` that a path of Azure's stands for, and the deployment it names.

    `/openai/v1/…` is the new API; `/openai/deployments/{d}/…` and `/openai/…` want a version.

    Raises:
        ApiError: 404, as Azure gives it where the version is missing.
    """
    rest = path.removeprefix(ROOT)
    if rest.startswith("v1/"):
        return f"/{rest}", None
    if b"api-version=" not in query:
        raise ApiError(404, "Resource not found", kind="not_found", code="404")
    if rest.startswith("deployments/"):
        _, deployment, rest = (*rest.split("/", 2), "", "")[:3]
        return f"/v1/{rest}", deployment
    return f"/v1/{rest}", None


def with_model(body: bytes, deployment: str) -> bytes:
    """Return a body whose model is the deployment, whatever it names: at Azure the path decides."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return body
    return dump({**value, "model": deployment}) if isinstance(value, dict) else body
