"""How a model is asked in a chat: its tokenizer's chat template, without running it.

A chat template is a program in Jinja that comes with the checkpoint. It is parsed, and what chat
templates are made of is followed here within bounds of steps and of text; nothing of it is called.
A template that needs more than that has no frame.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from kn_edit.errors import NoChatTemplate
from kn_edit.facts.paraphrases import ChatFrame
from kn_edit.models.encoding import Ids, plain_ids, text_ids
from kn_edit.models.model import Model

MOST_TEMPLATE = 100_000  # characters
MOST_STEPS = 20_000
MOST_TEXT = 4_000  # characters of anything that it makes, beside those of the messages
STEPS_A_MESSAGE = 200
MOST_FRAME = 100  # characters around a message
_TURN = "QgPzWx"  # stands for the user's turn


def chat_frame(model: Model) -> ChatFrame | None:
    """What stands around a user's turn in the model's chat format; None where it has none.

    Without the mark of a text's beginning where the tokenizer puts it there anyway.
    """
    template = _template(model)
    if template is None:
        return None
    marks = _marks(model)
    text = _frame_text(template, tuple(sorted(marks.items())))
    before, turn, after = (text or "").partition(_TURN)
    readable = all(letter.isprintable() or letter in "\n\t" for letter in before + after)
    if not turn or _TURN in after or not readable:  # what no field may hold is recorded nowhere
        return None
    begin = marks.get("bos_token", "")
    if begin and text_ids(model, "") == (model.tokenizer.bos_token_id,):
        before = before.removeprefix(begin)
    return ChatFrame(before, after)


def chat_ids(model: Model, messages: Sequence[Mapping[str, str]]) -> Ids:
    """The tokens of a conversation, up to where the model answers, by its own chat template.

    messages: with `role` and `content`. Raises NoChatTemplate.
    """
    template = _template(model)
    if template is None:
        raise NoChatTemplate("it has none")
    text = _rendered(template, _marks(model), messages)
    if text is None:
        raise NoChatTemplate("its template does not take these messages, or needs a program to run")
    return plain_ids(model, text)


def _template(model: Model) -> str | None:
    """The chat template of a causal LM, if it has one of a bearable length."""
    template = model.tokenizer.chat_template
    if isinstance(template, Mapping):
        template = template.get("default")
    if not model.causal or not isinstance(template, str) or len(template) > MOST_TEMPLATE:
        return None
    return template


def _marks(model: Model) -> dict[str, str]:
    special = model.tokenizer.special_tokens_map.items()
    return {name: str(mark) for name, mark in special if mark}


@lru_cache(maxsize=8)
def _frame_text(template: str, marks: tuple[tuple[str, str], ...]) -> str | None:
    """A chat template with one user's turn."""
    return _rendered(template, dict(marks), [{"role": "user", "content": _TURN}])


def _rendered(
    template: str, marks: Mapping[str, str], messages: Sequence[Mapping[str, str]]
) -> str | None:
    """A chat template with messages, up to where the model answers; None if not followed."""
    from jinja2 import Environment

    names: dict[str, Any] = {
        **marks,
        "messages": [dict(message) for message in messages],
        "add_generation_prompt": True,
    }
    length = sum(len(text) for message in messages for text in message.values())
    try:
        environment = Environment(trim_blocks=True, lstrip_blocks=True)
        tree = environment.parse(template)
        rendering = _Rendering(
            names,
            most_steps=MOST_STEPS + STEPS_A_MESSAGE * len(messages),
            most_text=MOST_TEXT + 2 * length + MOST_FRAME * len(messages),
        )
        rendering.run(tree.body)
    except Exception:  # whatever a stranger's template brings about, it is not followed
        return None
    return "".join(rendering.parts)


class _NotFollowed(Exception):
    """The template does what is not followed here."""


class _Namespace(dict[str, Any]):
    """What `namespace()` makes."""


_UNDEFINED: Any = type("_Undefined", (), {"__bool__": lambda _: False, "__str__": lambda _: ""})()

