"""The doctor: a card for each broken cell, none for a correct one, and nothing else changed."""

import ast
import asyncio
import gc
import re
import sys
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from IPython.core.displaypub import CapturingDisplayPublisher
from IPython.core.interactiveshell import InteractiveShell

SET_UP = """\
import asyncio
from concurrent.futures import ThreadPoolExecutor
from openai import AsyncOpenAI
from helpers import async_client, blocking_client, model

sky = [{"role": "user", "content": "Why is the sky blue?"}]
usage = {"stream_options": {"include_usage": True}}
client = async_client(max_retries=0)
sync_client = blocking_client()

def fresh():
    return async_client(max_retries=0)

async def ask():
    reply = await client.chat.completions.create(model=model(), messages=sky)
    return reply.choices[0].message.content

async def forgets():
    reply = client.chat.completions.create(model=model(), messages=sky)
    return reply.choices[0].message.content

async def api_predict():
    stream = await client.chat.completions.create(model=model(), messages=sky, stream=True)
    async for chunk in stream:
        if chunk.choices and chunk.choices[0].delta.content:
            yield chunk.choices[0].delta.content
"""

CREATE = "client.chat.completions.create(model=model(), messages=sky)"
SHORT = "client.chat.completions.create(…)"
ENCLOSED = """\
def made(words):
    async def within():
        for word in words:
            yield word
    return within
within = made(["a", "b"])
"""
LIMITED = """\
async def limited(call):
    return await call
"""

