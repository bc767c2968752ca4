"""Says what an error that ended a cell means, and what to change."""

import ast
import asyncio
import inspect
from types import AsyncGeneratorType, CoroutineType

from helpers.doctor import answers, protocols, remedies, texts
from helpers.doctor.finding import Finding, an, first_words
from helpers.doctor.protocols import plain_name
from helpers.doctor.source import TAKERS, Change, called, given
from helpers.doctor.spots import Spot, errors, spots
from helpers.doctor.texts import Said

COROUTINE = "a coroutine: a call that has not started, and does nothing until it is awaited"

PAGE = (
    "The async client's list() sends its request when it is awaited, or when an async for "
    "goes over it. Until then it is only a plan, and always true."
)

MANAGER = (
    "It sends its request when it is entered, and ends it when its block ends. Nothing was sent "
    "by this line."
)


def of_error(error: BaseException, cell: str) -> Finding | None:
    """Return what the error, or one that it came from, tells of; None if it is another matter.

    `cell`: the source of the cell that it ended.
    """
    for one in errors(error):
        found = spots(one, cell)
        if not found or isinstance(found[0].node, ast.Raise):
            continue
        finding = _of_one(one, found)
        if finding is not None:
            return finding
    return None


def _of_one(error: BaseException, found: list[Spot]) -> Finding | None:
    text, spot = str(error), found[0]
    if isinstance(error, RuntimeError):
        if any(text.startswith(known) for known in texts.RUNNING_LOOP):
            if spot.inner and not spot.inner.startswith("asyncio"):
                return Finding(
                    f"{_written(spot)} starts an event loop, and a notebook's is running already",
                    "A thread can run one loop at a time. Look for what the library offers to "
                    "await, or call it in a thread of its own.",
                    None,
                    "06",
                )
            return Finding(
                "A notebook's event loop is running already",
                "asyncio.run makes a loop of its own, and a thread can run one at a time. In a "
                "cell you can await directly.",
                remedies.without_run(spot.source, spot.call(), spot.names),
                "06",
            )
        if any(known in text for known in texts.OTHER_LOOP) and _through_a_client(error):
            return Finding(
                "This client belongs to another event loop",
                "An async client keeps connections open, and they belong to the loop that opened "
                "them. Each asyncio.run makes a new loop. The request may have been sent all the "
                "same. Make the client inside the function that asyncio.run runs: async with "
                "AsyncOpenAI() as client.",
                None,
                "06",
            )
        if text == texts.CLIENT_CLOSED and _through_a_client(error):
            return Finding(
                "This client had been closed before the call was awaited",
                "A with or async with closes its client at the end of its block, and a call that "
                "nobody has awaited by then has not begun. Await it inside the block. Nothing was "
                "sent.",
                None,
                "02",
            )
        if text in texts.AWAITED_TWICE:
            return _awaited_twice(spot)
        if text == texts.FUTURE_NOT_AWAITED:
            return _future(spot)
    if isinstance(error, asyncio.InvalidStateError) and text == texts.NO_RESULT_YET:
        return _no_result_yet(spot)
    if finding := answers.of_nothing(error, spot):
        return finding
    if isinstance(error, TypeError) and (finding := _of_a_key(error, spot)):
        return finding
    said = texts.said(error)
    return _of_said(said, found) if said is not None else None


def _written(spot: Spot) -> str:
    call = spot.call()
    return spot.source.segment(call.func) if call else "A library"


def _of_said(said: Said, found: list[Spot]) -> Finding | None:
    spot = found[0]
    if said.tried == "wait":
        return _waited(spot)
    if said.tried == "task" or (spot.inner.startswith("asyncio") and said.tried == "await"):
        return next(filter(None, map(_given_to_asyncio, found)), None)
    if not said.kinds:  # "can only join an iterable"
        return _joined(spot) if said.tried == "for" else None
    for name in said.kinds:
        target = spot.culprit(lambda kind, name=name: plain_name(kind) == name)  # type: ignore[misc]
        kind = spot.names.kind(target) if target is not None else None
        if plain_name(kind) != name:
            kind = protocols.class_named(name)
        finding = _of_kind(said, kind, target, found)
        if finding is not None:
            return finding
    return None


