"""What several lessons ask of an answer: its whole text, all at once, and a loop left free."""

import inspect
import re
from collections.abc import Awaitable, Callable

from openai.types.chat import ChatCompletion

from helpers.checks.exercise import NotYet, Trial, count, describe, describe_call
from helpers.clients import blocking_client, model
from helpers.controls import next_request_meets
from helpers.heartbeat import Heartbeat
from helpers.observe import Request, peak_in_flight
from helpers.page import in_page

PRINTED_FORM = re.compile(r"(ChatCompletion|ChatCompletionMessage|Choice|\[Choice)\(")
"""How `str()` of an answer, or of a part that its text stands in, begins."""

GATHER = "All at once, and in their order: await asyncio.gather(*[ask(text) for text in texts])"
TEXT = "An answer's text stands in answer.choices[0].message.content."

MOST = 0.5
"""The share of a request for which a loop stands still that may be held. A call that blocks holds
it for the whole."""

NEARLY_ALL = 0.75
"""The same when the server is slow: what its and our clock may differ by is little then."""

SLOWLY = (0.5, 2.0)
"""Seconds for which the server lets each request wait when an answer is asked again, and once more.
A free loop has its turn in the first, on a machine ten times too busy as well; and three calls in a
row, of a colleague's blocking answer, are sat through."""

LOOKS = 5
"""Turns of another thread, while the loop had none, that no scheduler's mood explains. There is
room for three times as many in half a second."""

Ask = Callable[[Trial], Awaitable[object]]
"""Asks the answer once more, as the trial that it is given."""

WHOSE = {"ChatCompletion": "answer", "ChatCompletionMessage": "message"}
"""What the lesson calls the others, a choice and the list of them, is a choice."""


def expect_no_printed_form(call: str, text: str) -> None:
    """Make sure that the text is not what `str()` makes of an object that holds it.

    Raises:
        NotYet: it is.
    """
    begins = PRINTED_FORM.match(text)
    if begins:
        whose = WHOSE.get(begins[1], "choice")
        form = f'"{begins[0]}…"'
        raise NotYet(f"{call} returned the {whose}'s printed form, {form}, not its text.")


def expect_the_answer(call: str, question: str, text: str, gave: str = "returned") -> None:
    """Make sure that the text is the mock server's whole answer to the question.

    Raises:
        NotYet: it is a part of it, or another text.
    """
    whole = whole_answer(question)
    if text != whole and text in whole:
        raise NotYet(f"The text has {len(text)} characters; the answer has {len(whole)}.")
    if text != whole:
        raise NotYet(f"{call} {gave} {describe(text)}, which is not the answer.")


async def texts_at_once(trial: Trial, questions: list[str]) -> str:
    """Judge a function that answers several questions at once, in their order."""
    with Heartbeat() as heartbeat:
        returned = await trial.run_awaited(questions)
    answers = expect_texts(trial, questions, returned)
    if not trial.sees_requests:
        return f"{len(questions)} answers came back as text."
    requests = trial.requests
    if len(requests) != len(questions):
        raise NotYet(f"{len(questions)} questions went out as {count(len(requests), 'request')}.")

    async def ask(again: Trial) -> None:
        await again.run_awaited(questions)

    if frozen := await held_by(trial, heartbeat, ask):
        raise NotYet(f"The event loop stood still during {frozen} of {len(requests)} requests.")
    peak = peak_in_flight(requests)
    if peak == 1:
        raise NotYet(
            "The event loop stayed free, and yet each request waited for the one before.", GATHER
        )
    if peak < len(requests):
        raise NotYet(f"At most {peak} of {len(requests)} requests were in flight at once.", GATHER)
    if answers != mock_answers(questions, requests):
        raise NotYet("The answers do not stand in the order of the questions.", GATHER)
    return f"{len(requests)} requests, {peak} in flight at once; the event loop stayed free."


