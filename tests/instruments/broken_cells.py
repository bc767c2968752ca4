"""Broken cells, by the kind of their mistake: each gets a card, and its line works.

A cell may be several, with `# %%` between them: the last one is broken.
"""

import sys

SET_UP = """\
import asyncio, contextlib, functools, json
import openai
from openai import AsyncOpenAI, OpenAI
from helpers import async_client, blocking_client, model

client = async_client(max_retries=0)
blocking = blocking_client()
M = dict(model=model(), messages=[{"role": "user", "content": "Say hello"}])
I = dict(model=model(), input="Say hello")
def odd(fault):
    return {**M, "extra_headers": {"x-mock-fault": fault}}

usage = {"stream_options": {"include_usage": True}}
prompts = ["one", "two"]

async def ask(prompt="Say hello"):
    question = [{"role": "user", "content": prompt}]
    reply = await client.chat.completions.create(model=model(), messages=question)
    return reply.choices[0].message.content

async def words():
    async with await client.chat.completions.create(**M, stream=True) as stream:
        async for chunk in stream:
            if chunk.choices:
                yield chunk.choices[0].delta.content or ""

def lines():
    yield from ("one", "two")

def key():
    return client.api_key

async def akey():
    return client.api_key
"""

BROKEN: dict[str, tuple[str, ...]] = {
    "a call without its await, shown": (
        "client.chat.completions.create(**M)",
        "client.chat.completions.create(model=model(), messages=[\n"
        '    {"role": "user", "content": "Say hello"},\n'
        "])",
        "client.responses.create(**I)",
        "client.embeddings.create(model=model(), input='Hi')",
        "answer = client.chat.completions.create(**M)\nanswer",
        "answer = ask()\ndef later():\n    answer = str(1)\n    return answer\nanswer",
        "async def explain():\n    return ask()\nanswer = await explain()\nanswer",
        "async def explain():\n    return ask()\nawait explain()",
        "client.models.list()",
        "[ask() for _ in range(3)]",
        "{p: ask(p) for p in prompts}",
        "(ask(), ask())",
        "words()",
        "client.chat.completions.stream(**M)",
        "client.chat.completions.with_streaming_response.create(**M)",
        "manager = client.chat.completions.stream(**M)\nmanager",
        "manager = client.chat.completions.stream(**M)\n# %%\nmanager",
        "client.responses.stream(**I)",
        "asyncio.gather(ask(), ask())",
        "ask(ask())",
        "from tqdm.asyncio import tqdm\ntqdm.gather([ask(p) for p in prompts])",
    ),
    "a call without its await, with a name": (
        "answer = ask()",
        "answer: str = ask()",
        "answers = [ask(), ask()]",
        "answers = [ask(p) for p in prompts]",
        "answers = {p: ask(p) for p in prompts}",
        "answers = {'a': ask(), 'b': 3}",
        "answers = (ask(), 1)",
        "answers = dict(a=ask(), b=ask())",
        "answers = set(map(ask, prompts))",
        "answers = list(map(ask, prompts))",
        "answers = []\nfor _ in range(2):\n    answers.append(ask())",
        "answers = {}\nfor key in 'ab':\n    answers[key] = ask()",
        "answers = {}\nanswers['x'] = ask('in an item')",
        "answers = {}\nfor key in 'ab':\n    answers[key] = ask()\nanswers",
        "nested = [[ask('a')], [ask('b')]]",
        "pairs = [('a', ask('a')), ('b', ask('b'))]",
        "x, y = ask(), ask()",
        "x, y = ask(), 3",
        "(x, y) = (ask(), ask())",
        "for p in 'ab':\n    answer = ask(p)",
        "async def many():\n    return [ask(), ask()]\nanswers = await many()",
        "def wrapper(p): return ask(p)\ntext = wrapper('x')",
        "reply = client.chat.completions.create(**M)\nprint('sent')",
        "class Bot:\n    def run(self): self.reply = ask('attribute')\nbot = Bot(); bot.run()",
        "class Bot:\n    pass\nbot = Bot()\nbot.reply = ask('attribute')",
        "class Bot:\n    def run(self):\n        self.replies = [ask(), ask()]\n"
        "bot = Bot()\nbot.run()",
        "for answer in asyncio.as_completed([ask(), ask()]):\n    print(answer)",
        "%%time\nanswer = ask()",
    ),
    "a coroutine lost without a name": (
        "print(ask('printed'))",
        "print('It said:', ask())",
        "print(f'It said: {ask()}')",
        'text = f"It said: {ask()}"',
        "text = 'It said: %s' % ask()",
        "text = 'It said: {}'.format(ask())",
        "text = str(ask())",
        "ask('thrown away in the middle')\ndone = True",
        "ask('thrown away'); done = True",
        "if ask('yes or no?') == 'Yes': print('yes')\nelse: print('no')",
        "same = ask() == 'Yes'",
        "ok = ask() is not None",
        "while ask('ready?'):\n    print('always ready'); break",
        "text = 'yes' if ask() else 'no'",
        "assert ask()",
        "async def main():\n    response = ask('inside')\n    print(response)\nawait main()",
        "async def main():\n    ask('inside, dropped')\nawait main()",
        "async def main():\n"
        "    async with async_client(max_retries=1) as own:\n"
        "        response = own.chat.completions.create(**M)\n"
        "        print(response)\n"
        "await main()",
        "async def main():\n"
        "    own = async_client(max_retries=1)\n"
        "    own.chat.completions.create(**M)\n"
        "    return await own.chat.completions.create(**M)\n"
        "await main()",
        "class Bot:\n    async def run(self):\n        ask('in a method')\nawait Bot().run()",
        "for p in prompts:\n    print(ask(p))",
        "import pathlib\nopen('/dev/null', 'w').write(str(ask('to a file')))",
        "own = async_client(max_retries=1)\nown.close()\nz = 1",
        "async with async_client(max_retries=1) as own:\n"
        "    print(own.chat.completions.create(**M))",
        "blocks = OpenAI(api_key=akey, base_url=str(client.base_url))\n"
        "text = blocks.chat.completions.create(**M).choices[0].message.content",
    ),
    "a coroutine used as if it were the answer": (
        "client.chat.completions.create(**M).choices",
        "client.chat.completions.create(**M).choices[0].message.content",
        "answer = ask()\nprint(answer.upper())",
        "answer = ask()\nanswer.upper()",
        "async def forgets():\n"
        "    reply = client.chat.completions.create(**M)\n"
        "    return reply.choices[0].message.content\n"
        "await forgets()",
        "reply = ask()\nreply = reply.strip()",
        "def shout(reply):\n    return reply.upper()\nreply = str(1)\nshout(ask())",
        "reply = ask()\ndef other():\n    reply = str(1)\n    return reply\nreply.upper()",
        "blocking.chat.completions.create(\n"
        "    model=model(), messages=[{'role': 'user', 'content': ask()}])",
        "await client.embeddings.create(model=model(), input=ask())",
        "str(1) + ask()",
        "'answer: ' + ask()",
        "ask() + ' more'",
        "len(ask())",
        "json.dumps(ask())",
        "json.dumps({'answer': ask()})",
        "' '.join([ask()])",
        "' '.join([ask(p) for p in prompts])",
        "import re\nre.sub('a', 'b', ask())",
        "for word in ask():\n    print(word)",
        "list(ask())",
        "[word for word in ask()]",
        "'yes' in ask()",
        "first, second, *rest = ask()",
        "sorted(ask())",
        "for answer in asyncio.as_completed([ask(), ask()]):\n    print(answer.upper())",
        "answers = [ask(p) for p in prompts]\n[answer.upper() for answer in answers]",
        "try:\n    ask().upper()\nexcept AttributeError as error:\n"
        "    raise RuntimeError('no answer') from error",
        "try:\n    ask().upper()\nexcept AttributeError:\n    raise RuntimeError('no answer')",
        "async with asyncio.TaskGroup() as group:\n"
        "    async def forgets():\n        return ask().upper()\n"
        "    group.create_task(forgets())",
        "answer = ask()\n# %%\nanswer.upper()",
        "for chunk in client.chat.completions.create(**M, stream=True):\n    pass",
        "for chunk in client.chat.completions.create(**M):\n    pass",
        "async for chunk in client.chat.completions.create(**M, stream=True):\n    pass",
        "async for chunk in client.chat.completions.create(**M):\n    pass",
        "[chunk for chunk in client.chat.completions.create(**M, stream=True)]",
        "[chunk async for chunk in client.chat.completions.create(**M, stream=True)]",
        "next(client.chat.completions.create(**M, stream=True))",
        "async with client.chat.completions.create(**M, stream=True) as stream:\n    pass",
        "with client.chat.completions.create(**M, stream=True) as stream:\n    pass",
        "with client.chat.completions.create(**M, stream=True) as stream:\n"
        "    for chunk in stream:\n        pass",
        "client.models.list().data",
        "models = client.models.list()\nmodels.data",
        "for one in client.models.list():\n    pass",
        "[one.id for one in client.models.list()]",
        "list(client.models.list())",
        "raw = await client.chat.completions.with_raw_response.create(**M)\n"
        "client.chat.completions.with_raw_response.create(**M).parse()",
    ),
    "awaited in vain": (
        "answer = await blocking.chat.completions.create(**M)",
        "await blocking.chat.completions.create(**M, stream=True)",
        "(await blocking.chat.completions.create(**M)).choices[0].message.content",
        "own = await AsyncOpenAI(base_url=client.base_url, api_key='EMPTY')",
        "async with await async_client(max_retries=1) as own:\n    pass",
        "await blocking.responses.create(**I)",
        "await blocking.models.list()",
        "await blocking.embeddings.create(model=model(), input='Hi')",
        "await OpenAI(base_url=client.base_url, api_key=key()).chat.completions.create(**M)",
        "await (await client.chat.completions.create(**M))",
        "await (await ask())",
        "await print('Hi')",
        "await len('text')",
        "await lines()",
        "await ask",
        "answer = await ask",
        "raw = await client.chat.completions.with_raw_response.create(**M)\nawait raw.parse()",
        "answer = await client.chat.completions.create(**M)\nawait answer",
        "answers = [await x for x in [1]]",
    ),
    "many awaited as one": (
        "calls = [ask(), ask()]\nawait calls",
        "await [ask() for _ in range(2)]",
        "await [ask(p) for p in prompts]",
        "both = await (ask(), ask())",
        "await {ask('a'), ask('b')}",
        "calls = {'a': ask()}\nawait calls",
        "answers = await {p: ask(p) for p in prompts}",
        "await map(ask, prompts)",
        "answers = await map(ask, prompts)",
        "await list(map(ask, prompts))",
        "await (ask(p) for p in prompts)",
        "await map(lambda p: ask(p), prompts)",
        "tasks = [asyncio.create_task(ask(p)) for p in prompts]\nawait tasks",
        "tasks = [asyncio.create_task(ask(p)) for p in prompts]\n# %%\nawait tasks",
        "await [asyncio.create_task(ask(p)) for p in prompts]",
        "calls = [ask('a')] + [ask('b')]\nawait calls",
        "async for answer in [ask(p) for p in prompts]:\n    print(answer)",
        "async for answer in map(ask, prompts):\n    print(answer)",
        "async for answer in asyncio.gather(*map(ask, prompts)):\n    print(answer)",
        "for answer in asyncio.gather(*map(ask, prompts)):\n    print(answer)",
    ),
    "gather, and others that make tasks": (
        "await asyncio.gather([ask(), ask()])",
        "await asyncio.gather([ask(p) for p in prompts])",
        "calls = [ask(), ask()]\nawait asyncio.gather(calls)",
        "calls = {p: ask(p) for p in prompts}\nawait asyncio.gather(calls)",
        "await asyncio.gather(ask(p) for p in prompts)",
        "await asyncio.gather((ask(p) for p in prompts))",
        "calls = (ask(p) for p in prompts)\nawait asyncio.gather(calls)",
        "await asyncio.gather(map(ask, prompts))",
        "await asyncio.gather(map(ask, prompts), return_exceptions=True)",
        "await asyncio.gather(*[await ask(p) for p in prompts])",
        "await asyncio.gather(await ask(), await ask())",
        "await asyncio.gather(ask, ask)",
        "await asyncio.gather(*[ask for _ in prompts])",
        "await asyncio.gather(words())",
        "await asyncio.gather(\n"
        "    blocking.chat.completions.create(**M), blocking.chat.completions.create(**M)\n)",
        "await asyncio.gather(blocking.chat.completions.create(**M))",
        "asyncio.gather(ask(), ask())[0]",
        "results = asyncio.gather(ask(), ask())\nresults[0]",
        "await asyncio.create_task(blocking.chat.completions.create(**M))",
        "t = asyncio.create_task(blocking.chat.completions.create(**M))",
        "await asyncio.create_task(ask)",
        "t = asyncio.create_task(ask)",
        "await asyncio.create_task(words())",
        "await asyncio.create_task(asyncio.gather(ask(), ask()))",
        "await asyncio.create_task([ask(), ask()])",
        "await asyncio.create_task(client.models.list())",
        "async with asyncio.TaskGroup() as tg:\n"
        "    a = tg.create_task(blocking.chat.completions.create(**M))",
        "async with asyncio.TaskGroup() as tg:\n    ts = [tg.create_task(ask) for p in prompts]",
        "done, pending = await asyncio.wait([ask(), ask()])",
        "done, pending = await asyncio.wait([ask(p) for p in prompts])",
        "done, pending = await asyncio.wait(ask(p) for p in prompts)",
        "calls = [ask(p) for p in prompts]\nawait asyncio.wait(calls)",
        "await asyncio.wait(list(map(ask, prompts)), timeout=5)",
        "await asyncio.wait({ask()})",
        "await asyncio.wait_for(blocking.chat.completions.create(**M), 5)",
        "await asyncio.wait_for(ask, 5)",
        "await asyncio.wait_for([ask(p) for p in prompts], 5)",
        "await asyncio.wait_for(words(), 5)",
        "await asyncio.shield(blocking.chat.completions.create(**M))",
        "t = asyncio.create_task(ask())\nt.result()",
        "ts = [asyncio.create_task(ask(p)) for p in prompts]\n[t.result() for t in ts]",
        "t = asyncio.create_task(ask())\nt.upper()",
        "from asyncio import gather\nawait gather([ask(p) for p in prompts])",
        "asyncio.run(ask())",
        "asyncio.run(ask)",
        "answer = asyncio.run(ask())\nprint(answer)",
        "asyncio.run(blocking.chat.completions.create(**M))",
        "asyncio.run(asyncio.wait_for(ask(), 5))",
        "asyncio.get_running_loop().run_until_complete(ask())",
        "asyncio.new_event_loop().run_until_complete(ask())",
    ),
    "an error that arose in a library": (
        "from tqdm.asyncio import tqdm\nawait tqdm.gather([ask(p) for p in prompts])",
        "from tqdm.asyncio import tqdm\nawait tqdm.gather(ask(p) for p in prompts)",
        "await AsyncOpenAI(api_key=key, base_url=client.base_url).chat.completions.create(**M)",
        "AsyncOpenAI(api_key=key, base_url=client.base_url).chat.completions.create(**M).choices",
        "own = AsyncOpenAI(api_key=key, base_url=client.base_url)\n"
        "await own.chat.completions.create(**M)",
        "from tqdm.auto import tqdm\nfor word in tqdm(words()):\n    print(word)",
        "from tqdm.auto import tqdm\nfor word in tqdm(ask()):\n    print(word)",
        "from tqdm.asyncio import tqdm\n"
        "for answer in tqdm(asyncio.as_completed([ask(p) for p in prompts])):\n    print(answer)",
        "from tqdm.asyncio import tqdm\n"
        "async for answer in tqdm([ask(p) for p in prompts]):\n    print(answer)",
    ),
    "an async generator or stream gone over in another way": (
        "await words()",
        "answer = await words()",
        "for piece in words():\n    print(piece)",
        "[w for w in words()]",
        "{w for w in words()}",
        "{w: len(w) for w in words()}",
        "[w.upper() for w in words() if w]",
        '"".join(words())',
        '"".join(w for w in words())',
        '"".join([w for w in words()])',
        '"".join(w async for w in words())',
        '"".join(w.upper() for w in words())',
        "async for piece in [w for w in words()]: pass",
        "list(words())",
        "list(w for w in words())",
        "list(w async for w in words())",
        "tuple(words())",
        "sum(len(w) for w in words())",
        "sum(len(w) async for w in words())",
        "sorted(words())",
        "max(words(), key=len)",
        "for i, w in enumerate(words()):\n    print(i, w)",
        "for w, n in zip(words(), range(3)):\n    print(w)",
        "len(words())",
        "words()[0]",
        "first, *rest = words()",
        "print(*words())",
        "next(words())",
        "gen = words()\nnext(gen)",
        "gen = words()\nfor w in gen:\n    print(w)",
        "gen = words()\n# %%\n[w for w in gen]",
        "async with words() as pieces:\n    print([w async for w in pieces])",
        "stream = await client.chat.completions.create(**M, stream=True)\n"
        "for chunk in stream:\n    pass",
        "for chunk in await client.chat.completions.create(**M, stream=True):\n    pass",
        "stream = await client.chat.completions.create(**M, stream=True)\nawait stream",
        "await (await client.chat.completions.create(**M, stream=True))",
        "[chunk for chunk in await client.chat.completions.create(**M, stream=True)]",
        "list(await client.chat.completions.create(**M, stream=True))",
        "next(await client.chat.completions.create(**M, stream=True))",
        "with await client.chat.completions.create(**M, stream=True) as stream:\n    pass",
        "with await client.chat.completions.create(**M, stream=True) as stream:\n"
        "    for chunk in stream:\n        pass",
        "for event in await client.responses.create(**I, stream=True):\n    pass",
        "async for w in words:\n    print(w)",
        "for w in words:\n    print(w)",
        "for model_ in await client.models.list().data:\n    pass",
    ),
    "a plain thing gone over by async for": (
        "async for chunk in await client.chat.completions.create(**M):\n    print(chunk)",
        "reply = await client.chat.completions.create(**M)\nasync for chunk in reply:\n    pass",
        "[chunk async for chunk in await client.chat.completions.create(**M)]",
        "async for event in await client.responses.create(**I):\n    pass",
        "async for chunk in blocking.chat.completions.create(**M):\n    pass",
        "async for chunk in blocking.chat.completions.create(**M, stream=True):\n    pass",
        "stream = blocking.chat.completions.create(**M, stream=True)\n"
        "async for chunk in stream:\n    pass",
        "stream = blocking.chat.completions.create(**M, stream=True)\n"
        "[chunk async for chunk in stream]",
        "async for one in blocking.models.list():\n    pass",
        "async for line in lines():\n    print(line)",
        "[line async for line in lines()]",
        "async for line in ['one', 'two']:\n    print(line)",
        "async for n in range(3):\n    print(n)",
        "await anext(blocking.chat.completions.create(**M, stream=True))",
        "await anext(lines())",
    ),
    "a stream taken for an answer": (
        "blocking.chat.completions.create(**M, stream=True).choices[0].message.content",
        "(await client.chat.completions.create(**M, stream=True)).choices[0].message.content",
        "reply = await client.chat.completions.create(**M, stream=True)\nreply.choices[0]",
        "reply = blocking.chat.completions.create(\n    **M,\n    stream=True,\n)\n"
        "reply.choices[0]",
        "reply = await client.responses.create(**I, stream=True)\nreply.output_text",
    ),
    "the wrong with": (
        "async with blocking.chat.completions.stream(**M) as stream:\n"
        "    async for event in stream:\n        pass",
        "async with blocking.chat.completions.stream(**M) as stream:\n"
        "    reply = await stream.get_final_completion()",
        "async with blocking.chat.completions.create(**M, stream=True) as stream:\n"
        "    async for chunk in stream:\n        pass",
        "async with blocking.chat.completions.with_streaming_response.create(**M) as response:\n"
        "    print(await response.parse())",
        "with client.chat.completions.stream(**M) as stream:\n"
        "    for event in stream:\n        pass",
        "with client.chat.completions.stream(**M) as stream:\n"
        "    print(stream.get_final_completion())",
        "with client.responses.stream(**I) as stream:\n"
        "    for event in stream:\n        pass\n"
        "    print(stream.get_final_response().output_text)",
        "with client.chat.completions.with_streaming_response.create(**M) as response:\n    pass",
        "with client.chat.completions.with_streaming_response.create(**M) as response:\n"
        "    for line in response.iter_lines():\n        print(line)",
        "with async_client(max_retries=1) as own:\n"
        "    print(own.chat.completions.create(**M).choices[0])",
        "with async_client(max_retries=1) as own:\n"
        "    for chunk in own.chat.completions.create(**M, stream=True):\n        pass",
        "async with OpenAI(base_url=client.base_url, api_key=client.api_key) as own:\n"
        "    reply = own.chat.completions.create(**M)",
        "async with OpenAI(base_url=client.base_url, api_key=client.api_key) as own:\n"
        "    reply = await own.chat.completions.create(**M)",
        "async with openai.OpenAI(base_url=client.base_url, api_key=client.api_key) as own:\n"
        "    print((await own.chat.completions.create(**M)).choices[0])",
        "async with blocking.chat.completions.create(**M) as reply:\n    pass",
        "async with await client.chat.completions.create(**M) as reply:\n    pass",
        "sem = asyncio.Semaphore(2)\nwith sem:\n    await ask()",
        "sem = asyncio.Semaphore(2)\nasync with sem.acquire():\n    await ask()",
        "sem = asyncio.Semaphore(2)\nasync with await sem.acquire():\n    await ask()",
        "sem = asyncio.Semaphore(2)\nwith await sem.acquire():\n    await ask()",
        "with asyncio.TaskGroup() as group:\n    group.create_task(ask())",
        "with asyncio.timeout(5):\n    await ask()",
        "import threading\nasync with threading.Lock():\n    await ask()",
    ),
    "a manager that was not entered": (
        "stream = await client.chat.completions.stream(**M)",
        "await client.chat.completions.stream(**M)",
        "stream = await client.responses.stream(**I)",
        "stream = await blocking.chat.completions.stream(**M)",
        "response = await client.chat.completions.with_streaming_response.create(**M)",
        "response = await blocking.chat.completions.with_streaming_response.create(**M)",
        "async with await client.chat.completions.stream(**M) as stream:\n"
        "    async for event in stream:\n        pass",
        "for event in client.chat.completions.stream(**M):\n    print(event.type)",
        "async for event in client.chat.completions.stream(**M):\n    print(event.type)",
        "async for event in client.chat.completions.stream(**M):\n    pass",
        "client.chat.completions.with_streaming_response.create(**M).headers",
        "manager = client.chat.completions.stream(**M)\n# %%\nfor event in manager:\n    pass",
        "async for event in blocking.chat.completions.stream(**M):\n    print(event.type)",
        "for event in blocking.chat.completions.stream(**M): print(event.type)",
        "async for event in client.chat.completions.stream(**M):\n"
        "    if event.type == 'content.delta':\n        print(event.delta)",
    ),
    "awaited a second time": (
        "call = ask()\nawait call\nawait call",
        "call = ask()\nfirst = await call\nsecond = await call",
        "@functools.lru_cache\nasync def cached(p):\n    return await ask(p)\n"
        "await cached('Hi')\nawait cached('Hi')",
        "@functools.lru_cache(maxsize=None)\nasync def cached(p):\n    return await ask(p)\n"
        "[await cached('Hi'), await cached('Hi')]",
        "cached = functools.lru_cache(ask)\nawait cached('Hi')\nawait cached('Hi')",
        "@functools.cache\nasync def cached(p):\n    return await ask(p)\n"
        "await cached('Hi')\n# %%\nawait cached('Hi')",
    ),
    "an await where none can stand": (
        "def answer():\n    return await ask()",
        "def answer():\n    return await ask()\nprint(answer())",
        "def answer():\n    reply = await ask()\n    return reply\ntext = answer()",
        "def shout():\n    async for word in words():\n        print(word)\nshout()",
        "def enter():\n    async with async_client(max_retries=1) as own:\n        pass",
        "def everything():\n    return [w async for w in words()]",
        "class Bot:\n    def run(self):\n        return await ask()\nBot().run()",
        "texts = lambda call: await call",
        "def outer():\n    def inner():\n        return await ask()\n    return inner()\nouter()",
        "def pieces():\n    yield await ask()",
        "%time reply = await ask()",
        "%time await ask()",
        "%%time\nreply = await ask()\nprint(reply)",
        "%timeit -n1 -r1 await ask()",
        "%timeit -n1 -r1 ask()",
        "%time ask()",
        "%time reply = ask()",
        "%%time\nreply = ask()",
        "%%timeit -n1 -r1\nawait ask()",
        "x = 1\n%time reply = await ask()\nprint(x)",
    ),
    "a chunk without choices": (
        "stream = blocking.chat.completions.create(**M, stream=True, **usage)\n"
        "for chunk in stream:\n"
        "    text = chunk.choices[0].delta.content",
        "stream = blocking.chat.completions.create(**M, stream=True, **usage)\n"
        "for chunk in stream:\n"
        "    if chunk.choices[0].delta.content is not None:\n"
        "        pass",
        "stream = await client.chat.completions.create(**M, stream=True, **usage)\n"
        "[c.choices[0].delta async for c in stream]",
    ),
    "an answer that a server left something out of": (
        "(await client.chat.completions.create(**odd('reasoning-only'))).choices[0]"
        ".message.content.strip()",
        "blocking.chat.completions.create(**odd('refusal')).choices[0].message.content.strip()",
        "reply = await client.chat.completions.create(**odd('refusal'))\n"
        "reply.choices[0].message.content.split()",
        "reply = await client.chat.completions.create(**odd('refusal'))\n"
        "text = reply.choices[0].message.content\n"
        "text.split()",
        "message = (await client.chat.completions.create(**odd('refusal'))).choices[0].message\n"
        "print('Answer: ' + message.content)",
        "reply = await client.chat.completions.create(**odd('refusal'))\n"
        "len(reply.choices[0].message.content)",
        "reply = await client.chat.completions.create(**odd('refusal'))\n"
        "','.join([reply.choices[0].message.content, 'end'])",
        "reply = await client.chat.completions.create(**M)\n"
        "for call in reply.choices[0].message.tool_calls:\n    print(call)",
        "stream = await client.chat.completions.create(**odd('reasoning'), stream=True)\n"
        "text = ''\n"
        "async for chunk in stream:\n"
        "    text += chunk.choices[0].delta.content",
        "stream = await client.chat.completions.create(**M, stream=True)\n"
        "async for chunk in stream:\n"
        "    for piece in chunk.choices[0].delta.tool_calls:\n        print(piece)",
        "for chunk in blocking.chat.completions.create(**odd('null-choices'), stream=True):\n"
        "    text = chunk.choices[0].delta.content",
        "stream = await client.chat.completions.create(**M, stream=True)\n"
        "''.join([c.choices[0].delta.content async for c in stream])",
    ),
}