def _of_kind(
    said: Said, kind: type | None, target: ast.expr | None, found: list[Spot]
) -> Finding | None:
    spot, tried = found[0], said.tried
    if kind is CoroutineType:
        return _coroutine(target, found)
    if kind is None:
        return None
    if spot.inner and tried == "await":
        return _inside_a_library(kind, target, spot)
    if issubclass(kind, asyncio.Future):
        return _future(spot, target)
    if protocols.function_like(kind) or (inspect.isclass(kind) and kind is type(print)):
        return _not_called(kind, target, spot) if tried in _NOT_CALLED else None
    if tried in ("await", "async for") and spot.names.holds_awaitables(_in_await(target)):
        return _many(kind, target, spot, tried)
    if is_paginator(kind):
        return _page(target, spot)
    if tried == "use":
        return _used(kind, target, spot)
    if kind is bool and tried in ("async with", "with"):
        return _acquired(target, spot)
    return _wrong_way(said, kind, target, spot)


_NOT_CALLED = ("await", "async for", "for", "async with", "with", "next", "anext")


def _in_await(target: ast.expr | None) -> ast.expr | None:
    return target.value if isinstance(target, ast.Await) else target


# --- coroutines -------------------------------------------------------------------------------


def _coroutine(target: ast.expr | None, found: list[Spot]) -> Finding | None:
    spot = found[0]
    if isinstance(spot.node, ast.Await) and target is spot.node.value:
        target = None  # it has its await; what is amiss lies elsewhere
    if spot.inner and target is None:
        return None  # it arose in a library, and nothing that was passed in explains it
    return Finding(
        "A coroutine was used as if it were the answer",
        f"The object here is {COROUTINE}.",
        _awaited_where_it_was_made(target, found),
        "03",
    )


def _awaited_where_it_was_made(target: ast.expr | None, found: list[Spot]) -> Change | None:
    """Put the await where the coroutine was made, if that can be seen; else where it was used."""
    for spot, outer in zip(found, [*found[1:], None], strict=True):
        if target is None:
            return None
        if isinstance(target, ast.Await):
            return remedies.awaited_in_function(spot.source, target, spot.names)
        made = spot.source.made(target.id, target) if isinstance(target, ast.Name) else None
        if isinstance(made, ast.Call):
            change = remedies.awaited(spot.source, made, spot.names)
            return change or remedies.awaited(spot.source, target, spot.names)
        if isinstance(made, ast.Await):
            return remedies.awaited_in_function(spot.source, made, spot.names)
        if isinstance(made, ast.arg):
            if outer is None:
                return None
            target = outer.culprit(lambda kind: kind is CoroutineType)
            continue
        if isinstance(target, ast.Name) and made is None:
            value = spot.names.value(target)
            if value is not None and not protocols.not_started(value):
                return None  # from another cell, and it cannot be awaited any more
        return remedies.awaited(spot.source, target, spot.names)
    return None


def _awaited_twice(spot: Spot) -> Finding | None:
    awaits = spot.node
    target = awaits.value if isinstance(awaits, ast.Await) else None
    if isinstance(target, ast.Call) and protocols.is_cache(spot.names.value(target.func)):
        return Finding(
            "lru_cache has kept the coroutine, not its answer",
            "The second call gave the same coroutine again, and a coroutine can be awaited once. "
            "A task can be awaited as often as you like. (It keeps a failure as well, and "
            "belongs to one loop: the package async-lru minds both.)",
            remedies.cached_tasks(spot.source, target, spot.names),
            "03",
        )
    return Finding(
        "A coroutine was awaited a second time",
        "A coroutine runs once. Keep its answer, or make a task of the call: a task can be "
        "awaited as often as you like.",
        remedies.made_a_task(spot.source, target, spot.names),
        "03",
    )


# --- futures ----------------------------------------------------------------------------------


