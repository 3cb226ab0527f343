"""Lets the official clients of Anthropic, OpenAI and Ollama say whether the model simulator speaks their APIs.

Usage: models.py <base url>. Prints one line per step; fails at the first that is not as it should be.
"""

import json
import sys
import urllib.request

import anthropic
import httpx
import httpx2
import ollama
import openai

BASE = sys.argv[1]
TOOL = {
    "type": "object",
    "properties": {"command": {"type": "string"}},
    "required": ["command"],
}
CALL = 'tool:bash {"command":"ls"}\ndone'
KEY = "sk-referee"

# A proxy of the machine is not for loopback.
plain = httpx2.Client(trust_env=False)
# What each client makes of a connection that ends too early.
BROKEN = (
    httpx.TransportError,
    httpx2.TransportError,
    anthropic.APIConnectionError,
    openai.APIConnectionError,
)
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def sim(path, body=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(
        f"{BASE}/sim/{path}", data=data, headers={"content-type": "application/json"}
    )
    with opener.open(request) as it:
        text = it.read()
        return json.loads(text) if text else None


def fault(*faults):
    sim("faults", list(faults))


def refused(kind, call, status=None):
    try:
        call()
    except kind as err:
        assert status is None or err.status_code == status, err
        return err
    raise AssertionError(f"{kind} was to be raised")


def same(got, want):
    assert got == want, f"{got!r} is not {want!r}"


def of_anthropic():
    client = lambda retries=0: anthropic.Anthropic(
        api_key=KEY, base_url=BASE, http_client=plain, max_retries=retries
    )
    ask = dict(model="claude", max_tokens=100)
    say = lambda text: [{"role": "user", "content": text}]

    whole = client().messages.create(messages=say("think:well\nsay:hello there"), **ask)
    same([it.type for it in whole.content], ["thinking", "text"])
    same((whole.content[1].text, whole.stop_reason), ("hello there", "end_turn"))
    assert 0 < whole.usage.input_tokens and 0 < whole.usage.output_tokens
    yield "anthropic: a message"

    with client().messages.stream(messages=say("think:well\nlong:300"), **ask) as stream:
        text = "".join(stream.text_stream)
        last = stream.get_final_message()
    same((len(text), last.content[0].thinking, last.content[1].text), (300, "well", text))
    same(last.usage.output_tokens, 76)
    yield "anthropic: a stream"

    tools = [{"name": "bash", "description": "runs it", "input_schema": TOOL}]
    messages = say(CALL)
    with client().messages.stream(messages=messages, tools=tools, **ask) as stream:
        called = stream.get_final_message()
    use = called.content[0]
    same((use.type, use.name, use.input, called.stop_reason), ("tool_use", "bash", {"command": "ls"}, "tool_use"))
    result = {"type": "tool_result", "tool_use_id": use.id, "content": "a.txt"}
    messages += [{"role": "assistant", "content": called.content}, {"role": "user", "content": [result]}]
    done = client().messages.create(messages=messages, tools=tools, **ask)
    same(done.content[0].text, "done\na.txt")
    refused(anthropic.BadRequestError, lambda: client().messages.create(messages=[messages[2]], **ask), 400)
    yield "anthropic: a tool and its result"

    hi = lambda retries=0: client(retries).messages.create(messages=say("hi"), **ask)
    for status, kind in [
        (401, anthropic.AuthenticationError),
        (404, anthropic.NotFoundError),
        (429, anthropic.RateLimitError),
        (500, anthropic.InternalServerError),
        (529, anthropic.InternalServerError),
    ]:
        fault({"kind": "status", "status": status, "retry_after": 0})
        refused(kind, hi, status)
    fault({"kind": "status", "status": 429, "retry_after": 0}, {"kind": "status", "status": 529})
    same(hi(2).content[0].text, "hi")
    yield "anthropic: errors, and a wait that is obeyed"

    def streamed():
        with client().messages.stream(messages=say("long:900"), **ask) as stream:
            return stream.get_final_text()

    fault({"kind": "cut_stream", "after_pieces": 4}, {"kind": "half_body"})
    refused(BROKEN, streamed)
    refused(BROKEN, streamed)
    fault({"kind": "error_event"})
    refused(anthropic.APIStatusError, streamed)
    same(len(streamed()), 900)
    yield "anthropic: streams that break"


def of_openai():
    client = lambda retries=0: openai.OpenAI(
        api_key=KEY, base_url=f"{BASE}/v1", http_client=plain, max_retries=retries
    )
    chat = lambda retries=0, **more: client(retries).chat.completions.create(model="gpt", **more)
    say = lambda text: [{"role": "user", "content": text}]

    whole = chat(messages=say("say:hello there"))
    same((whole.choices[0].message.content, whole.choices[0].finish_reason), ("hello there", "stop"))
    same(whole.usage.total_tokens, whole.usage.prompt_tokens + whole.usage.completion_tokens)
    yield "openai: a completion"

    text, usage = "", None
    for chunk in chat(messages=say("long:300"), stream=True, stream_options={"include_usage": True}):
        text += "".join(it.delta.content or "" for it in chunk.choices)
        usage = chunk.usage or usage
    same((len(text), usage.completion_tokens), (300, 75))
    yield "openai: a stream"

    tools = [{"type": "function", "function": {"name": "bash", "parameters": TOOL}}]
    messages = say(CALL)
    with client().chat.completions.stream(model="gpt", messages=messages, tools=tools) as stream:
        called = stream.get_final_completion().choices[0]
    call = called.message.tool_calls[0]
    same((call.function.name, json.loads(call.function.arguments), called.finish_reason), ("bash", {"command": "ls"}, "tool_calls"))
    messages += [
        {"role": "assistant", "tool_calls": [call.model_dump(include={"id", "type", "function"})]},
        {"role": "tool", "tool_call_id": call.id, "content": "a.txt"},
    ]
    same(chat(messages=messages, tools=tools).choices[0].message.content, "done\na.txt")
    refused(openai.BadRequestError, lambda: chat(messages=[messages[2]]), 400)
    yield "openai: a tool and its result"

    for status, kind in [
        (401, openai.AuthenticationError),
        (404, openai.NotFoundError),
        (429, openai.RateLimitError),
        (500, openai.InternalServerError),
    ]:
        fault({"kind": "status", "status": status, "retry_after": 0})
        refused(kind, lambda: chat(messages=say("hi")), status)
    fault({"kind": "status", "status": 429, "retry_after": 0}, {"kind": "status", "status": 500})
    same(chat(2, messages=say("hi")).choices[0].message.content, "hi")
    yield "openai: errors, and a wait that is obeyed"

    streamed = lambda: list(chat(messages=say("long:900"), stream=True))
    fault({"kind": "cut_stream", "after_pieces": 4}, {"kind": "half_body"})
    refused(BROKEN, streamed)
    refused(BROKEN, streamed)
    fault({"kind": "error_event"})
    refused(openai.APIError, streamed)
    yield "openai: streams that break"


def of_ollama():
    client = ollama.Client(host=BASE, trust_env=False)
    chat = lambda messages, **more: client.chat(model="llama", messages=messages, **more)
    say = lambda text: [{"role": "user", "content": text}]

    whole = chat(say("think:well\nsay:hello there"))
    same((whole.message.content, whole.message.thinking, whole.done), ("hello there", "well", True))
    yield "ollama: a chat"

    parts = list(chat(say("long:300"), stream=True, options={"num_ctx": 4096}))
    same((sum(len(it.message.content) for it in parts), parts[-1].done, parts[-1].eval_count), (300, True, 75))
    yield "ollama: a stream"

    tools = [{"type": "function", "function": {"name": "bash", "description": "runs it", "parameters": TOOL}}]
    messages = say(CALL)
    called = chat(messages, tools=tools).message
    call = called.tool_calls[0].function
    same((call.name, dict(call.arguments)), ("bash", {"command": "ls"}))
    messages += [called, {"role": "tool", "tool_name": "bash", "content": "a.txt"}]
    same(chat(messages, tools=tools).message.content, "done\na.txt")
    yield "ollama: a tool and its result"

    for status in [404, 429, 500]:
        fault({"kind": "status", "status": status})
        refused(ollama.ResponseError, lambda: chat(say("hi")), status)
    sim("behaviour", {"tools": False})
    err = refused(ollama.ResponseError, lambda: chat(say("hi"), tools=tools), 400)
    assert "does not support tools" in str(err), err
    sim("behaviour", {})
    yield "ollama: errors"

    streamed = lambda: list(chat(say("long:900"), stream=True))
    fault({"kind": "cut_stream", "after_pieces": 4})
    refused(BROKEN, streamed)
    fault({"kind": "error_event"})
    refused(ollama.ResponseError, streamed)
    yield "ollama: streams that break"


for steps in [of_anthropic(), of_openai(), of_ollama()]:
    for step in steps:
        print(step, flush=True)
