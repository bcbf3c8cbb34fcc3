"""Chat formats: followed as transformers renders them, within bounds, and never run."""

from __future__ import annotations

import time

import pytest
from tiny_models import tiny

from kn_edit.errors import NoChatTemplate, SpecialTokenInText
from kn_edit.facts import Fact, Prompt, Template
from kn_edit.models.chat import chat_frame, chat_ids
from kn_edit.models.questions import ask

CHATML = (
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<s>system\nBe brief.</s>\n' }}{% endif %}{{'<s>' + message['role'] + '\n' + "
    "message['content'] + '</s>' + '\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<s>assistant\n' }}{% endif %}"
)
LLAMA3 = """{%- set date_string = "26 Jul 2024" if not date_string is defined else date_string %}
{%- if tools is defined and tools is not none %}{{ tools | tojson }}{% endif %}
{{- bos_token }}
{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content'] | trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set system_message = "" %}
{%- endif %}
{{- "<|head|>system<|end|>\\n\\n" ~ "Today: " ~ date_string ~ system_message }}
{%- for message in messages %}
    {%- if not (message.role == 'ipython' or 'tool_calls' in message) %}
        {{- '<|head|>' + message['role'] + '<|end|>\\n\\n' + message['content'] | trim + '</s>' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|head|>assistant<|end|>\\n\\n' }}
{%- endif %}
"""
QWEN3 = """{%- set ns = namespace(multi=true, last=messages|length - 1) %}
{%- for message in messages[::-1] %}
    {%- set index = (messages|length - 1) - loop.index0 %}
    {%- if ns.multi and message.role == "user" and message.content is string and not(message.content.startswith('<r>')) %}
        {%- set ns.multi = false %}
        {%- set ns.last = index %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- if message.content is string %}{%- set content = message.content %}{%- else %}{%- set content = '' %}{%- endif %}
    {%- if (message.role == "user") or (message.role == "system" and not loop.first) %}
        {{- '<im>' + message.role + '\\n' + content + '</im>' + '\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<im>assistant\\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}{{- 'quiet' }}{%- endif %}
{%- endif %}
"""  # noqa: E501
GEMMA = (
    "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('no') }}{% endif %}"
    "{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('turns') }}{% endif %}{% if (message['role'] == 'assistant') %}"
    "{% set role = 'model' %}{% else %}{% set role = message['role'] %}{% endif %}"
    "{{ '<turn>' + role + '\n' + message['content'] | trim + '<end>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{'<turn>model\n'}}{% endif %}"
)
_NS = "{% set ns = namespace(x='ab') %}"
HOSTILE = {
    "endless": "{% for a in 'x' * 9999 %}{% endfor %}",
    "loops in loops": "{% set l = [1,2,3,4,5,6,7,8] %}"
    + "{% for x in l %}" * 9
    + "{% endfor %}" * 9,
    "doubling": _NS + "{% set ns.x = ns.x ~ ns.x %}" * 64 + "{{ ns.x }}",
    "doubling sums": _NS + "{% set ns.x = ns.x + ns.x %}" * 64 + "{{ ns.x }}",
    "doubling lists": _NS + "{% set ns.x = [ns.x, ns.x] %}" * 64 + "{{ ns.x ~ '' }}",
    "a huge number": "{{ 10 ** 10 ** 10 }}",
    "wide": "{{ 'a'.ljust(10 ** 9) }}",
    "filters": "{{ 'a' | center(1000000000) }}",
    "classes": "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "methods": "{{ messages.append({}) }}",
    "macros": "{% macro m() %}{{ m() }}{{ m() }}{% endmacro %}{{ m() }}",
    "includes": "{% include '/etc/passwd' %}",
    "nested": "{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}",
    "broken": "{% for %}",
    "no turn": "hello",
    "two turns": "{{ messages[0].content }}{{ messages[0].content }}",
    "empty": "",
    "control characters": "\x1b]0;{{ messages[0].content }}\x07",
}


def with_template(template, shape="llama"):
    model = tiny(shape)
    plain = type(model.tokenizer.plain)(tokenizer_object=model.tokenizer.plain._tokenizer)
    plain.add_special_tokens({"bos_token": "<s>", "eos_token": "</s>", "unk_token": "[UNK]"})
    plain.chat_template = template
    model.tokenizer = type(model.tokenizer)(plain)
    return model


@pytest.mark.parametrize("template", [CHATML, LLAMA3, QWEN3, GEMMA])
def test_a_frame_is_what_transformers_renders(template):
    model = with_template(template, "gpt2")
    expected = model.tokenizer.plain.apply_chat_template(
        [{"role": "user", "content": "Where is Oslo?"}], tokenize=False, add_generation_prompt=True
    )
    frame = chat_frame(model)
    assert frame is not None
    assert f"{frame.before}Where is Oslo?{frame.after}" == expected


def test_the_mark_of_the_beginning_is_not_there_twice():
    frame = chat_frame(with_template(GEMMA, "llama"))  # its tokenizer puts <s> in front
    assert frame is not None
    assert frame.before == "<turn>user\n"


@pytest.mark.parametrize("name", HOSTILE)
def test_a_template_that_does_more_has_no_frame(name):
    start = time.process_time()
    assert chat_frame(with_template(HOSTILE[name])) is None
    assert time.process_time() - start < 5


def test_masked_models_and_models_without_a_template_have_none():
    assert chat_frame(tiny("llama")) is None
    assert chat_frame(with_template(CHATML, "bert")) is None


def test_marks_are_let_in_where_the_template_holds_them_and_nowhere_else():
    model = tiny("gpt2")
    marked = Template("<s>the capital of [X] is</s>[Y]", marked=True)
    chain = ask(model, Prompt(Fact("capital", "France", "Paris"), marked))
    assert chain.questions[0].ids[0] == model.tokenizer.bos_token_id
    for fact in (Fact("capital", "a </s>", "Paris"), Fact("capital", "France", "</s>")):
        with pytest.raises(SpecialTokenInText):
            ask(model, Prompt(fact, marked))
    with pytest.raises(SpecialTokenInText):
        ask(model, Prompt(Fact("capital", "France", "Paris"), Template(marked.text)))


TURNS = [
    {"role": "user", "content": "Where is Oslo? "},
    {"role": "assistant", "content": "In Norway."},
    {"role": "user", "content": "And <s> Cairo?\n" * 300},
]
BRIEF = [{"role": "system", "content": "Be brief."}, *TURNS]


@pytest.mark.parametrize(
    "messages", [TURNS, BRIEF, TURNS[:1] * 150], ids=["turns", "system", "long"]
)
@pytest.mark.parametrize("template", [CHATML, LLAMA3, QWEN3], ids=["chatml", "llama3", "qwen3"])
def test_a_conversation_has_the_tokens_that_transformers_gives_it(template, messages):
    model = with_template(template, "gpt2")
    expected = model.tokenizer.plain.apply_chat_template(
        messages, add_generation_prompt=True, return_dict=True
    )
    assert chat_ids(model, messages) == tuple(expected["input_ids"])


def test_messages_that_a_template_refuses_are_refused():
    with pytest.raises(NoChatTemplate, match="does not take these messages"):
        chat_ids(with_template(GEMMA), BRIEF)
