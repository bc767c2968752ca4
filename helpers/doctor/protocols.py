"""What an object can do: be awaited, gone over, entered; judged by its class, not by its name.

An expression that failed has left no value. So its class is worked out from what its names stand
for: nothing is called, and no property of anybody's but the SDK's is read.
"""

import ast
import asyncio
import builtins
import functools
import inspect
import re
import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property
from itertools import islice
from pathlib import Path
from types import (
    AsyncGeneratorType,
    CoroutineType,
    FunctionType,
    GeneratorType,
    MethodType,
)
from typing import Any, ForwardRef, TypeVar

SOME = 10_000
"""Items of a collection that are looked at once a card is due."""

FUTURES = ("gather", "create_task", "ensure_future", "shield", "run_in_executor")
"""Functions of asyncio that return a future: the work is under way already."""

COLLECTIONS = (list, tuple, dict, set)

_PYTHONS_OWN = {
    kind.__name__: kind
    for kind in (*vars(types).values(), *vars(builtins).values())
    if isinstance(kind, type)
}


def awaitable(kind: type | None) -> bool:
    return hasattr(kind, "__await__")


def async_iterable(kind: type | None) -> bool:
    return hasattr(kind, "__aiter__")


def async_context(kind: type | None) -> bool:
    return hasattr(kind, "__aenter__")


def iterable(kind: type | None) -> bool:
    return hasattr(kind, "__iter__")


def context(kind: type | None) -> bool:
    return hasattr(kind, "__enter__")


def function_like(kind: type | None) -> bool:
    return kind in (FunctionType, MethodType)


def of_the_sdk(kind: type | None) -> bool:
    return kind is not None and kind.__module__.partition(".")[0] == "openai"


def answer_of_the_sdk(kind: type | None) -> bool:
    """Whether it is a whole answer, which an SDK's call gives if it is not to be streamed."""
    return of_the_sdk(kind) and hasattr(kind, "model_fields")


def is_stream(kind: type | None) -> bool:
    """Whether it is what an SDK's call gives that is to be streamed."""
    return (
        of_the_sdk(kind)
        and not hasattr(kind, "model_fields")
        and (hasattr(kind, "__anext__") or hasattr(kind, "__next__"))
    )


def classes_named(name: str) -> list[type]:
    """Return all classes of that name that this process knows."""
    seen: set[type] = set()
    ahead: list[type] = [object]
    while ahead:
        kind: type
        for kind in type.__subclasses__(ahead.pop()):
            if kind not in seen:
                seen.add(kind)
                ahead.append(kind)
    return [kind for kind in seen if plain_name(kind) == name]


def plain_name(kind: type | None) -> str:
    """Return the class's name, as Python's errors give it, without what it is a class of."""
    return "" if kind is None else kind.__name__.partition("[")[0].rpartition(".")[2]


def class_named(name: str) -> type | None:
    """Return the class of that name; one of Python's or the SDK's before others.

    None if it is ambiguous.
    """
    if name in _PYTHONS_OWN:
        return _PYTHONS_OWN[name]  # before those of compiled extensions, which bear the same names
    found = classes_named(name)
    preferred = [kind for kind in found if of_the_sdk(kind)] or found
    alike = {
        tuple(test(kind) for test in (awaitable, async_iterable, async_context, iterable, context))
        for kind in preferred
    }
    return preferred[0] if len(alike) == 1 else None


