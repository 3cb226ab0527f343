"""Lets Feishu's own lark_oapi say whether the simulator speaks the open API and the long connection.

Usage: feishu_bot.py <base url> <app id> <app secret> <encrypt key> <verification token>. Prints one line per step; fails at
the first that is not as it should be.
"""

import io
import json
import queue
import sys
import threading
import urllib.request

import lark_oapi as lark
from lark_oapi.api.cardkit.v1 import (
    Card, ContentCardElementRequest, ContentCardElementRequestBody, CreateCardRequest, CreateCardRequestBody,
    UpdateCardRequest, UpdateCardRequestBody,
)
from lark_oapi.api.im.v1 import (
    CreateFileRequest, CreateFileRequestBody, CreateMessageReactionRequest, CreateMessageReactionRequestBody,
    CreateMessageRequest, CreateMessageRequestBody, Emoji, GetMessageResourceRequest, ListMessageRequest,
    PatchMessageRequest, PatchMessageRequestBody, ReplyMessageRequest, ReplyMessageRequestBody,
)
from lark_oapi.event.callback.model.p2_card_action_trigger import P2CardActionTriggerResponse

BASE, APP, SECRET, KEY, TOKEN = sys.argv[1:6]
LIMIT = 20


def sim(path, body=None):
    data = json.dumps(body or {}).encode()
    with urllib.request.urlopen(urllib.request.Request(f"{BASE}/sim/{path}", data=data), timeout=LIMIT) as it:
        return json.load(it)


def until(done):
    for _ in range(10_000):
        figures = sim("figures")
        if done(figures):
            return figures
    raise AssertionError(figures)


api = lark.Client.builder().app_id(APP).app_secret(SECRET).domain(BASE).log_level(lark.LogLevel.ERROR).build()
wrong = lark.Client.builder().app_id(APP).app_secret("no").domain(BASE).log_level(lark.LogLevel.CRITICAL).build()


def card(text, streams=False):
    elements = [{"tag": "markdown", "element_id": "text", "content": text}]
    return json.dumps({"schema": "2.0", "config": {"streaming_mode": streams}, "body": {"elements": elements}})


def create(client, to, kind, content, uuid=None):
    body = CreateMessageRequestBody.builder().receive_id(to).msg_type(kind).content(content)
    body = body.uuid(uuid) if uuid else body
    request = CreateMessageRequest.builder().receive_id_type("chat_id").request_body(body.build()).build()
    return client.im.v1.message.create(request)


try:
    refused = create(wrong, "oc_1", "text", '{"text":"x"}')
    assert not refused.success(), refused
except Exception as err:
    assert "10014" in str(err) or "secret" in str(err).lower() or "token" in str(err).lower(), err
print("tokens")

came = queue.Queue()
handler = (
    lark.EventDispatcherHandler.builder("", "")
    .register_p2_im_message_receive_v1(came.put)
    .register_p2_card_action_trigger(lambda it: came.put(it) or P2CardActionTriggerResponse({"toast": {"type": "info", "content": "ok"}}))
    .build()
)
client = lark.ws.Client(APP, SECRET, event_handler=handler, domain=BASE, log_level=lark.LogLevel.ERROR)
threading.Thread(target=client.start, daemon=True).start()
until(lambda it: it["sockets"] == 1)
said = sim("say", {"chat": "oc_1", "user": "ou_1", "text": "hello"})
event = came.get(timeout=LIMIT).event
assert (event.message.message_id, event.message.chat_id, event.message.chat_type) == (said["message_id"], "oc_1", "group")
assert json.loads(event.message.content) == {"text": "hello"} and event.sender.sender_id.open_id == "ou_1"
figures = until(lambda it: it["pending"] == 0)
assert figures["broken"] == 0 and figures["pings"] > 0, figures
print("events, pings and acknowledgements")