_COMPARED: dict[str, Callable[[Any, Any], Any]] = {
    "eq": operator.eq,
    "ne": operator.ne,
    "lt": operator.lt,
    "lteq": operator.le,
    "gt": operator.gt,
    "gteq": operator.ge,
    "in": lambda item, container: item in container,
    "notin": lambda item, container: item not in container,
}
_TESTS: dict[str, Callable[[Any], bool]] = {
    "defined": lambda value: value is not _UNDEFINED,
    "undefined": lambda value: value is _UNDEFINED,
    "none": lambda value: value is None,
    "string": lambda value: isinstance(value, str),
    "mapping": lambda value: isinstance(value, dict),
    "sequence": lambda value: isinstance(value, (str, list, tuple, dict)),
    "iterable": lambda value: isinstance(value, (str, list, tuple, dict)),
    "true": lambda value: value is True,
    "false": lambda value: value is False,
}
_FILTERS: dict[str, Callable[[Any], Any]] = {
    "trim": lambda value: _plain(value).strip(),
    "length": len,
    "count": len,
    "upper": lambda value: _plain(value).upper(),
    "lower": lambda value: _plain(value).lower(),
    "string": lambda value: _plain(value),
    "first": lambda value: value[0] if value else _UNDEFINED,
    "last": lambda value: value[-1] if value else _UNDEFINED,
    "list": list,
}


def _plain(value: Any) -> str:
    """A value as it is written into a text."""
    if not (isinstance(value, (str, int)) or value is _UNDEFINED):
        raise _NotFollowed
    return str(value)


_METHODS = ("strip", "lstrip", "rstrip", "startswith", "endswith", "upper", "lower", "split")