BROKEN = {
    # cell: (title, line before, line after, lesson); "" before: a line to add; None: no line at all
    CREATE: (
        "This is a coroutine, and it was never awaited",
        CREATE,
        f"await {CREATE}",
        "03",
    ),
    f"answer = {CREATE}\nanswer": (
        "This is a coroutine, and it was never awaited",
        f"answer = {CREATE}",
        f"answer = await {CREATE}",
        "03",
    ),
    "answer = ask()": (
        "answer is a coroutine, and it was never awaited",
        "answer = ask()",
        "answer = await ask()",
        "03",
    ),
    "async def explain():\n    return ask()\nanswer = await explain()\nanswer": (
        "This is a coroutine, and it was never awaited",
        "return ask()",
        "return await ask()",
        "03",
    ),
    "[ask() for _ in range(3)]": (
        "This is a list of 3 coroutines, none of them awaited",
        "[ask() for _ in range(3)]",
        "await asyncio.gather(*[ask() for _ in range(3)])",
        "03",
    ),
    "answers = [ask(), ask()]": (
        "answers is a list of 2 coroutines, none of them awaited",
        "answers = [ask(), ask()]",
        "answers = await asyncio.gather(*[ask(), ask()])",
        "03",
    ),
    "{'a': ask(), 'b': 3}": (
        "This is a dict with a coroutine that was never awaited",
        None,
        None,
        "03",
    ),
    "both = (ask(), 1)": (
        "both is a tuple with a coroutine that was never awaited",
        None,
        None,
        "03",
    ),
    "both = dict(a=ask(), b=ask())": (
        "both is a dict of 2 coroutines, none of them awaited",
        "both = dict(a=ask(), b=ask())",
        "both = await asyncio.gather(*dict(a=ask(), b=ask()).values())",
        "03",
    ),
    "results = []\nfor _ in range(2):\n    results.append(ask())": (
        "results is a list of 2 coroutines, none of them awaited",
        "",
        "results = await asyncio.gather(*results)",
        "03",
    ),
    "results = {}\nfor key in 'ab':\n    results[key] = ask()\nresults": (
        "This is a dict of 2 coroutines, none of them awaited",
        "",
        "results = await asyncio.gather(*results.values())",
        "03",
    ),
    "async def many():\n    return [ask(), ask()]\nanswers = await many()": (
        "answers is a list of 2 coroutines, none of them awaited",
        "answers = await many()",
        "answers = await asyncio.gather(*await many())",
        "03",
    ),
    "answer = ask()\ndef later():\n    answer = str(1)\n    return answer\nanswer": (
        "This is a coroutine, and it was never awaited",
        "answer = ask()",
        "answer = await ask()",
        "03",
    ),
    "%%time\nanswer = ask()\nanswer": (
        "This is a coroutine, and it was never awaited",
        None,
        None,
        "03",
    ),
    "client.models.list()": (
        "This is a page that nobody has asked for yet",
        "client.models.list()",
        "await client.models.list()",
        "03",
    ),
    "api_predict()": (
        "This is an async generator, and nothing has run yet",
        "api_predict()",
        "async for piece in api_predict():",
        "02",
    ),
    f"{ENCLOSED}within()": (
        "This is an async generator, and nothing has run yet",
        "within()",
        "async for piece in within():",
        "02",
    ),
    f"{CREATE}.choices": (
        "A coroutine was used as if it were the answer",
        f"{CREATE}.choices",
        f"(await {CREATE}).choices",
        "03",
    ),
    "answer = ask()\nprint(answer.upper())": (
        "A coroutine was used as if it were the answer",
        "answer = ask()",
        "answer = await ask()",
        "03",
    ),
    "await forgets()": (
        "A coroutine was used as if it were the answer",
        f"reply = {CREATE}",
        f"reply = await {CREATE}",
        "03",
    ),
    "reply = ask()\nreply = reply.strip()": (
        "A coroutine was used as if it were the answer",
        "reply = ask()",
        "reply = await ask()",
        "03",
    ),
    "def shout(reply):\n    return reply.upper()\nreply = str(1)\nshout(ask())": (
        "A coroutine was used as if it were the answer",
        "return reply.upper()",
        "return (await reply).upper()",
        "03",
    ),
    "reply = ask()\ndef other():\n    reply = str(1)\n    return reply\nreply.upper()": (
        "A coroutine was used as if it were the answer",
        "reply = ask()",
        "reply = await ask()",
        "03",
    ),
    "chat = sync_client.chat.completions\n"
    "chat.create(model=model(), messages=[{'role': 'user', 'content': ask()}])": (
        "A coroutine was used as if it were the answer",
        "chat.create(model=model(), messages=[{'role': 'user', 'content': ask()}])",
        "chat.create(model=model(), messages=[{'role': 'user', 'content': await ask()}])",
        "03",
    ),
    "await client.embeddings.create(model=model(), input=ask())": (
        "A coroutine was used as if it were the answer",
        "await client.embeddings.create(model=model(), input=ask())",
        "await client.embeddings.create(model=model(), input=await ask())",
        "03",
    ),
    "str(1) + ask()": (
        "A coroutine was used as if it were the answer",
        "str(1) + ask()",
        "str(1) + await ask()",
        "03",
    ),
    "ask() + ' more'": (
        "A coroutine was used as if it were the answer",
        "ask() + ' more'",
        "await ask() + ' more'",
        "03",
    ),
    "int(ask())": (
        "A coroutine was used as if it were the answer",
        "int(ask())",
        "int(await ask())",
        "03",
    ),
    "import json\njson.loads(s=ask())": (
        "A coroutine was used as if it were the answer",
        "json.loads(s=ask())",
        "json.loads(s=await ask())",
        "03",
    ),
    "import re\nre.sub('a', 'b', ask())": (
        "A coroutine was used as if it were the answer",
        "re.sub('a', 'b', ask())",
        "re.sub('a', 'b', await ask())",
        "03",
    ),
    "'%d' % ask()": (
        "A coroutine was used as if it were the answer",
        "'%d' % ask()",
        "'%d' % await ask()",
        "03",
    ),
    "try:\n    ask().choices\nexcept AttributeError as error:\n"
    "    raise RuntimeError('no answer') from error": (
        "A coroutine was used as if it were the answer",
        "ask().choices",
        "(await ask()).choices",
        "03",
    ),
    "try:\n    ask().choices\nexcept AttributeError:\n    raise RuntimeError('no answer')": (
        "A coroutine was used as if it were the answer",
        "ask().choices",
        "(await ask()).choices",
        "03",
    ),
    "ask()['choices']": (
        "A coroutine was used as if it were the answer",
        "ask()['choices']",
        "(await ask())['choices']",
        "03",
    ),
    "for word in ask():\n    print(word)": (
        "A coroutine was used as if it were the answer",
        "for word in ask():",
        "for word in await ask():",
        "03",
    ),
    "len(ask())": (
        "A coroutine was used as if it were the answer",
        "len(ask())",
        "len(await ask())",
        "03",
    ),
    "' '.join([ask()])": (
        "A coroutine was used as if it were the answer",
        "' '.join([ask()])",
        "' '.join([await ask()])",
        "03",
    ),
    "'answer: ' + ask()": (
        "A coroutine was used as if it were the answer",
        "'answer: ' + ask()",
        "'answer: ' + await ask()",
        "03",
    ),
    "import json\njson.dumps(ask())": (
        "A coroutine was used as if it were the answer",
        "json.dumps(ask())",
        "json.dumps(await ask())",
        "03",
    ),
    f"async for chunk in {CREATE[:-1]}, stream=True):\n    pass": (
        "A coroutine was used as if it were the answer",
        f"async for chunk in {SHORT}:",
        f"async for chunk in await {SHORT}:",
        "03",
    ),
    f"async with {CREATE[:-1]}, stream=True) as stream:\n    pass": (
        "A coroutine was used as if it were the answer",
        f"async with {SHORT} as stream:",
        f"async with await {SHORT} as stream:",
        "03",
    ),
    f"with {CREATE[:-1]}, stream=True) as stream:\n    pass": (
        "A coroutine was used as if it were the answer",
        f"with {SHORT} as stream:",
        f"async with await {SHORT} as stream:",
        "03",
    ),
    f"for chunk in {CREATE[:-1]}, stream=True):\n    pass": (
        "A coroutine was used as if it were the answer",
        f"for chunk in {SHORT}:",
        f"async for chunk in await {SHORT}:",
        "03",
    ),
    f"stream = await {CREATE[:-1]}, stream=True)\nfor chunk in stream:\n    pass": (
        "An async client's stream gives its chunks to an async for",
        "for chunk in stream:",
        "async for chunk in stream:",
        "02",
    ),
    f"stream = await {CREATE[:-1]}, stream=True)\nawait stream": (
        "An async client's stream gives its chunks to an async for",
        "await stream",
        "async for piece in stream:",
        "02",
    ),
    f"stream = sync_{CREATE[:-1]}, stream=True)\nasync for chunk in stream:\n    pass": (
        "A blocking client's answer is gone over with a plain for",
        "async for chunk in stream:",
        "for chunk in stream:",
        "02",
    ),
    f"stream = sync_{CREATE[:-1]}, stream=True)\n[chunk async for chunk in stream]": (
        "A blocking client's answer is gone over with a plain for",
        "[chunk async for chunk in stream]",
        "[chunk for chunk in stream]",
        "02",
    ),
    "client.models.list().data": (
        "A page was used that nobody has asked for yet",
        "client.models.list().data",
        "(await client.models.list()).data",
        "03",
    ),
    "models = client.models.list()\nmodels.data": (
        "A page was used that nobody has asked for yet",
        "models = client.models.list()",
        "models = await client.models.list()",
        "03",
    ),
    "for one in client.models.list():\n    pass": (
        "A page was used that nobody has asked for yet",
        "for one in client.models.list():",
        "async for one in client.models.list():",
        "03",
    ),
    "await sync_client.models.list()": (
        "A SyncPage is no call to wait for: there is nothing to await",
        "await sync_client.models.list()",
        "sync_client.models.list()",
        "03",
    ),
    "await ask": (
        "A function was awaited, not a call",
        "await ask",
        "await ask()",
        "03",
    ),
    "await client.chat.completions.create": (
        "A method was awaited, not a call",
        "await client.chat.completions.create",
        f"await {SHORT}",
        "03",
    ),
    f"answer = await sync_{CREATE}": (
        "A ChatCompletion is no call to wait for: there is nothing to await",
        f"answer = await sync_{SHORT}",
        f"answer = sync_{SHORT}",
        "03",
    ),
    f"await sync_{CREATE[:-1]}, stream=True)": (
        "A Stream is no call to wait for: there is nothing to await",
        f"await sync_{SHORT}",
        f"sync_{SHORT}",
        "03",
    ),
    "await len('text')": (
        "An int is no call to wait for: there is nothing to await",
        "await len('text')",
        "len('text')",
        "03",
    ),
    "calls = [ask(), ask()]\nawait calls": (
        "A list cannot be awaited",
        "await calls",
        "await asyncio.gather(*calls)",
        "03",
    ),
    "await [ask() for _ in range(2)]": (
        "A list cannot be awaited",
        "await [ask() for _ in range(2)]",
        "await asyncio.gather(*[ask() for _ in range(2)])",
        "03",
    ),
    "both = await (ask(), ask())": (
        "A tuple cannot be awaited",
        "both = await (ask(), ask())",
        "both = await asyncio.gather(*(ask(), ask()))",
        "03",
    ),
    "calls = {'a': ask()}\nawait calls": (
        "A dict cannot be awaited",
        "await calls",
        "await asyncio.gather(*calls.values())",
        "03",
    ),
    "await asyncio.gather([ask(), ask()])": (
        "asyncio.gather takes calls, not a list of them",
        "await asyncio.gather([ask(), ask()])",
        "await asyncio.gather(*[ask(), ask()])",
        "03",
    ),
    "calls = [ask(), ask()]\nawait asyncio.gather(calls)": (
        "asyncio.gather takes calls, not a list of them",
        "await asyncio.gather(calls)",
        "await asyncio.gather(*calls)",
        "03",
    ),
    "await api_predict()": (
        "An async generator gives its items to an async for",
        "await api_predict()",
        "async for piece in api_predict():",
        "02",
    ),
    "for piece in api_predict():\n    print(piece)": (
        "An async generator gives its items to an async for",
        "for piece in api_predict():",
        "async for piece in api_predict():",
        "02",
    ),
    "''.join(api_predict())": None,
    "asyncio.run(ask())": (
        "A notebook's event loop is running already",
        "asyncio.run(ask())",
        "await ask()",
        "06",
    ),
    "asyncio.get_running_loop().run_until_complete(ask())": (
        "A notebook's event loop is running already",
        "asyncio.get_running_loop().run_until_complete(ask())",
        "await ask()",
        "06",
    ),
    "shared = fresh()\n"
    "async def shared_ask():\n"
    "    await shared.models.list()\n"
    "with ThreadPoolExecutor(1) as pool:\n"
    "    for _ in range(2):\n"
    "        pool.submit(asyncio.run, shared_ask()).result()": (
        "This client belongs to another event loop",
        "",
        "async with AsyncOpenAI() as client:",
        "06",
    ),
    f"stream = sync_{CREATE[:-1]}, stream=True, **usage)\n"
    "for chunk in stream:\n"
    "    text = chunk.choices[0].delta.content": (
        "This chunk has no choices",
        "text = chunk.choices[0].delta.content",
        "if chunk.choices: text = chunk.choices[0].delta.content",
        "02",
    ),
    f"stream = sync_{CREATE[:-1]}, stream=True, **usage)\n"
    "for chunk in stream:\n"
    "    if chunk.choices[0].delta.content is not None:\n"
    "        pass": (
        "This chunk has no choices",
        "if chunk.choices[0].delta.content is not None:",
        "if chunk.choices and chunk.choices[0].delta.content is not None:",
        "02",
    ),
    f"stream = await {CREATE[:-1]}, stream=True, **usage)\n"
    "[c.choices[0].delta async for c in stream]": (
        "This chunk has no choices",
        "[c.choices[0].delta async for c in stream]",
        "[c.choices[0].delta async for c in stream if c.choices]",
        "02",
    ),
    "async with asyncio.TaskGroup() as group:\n    group.create_task(forgets())": (
        "A coroutine was used as if it were the answer",
        f"reply = {CREATE}",
        f"reply = await {CREATE}",
        "03",
    ),
}

