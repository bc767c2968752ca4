"""What it says: short answers in plain English, the same every time."""

import re
from dataclasses import dataclass
from functools import lru_cache


@dataclass(frozen=True, slots=True)
class _Reply:
    pattern: re.Pattern[str]
    text: str


def _reply(pattern: str, text: str) -> _Reply:
    return _Reply(re.compile(pattern, re.IGNORECASE | re.DOTALL), text)


_REPLIES = (
    _reply(
        r"sky.{0,20}blue|blue.{0,20}sky",
        "Sunlight meets air, and air scatters blue light far more than red. The blue reaches your "
        "eyes from every part of the sky, so the whole sky looks blue. At sunset the light crosses "
        "more air, loses its blue on the way, and what is left is red.",
    ),
    _reply(
        r"coroutine|\bawait\b",
        "A coroutine is a call that has not started yet. `await` starts it, waits for its result, "
        "and lets other tasks run in the meantime. Without `await` nothing happens at all: you "
        "hold an object that stands for work nobody has done.",
    ),
    _reply(
        r"event loop",
        "An event loop is one thread that runs many tasks in turns. It runs a task until that task "
        "has to wait, for a network answer or a timer, then picks the next one that is ready. A "
        "task that never waits keeps all the others standing.",
    ),
    _reply(
        r"semaphore",
        "A semaphore is a counter of free places. A task takes a place before it begins and gives "
        "it back when it is done; when no place is free, it waits. With ten places, a thousand "
        "tasks may be ready, but never more than ten are at work.",
    ),
    _reply(
        r"back-?\s?pressure",
        "Backpressure is how a slow reader tells a fast writer to wait. Buffers between them fill "
        "up, the writer stops, and memory stays bounded. Without it, a queue grows until something "
        "breaks, usually far away from the cause.",
    ),
    _reply(
        r"uses? (of|for) (async|concurren|await)|(async|concurren)\w*.{0,30}\buses?\b",
        "1. Ask a model many questions at once and wait for all of them together. 2. Show an "
        "answer as it arrives while the page stays alive. 3. Stop work that nobody waits for any "
        "more, such as a question the user has closed.",
    ),
    _reply(
        r"uses? (of|for) stream|stream\w*.{0,30}\buses?\b",
        "1. Show the first words at once instead of after the last one. 2. Let a reader stop an "
        "answer early, and pay for no more than was read. 3. Pass long texts on piece by piece, "
        "without ever holding the whole.",
    ),
    _reply(
        r"stream",
        "Streaming sends an answer piece by piece, as the model writes it. The answer is not "
        "finished any sooner, but its first word is there in a fraction of the time, and you may "
        "stop reading whenever you have enough.",
    ),
    _reply(
        r"\basync|concurren|\bthreads?\b|parallel",
        "Concurrency means that waits overlap. One call to a model is no faster with async; ten "
        "calls together take about as long as the slowest of them, because the program waits for "
        "all ten at the same time.",
    ),
    _reply(
        r"haiku",
        "A call without await,\nan answer nobody asked for:\nthe server is still.",
    ),
    _reply(
        r"\b(story|tale)\b",
        "A lighthouse keeper wrote one letter a day and waited at the window until the answer "
        "came. One spring she sent ten letters on the same boat. Ten answers came back on the "
        "next, in an order of their own, and the evening was free. She took her lamp, walked down "
        "to the harbour, and asked the sailors what else had been happening all those years while "
        "she was waiting.",
    ),
    _reply(
        r"capital of france|france.{0,20}capital",
        "The capital of France is Paris. It lies on the Seine, in the north of the country, and "
        "has been the seat of its government, with short breaks, for about a thousand years.",
    ),
    _reply(
        r"\btoken",
        "A token is a piece of text as a model reads it: a short word, or a part of a long one. "
        "A model writes one token after another, so the number of tokens decides how long an "
        "answer takes and what it costs.",
    ),
    _reply(
        r"\b(what|explain|describe).{0,30}\b(llm|language model)",
        "A language model predicts the next piece of a text from all that stands before it. It "
        "does this again and again, one token at a time, and that is why its answer can be shown "
        "while it is still being written.",
    ),
    _reply(
        r"\bpython\b",
        "Python is a programming language made to be read. One line does one thing, indentation "
        "shows what belongs together, and a large library covers the everyday work. Since version "
        "3.5 it has `async` and `await` for code that waits a lot.",
    ),
    _reply(
        r"\bjokes?\b",
        "A programmer had a problem and said: I know, I will use threads. Now problems two she "
        "has. Then she tried async, and had no problems at all, because she forgot to await them.",
    ),
    _reply(
        r"\b(thanks|thank you)\b",
        "You are welcome. If something is still unclear, ask again in other words, or run the cell "
        "above once more and watch what reaches the server.",
    ),
    _reply(
        r"^\W*(hi|hello|hey|greetings|good (morning|afternoon|evening)|say (hi|hello|good \w+))\b",
        "Hello! I am the practice server of this course. I answer a few questions well, others "
        "politely, and always in the same words, so that you can look at how an answer travels.",
    ),
)

