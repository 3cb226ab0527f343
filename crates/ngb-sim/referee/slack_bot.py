"""Lets Slack's slack_sdk say whether the simulator speaks the Web API and Socket Mode.

Usage: slack_bot.py <base url> <bot token> <app token>. Prints one line per step; fails at the first that is not as it
should be.
"""

import json
import queue
import sys
import urllib.request

from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError
from slack_sdk.socket_mode import SocketModeClient
from slack_sdk.socket_mode.response import SocketModeResponse

BASE, BOT, APP = sys.argv[1:4]
ROOT = BASE.removesuffix("/api")
LIMIT = 20


def sim(path, body=None):
    data = json.dumps(body or {}).encode()
    with urllib.request.urlopen(urllib.request.Request(f"{ROOT}/sim/{path}", data=data), timeout=LIMIT) as it:
        return json.load(it)


def refused(code, call):
    try:
        call()
    except SlackApiError as err:
        assert err.response["error"] == code, err
        return
    raise AssertionError(f"expected {code}")


web = WebClient(token=BOT, base_url=f"{BASE}/")
me = web.auth_test()
assert me["user_id"].startswith("U") and me["bot_id"].startswith("B"), me
refused("invalid_auth", lambda: WebClient(token="xoxb-no", base_url=f"{BASE}/").auth_test())
refused("not_allowed_token_type", lambda: web.apps_connections_open(app_token=BOT))
print("tokens")

came = queue.Queue()
client = SocketModeClient(app_token=APP, web_client=WebClient(base_url=f"{BASE}/"), ping_interval=1)
client.socket_mode_request_listeners.append(lambda _, request: came.put(request))
client.connect()
ts = sim("say", {"channel": "C1", "user": "U1", "text": "hello"})["ts"]
request = came.get(timeout=LIMIT)
event = request.payload["event"]
assert request.type == "events_api" and request.envelope_id and request.payload["event_id"], request.to_dict()
assert (event["type"], event["channel"], event["user"], event["text"], event["ts"]) == (
    "message", "C1", "U1", "hello", ts), event
assert sim("figures")["pending"] == 1
client.send_socket_mode_response(SocketModeResponse(envelope_id=request.envelope_id))
sim("envelope", {"type": "interactive", "payload": {"type": "block_actions", "actions": [{"value": "y"}]}})
request = came.get(timeout=LIMIT)
assert request.type == "interactive" and request.accepts_response_payload, request.to_dict()
client.send_socket_mode_response(SocketModeResponse(envelope_id=request.envelope_id, payload={}))
print("envelopes")

sim("disconnect", {"reason": "warning"})
sim("say", {"channel": "D1", "user": "U1", "text": "after"})
while True:
    request = came.get(timeout=LIMIT)
    client.send_socket_mode_response(SocketModeResponse(envelope_id=request.envelope_id))
    if request.payload.get("event", {}).get("text") == "after":
        break
assert request.payload["event"]["channel_type"] == "im"
print("refresh")

button = {"type": "button", "action_id": "b0", "value": "y", "text": {"type": "plain_text", "text": "Yes"}}
blocks = [{"type": "section", "text": {"type": "mrkdwn", "text": "*a*"}}, {"type": "actions", "elements": [button]}]
sent = web.chat_postMessage(channel="C1", text="*a*", blocks=blocks, thread_ts=ts,
                            metadata={"event_type": "x", "event_payload": {"key": "k"}})
assert sent["channel"] == "C1" and sent["message"]["thread_ts"] == ts, sent
assert web.chat_update(channel="C1", ts=sent["ts"], text="b", blocks=[])["text"] == "b"
found = web.conversations_replies(channel="C1", ts=ts, include_all_metadata="true")["messages"]
# The thread begins with what it answers.
assert found[0]["ts"] == ts and found[-1]["metadata"]["event_payload"]["key"] == "k", found
refused("no_text", lambda: web.chat_postMessage(channel="C1", text=""))
refused("invalid_thread_ts", lambda: web.chat_postMessage(channel="C1", text="x", thread_ts="1"))
refused("message_not_found", lambda: web.chat_update(channel="C1", ts="1.1", text="b"))
print("messages")

assert web.reactions_add(channel="C1", timestamp=ts, name="eyes")["ok"]
refused("already_reacted", lambda: web.reactions_add(channel="C1", timestamp=ts, name="eyes"))
assert web.reactions_remove(channel="C1", timestamp=ts, name="eyes")["ok"]
refused("user_not_found", lambda: web.users_info(user="U404"))
print("small ones")

file = web.files_upload_v2(channel="C1", filename="a.txt", content="some bytes", initial_comment="c")["file"]
info = web.files_info(file=file["id"])["file"]
request = urllib.request.Request(info["url_private"], headers={"Authorization": f"Bearer {BOT}"})
assert urllib.request.urlopen(request, timeout=LIMIT).read() == b"some bytes"
assert b"Sign in" in urllib.request.urlopen(info["url_private"], timeout=LIMIT).read()
print("files")
client.close()