class _Rendering:
    """One run of a template, a step for each part of it."""

    def __init__(self, names: dict[str, Any], *, most_steps: int, most_text: int) -> None:
        self.names = names
        self.parts: list[str] = []
        self._most_steps, self._most_text = most_steps, most_text
        self._steps = 0
        self._length = 0

    def run(self, statements: Sequence[Any]) -> None:
        for statement in statements:
            self._step()
            action = getattr(self, f"_run_{type(statement).__name__.lower()}", None)
            if action is None:
                raise _NotFollowed
            action(statement)

    def value(self, node: Any) -> Any:
        """What an expression is worth."""
        self._step()
        action = getattr(self, f"_value_{type(node).__name__.lower()}", None)
        if action is None:
            raise _NotFollowed
        result = action(node)
        if isinstance(result, (str, list, tuple, dict)) and len(result) > self._most_text:
            raise _NotFollowed
        return result

    def _step(self) -> None:
        self._steps += 1
        if self._steps > self._most_steps:
            raise _NotFollowed

    def _run_output(self, node: Any) -> None:
        for part in node.nodes:
            self.parts.append(_plain(self.value(part)))
            self._length += len(self.parts[-1])
            if self._length > self._most_text:
                raise _NotFollowed

    def _run_macro(self, node: Any) -> None:
        """What is defined is not called: `_value_call` knows no such name."""

    def _run_if(self, node: Any) -> None:
        for branch in (node, *node.elif_):
            if self.value(branch.test):
                self.run(branch.body)
                return
        self.run(node.else_)

    def _run_for(self, node: Any) -> None:
        members = list(self.value(node.iter))
        if node.recursive or node.test is not None:
            raise _NotFollowed
        outer = dict(self.names)
        for index, member in enumerate(members):
            self._bind(node.target, member)
            self.names["loop"] = {
                "first": index == 0,
                "last": index == len(members) - 1,
                "index": index + 1,
                "index0": index,
                "length": len(members),
            }
            self.run(node.body)
            self.names = dict(outer)  # what is set inside a loop ends with its turn
        if not members:
            self.run(node.else_)

    def _run_assign(self, node: Any) -> None:
        self._bind(node.target, self.value(node.node))

    def _bind(self, target: Any, value: Any) -> None:
        kind = type(target).__name__
        if kind == "Name":
            self.names[target.name] = value
        elif kind == "NSRef" and isinstance(self.names.get(target.name), _Namespace):
            self.names[target.name][target.attr] = value
        elif kind == "Tuple" and len(target.items) == len(value):
            for part, member in zip(target.items, value, strict=True):
                self._bind(part, member)
        else:
            raise _NotFollowed

    def _value_const(self, node: Any) -> Any:
        return node.value

    def _value_templatedata(self, node: Any) -> Any:
        return node.data

    def _value_name(self, node: Any) -> Any:
        return self.names.get(node.name, _UNDEFINED)

    def _value_list(self, node: Any) -> Any:
        return [self.value(item) for item in node.items]

    def _value_tuple(self, node: Any) -> Any:
        return tuple(self.value(item) for item in node.items)

    def _value_dict(self, node: Any) -> Any:
        return {self.value(pair.key): self.value(pair.value) for pair in node.items}

    def _value_getattr(self, node: Any) -> Any:
        return self._member(self.value(node.node), node.attr)

    def _value_getitem(self, node: Any) -> Any:
        holder = self.value(node.node)
        if type(node.arg).__name__ != "Slice":
            return self._member(holder, self.value(node.arg))
        bounds = (node.arg.start, node.arg.stop, node.arg.step)
        return holder[slice(*(None if bound is None else self.value(bound) for bound in bounds))]

    def _member(self, holder: Any, key: Any) -> Any:
        if isinstance(holder, dict):
            return holder.get(key, _UNDEFINED)
        if isinstance(holder, (str, list, tuple)) and isinstance(key, int):
            return holder[key] if -len(holder) <= key < len(holder) else _UNDEFINED
        return _UNDEFINED

    def _value_compare(self, node: Any) -> Any:
        first = self.value(node.expr)
        for operand in node.ops:
            second = self.value(operand.expr)
            if not _COMPARED[operand.op](first, second):
                return False
            first = second
        return True

    def _value_and(self, node: Any) -> Any:
        return self.value(node.left) and self.value(node.right)

    def _value_or(self, node: Any) -> Any:
        return self.value(node.left) or self.value(node.right)

    def _value_not(self, node: Any) -> Any:
        return not self.value(node.node)

    def _value_condexpr(self, node: Any) -> Any:
        if self.value(node.test):
            return self.value(node.expr1)
        return _UNDEFINED if node.expr2 is None else self.value(node.expr2)

    def _value_add(self, node: Any) -> Any:
        first, second = self.value(node.left), self.value(node.right)
        if isinstance(first, str) and isinstance(second, str):
            return first + second
        return self._numbers(operator.add, first, second)

    def _value_sub(self, node: Any) -> Any:
        return self._numbers(operator.sub, self.value(node.left), self.value(node.right))

    def _value_mod(self, node: Any) -> Any:
        return self._numbers(operator.mod, self.value(node.left), self.value(node.right))

    def _value_neg(self, node: Any) -> Any:
        return self._numbers(operator.sub, 0, self.value(node.node))

    def _numbers(self, action: Callable[[int, int], int], first: Any, second: Any) -> int:
        if (
            not (isinstance(first, int) and isinstance(second, int))
            or max(first, second) > self._most_text
        ):
            raise _NotFollowed
        return action(first, second)

    def _value_concat(self, node: Any) -> Any:
        text = ""
        for part in node.nodes:
            text += _plain(self.value(part))
            if len(text) > self._most_text:
                raise _NotFollowed
        return text

    def _value_filter(self, node: Any) -> Any:
        if node.name not in _FILTERS or node.node is None or node.args or node.kwargs:
            raise _NotFollowed
        return _FILTERS[node.name](self.value(node.node))

    def _value_test(self, node: Any) -> Any:
        if node.name not in _TESTS or node.args:
            raise _NotFollowed
        return _TESTS[node.name](self.value(node.node))

    def _value_call(self, node: Any) -> Any:
        if node.dyn_args or node.dyn_kwargs:
            raise _NotFollowed
        arguments = [self.value(argument) for argument in node.args]
        if type(node.node).__name__ == "Name" and node.node.name == "namespace" and not arguments:
            return _Namespace((pair.key, self.value(pair.value)) for pair in node.kwargs)
        if type(node.node).__name__ != "Getattr" or node.kwargs:
            raise _NotFollowed
        holder, method = self.value(node.node.node), node.node.attr
        if isinstance(holder, str) and method in _METHODS:
            return getattr(holder, method)(*arguments)
        if isinstance(holder, dict) and method in ("get", "items"):
            return list(holder.items()) if method == "items" else holder.get(*arguments)
        raise _NotFollowed