CORRECT = (
    "await ask()",
    "print(await ask())",
    "answer = await ask()\nanswer",
    "[piece async for piece in api_predict()]",
    f"{ENCLOSED}begun = within()\nawait anext(begun)\nbegun",
    f"{ENCLOSED}over = within()\nawait over.aclose()\nover",
    "await asyncio.gather(*[ask(), ask()])",
    "task = asyncio.create_task(ask())\ntask",
    "waiting = ask()\ntask = asyncio.create_task(waiting)",
    "both = [ask(), ask()]\nanswers = await asyncio.gather(*both)",
    "answer = ask()\nawait answer",
    f"{LIMITED}calls = [ask() for _ in range(4)]\n"
    "jobs = [asyncio.create_task(limited(call)) for call in calls]",
    f"{LIMITED}call = ask()\njob = asyncio.create_task(limited(call))",
    "call = ask()\njob = asyncio.create_task(asyncio.wait_for(call, 5))",
    f"{LIMITED}calls = {{'a': ask(), 'b': ask()}}\n"
    "jobs = [asyncio.create_task(limited(call)) for _, call in calls.items()]",
    "calls = [ask(), ask()]\nfirst = await calls.pop()",
    "call = ask()\njob = asyncio.run_coroutine_threadsafe(call, asyncio.get_running_loop())\ncall",
    "models = client.models.list()\nasync for one in models:\n    pass\nmodels",
    "models = client.models.list()\nfirst = await models\nmodels",
    f"answer = await {CREATE}\nanswer.choices[1]",
    "class Mine:\n    choices = []\nmine = Mine()\nmine.choices[0]",
    "await asyncio.gather([])",
    "await asyncio.gather(3)",
    "try:\n    ask().choices\nexcept AttributeError:\n    raise RuntimeError from None",
    "answer = ask()\nanswer.close()",
    f"stream = await {CREATE[:-1]}, stream=True)\nstream",
    f"stream = await {CREATE[:-1]}, stream=True)\nasync for chunk in stream:\n    pass",
    f"sync_{CREATE}.choices[0].message.content",
    "await client.models.list()",
    "ask",
    "client",
    "sync_client",
    "[1, 2, 3]",
    "{}[1]",
    "[][0]",
    "None.choices",
    "1 / 0",
    "not python",
    "await asyncio.wait_for(asyncio.sleep(3600), 0.001)",
    "raise RuntimeError('Event loop is closed')",
    "raise TypeError('a coroutine was mentioned')",
    "def f():\n    await ask()",
    "%timeit -n1 -r1 1 + 1",
    "",
)
"""Correct, or wrong in a way that is not the doctor's business."""