BEFORE_3_13 = ("async for answer in asyncio.as_completed([ask(), ask()]):\n    print(answer)",)
"""Broken until as_completed could be gone over in both ways."""

if sys.version_info < (3, 13):
    BROKEN["gone over by async for, before Python 3.13"] = BEFORE_3_13

WITHOUT_A_LINE = {
    "%autoawait off\n# %%\nawait ask()": "await outside a function is switched off",
    "class Bot:\n    reply = await ask()": "A class's body cannot contain await",
    "sorted(prompts, key=lambda p: await ask(p))": "A lambda cannot contain await",
    "import uvicorn\nasync def app(scope, receive, send): pass\n"
    "uvicorn.run(app, port=0)": "uvicorn.run starts an event loop",
    "(await client.chat.completions.create(**odd('error-body'))).choices[0]": "The server sent no",
    "reply = await client.chat.completions.create(**odd('null-choices'))\n"
    "reply.choices[0].message.content": "The server sent no choices",
    "reply = await client.chat.completions.create(**odd('no-choices'))\n"
    "reply.choices[0]": "The server sent no choices",
    "reply = blocking.chat.completions.create(**odd('null-delta'))\n"
    "reply.choices[0].message.content": "The choice has no message",
    "for chunk in blocking.chat.completions.create(**odd('null-delta'), stream=True):\n"
    "    print(chunk.choices[0].delta.content)": "This chunk has no delta",
    "blocking.chat.completions.create(**odd('no-usage')).usage.total_tokens": "There is no usage",
    "reply = await client.responses.create(**I, extra_headers={'x-mock-fault': 'error-body'})\n"
    "reply.output[0]": "The server sent no output",
    "@contextlib.asynccontextmanager\n"
    "async def session():\n"
    "    yield client\n"
    "opened = await session()": "A _AsyncGeneratorContextManager wants an async with",
    "async with async_client(max_retries=1) as own:\n"
    "    calls = [own.chat.completions.create(**M) for _ in prompts]\n"
    "await asyncio.gather(*calls)": "This client had been closed",
    "await asyncio.timeout(5)": "A Timeout wants an async with",
    "lock = asyncio.Lock()\nasync for one in lock:\n    pass": "A Lock wants an async with",
    "async def pieces():\n"
    "    async for chunk in await client.chat.completions.create(**M, stream=True):\n"
    "        pass\n"
    "async for piece in await pieces():\n"
    "    print(piece)": "What was to be gone over is None",
    "await client.chat.completions.create": "A method was awaited, not a call",
    "async def needs(prompt):\n    pass\nawait needs": "A function was awaited, not a call",
    "t = asyncio.create_task(client.chat.completions.stream(**M))": "create_task was given what",
    "async with asyncio.TaskGroup() as tg:\n    tg.create_task([ask()])": "create_task takes one",
    "shared = async_client(max_retries=0)\n"
    "async def shared_ask():\n"
    "    await shared.models.list()\n"
    "from concurrent.futures import ThreadPoolExecutor\n"
    "with ThreadPoolExecutor(1) as pool:\n"
    "    for _ in range(2):\n"
    "        pool.submit(asyncio.run, shared_ask()).result()": "This client belongs to another",
    "own = AsyncOpenAI(api_key=key, base_url=client.base_url)\n# %%\n"
    "await own.chat.completions.create(**M)": "The api_key function of an AsyncOpenAI client",
}
"""What a card explains and writes no line for: none could be relied on. Its title's first words."""