sim("split", {"parts": 3})
sim("say", {"chat": "oc_p1", "user": "ou_1", "text": "in parts"})
event = came.get(timeout=LIMIT).event
assert json.loads(event.message.content) == {"text": "in parts"} and event.message.chat_type == "p2p"
until(lambda it: it["pending"] == 0)
sim("split", {"parts": 1})
sim("event", {"type": "card.action.trigger", "event": {
    "operator": {"open_id": "ou_1"}, "action": {"tag": "button", "value": {"v": "7:yes"}},
    "context": {"open_message_id": "om_1", "open_chat_id": "oc_1"}, "token": "c"}})
assert came.get(timeout=LIMIT).event.action.value == {"v": "7:yes"}
until(lambda it: it["pending"] == 0)
assert sim("answers")[-1]["data"], "the answer to a card stands in the acknowledgement"
print("parts and buttons")

sent = create(api, "oc_1", "interactive", card("**a**"), "k-1")
assert sent.success() and sent.data.message_id, sent.msg
assert create(api, "oc_1", "interactive", card("**a**"), "k-1").data.message_id == sent.data.message_id
body = ReplyMessageRequestBody.builder().msg_type("text").content('{"text":"b"}').reply_in_thread(True).build()
reply = api.im.v1.message.reply(ReplyMessageRequest.builder().message_id(said["message_id"]).request_body(body).build())
assert reply.success(), reply.msg
body = PatchMessageRequestBody.builder().content(card("c")).build()
assert api.im.v1.message.patch(PatchMessageRequest.builder().message_id(sent.data.message_id).request_body(body).build()).success()
assert create(api, "oc_1", "post", '{"post":{"zh_cn":{}}}').code == 230001
assert create(api, "oc_1", "text", '{"text":""}').code == 230001
request = ListMessageRequest.builder().container_id_type("chat").container_id("oc_1").page_size(50)
found = api.im.v1.message.list(request.sort_type("ByCreateTimeAsc").start_time("0").build())
assert [json.loads(it.body.content)["text"] for it in found.data.items] == ["hello"], found.data
print("messages")

body = CreateCardRequestBody.builder().type("card_json").data(card("a", True)).build()
made = api.cardkit.v1.card.create(CreateCardRequest.builder().request_body(body).build())
assert made.success(), made.msg
content = json.dumps({"type": "card", "data": {"card_id": made.data.card_id}})
assert create(api, "oc_1", "interactive", content).success()


def stream(text, sequence):
    body = ContentCardElementRequestBody.builder().content(text).sequence(sequence).build()
    request = ContentCardElementRequest.builder().card_id(made.data.card_id).element_id("text").request_body(body)
    return api.cardkit.v1.card_element.content(request.build())


assert stream("a b", 1).success() and stream("a b c", 1).code == 300317
whole = Card.builder().type("card_json").data(card("a b c")).build()
body = UpdateCardRequestBody.builder().card(whole).sequence(2).build()
assert api.cardkit.v1.card.update(UpdateCardRequest.builder().card_id(made.data.card_id).request_body(body).build()).success()
assert stream("more", 3).code == 300309
assert sim("posted")[-1]["content"]["body"]["elements"][0]["content"] == "a b c"
print("cards that grow")

body = CreateFileRequestBody.builder().file_type("stream").file_name("a.txt").file(io.BytesIO(b"some bytes")).build()
file = api.im.v1.file.create(CreateFileRequest.builder().request_body(body).build())
assert file.success(), file.msg
request = GetMessageResourceRequest.builder().message_id("om_1").file_key(file.data.file_key).type("file").build()
assert api.im.v1.message_resource.get(request).file.read() == b"some bytes"
body = CreateMessageReactionRequestBody.builder().reaction_type(Emoji.builder().emoji_type("Typing").build()).build()
request = CreateMessageReactionRequest.builder().message_id(said["message_id"]).request_body(body).build()
assert api.im.v1.message_reaction.create(request).data.reaction_id
print("files and reactions")