class Names:
    """The names that an expression may use, and the class of what it would give."""

    def __init__(
        self, *spaces: Mapping[str, Any], assumed: Mapping[str, type] | None = None
    ) -> None:
        self._spaces = spaces
        self._assumed = assumed or {}

    def assuming(self, name: str, kind: type | None) -> "Names":
        """Return the same names, but that one, which will stand for an object of that class."""
        if kind is None:
            return self
        return Names(*self._spaces, assumed={**self._assumed, name: kind})

    def __contains__(self, name: str) -> bool:
        return any(name in space for space in self._spaces)

    def __getitem__(self, name: str) -> Any:
        """Return what the name stands for, or None."""
        if name in self._assumed:
            return None
        for space in self._spaces:
            if name in space:
                return space[name]
        return getattr(builtins, name, None)

    def asyncio_name(self, name: str) -> tuple[str, bool]:
        """Return how to write that function of asyncio here, and whether to import it first."""
        for space in self._spaces:
            for known, value in list(space.items()):
                module = getattr(value, "__name__", None)
                if module == "asyncio" and inspect.ismodule(value):
                    return f"{known}.{name}", False
        return f"asyncio.{name}", True

    def value(self, node: ast.AST | None) -> Any:
        """Return what a name, or an attribute or item of one, stands for; None if unknown."""
        match node:
            case ast.Name(id=name):
                return self[name]
            case ast.Attribute(value=inner, attr=attribute):
                owner = self.value(inner)
                return None if owner is None else _attribute(owner, attribute)
            case ast.Subscript(value=inner, slice=ast.Constant(value=key)):
                owner = self.value(inner)
                try:
                    return owner[key] if type(owner) in COLLECTIONS else None
                except (LookupError, TypeError):
                    return None
        return None

    def function(self, node: ast.AST | None) -> Any:
        """Return the function that is called there, without what wraps it; None if unknown."""
        match node:
            case ast.Lambda():
                return None
            case ast.Attribute(value=inner, attr=attribute):
                found = self.value(node)
                if found is None:
                    found = _static(self.kind(inner), attribute)
            case _:
                found = self.value(node)
        if isinstance(found, staticmethod | classmethod):
            found = found.__func__
        partial = getattr(found, "func", None)
        if type(found).__name__ == "partial" and partial is not None:
            found = partial
        if isinstance(found, type):
            return found
        return _unwrapped(found)

    def streams(self, call: ast.Call) -> bool | None:
        """Whether the call asks for a stream; None if nobody can see that."""
        for keyword in call.keywords:
            if keyword.arg == "stream":
                return isinstance(keyword.value, ast.Constant) and keyword.value.value is True
            if keyword.arg is None:
                more = self.value(keyword.value)
                if not isinstance(more, dict):
                    return None
                if "stream" in more:
                    return bool(more["stream"])
        return False

    def kind(self, node: ast.AST | None) -> type | None:
        """Return the class of what the expression gives; None if unknown."""
        match node:
            case ast.Constant(value=value):
                return type(value)
            case ast.List() | ast.ListComp():
                return list
            case ast.Tuple():
                return tuple
            case ast.Dict() | ast.DictComp():
                return dict
            case ast.Set() | ast.SetComp():
                return set
            case ast.JoinedStr():
                return str
            case ast.Lambda():
                return FunctionType
            case ast.GeneratorExp():
                is_async = any(one.is_async for one in node.generators)
                return AsyncGeneratorType if is_async else GeneratorType
            case ast.NamedExpr(value=value):
                return self.kind(value)
            case ast.Call():
                return self._result(node)
            case ast.Await(value=ast.Call() as call):
                return self.answer(call)
            case ast.Attribute(value=inner, attr=attribute):
                found = self.value(node)
                if found is not None:
                    return type(found)
                return _annotated(_static(self.kind(inner), attribute))
            case ast.Name(id=name) if name in self._assumed:
                return self._assumed[name]
            case ast.Name(id=name):
                return type(self[name]) if name in self else None
            case ast.Subscript():
                found = self.value(node)
                return None if found is None else type(found)
        return None

    def _result(self, call: ast.Call) -> type | None:
        function = self.function(call.func)
        if function is None:
            return None
        if isinstance(function, type):
            return function
        if inspect.iscoroutinefunction(function):
            return CoroutineType
        if inspect.isasyncgenfunction(function):
            return AsyncGeneratorType
        if inspect.isgeneratorfunction(function):
            return GeneratorType
        if _of_asyncio(function) and function.__name__ in FUTURES:
            return asyncio.Future
        if _wraps_response(function):
            return next(_managers_in(function), None)
        if of_the_sdk_function(function):
            return self._of_sdk_call(function, call)
        return _annotated(function)

    def answer(self, call: ast.Call) -> type | None:
        """Return the class of what the call gives once it has been awaited."""
        function = self.function(call.func)
        if _wraps_response(function):
            return None
        if function is not None and of_the_sdk_function(function):
            return self._of_sdk_call(function, call)
        return _annotated(function)

    def _of_sdk_call(self, function: Any, call: ast.Call) -> type | None:
        if not takes_stream(function):
            return _annotated(function)
        streams = self.streams(call)
        return None if streams is None else _annotated(function, streams=streams)

    def holds_awaitables(self, node: ast.AST | None) -> bool:
        """Whether it is a collection, or a generator, of calls or tasks, and of nothing else."""
        items: list[ast.expr]
        match node:
            case ast.List(elts=items) | ast.Tuple(elts=items) | ast.Set(elts=items):
                pass
            case ast.Dict(values=items):
                pass
            case ast.ListComp(elt=item) | ast.SetComp(elt=item) | ast.GeneratorExp(elt=item):
                items = [item]
            case ast.DictComp(value=item):
                items = [item]
            case ast.Call(func=ast.Name(id="map"), args=[function, *_]):
                if isinstance(function, ast.Lambda):
                    return self._gives_awaitable(function.body)
                found = self.function(function)
                return inspect.iscoroutinefunction(found)
            case ast.Call(func=ast.Name(id="list" | "tuple" | "set"), args=[inner]):
                return self.holds_awaitables(inner)
            case ast.BinOp(op=ast.Add(), left=left, right=right):
                return self.holds_awaitables(left) and self.holds_awaitables(right)
            case None:
                return False
            case _:
                return self._value_holds_awaitables(self.value(node))
        return bool(items) and all(self._gives_awaitable(item) for item in items)

    def _value_holds_awaitables(self, value: Any) -> bool:
        if isinstance(value, map):
            return inspect.iscoroutinefunction(_unwrapped(value.__reduce__()[1][0]))
        if isinstance(value, GeneratorType):  # nobody has run through it: its names have to do
            return any(
                inspect.iscoroutinefunction(_unwrapped(self[name]))
                for name in value.gi_code.co_names
            )
        found = list(items(value)) if type(value) in COLLECTIONS else []
        return bool(found) and all(awaitable(type(one)) for one in found)

    def _gives_awaitable(self, item: ast.expr) -> bool:
        if isinstance(item, ast.Starred):
            return self.holds_awaitables(item.value)
        kind = self.kind(item)
        if kind is not None and kind is not type(None):
            return awaitable(kind)
        return isinstance(item, ast.Call) and self.function(item.func) is None