def _future(spot: Spot, target: ast.expr | None = None) -> Finding:
    if target is None:
        target = spot.culprit(
            lambda kind: isinstance(kind, type) and issubclass(kind, asyncio.Future)
        )
    return Finding(
        "A task was used as if it were its result",
        "What gather and create_task give is a future: the work is under way, and its result "
        "comes from an await.",
        remedies.future_awaited(spot.source, target),
        "04",
    )


def _no_result_yet(spot: Spot) -> Finding:
    call = spot.call()
    return Finding(
        "The task has no result yet",
        "Its work is under way, and goes on when the cell awaits something. An await waits for "
        "the end and gives the result.",
        remedies.awaited_result(spot.source, call) if call else None,
        "04",
    )


# --- what was given to asyncio, or to a library -----------------------------------------------


def _given_to_asyncio(spot: Spot) -> Finding | None:
    call = spot.call() or spot.culprit(lambda kind: False)
    if not isinstance(call, ast.Call) or called(call) not in TAKERS:
        return None
    wrong = remedies.wrong_arguments(call, spot.names)
    name = called(call)
    if not wrong:
        return None
    what, change = remedies.given_to_asyncio(spot.source, call, spot.names)
    holder = an(plain_name(spot.names.kind(next(iter(wrong)))) or "generator")
    titles = {
        "collection": (
            f"asyncio.gather takes calls, not {holder} of them",
            "A star before it hands over its items, one by one.",
        )
        if name == "gather"
        else (
            f"{name} takes one call, not {holder} of them",
            "asyncio.gather makes one of many.",
        ),
        "function": (
            f"{name} was given a function, not a call",
            "A call has parentheses, and only a call can be waited for.",
        ),
        "blocking": (
            f"{name} was given an answer, not a call to wait for",
            "The blocking call ran before it, and nothing else could run meanwhile. Call an "
            "AsyncOpenAI client, or run the call in a thread.",
        ),
        "awaited": (
            f"{name} was given answers, not calls to wait for",
            "The await inside has waited for each call already, one after the other.",
        ),
        "async items": (
            f"{name} was given an async generator or stream",
            "There is no single result to wait for: async for awaits one item after another.",
        ),
        "future": (
            f"{name} was given what runs already",
            "A future needs no task of its own.",
        ),
        "awaitable": (
            f"{name} wants a coroutine",
            "asyncio.ensure_future takes whatever can be awaited.",
        ),
        "manager": (
            f"{name} was given what wants an async with",
            MANAGER,
        ),
    }
    title, explanation = titles[what]
    return Finding(title, explanation, change, "04")


def _waited(spot: Spot) -> Finding | None:
    call = spot.call()
    if call is None or called(call) != "wait":
        return None
    return Finding(
        "asyncio.wait takes tasks, not calls",
        "It tells by the very same objects which are done, and a call has to become a task first.",
        remedies.tasks_for_wait(spot.source, call, spot.names),
        "04",
    )


def _inside_a_library(kind: type, target: ast.expr | None, spot: Spot) -> Finding | None:
    """Say which argument a library could not await; nothing if none can be made out."""
    call = spot.call()
    if call is None:
        return None
    for argument in given(call):
        inner = argument.value if isinstance(argument, ast.Starred) else argument
        if spot.names.kind(inner) is not kind:
            continue
        if spot.names.holds_awaitables(inner) and not isinstance(argument, ast.Starred):
            takes_many = protocols.takes_any_number(spot.names.function(call.func))
            return Finding(
                f"{called(call)} takes calls, not {an(plain_name(kind))} of them",
                "A star before it hands over its items, one by one."
                if takes_many
                else f"Its argument {spot.source.segment(inner)} cannot be awaited: "
                "asyncio.gather makes one of many.",
                remedies.starred(spot.source, argument, spot.names) if takes_many else None,
                "04",
            )
        return Finding(
            f"{called(call)} awaits what it is given, and was given {an(plain_name(kind))}",
            f"Its argument {spot.source.segment(inner)} is no call to wait for.",
            None,
            "03",
        )
    return None


