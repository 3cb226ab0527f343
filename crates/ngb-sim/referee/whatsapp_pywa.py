"""Lets pywa, written by others for WhatsApp's Cloud API, say whether the simulator is one.

Usage: whatsapp_pywa.py URL TOKEN NUMBER APP_SECRET VERIFY_TOKEN. Prints a line for each thing that held.
"""

import json
import sys
import threading
import urllib.request
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import parse_qs, urlsplit

import pywa
from pywa import errors, types

url, token, number, app_secret, verify_token = sys.argv[1:]
client = pywa.WhatsApp(
    phone_id=number, token=token, server=None, verify_token=verify_token, app_secret=app_secret, validate_updates=True
)
client.api._session.base_url = f"{url}/v23.0"

heard = []
arrived = threading.Condition()


class Hook(BaseHTTPRequestHandler):
    def answer(self, status: int, body: str) -> None:
        self.send_response(status)
        self.end_headers()
        self.wfile.write(body.encode())

    def do_GET(self) -> None:
        query = {key: value[0] for key, value in parse_qs(urlsplit(self.path).query).items()}
        challenge, status = client.webhook_challenge_handler(query.get("hub.verify_token"), query.get("hub.challenge"))
        self.answer(status, challenge)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        bad = client.webhook_update_validator(body, self.headers.get("X-Hub-Signature-256"))
        with arrived:
            heard.append((bad, body))
            arrived.notify()
        self.answer(200, "ok")

    def log_message(self, *_args: object) -> None:
        pass


server = HTTPServer(("127.0.0.1", 0), Hook)
threading.Thread(target=server.serve_forever, daemon=True).start()


def control(what: str, body: dict | None = None) -> object:
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(f"{url}/sim/{what}", data=data), timeout=10) as answer:
        return json.load(answer)


control("hook", {"url": f"http://127.0.0.1:{server.server_port}/"})
print("pywa answered the handshake")

control("say", {"phone": "16505551234", "user_id": "US.13491208655302741918", "name": "Ann", "text": "né 😀 a/b"})
with arrived:
    assert arrived.wait_for(lambda: heard, timeout=10)
bad, body = heard[0]
assert bad is None, bad
print("pywa believes the signature")

update = json.loads(body)
message = types.Message.from_update(client=client, update=update)
assert (message.text, message.from_user.name) == ("né 😀 a/b", "Ann"), message
assert message.type == types.MessageType.TEXT
print("pywa reads the message")

sent = client.send_message(to="16505551234", text="hello", reply_to_message_id=message.id)
assert sent.id.startswith("wamid."), sent
assert control("sent")[-1]["text"]["body"] == "hello"
print("pywa sends a text")

client.send_message(
    to="16505551234",
    text="Shall I?",
    buttons=[types.Button(title="Yes", callback_data="y"), types.Button(title="No", callback_data="n")],
)
assert control("sent")[-1]["interactive"]["type"] == "button"
print("pywa sends buttons")

media = client.upload_media(media=b"bytes of a file", mime_type="text/plain", filename="a.txt")
found = client.get_media_url(media.id if hasattr(media, "id") else media)
assert found.url.startswith(url) and found.mime_type == "text/plain", found
assert client.get_media_bytes(url=found.url) == b"bytes of a file"
print("pywa uploads a file and fetches it")

client.mark_message_as_read(message_id=message.id)
print("pywa marks a message as read")

try:
    client.send_message(to="16505551234", text="x" * 5000)
    raise AssertionError("a text of 5,000 characters was taken")
except errors.InvalidParameter:
    print("pywa knows the refusal of a long text")

client.api._session.headers["Authorization"] = "Bearer old"
try:
    client.send_message(to="16505551234", text="x")
    raise AssertionError("an old token was taken")
except errors.ExpiredAccessToken:
    print("pywa knows the refusal of an old token")