def expect_texts(trial: Trial, questions: list[str], answers: object) -> list[str]:
    """Return the answers, a text for each question, if that is what came back.

    Raises:
        NotYet: it did not.
    """
    if not isinstance(answers, list | tuple):
        call = describe_call(trial.answer, (questions,))
        raise NotYet(f"{call} returned {describe(answers)}, where a list was wanted.", GATHER)
    if len(answers) != len(questions):
        raise NotYet(f"{len(questions)} questions were asked; {len(answers)} answers came back.")
    for number, answer in enumerate(answers, 1):
        if not isinstance(answer, str):
            raise NotYet(
                f"Answer {number} is {describe(answer)}, where text was wanted.",
                GATHER if inspect.isawaitable(answer) else TEXT,
            )
    return list(answers)


def mock_answers(questions: list[str], requests: tuple[Request, ...]) -> list[str]:
    """Return what the mock server said to these questions in these requests, however ordered."""
    return [whole_answer(question, _most_tokens(requests)) for question in questions]


def whole_answer(question: str, max_tokens: int | None = None) -> str:
    """Ask the mock server, which says the same each time; not as a request of the answer's."""
    return _asked(question, max_tokens).choices[0].message.content or ""


def prompt_tokens(question: str) -> int:
    """Return how many tokens the mock server counts in a question."""
    usage = _asked(question, max_tokens=1).usage
    assert usage is not None  # the mock server gives it, faults aside
    return usage.prompt_tokens


def _asked(question: str, max_tokens: int | None) -> ChatCompletion:
    with blocking_client(default_headers={"x-mock-client": "check", "x-mock-pace": "0"}) as client:
        return client.chat.completions.create(
            model=model(),
            messages=[{"role": "user", "content": question}],
            max_tokens=max_tokens,
        )


def _most_tokens(requests: tuple[Request, ...]) -> int:
    """An answer's code may have asked for short replies: none was longer than this."""
    return max(request.tokens_sent for request in requests)


async def held_by(trial: Trial, heartbeat: Heartbeat, ask: Ask) -> int:
    """Return during how many of its requests the answer held the loop; 0 for a free one.

    On a busy machine any loop may stand still for most of a short request: its thread gets no turn
    of a processor, or needs ten times as long for the work around a call. So before an answer is
    turned down, `ask` is to ask it again, slowly: see `held_when_slow`.

    Raises:
        NotYet: as `ask` does, or it cannot be told.
    """
    requests = trial.requests
    if not any(_stood_still(heartbeat, request, MOST) for request in requests):
        return 0
    return await held_when_slow(trial, ask)


async def held_when_slow(trial: Trial, ask: Ask) -> int:
    """Ask again, the server being slow; return during how many requests the answer held the loop.

    A blocking call holds the loop as long as the server keeps it waiting, and other threads of the
    process have turns meanwhile. A loop that is free has one of them. Where the loop has none and
    no other thread has either, nothing is told, and more time is given.

    Raises:
        NotYet: as `ask` does, or it cannot be told.
    """
    usual = len(trial.requests)
    for seconds in SLOWLY:
        with (
            trial.aside() as again,
            next_request_meets(f"slow-head; seconds={seconds}", times=usual),
            Heartbeat(where=True) as heartbeat,
        ):
            await ask(again)
        slow = [request for request in again.requests if request.fault is not None]
        held = [request for request in slow if _stood_still(heartbeat, request, NEARLY_ALL)]
        if slow and not held:
            return 0
        # In a page there is no other thread: that it stood still for a slow server has to do.
        if held and (in_page() or any(_looked(heartbeat, one) >= LOOKS for one in held)):
            return len(held)
    raise NotYet(
        "This machine is so busy that it cannot be told whether a call holds the event loop, or "
        "the loop waits for a processor. Run this cell again."
    )


def _stood_still(heartbeat: Heartbeat, request: Request, share: float) -> bool:
    """Whether the loop stood still, at one stretch, for more than this share of the request."""
    end = _answered(request)
    return heartbeat.seconds_still(request.arrived, end) > share * (end - request.arrived)


def _looked(heartbeat: Heartbeat, request: Request) -> int:
    return heartbeat.looks_while_still(request.arrived, _answered(request))


def _answered(request: Request) -> float:
    """When its answer left. The server's note of the end may come late, on a busy machine."""
    last = request.tokens[-1] if request.tokens else request.first_byte
    return last or request.ended or request.arrived
