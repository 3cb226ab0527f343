"""Lets DingTalk's dingtalk-stream say whether the simulator speaks Stream mode, session webhooks and the OpenAPI.

Usage: dingtalk_stream_bot.py URL CLIENT_ID CLIENT_SECRET TEMPLATE KEY. Prints one line per step; fails at the first that is
not as it should be.
"""

import asyncio
import json
import os
import queue
import sys
import threading
import urllib.request

URL, CLIENT, SECRET, TEMPLATE, KEY = sys.argv[1:6]
os.environ["DINGTALK_OPENAPI_ENDPOINT"] = URL

import dingtalk_stream  # noqa: E402  (it reads the variable when it is loaded)
from dingtalk_stream import AckMessage  # noqa: E402
from dingtalk_stream.card_callback import Card_Callback_Router_Topic, CardCallbackMessage  # noqa: E402
from dingtalk_stream.card_instance import CarouselCardInstance  # noqa: E402
from dingtalk_stream.card_replier import AICardReplier, AICardStatus  # noqa: E402

LIMIT = 20


def sim(path, body=None):
    data = json.dumps(body or {}).encode()
    with urllib.request.urlopen(urllib.request.Request(f"{URL}/sim/{path}", data=data), timeout=LIMIT) as it:
        return json.load(it)


def until(done):
    figures = sim("figures")
    while not done(figures):
        figures = sim("figures")
    return figures


came = queue.Queue()


class Handler(dingtalk_stream.ChatbotHandler):
    """Hands on what comes, and says that it has it."""

    async def process(self, callback):
        came.put(dingtalk_stream.ChatbotMessage.from_dict(callback.data))
        return AckMessage.STATUS_OK, "OK"


client = dingtalk_stream.DingTalkStreamClient(dingtalk_stream.Credential(CLIENT, SECRET))
handler = Handler()
client.register_callback_handler(dingtalk_stream.ChatbotMessage.TOPIC, handler)


pressed = queue.Queue()


class Presses(dingtalk_stream.CallbackHandler):
    """Hands on a press, and changes its card."""

    async def process(self, callback):
        pressed.put(CardCallbackMessage.from_dict(callback.data))
        params = {"staticMsgContent": "Really? Yes"}
        return AckMessage.STATUS_OK, {"cardUpdateOptions": {"updateCardDataByKey": True}, "cardData": {"cardParamMap": params}}


client.register_callback_handler(Card_Callback_Router_Topic, Presses())
threading.Thread(target=lambda: asyncio.run(client.start()), daemon=True).start()
until(lambda it: it["sockets"] == 1)
print("a socket by a ticket")

written = sim("write", {"user": "manager7", "text": " hello"})["msgId"]
direct = came.get(timeout=LIMIT)
assert (direct.message_id, direct.conversation_type, direct.sender_staff_id) == (written, "1", "manager7"), direct
assert direct.get_text_list() == [" hello"] and direct.session_webhook and direct.session_webhook_expired_time, direct
sim("ask", {"group": "cidAAAAAAAAAAAAAAAAAAAA==", "user": "manager7", "text": "hello"})
group = came.get(timeout=LIMIT)
assert (group.conversation_type, group.is_in_at_list, group.conversation_title) == ("2", True, "The group"), group
assert until(lambda it: it["pending"] == 0)["acknowledged"] == 2
print("messages and acknowledgements")

ping = sim("ping")["messageId"]
until(lambda it: it["acknowledged"] == 3)
answer = sim("answer", {"id": ping})
assert json.loads(answer["data"]) == {"opaque": "0000-1111"}, answer
print("a ping")

assert handler.reply_text("some text", direct)["errcode"] == 0
assert handler.reply_markdown("title", "**text**", group)["errcode"] == 0
said = sim("said")
assert [(it["door"], it["to"]) for it in said] == [("session", "manager7"), ("session", "cidAAAAAAAAAAAAAAAAAAAA==")], said
print("answers by session webhook")

sim("keep", {"code": "code1", "text": "what the file says"})
url = handler.get_image_download_url("code1")
with urllib.request.urlopen(url, timeout=LIMIT) as it:
    assert it.read() == b"what the file says"
print("a file by its code")

card = AICardReplier(client, direct)
name = card.create_and_send_card(TEMPLATE, {KEY: ""})
assert name, "the card was not delivered"
card.streaming(name, KEY, "so", append=False, finished=False, failed=False)
card.streaming(name, KEY, "so far", append=False, finished=True, failed=False)
cards = sim("cards")
want = {"name": name, "space": "dtv1.card//IM_ROBOT.manager7", "content": "so far", "finished": True, "states": 2, "params": {KEY: ""}}
assert cards == [want], cards
print("a card that is streamed")

# The template and the layout that the library brings along in CarouselCardInstance.
layout = {"order": ["staticMsgContent", "msgButtons"], "msgButtons": [{"text": "Yes", "color": "blue", "id": "q:0", "request": True}]}
params = {"flowStatus": AICardStatus.FINISHED, "staticMsgContent": "Really?", "sys_full_json_obj": json.dumps(layout)}
name = card.create_and_send_card(CarouselCardInstance(client, direct).card_template_id, params)
sim("press", {"user": "manager7", "card": name, "label": "Yes"})
press = pressed.get(timeout=LIMIT)
assert (press.card_instance_id, press.user_id) == (name, "manager7"), press.to_dict()
assert press.content["cardPrivateData"]["actionIds"] == ["q:0"], press.content
until(lambda it: it["pending"] == 0)
changed = next(it for it in sim("cards") if it["name"] == name)
assert changed["params"]["staticMsgContent"] == "Really? Yes", changed
print("a card with a button that is pressed")

sim("disconnect")
until(lambda it: it["opened"] == 2 and it["sockets"] == 1)
sim("write", {"user": "manager7", "text": "again"})
assert came.get(timeout=LIMIT).get_text_list() == ["again"]
print("another socket after a disconnect")
os._exit(0)