CORRECT = (
    "await ask()",
    "print(await ask())",
    "answer = await ask()\nanswer",
    "[piece async for piece in words()]",
    '"".join([piece async for piece in words()])',
    "begun = words()\nawait anext(begun)\nbegun",
    "over = words()\nawait over.aclose()\nover",
    "await asyncio.gather(*[ask(), ask()])",
    "task = asyncio.create_task(ask())\ntask",
    "waiting = ask()\ntask = asyncio.create_task(waiting)",
    "both = [ask(), ask()]\nanswers = await asyncio.gather(*both)",
    "answer = ask()\nawait answer",
    "async def limited(call):\n    return await call\ncalls = [ask() for _ in range(4)]\n"
    "jobs = [asyncio.create_task(limited(call)) for call in calls]",
    "async def limited(call):\n    return await call\ncall = ask()\n"
    "job = asyncio.create_task(limited(call))",
    "call = ask()\njob = asyncio.create_task(asyncio.wait_for(call, 5))",
    "async def limited(call):\n    return await call\ncalls = {'a': ask(), 'b': ask()}\n"
    "jobs = [asyncio.create_task(limited(call)) for _, call in calls.items()]",
    "calls = [ask(), ask()]\nfirst = await calls.pop()",
    "call = ask()\njob = asyncio.run_coroutine_threadsafe(call, asyncio.get_running_loop())\ncall",
    "models = client.models.list()\nasync for one in models:\n    pass\nmodels",
    "models = client.models.list()\nfirst = await models\nmodels",
    "answer = await client.chat.completions.create(**M)\nanswer.choices[1]",
    "class Mine:\n    choices = []\nmine = Mine()\nmine.choices[0]",
    "await asyncio.gather([])",
    "await asyncio.gather(3)",
    "{}[[ask]]",
    "{[1]: 2}",
    "try:\n    ask().choices\nexcept AttributeError:\n    raise RuntimeError from None",
    "answer = ask()\nanswer.close()",
    "stream = await client.chat.completions.create(**M, stream=True)\nstream",
    "stream = await client.chat.completions.create(**M, stream=True)\n"
    "async for chunk in stream:\n    pass",
    "async with client.chat.completions.stream(**M) as stream:\n"
    "    print((await stream.get_final_completion()).choices[0])",
    "with blocking.chat.completions.stream(**M) as stream:\n    stream.until_done()\nstream",
    "raw = await client.chat.completions.with_raw_response.create(**M)\nraw.parse().choices[0]",
    "blocking.chat.completions.create(**M).choices[0].message.content",
    "blocking.chat.completions.stream(**M)",
    "await client.models.list()",
    "await AsyncOpenAI(api_key=akey, base_url=client.base_url).chat.completions.create(**M)",
    "OpenAI(api_key=key, base_url=client.base_url).chat.completions.create(**M)",
    "type(ask())",
    "print(type(ask()))",
    "print(asyncio.iscoroutine(ask()))",
    "def in_a_loop_of_its_own(function):\n"
    "    @functools.wraps(function)\n"
    "    def wrapper(*args):\n"
    "        from concurrent.futures import ThreadPoolExecutor\n"
    "        with ThreadPoolExecutor(1) as pool:\n"
    "            return pool.submit(asyncio.run, function(*args)).result()\n"
    "    return wrapper\n"
    "@in_a_loop_of_its_own\n"
    "async def say(word):\n"
    "    return word\n"
    "print(say('hello'))",
    "def main(ask):\n    ask('a local name')\n    print(ask('again'))\nmain(print)",
    "for word in ('one', 'two'):\n    answer = await ask(word)\n    print(answer)",
    "for answer in asyncio.as_completed([ask(), ask()]):\n    print(await answer)",
    "ask",
    "client",
    "blocking",
    "[1, 2, 3]",
    "{}[1]",
    "[][0]",
    "None.choices",
    "class Mine:\n    content = None\nmine = Mine()\nmine.content.strip()",
    "message = {'content': None}\nmessage['content'].strip()",
    "reply = await client.chat.completions.create(**M)\nreply.choices[0].message.content + None",
    "content = None\ncontent.strip()",
    "1 / 0",
    "not python",
    "await asyncio.wait_for(asyncio.sleep(3600), 0.001)",
    "raise RuntimeError('Event loop is closed')",
    "raise TypeError('a coroutine was mentioned')",
    "raise TypeError(\"'coroutine' object is not iterable\")",
    "import helpers.clients\nhelpers.clients.blocking_client(max_retries='x')",
    "json.dumps({1, 2})",
    "%timeit -n1 -r1 1 + 1",
    "%time 1 + 1",
    "%%time\nx = 1",
    "",
)
"""Correct, or wrong in a way that is not the doctor's business."""
