"""Lets wechatpy, written by others for WeCom, say whether the simulator is one.

Usage: wecom_wechatpy.py URL CORP_ID SECRET AGENT_ID TOKEN AES_KEY QUERY ECHO_QUERY < BODY, where the queries and the body are
those of a callback. Prints a line for each thing that held.
"""

import io
import sys
from urllib.parse import parse_qs

import requests
from wechatpy.enterprise import WeChatClient, parse_message
from wechatpy.enterprise.crypto import WeChatCrypto
from wechatpy.exceptions import WeChatClientException

url, corp_id, secret, agent_id, token, aes_key, query_text, echo_text = sys.argv[1:]
agent_id = int(agent_id)
crypto = WeChatCrypto(token, aes_key, corp_id)
query = {key: value[0] for key, value in parse_qs(query_text).items()}
plain = crypto.decrypt_message(sys.stdin.read(), query["msg_signature"], query["timestamp"], query["nonce"])
message = parse_message(plain)
assert (message.type, message.content, message.source) == ("text", "你好 😀", "zhangsan"), message
print("wechatpy decrypts a message and reads it")

echo = {key: value[0] for key, value in parse_qs(echo_text).items()}
said = crypto.check_signature(echo["msg_signature"], echo["timestamp"], echo["nonce"], echo["echostr"])
assert said == "1616140317555161061", said
print("wechatpy answers the check of the address")


class Client(WeChatClient):
    """The client at the simulator; it asks for tokens at an address of its own."""

    API_BASE_URL = f"{url}/cgi-bin/"

    def fetch_access_token(self):
        params = {"corpid": self.corp_id, "corpsecret": self.secret}
        return self._fetch_access_token(f"{self.API_BASE_URL}gettoken", params)


client = Client(corp_id, secret)
assert client.access_token
print("wechatpy gets a token")

assert client.message.send_text(agent_id, "zhangsan", "hello")["msgid"]
assert client.message.send_markdown(agent_id, "zhangsan", "**hello**")["msgid"]
print("wechatpy sends")

media = client.media.upload("file", ("a.txt", io.BytesIO(b"bytes of a file")))
there = client.media.get_url(media["media_id"]).replace("https://qyapi.weixin.qq.com", url)
assert requests.get(there, timeout=10).content == b"bytes of a file"
print("wechatpy uploads a file and fetches it")

try:
    client.message.send_text(7, "zhangsan", "hello")
    raise AssertionError("a wrong agent id was taken")
except WeChatClientException as err:
    assert err.errcode == 40056, err
    print("wechatpy knows the refusal of an agent id")
