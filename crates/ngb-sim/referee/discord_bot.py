"""Lets discord.py say whether the simulator speaks the REST API and the gateway.

Usage: discord_bot.py <base url> <token> <channel> <thread> <forum> <direct>. Prints one line per step; fails at the first
that is not as it should be.
"""

import asyncio
import io
import json
import sys
import urllib.request

import discord
import yarl
from discord import app_commands
from discord.gateway import DiscordWebSocket
from discord.http import Route

BASE, TOKEN, GENERAL, THREAD, FORUM, DIRECT = sys.argv[1:7]
ROOT = BASE.removesuffix("/api/v10")
LIMIT = 20
Route.BASE = BASE
DiscordWebSocket.DEFAULT_GATEWAY = yarl.URL(ROOT.replace("http", "ws") + "/gateway")


def ask(path, body=None):
    data = json.dumps(body or {}).encode()
    with urllib.request.urlopen(urllib.request.Request(f"{ROOT}/sim/{path}", data=data), timeout=LIMIT) as it:
        return json.load(it)


async def sim(path, body=None):
    return await asyncio.to_thread(ask, path, body)


intents = discord.Intents.none()
intents.guilds = intents.guild_messages = intents.dm_messages = intents.message_content = True
client = discord.Client(intents=intents)
tree = app_commands.CommandTree(client)
came = asyncio.Queue()
asked = asyncio.Queue()
resumed = asyncio.Event()


@client.event
async def on_message(message):
    await came.put(message)


@client.event
async def on_resumed():
    resumed.set()


@client.event
async def on_interaction(interaction):
    await asked.put(interaction)


async def refused(code, call):
    try:
        await call
    except discord.HTTPException as err:
        assert err.code == code, err
        return
    raise AssertionError(f"expected {code}")


async def of(author):
    while True:
        message = await asyncio.wait_for(came.get(), LIMIT)
        if message.author.id == author:
            return message


async def main():
    wrong = discord.Client(intents=intents)
    try:
        await wrong.login("wrong")
        raise AssertionError("a wrong token is taken")
    except discord.LoginFailure:
        print("tokens")
    finally:
        await wrong.close()

    await client.login(TOKEN)
    running = asyncio.create_task(client.connect())
    await asyncio.wait_for(client.wait_until_ready(), LIMIT)
    general = client.get_channel(int(GENERAL))
    thread = client.get_channel(int(THREAD))
    forum = client.get_channel(int(FORUM))
    assert isinstance(general, discord.TextChannel) and general.name == "general", general
    assert isinstance(thread, discord.Thread) and thread.parent_id == int(GENERAL), thread
    assert isinstance(forum, discord.ForumChannel), forum
    assert general.guild.me.id == client.user.id and general.guild.self_role is not None
    print("ready")

    said = await sim("say", {"channel": GENERAL, "user": "1", "text": "hello"})
    message = await of(1)
    assert (str(message.id), message.content, message.channel.id) == (said["id"], "hello", int(GENERAL)), message
    assert message.guild is not None and message.type is discord.MessageType.default
    await sim("say", {"channel": DIRECT, "user": "1", "text": "alone"})
    message = await of(1)
    assert message.guild is None and message.content == "alone", message
    print("events")

    await sim("close", {"code": 4000})
    await sim("say", {"channel": GENERAL, "user": "1", "text": "meanwhile"})
    assert (await of(1)).content == "meanwhile"
    await asyncio.wait_for(resumed.wait(), LIMIT)
    figures = await sim("figures")
    assert (figures["identified"], figures["resumed"]) == (1, 1), figures
    print("resume")

    first = await general.send("*a*", nonce="k-1", view=None, allowed_mentions=discord.AllowedMentions.none())
    body = {"content": "again", "nonce": "k-2", "enforce_nonce": True}
    route = Route("POST", "/channels/{channel_id}/messages", channel_id=GENERAL)
    one = await client.http.request(route, json=body)
    two = await client.http.request(route, json=body)
    assert one["id"] == two["id"], (one, two)
    reply = await first.reply("b")
    assert reply.reference.message_id == first.id and reply.type is discord.MessageType.reply, reply
    assert (await reply.edit(content="c")).content == "c"
    assert (await thread.send("in it")).channel.id == int(THREAD)
    await refused(50035, general.send("x" * 2001))
    await refused(50006, general.send(""))
    await refused(10008, general.fetch_message(17))
    missed = [it.content async for it in general.history(after=first)]
    assert missed == ["again", "c"], missed
    print("messages")

    view = discord.ui.View(timeout=None)
    view.add_item(discord.ui.Button(label="Yes", custom_id="7:yes"))
    await general.send("which", view=view)
    async with general.typing():
        pass
    sent = await general.send("see", file=discord.File(io.BytesIO(b"some bytes"), filename="a.txt"))
    assert await sent.attachments[0].read() == b"some bytes" and sent.attachments[0].filename == "a.txt"
    post = await forum.create_thread(name="a post", content="first")
    assert post.thread.parent_id == int(FORUM) and post.message.content == "first", post
    print("buttons, files, posts")

    @tree.command(name="ask", description="Ask")
    async def command(interaction, text: str):
        pass

    assert [it.name for it in await tree.sync()] == ["ask"]
    data = {"id": "5", "name": "ask", "type": 1, "options": [{"type": 3, "name": "text", "value": "why"}]}
    await sim("interact", {"channel": GENERAL, "user": "1", "kind": 2, "event": {"data": data}})
    interaction = await asyncio.wait_for(asked.get(), LIMIT)
    assert interaction.type is discord.InteractionType.application_command and interaction.data["name"] == "ask"
    route = Route("POST", "/interactions/{id}/{token}/callback", id=interaction.id, token=interaction.token)
    await client.http.request(route, json={"type": 4, "data": {"content": "> why"}})
    await refused(40060, client.http.request(route, json={"type": 6}))
    data = {"component_type": 2, "custom_id": "7:yes", "id": 2}
    await sim("interact", {"channel": DIRECT, "user": "1", "kind": 3, "event": {"data": data}})
    interaction = await asyncio.wait_for(asked.get(), LIMIT)
    assert interaction.data["custom_id"] == "7:yes" and interaction.guild is None and interaction.user.id == 1
    print("interactions")
    await client.close()
    await running


asyncio.run(main())
