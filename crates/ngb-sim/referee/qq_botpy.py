"""Lets QQ's own qq-botpy say whether the simulator speaks the open platform's API and gateway.

Usage: qq_botpy.py URL TOKEN_URL APP_ID SECRET. Prints one line per step; fails at the first that is not as it should be. The
library has its addresses as constants, so these are set before it is used; nothing else of it is changed.
"""

import asyncio
import json
import os
import sys
import urllib.parse
import urllib.request

URL, TOKEN_URL, APP, SECRET = sys.argv[1:5]

import aiohttp  # noqa: E402
import botpy  # noqa: E402
from botpy.http import Route  # noqa: E402

LIMIT = 30
Route.SCHEME, Route.DOMAIN = "http", urllib.parse.urlsplit(URL).netloc

post = aiohttp.ClientSession.post


def post_here(self, url, **more):
    """The address of the access token stands in the middle of a function."""
    return post(self, TOKEN_URL if str(url).endswith("/app/getAppAccessToken") else url, **more)


aiohttp.ClientSession.post = post_here


def sim(path, body=None):
    data = json.dumps(body or {}).encode()
    with urllib.request.urlopen(urllib.request.Request(f"{URL}/sim/{path}", data=data), timeout=LIMIT) as it:
        return json.load(it)


class Bot(botpy.Client):
    """Hands on what comes."""

    def __init__(self, **more):
        super().__init__(**more)
        self.came = asyncio.Queue()

    async def on_ready(self):
        await self.came.put(self.robot)

    async def on_c2c_message_create(self, message):
        await self.came.put(message)

    async def on_group_at_message_create(self, message):
        await self.came.put(message)

    async def on_at_message_create(self, message):
        await self.came.put(message)


async def ask(path, body=None):
    return await asyncio.to_thread(sim, path, body)


async def main():
    intents = botpy.Intents(public_messages=True, public_guild_messages=True)
    bot = Bot(intents=intents, bot_log=False)
    running = asyncio.create_task(bot.start(appid=APP, secret=SECRET))

    async def next_one():
        return await asyncio.wait_for(bot.came.get(), LIMIT)

    robot = await next_one()
    assert robot.name == "nano", robot.name
    print("a session of the gateway")

    written = (await ask("write", {"user": "U1", "text": "hello"}))["id"]
    alone = await next_one()
    assert (alone.id, alone.author.user_openid, alone.content) == (written, "U1", "hello"), alone
    await ask("ask", {"group": "G1", "user": "U2", "text": "hello"})
    group = await next_one()
    assert (group.group_openid, group.author.member_openid, group.content) == ("G1", "U2", " hello"), group
    await ask("call", {"channel": "7", "user": "U3", "text": "hello"})
    channel = await next_one()
    assert (channel.channel_id, channel.author.username) == ("7", "Nick U3"), channel
    print("messages of people, groups and channels")

    for message in [alone, group, channel]:
        sent = await message.reply(content="yes")
        assert sent["id"], sent
    sent = await ask("sent")
    assert [it["to"] for it in sent] == ["/v2/users/U1", "/v2/groups/G1", "/channels/7"], sent
    assert [it["body"]["msg_id"] for it in sent] == [alone.id, group.id, channel.id], sent
    print("answers")

    try:
        await group.reply(content="again", msg_seq=1)
    except botpy.errors.ServerError as refused:
        assert "msgseq" in str(refused), refused
    else:
        raise AssertionError("the same number was taken twice")
    await group.reply(content="more", msg_seq=2)
    assert len(await ask("sent")) == 4
    print("an answer that comes twice is refused")

    await ask("close", {"code": 4009})
    while (await ask("figures"))["resumed"] != 1:
        pass
    await ask("write", {"user": "U1", "text": "again"})
    assert (await next_one()).content == "again"
    print("a session that is taken up again")
    running.cancel()


asyncio.run(main())
os._exit(0)