Run = Callable[[str], list[dict[str, str]]]


@pytest.fixture(scope="module")
def shell() -> Iterator[Any]:
    shell = InteractiveShell.instance()
    with asyncio.Runner() as runner:  # one loop for all cells, as in a notebook
        shell.user_ns["run_in_loop"] = runner.run
        runner.run(ran(shell, SET_UP))
        gc.freeze()  # what other tests have loaded is not looked through at every collection
        yield shell
        gc.unfreeze()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what was forgotten or left open goes now
            runner.run(shell.user_ns["client"].close())
            shell.reset(new_session=False)
            for _ in range(3):
                gc.collect()
                runner.run(asyncio.sleep(0))
    InteractiveShell.clear_instance()


@pytest.fixture
def visited(shell: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """Return `run(cell)`: runs it as a notebook does and returns what was shown besides."""
    publisher = CapturingDisplayPublisher()
    monkeypatch.setattr(shell, "display_pub", publisher)
    before = dict(shell.user_ns)
    shell.extension_manager.load_extension("helpers.doctor")

    def run(source: str) -> list[dict[str, str]]:
        publisher.outputs.clear()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # forgotten coroutines are what this is about
            before["run_in_loop"](ran(shell, source))
        return [output["data"] for output in publisher.outputs]

    assert run("1 + 1") == []
    yield run
    shell.extension_manager.unload_extension("helpers.doctor")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in shell.user_ns.keys() - before.keys():
            del shell.user_ns[name]
        shell.user_ns.update(before)
        for name in ("last_type", "last_value", "last_traceback", "last_exc"):
            vars(sys).pop(name, None)  # they keep a failed cell's objects
        for name in filter(re.compile(r"_+\d*").fullmatch, shell.user_ns):
            shell.user_ns[name] = None
        for name in ("_", "__", "___", "exec_result"):
            setattr(shell.displayhook, name, None)
        shell.displayhook.flush()
        gc.collect()
        gc.freeze()


async def ran(shell: Any, source: str) -> None:
    """Run a cell in a running loop, as ipykernel does, and end what it leaves behind."""
    result = await shell.run_cell_async(
        source, store_history=False, transformed_cell=shell.transform_cell(source)
    )
    shell.events.trigger("post_run_cell", result)
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        task.cancel()


@pytest.mark.parametrize("cell", [cell for cell, card in BROKEN.items() if card], ids=repr)
def test_a_broken_cell_gets_one_card_that_names_the_line_and_its_repair(
    visited: Run, cell: str
) -> None:
    title, before, after, lesson = BROKEN[cell]  # type: ignore[misc]
    (card,) = visited(cell)
    lines = card["text/plain"].splitlines()
    assert lines[0] == f"doctor   {title}."
    assert lines[-1] == f"see      lesson {lesson}"
    if before is None:
        assert not any(line.startswith(("line ", "better ", "write ")) for line in lines)
    elif before:
        assert lines[-3][9:] == before
        assert lines[-2] == f"better   {after}"
    else:
        assert lines[-2] == f"write    {after}"


def test_what_a_card_says_to_write_can_be_compiled() -> None:
    for _, _, after, _ in filter(None, BROKEN.values()):
        if after is None:
            continue
        code = after.replace("(…)", "()") + (" pass" if after.endswith(":") else "")
        if code.startswith("return "):
            code = f"async def within(): {code}"
        compile(code, after, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("'ChatCompletion' object can't be awaited", "A ChatCompletion is no call to wait for"),
        ("'SyncPage[Model]' object can't be awaited", "A SyncPage is no call to wait for"),
        ("'AsyncStream' object can't be awaited", "An async client's stream gives"),
    ],
)
def test_it_knows_the_words_of_python_3_14(visited: Run, text: str, title: str) -> None:
    (card,) = visited(f"raise TypeError({text!r})")
    assert card["text/plain"].startswith(f"doctor   {title}")