def _of_a_key(error: TypeError, spot: Spot) -> Finding | None:
    """Say so if an async client was given a plain function for its key."""
    said = texts.said(error)
    if said is None or said.tried != "await" or _last_function(error) != texts.KEY_FUNCTION:
        return None
    return Finding(
        "The api_key function of an AsyncOpenAI client must be an async def",
        "The client calls it before each request and awaits what it returns. No request was "
        "sent. A key that stays the same needs no function.",
        remedies.key_called(spot.source, spot.names),
        "02",
    )


def _last_function(error: BaseException) -> str:
    trace, name = error.__traceback__, ""
    while trace is not None:
        module = trace.tb_frame.f_globals.get("__name__", "")
        if module.startswith("openai."):
            name = trace.tb_frame.f_code.co_name
        trace = trace.tb_next
    return name


# --- what wants another way -------------------------------------------------------------------


def _not_called(kind: type, target: ast.expr | None, spot: Spot) -> Finding:
    target = _in_await(target)
    word = "method" if plain_name(kind) == "method" else "function"
    used = "awaited" if isinstance(spot.node, ast.Await) and not spot.took else "used"
    return Finding(
        f"A {word} was {used}, not a call",
        "A call has parentheses, and only a call can be waited for or gone over.",
        remedies.parenthesised(spot.source, target, spot.names),
        "03",
    )


def _many(kind: type, target: ast.expr | None, spot: Spot, tried: str) -> Finding:
    what = plain_name(kind)
    return Finding(
        f"{first_words(an(what))} cannot be awaited"
        if tried == "await"
        else f"{first_words(an(what))} of calls has nothing for an async for to wait for",
        "It holds calls or tasks. asyncio.gather starts them together and waits for all.",
        remedies.gathered_in_place(spot.source, target, spot.names),
        "03",
    )


def _page(target: ast.expr | None, spot: Spot) -> Finding:
    return Finding(
        "A page was used that nobody has asked for yet",
        PAGE,
        remedies.page(spot.source, target, spot.names),
        "03",
    )


def is_paginator(kind: type) -> bool:
    return (
        protocols.of_the_sdk(kind) and protocols.awaitable(kind) and protocols.async_iterable(kind)
    )


def _used(kind: type, target: ast.expr | None, spot: Spot) -> Finding | None:
    node = spot.node
    attribute = node.attr if isinstance(node, ast.Attribute) else ""
    if protocols.is_stream(kind) and attribute in ANSWERS:
        return Finding(
            "A stream was used as if it were the answer",
            "With stream=True the answer comes in pieces, and a loop goes over them. Without it, "
            "the answer comes whole.",
            remedies.not_streamed(spot.source, target),
            "02",
        )
    if kind is AsyncGeneratorType and not attribute:
        return _async_items(kind, target, spot)
    if is_manager(kind):
        return Finding(
            f"{first_words(an(plain_name(kind)))} wants to be entered first",
            MANAGER,
            remedies.entered_for_its_attribute(spot.source, target, kind),
            "02",
        )
    return None


ANSWERS = frozenset(
    {"choices", "usage", "model_dump", "model_dump_json", "output_text", "output", "text"}
)
"""What a whole answer has, and a stream of it has not."""


def is_manager(kind: type | None) -> bool:
    return (
        protocols.of_the_sdk(kind)
        and (protocols.async_context(kind) or protocols.context(kind))
        and not (protocols.async_iterable(kind) or protocols.iterable(kind))
        and not _can_be_closed(kind)
    )


def _can_be_closed(kind: type | None) -> bool:
    """Whether it is of use without being entered, as a client is."""
    return hasattr(kind, "close") or hasattr(kind, "aclose")


def _wants_entering(kind: type) -> bool:
    """Whether it is another library's, or asyncio's, that is of use in an `async with` alone."""
    return (
        protocols.async_context(kind)
        and not protocols.of_the_sdk(kind)
        and not protocols.async_iterable(kind)
        and not _can_be_closed(kind)
    )