_COUNT = re.compile(r"\bcount\b.{0,20}?\b(?:to|up to|until)\s+(\w+)", re.IGNORECASE)
_TRANSLATE = re.compile(
    r"\btranslat\w*\b(?P<before>.{0,80}?)\b(?:in)?to\s+(?P<language>[A-Z][a-z]+)", re.IGNORECASE
)
_SUMMARY = re.compile(r"\bsummar(y|ies|i[sz]e\w*|i[sz]ing)\b", re.IGNORECASE)
_ENDS = ".!?\u3002\uff01\uff1f"  # the last three end a sentence in Chinese and Japanese
_SENTENCE = re.compile(rf"[^{_ENDS}\n]+[{_ENDS}]*")

_NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_HELLO = {
    "french": "Bonjour tout le monde",
    "german": "Hallo zusammen",
    "spanish": "Hola a todos",
    "italian": "Ciao a tutti",
    "portuguese": "Olá a todos",
    "dutch": "Hallo allemaal",
    "chinese": "大家好",
    "japanese": "皆さん、こんにちは",
    "greek": "Γεια σε όλους",
}

COUNT_LIMIT = 1000
"""The furthest that it counts when asked to: a long answer, but one with an end."""

SUMMARY_CHARACTERS = 240
"""How long a summary may get: two or three sentences."""

QUOTE_CHARACTERS = 60
"""How much of an unknown prompt is quoted back."""

_VARIANTS = ("", "In other words: ", "Once more: ", "Put differently: ")


HEARD = 10_000
"""Characters of a prompt that decide the reply: enough for a summary, and read in no time."""

TOPIC = 1000
"""Characters of a prompt in which a known question is looked for."""

REMEMBERED = 1000
"""Characters up to which a prompt's reply is remembered: a load test asks the same all day."""


def reply(prompt: str, system: str = "", variant: int = 0) -> str:
    """Return the answer to a prompt, given the instructions that stand before it.

    `variant`: 0 for the answer itself, higher for other versions of it (`n` choices).
    """
    if len(prompt) + len(system) > REMEMBERED:
        return _reply_to(prompt, system, variant)
    return _remembered(prompt, system, variant)


def _reply_to(prompt: str, system: str, variant: int) -> str:
    prompt, system = prompt[:HEARD], system[:HEARD]
    opening = _VARIANTS[variant] if variant < len(_VARIANTS) else f"Version {variant + 1}: "
    return opening + _answer(prompt.strip(), system)


_remembered = lru_cache(maxsize=512)(_reply_to)


def _answer(prompt: str, system: str) -> str:
    if _SUMMARY.search(system):
        return _summary(prompt)
    if _SUMMARY.search(prompt[:200]):
        _, _, text = prompt.partition("\n")
        if not text.strip():
            _, _, text = prompt.partition(":")
        if text.strip():
            return _summary(text)
    topic = prompt[:TOPIC]
    if counted := _COUNT.search(topic):
        return _count_to(counted.group(1))
    if wanted := _TRANSLATE.search(topic):
        return _translation(wanted.group("language"))
    for known in _REPLIES:
        if known.pattern.search(topic):
            return known.text
    return _unknown(prompt)


def _summary(text: str) -> str:
    """Return the first sentences of a text, as many as a summary holds."""
    sentences = [match.group().strip() for match in _SENTENCE.finditer(text)]
    sentences = [sentence for sentence in sentences if sentence.strip(f"{_ENDS} ")]
    if not sentences:
        return "There is nothing to summarise."
    chosen = sentences[0]
    for sentence in sentences[1:]:
        if len(chosen) + len(sentence) > SUMMARY_CHARACTERS:
            break
        chosen += f" {sentence}"
    if len(chosen) > SUMMARY_CHARACTERS:
        chosen = chosen[:SUMMARY_CHARACTERS].rsplit(" ", 1)[0].rstrip(",;: ") + " …"
    return chosen


def _count_to(word: str) -> str:
    if word.isascii() and word.isdigit():
        last = int(word[:9])
    elif word.lower() in _NUMBERS:
        last = _NUMBERS.index(word.lower())
    else:
        last = 10
    return ", ".join(str(number) for number in range(1, min(max(last, 1), COUNT_LIMIT) + 1)) + "."


def _translation(language: str) -> str:
    known = _HELLO.get(language.lower())
    if known is None:
        return (
            f"I am a practice server and know no {language.capitalize()}. A real model would "
            "translate the text for you here."
        )
    return (
        f"I am a practice server and know one phrase of {language.capitalize()}: {known}. "
        "A real model would translate the rest."
    )


def _unknown(prompt: str) -> str:
    quoted = " ".join(prompt[: QUOTE_CHARACTERS * 4].split())
    if not quoted:
        return (
            "Your message came without text. This is a practice server: send it a question, and "
            "it will answer with a short text like this one."
        )
    if len(quoted) > QUOTE_CHARACTERS:
        quoted = quoted[:QUOTE_CHARACTERS].rsplit(" ", 1)[0] + " …"
    return (
        f"You asked: “{quoted}”. This answer comes from a practice server, which knows only a few "
        "questions by heart. A real model would think about yours; here you can watch how an "
        "answer arrives."
    )
