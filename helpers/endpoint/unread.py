"""Settings under other programs' names: which are not read here, and what to set in their place."""

import re
from collections.abc import Iterator, Mapping

from helpers.endpoint.addresses import OLLAMA_PORT, host_name, meant_by, without_secrets

MAKER = (
    r"(AZURE_OPENAI|OPEN_?AI|OAI|LLM|LLAMA(?:_?CPP)?|VLLM|SGLANG|OLLAMA|LM_?STUDIO|LITELLM"
    r"|LOCAL_?AI|XINFERENCE|ONE_?API|NEW_?API|DEEPSEEK|DASHSCOPE|QWEN|MOONSHOT|KIMI|ZHIPU(?:AI)?"
    r"|GLM|ARK|SILICONFLOW|MODELSCOPE|OPENROUTER|TOGETHER|GROQ|MISTRAL|XAI)"
)
"""How names begin that belong to endpoints of this kind, wherever they are set."""

PLAIN = r"(?:AI|API|BASE|CHAT|GPT|MODEL)_?"
"""How names begin that mean an endpoint in a `.env` file of somebody's, and elsewhere anything."""

ENDINGS = {
    "OPENAI_BASE_URL": r"(?:API_?)?(?:BASE(?:_?UR[LI])?|UR[LI]|ENDPOINT|HOST|SERVER|ADDRESS)",
    "OPENAI_API_KEY": r"(?:API_?)?(?:KEY|TOKEN)",
    "OPENAI_MODEL": r"(?:CHAT_?)?MODEL(?:_?(?:NAME|ID))?",
}
"""How names end that mean an address, a key, a model."""

ANYBODYS = ("OPENAI", "OPEN_AI", "OAI", "LLM", "")
"""Makers, or none, whose key and model may belong to whatever address is set."""

OPENAI = "https://api.openai.com/v1"

Variable = tuple[str, str]
"""A name and its value."""


def unread_settings(
    read: Mapping[str, str], file: Mapping[str, str | None], environment: Mapping[str, str]
) -> str:
    """Return a sentence on what is set under other names while the right one is not.

    `read`: what was found under the three names that are read, empty where nothing is set.
    """
    for source, plain in ((file, True), (environment, False)):
        if found := _found(read, source, plain):
            return _sentence(read, found)
    if read["OPENAI_API_KEY"] not in ("", "EMPTY") and not read["OPENAI_BASE_URL"]:
        return (
            "OPENAI_API_KEY is set without an address, so the mock server answers and the key is "
            f"sent nowhere: to use OpenAI itself, which bills it, set OPENAI_BASE_URL={OPENAI}."
        )
    return ""


def _found(
    read: Mapping[str, str], source: Mapping[str, str | None], plain: bool
) -> dict[str, Variable]:
    """Return which variables stand for those of `read` that are not set."""
    candidates = {name: _like(name, source, plain) for name, value in read.items() if not value}
    found = {name: variable for name in candidates if (variable := next(candidates[name], None))}
    if address := found.get("OPENAI_BASE_URL"):
        makers: tuple[str, ...] = (_maker(address[0]),)
    elif read["OPENAI_BASE_URL"]:
        makers = ANYBODYS
    else:  # a model alone is nobody's mistake, and a key alone only under OpenAI's name
        found.pop("OPENAI_MODEL", None)
        makers = ANYBODYS[:3]
    return {name: pair for name, pair in found.items() if _maker(pair[0]) in makers}


def _like(name: str, source: Mapping[str, str | None], plain: bool) -> Iterator[Variable]:
    """Yield the variables that mean the same as `name`, which is the one that is read."""
    maker = rf"(?:\w+_)?{MAKER}_?"
    before = rf"(?:{maker}|{PLAIN})?" if plain else maker
    pattern = re.compile(before + ENDINGS[name], re.IGNORECASE)
    for other, value in source.items():
        if not value or not value.strip() or other == name or not pattern.fullmatch(other):
            continue
        if name != "OPENAI_BASE_URL" or host_name(meant_by(value)):
            yield other, value.strip()


def _maker(name: str) -> str:
    found = re.match(rf"(?:\w+?_)??{MAKER}_?", name, re.IGNORECASE)
    return found[1].upper() if found else ""


def _sentence(read: Mapping[str, str], found: Mapping[str, Variable]) -> str:
    to_set = []
    for name, (other, value) in found.items():
        if name == "OPENAI_BASE_URL":
            port = OLLAMA_PORT if other.upper().endswith("OLLAMA_HOST") else None
            value = without_secrets(meant_by(value, port))
        to_set.append(f"{name} to that key" if name == "OPENAI_API_KEY" else f"{name}={value}")
    names = [other for other, _ in found.values()]
    verb = "is" if len(names) == 1 else "are"
    instead = "" if read["OPENAI_BASE_URL"] else ", so the mock server answers"
    return f"{_listed(names)} {verb} set, but not read{instead}: set {_listed(to_set)}."


def _listed(words: list[str]) -> str:
    return " and ".join(filter(None, (", ".join(words[:-1]), words[-1])))