def items(value: Any, most: int = SOME) -> Iterable[Any]:
    """Yield what stands in a list, tuple, set or dict; or the value itself."""
    kind = type(value)
    if kind is dict:
        return islice(value.values(), most)
    if kind in COLLECTIONS:
        return islice(value, most)
    return (value,)


def not_started(value: Any) -> bool:
    return type(value) is CoroutineType and inspect.getcoroutinestate(value) == inspect.CORO_CREATED


def of_the_sdk_function(function: Any) -> bool:
    return getattr(function, "__module__", "").partition(".")[0] == "openai"


def takes_stream(function: Any) -> bool:
    """Whether a function of the SDK gives a stream when asked to."""
    try:
        return of_the_sdk_function(function) and "stream" in inspect.signature(function).parameters
    except (TypeError, ValueError):
        return False


def sends(function: Any) -> bool:
    """Whether a call of it sends a request: a method of one of the SDK's resources."""
    return getattr(function, "__module__", "").startswith("openai.resources")


def takes_any_number(function: Any) -> bool:
    """Whether it takes its first arguments as one *list."""
    try:
        first = next(iter(inspect.signature(function).parameters.values()))
    except (TypeError, ValueError, StopIteration):
        return False
    return first.kind is inspect.Parameter.VAR_POSITIONAL


def needs_no_arguments(function: Any) -> bool:
    try:
        inspect.signature(function).bind()
    except (TypeError, ValueError):
        return False
    return True