@pytest.mark.parametrize("cell", CORRECT)
def test_a_cell_without_such_a_mistake_gets_no_card(visited: Run, cell: str) -> None:
    assert visited(cell) == []


@pytest.mark.parametrize(
    ("cell", "requests"), [(CREATE, 0), (f"await sync_{CREATE}", 1), ("answers = [ask()]", 0)]
)
def test_the_card_says_how_many_requests_reached_the_server(
    visited: Run, cell: str, requests: int
) -> None:
    (card,) = visited(cell)
    noun = "request" if requests == 1 else "requests"
    assert f"{requests} {noun} reached the server in this cell." in card["text/plain"]


def test_a_coroutine_left_by_an_earlier_cell_is_told_once(visited: Run) -> None:
    assert len(visited("answer = ask()")) == 1
    assert visited("1 + 1") == []
    assert len(visited("answer = ask()")) == 1, "made anew, it is told anew"


def test_the_line_is_numbered_as_in_the_cell(visited: Run) -> None:
    (card,) = visited("x = 1\n\nanswer = ask()\n")
    assert "line 3   answer = ask()" in card["text/plain"]


def test_unloaded_it_says_nothing(visited: Run, shell: Any) -> None:
    shell.extension_manager.unload_extension("helpers.doctor")
    assert visited(CREATE) == []
    shell.extension_manager.load_extension("helpers.doctor")
    assert len(visited(CREATE)) == 1