def _wrong_way(said: Said, kind: type, target: ast.expr | None, spot: Spot) -> Finding | None:
    source, tried = spot.source, said.tried
    if tried in ("with", "async with"):
        return _wrong_with(kind, target, spot, tried)
    if is_manager(kind) or (tried in ("await", "async for") and _wants_entering(kind)):
        return _not_entered(kind, target, spot, tried)
    if tried == "await":
        if protocols.async_iterable(kind):
            return _async_items(kind, target, spot)
        return _awaited_in_vain(kind, spot)
    if tried in ("for", "next") and protocols.async_iterable(kind):
        return _async_items(kind, target, spot)
    if tried == "async for":
        return _plain_items(kind, target, spot)
    if tried == "anext":
        if protocols.async_iterable(kind):
            change = remedies.next_one(source, spot.call(), True, kind)
            return Finding(
                "anext wants what an async for goes over by itself",
                "aiter() gives it.",
                change,
                "02",
            )
        if hasattr(kind, "__next__"):
            return Finding(
                "A blocking client's stream gives its items to next, not to anext"
                if protocols.of_the_sdk(kind)
                else f"{first_words(an(plain_name(kind)))} gives its items to next, not to anext",
                "There is nothing to wait for: each item is there when next returns.",
                remedies.next_one(source, spot.call(), False, kind),
                "02",
            )
    return None


def _wrong_with(kind: type, target: ast.expr | None, spot: Spot, tried: str) -> Finding | None:
    source, names = spot.source, spot.names
    name = plain_name(kind)
    if tried == "with" and protocols.async_context(kind):
        return Finding(
            f"{first_words(an(name))} wants an async with",
            "To enter and to leave it are things to wait for.",
            remedies.entered_otherwise(source, target, kind, names),
            "02",
        )
    if tried == "async with" and protocols.context(kind):
        return Finding(
            f"{first_words(an(name))} wants a plain with"
            if not protocols.of_the_sdk(kind)
            else f"{first_words(an(name))} is the blocking client's, and wants a plain with",
            "There is nothing to wait for when it is entered, or in it: an async with, async for "
            "or await needs an AsyncOpenAI client."
            if protocols.of_the_sdk(kind)
            else "There is nothing to wait for when it is entered.",
            remedies.entered_otherwise(source, target, kind, names),
            "02",
        )
    if protocols.answer_of_the_sdk(kind):
        return Finding(
            f"{first_words(an(name))} is a whole answer, and there is nothing to enter",
            "With stream=True it is a stream, which a with block closes.",
            remedies.streamed_in_with(source, target, names),
            "02",
        )
    if kind is AsyncGeneratorType:
        return Finding(
            "An async generator is no context manager",
            "contextlib.aclosing makes one of it: it is closed when the block ends.",
            remedies.closing(source, target, names),
            "02",
        )
    return None


def _acquired(target: ast.expr | None, spot: Spot) -> Finding | None:
    call = _in_await(target)
    match call:
        case ast.Call(func=ast.Attribute(value=owner, attr="acquire")) if protocols.async_context(
            spot.names.kind(owner)
        ):
            return Finding(
                "acquire() gives no context manager",
                "async with acquires the semaphore or lock by itself, and releases it at the end.",
                remedies.entered_itself(spot.source, target, owner),
                "05",
            )
    return None


def _not_entered(kind: type, target: ast.expr | None, spot: Spot, tried: str) -> Finding:
    word = "async with" if protocols.async_context(kind) else "with"
    if tried == "await":
        change = remedies.entered(spot.source, _await_of(target, spot), kind)
    else:
        change = remedies.entered_and_gone_over(spot.source, target, kind)
    return Finding(
        f"{first_words(an(plain_name(kind)))} wants {'an' if word[0] == 'a' else 'a'} {word}",
        MANAGER
        if protocols.of_the_sdk(kind)
        else "What it is for begins when it is entered, and ends with its block.",
        change,
        "02",
    )


def _await_of(target: ast.expr | None, spot: Spot) -> ast.expr | None:
    if isinstance(target, ast.Await) or target is None:
        return target
    parent = spot.source.parent(target)
    return parent if isinstance(parent, ast.Await) else target


