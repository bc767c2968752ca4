"""Moderations: the wire shapes of `/v1/moderations`; a few plain words decide."""

import asyncio
import re
import secrets
from typing import Any

from helpers.mock_server.api import models, requests
from helpers.mock_server.control.state import State
from helpers.mock_server.protocol import fields
from helpers.mock_server.protocol.answers import Answer, Call, whole

MODEL = "omni-moderation-latest"

HEARD = 10_000
"""Characters of a text that are looked at."""

_SIGNS = {
    "harassment": r"\b(idiot|stupid|loser)s?\b",
    "harassment/threatening": r"\bi will (hurt|find) you\b",
    "hate": r"\bhate (them|those people)\b",
    "hate/threatening": r"\bdeath to\b",
    "illicit": r"\b(steal|shoplift|counterfeit)\w*\b",
    "illicit/violent": r"\bbuild a bomb\b",
    "self-harm": r"\b(self.harm|suicide)\b",
    "self-harm/intent": r"\b(kill|hurt) myself\b",
    "self-harm/instructions": r"\bhow to (kill|hurt) myself\b",
    "sexual": r"\b(porn|nude)\w*\b",
    "sexual/minors": r"(?!)",
    "violence": r"\b(kill|murder|stab|shoot)\w*\b",
    "violence/graphic": r"\b(gore|dismember)\w*\b",
}


async def create(call: Call, state: State) -> Answer:
    """Answer `POST /v1/moderations`."""
    body = fields.read(requests.Moderation, fields.json_object(call.body))
    model = MODEL if body.model is None else models.known(body.model, state)
    given = [body.input] if isinstance(body.input, str) else body.input
    texts = [one for one in given if isinstance(one, str)]
    parts = [one for one in given if not isinstance(one, str)]
    results = []
    for text in texts or [requests.text_of(parts)]:
        results.append(_judged(text))
        await asyncio.sleep(0)  # a long text takes 4 ms: others may run before the next
    return whole(
        {
            "id": f"modr-{secrets.token_hex(12)}",
            "model": model,
            "results": results,
        },
        model=model,
    )


def _judged(text: str) -> dict[str, Any]:
    heard = text[:HEARD].lower()
    found = {name: bool(re.search(sign, heard)) for name, sign in _SIGNS.items()}
    return {
        "flagged": any(found.values()),
        "categories": found,
        "category_scores": {name: 0.95 if flagged else 0.0001 for name, flagged in found.items()},
        "category_applied_input_types": {name: ["text"] for name in found},
    }