def blocks(function: Any) -> bool | None:
    """Whether a call of it runs at once; None if nobody can see that."""
    if function is None or isinstance(function, type):
        return None
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        return False
    kind = _annotated(function)
    if kind is None and not isinstance(function, FunctionType | MethodType):
        return None
    return not (awaitable(kind) or async_iterable(kind) or async_context(kind))


def entered(kind: type | None) -> type | None:
    """Return the class of what `async with` or `with` gives for an object of that class."""
    enter = getattr(kind, "__aenter__", None) or getattr(kind, "__enter__", None)
    hints = getattr(enter, "__annotations__", {})
    if hints.get("return") == "Self" or (hints and hints.get("self") == hints.get("return")):
        return kind
    return _annotated(enter)


def _attribute(owner: Any, name: str) -> Any:
    if of_the_sdk(type(owner)) or inspect.ismodule(owner) or isinstance(owner, type):
        return getattr(owner, name, None)
    found = inspect.getattr_static(owner, name, None)
    if isinstance(found, property | cached_property) or hasattr(type(found), "__set__"):
        return None
    if isinstance(found, FunctionType | staticmethod | classmethod):
        return getattr(owner, name, None)
    return found


def _static(kind: type | None, name: str) -> Any:
    return None if kind is None else inspect.getattr_static(kind, name, None)


def _unwrapped(thing: Any) -> Any:
    """Return the function under what decorates it; a wrapper that may change its answer stays."""
    while hasattr(thing, "__wrapped__") and (_of_the_sdks_own(thing) or is_cache(thing)):
        thing = thing.__wrapped__
    return thing if callable(thing) else None


def _of_the_sdks_own(function: Any) -> bool:
    """Whether it is what the SDK wraps its calls in to look at their arguments."""
    code = getattr(function, "__code__", None)
    return code is not None and {"openai", "_utils"} <= {*Path(code.co_filename).parts}


def is_cache(function: Any) -> bool:
    """Whether it is what functools.lru_cache gives."""
    return type(function) is functools._lru_cache_wrapper


def _of_asyncio(function: Any) -> bool:
    return getattr(function, "__module__", None) is not None and function.__module__.startswith(
        ("asyncio", "_asyncio")
    )


def _wraps_response(function: Any) -> bool:
    """Whether it is a call of the SDK's with_raw_response or with_streaming_response."""
    code = getattr(function, "__code__", None)
    return code is not None and bool(re.search(r"openai.*_response\.py$", code.co_filename))


def _managers_in(function: Any) -> Iterator[type]:
    for name in function.__code__.co_names:
        found = function.__globals__.get(name)
        if isinstance(found, type) and (async_context(found) or context(found)):
            yield found


def _annotated(thing: Any, *, streams: bool = False) -> type | None:
    """Return the class that a function or property says it returns; None if it says none.

    `streams`: which of two to take where it may return an answer or a stream of one.
    """
    function: Callable[..., Any] | None = thing
    if isinstance(thing, property):
        function = thing.fget
    elif hasattr(thing, "func"):
        function = thing.func
    function = _unwrapped(function)
    said = getattr(function, "__annotations__", {}).get("return")
    said = getattr(said, "__origin__", said)
    if not isinstance(said, str):
        return said if isinstance(said, type) and said is not type(None) else None
    for one in re.sub(r"\[.*\]", "", said).split("|"):
        name = one.strip().rpartition(".")[2]
        if "|" in said and streams is not name.endswith("Stream"):
            continue
        found = getattr(function, "__globals__", {}).get(name) or class_named(name)
        if isinstance(found, TypeVar):
            found = _bound(found, function)
        found = getattr(found, "__origin__", found)
        if isinstance(found, type):
            return found
    return None


def _bound(variable: TypeVar, function: Any) -> Any:
    """Return the class that a type variable stands for at least."""
    bound = variable.__bound__
    if isinstance(bound, ForwardRef):
        name = bound.__forward_arg__.partition("[")[0]
        return getattr(function, "__globals__", {}).get(name) or class_named(name)
    return bound