def _async_items(kind: type, target: ast.expr | None, spot: Spot) -> Finding:
    call = spot.call()
    takes_next = called(call) in ("next", "anext") if call else False
    change = (
        remedies.next_one(spot.source, call, True, kind)
        if takes_next
        else remedies.listed(spot.source, target, spot.names, kind)
    )
    if kind is AsyncGeneratorType:
        return Finding(
            "An async generator gives its items to an async for",
            "Calling it runs nothing and there is no single result to await or to take at once: "
            "async for awaits one item after another.",
            change,
            "02",
        )
    return Finding(
        "An async client's stream gives its chunks to an async for"
        if protocols.of_the_sdk(kind)
        else f"{first_words(an(plain_name(kind)))} gives its items to an async for",
        "It has been opened already; its chunks come one by one, and each is waited for."
        if protocols.of_the_sdk(kind)
        else "Its items come one by one, and each is waited for.",
        change,
        "02",
    )


def _plain_items(kind: type, target: ast.expr | None, spot: Spot) -> Finding | None:
    source, names = spot.source, spot.names
    whole = f"{first_words(an(plain_name(kind)))} is a whole answer, and gives no pieces"
    if protocols.answer_of_the_sdk(kind):
        change = remedies.streamed(source, target, names)
        if change is not None:
            return Finding(
                whole,
                "The request was sent without stream=True, so that the answer came whole.",
                change,
                "02",
            )
    if protocols.of_the_sdk(kind):
        if not protocols.iterable(kind):
            return None
        if protocols.answer_of_the_sdk(kind) and "Page" not in plain_name(kind):
            return Finding(
                whole,
                "Ask for a stream with stream=True where it is made, or read the answer as it is.",
                None,
                "02",
            )
        return Finding(
            "A blocking client's answer is gone over with a plain for",
            "async for waits for one item after another; a blocking client gives it nothing to "
            "wait for. Leave out the async, or call an AsyncOpenAI client.",
            remedies.plain(source, target, names),
            "02",
        )
    if kind is type(None):
        return Finding(
            "What was to be gone over is None: the call returned nothing",
            "An async def gives pieces if it yields them: an async for goes over such a call "
            "without an await. Without a yield or a return it gives None.",
            None,
            "02",
        )
    if protocols.iterable(kind):
        return Finding(
            f"{first_words(an(plain_name(kind)))} is gone over with a plain for",
            "async for waits for one item after another, and here there is nothing to wait for.",
            remedies.plain(source, target, names),
            "02",
        )
    return None


def _awaited_in_vain(kind: type, spot: Spot) -> Finding:
    node, name = spot.node, plain_name(kind)
    inner = node.value if isinstance(node, ast.Await) else None
    blocking = (
        protocols.of_the_sdk(kind)
        and isinstance(inner, ast.Call)
        and protocols.sends(spot.names.function(inner.func))
    )
    if blocking:
        explanation = (
            "The blocking client had sent the request, and had its answer, before the await "
            "failed. Leave out the await, or call an AsyncOpenAI client."
        )
    elif isinstance(inner, ast.Await):
        explanation = "The await inside has the answer already; a second one has nothing to do."
    elif isinstance(inner, ast.Call):
        explanation = f"The call before it has run already, and returned {an(name)}."
    else:
        explanation = "It is there already."
    return Finding(
        f"{first_words(an(name))} is no call to wait for: there is nothing to await",
        explanation,
        remedies.not_awaited(spot.source, node, kind),
        "03",
    )


def _joined(spot: Spot) -> Finding | None:
    """Say what str.join was given: it names no class."""
    call = spot.call()
    for part in given(call) if call else ():
        kind = spot.names.kind(part)
        if kind is CoroutineType:
            return _coroutine(part, [spot])
        if protocols.async_iterable(kind) and not protocols.awaitable(kind):
            assert kind is not None
            return _async_items(kind, part, spot)
    return None


def _through_a_client(error: BaseException) -> bool:
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_globals.get("__name__", "").startswith("openai."):
            return True
        trace = trace.tb_next
    return False