def test_it_hides_no_error_and_changes_no_value(visited: Run, shell: Any) -> None:
    visited("answer = ask()")
    assert asyncio.iscoroutine(shell.user_ns["answer"])
    visited("kept = await answer")
    assert shell.user_ns["kept"].startswith("Sunlight"), "it could still be awaited"


def test_it_does_not_hold_a_coroutine_back_from_its_warning(visited: Run, shell: Any) -> None:
    visited("answer = ask()")
    with pytest.warns(RuntimeWarning, match="never awaited"):
        del shell.user_ns["answer"]


def test_code_that_reaches_a_card_is_escaped(visited: Run) -> None:
    (card,) = visited("answer = ask()  # <script>\n'<script>' + answer")
    assert "<script>" not in card["text/html"]
    (card,) = visited("'<script>' + ask()")
    assert "&lt;script&gt;" in card["text/html"]


def test_a_failing_doctor_is_no_trouble_to_the_cell(
    visited: Run, shell: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from helpers.doctor import symptoms

    monkeypatch.setattr(symptoms, "look", lambda *_: 1 / 0)
    assert visited("answer = 6 * 7") == []
    assert shell.user_ns["answer"] == 42
    assert capsys.readouterr() == ("", "")


def test_code_without_the_course_s_clients_is_helped_without_a_word_of_requests(
    visited: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "helpers.clients")
    visited(
        "import openai\nmine = openai.AsyncOpenAI(base_url='http://127.0.0.1:9/v1', api_key='x')"
    )
    (card,) = visited("mine.responses.create(model='any', input='Hello')")
    assert card["text/plain"].splitlines() == [
        "doctor   This is a coroutine, and it was never awaited.",
        "         AsyncResponses.create() was called, but its body has not begun: a coroutine is a "
        "call that does nothing until it is awaited.",
        "line 1   mine.responses.create(model='any', input='Hello')",
        "better   await mine.responses.create(model='any', input='Hello')",
        "see      lesson 03",
    ]
