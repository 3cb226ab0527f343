"""Lets python-telegram-bot say whether the simulator speaks the Bot API.

Usage: telegram_bot.py <base url> <token>. Prints one line per step; fails at the first that is not as it should be.
"""

import asyncio
import json
import sys
import urllib.request

from telegram import Bot, InlineKeyboardButton, InlineKeyboardMarkup
from telegram.error import BadRequest, ChatMigrated, Conflict, InvalidToken, RetryAfter
from telegram.request import HTTPXRequest

BASE, TOKEN = sys.argv[1:3]
GROUP = -1001000000001


def sim(path, body):
    data = json.dumps(body).encode() if not isinstance(body, bytes) else body
    with urllib.request.urlopen(urllib.request.Request(f"{BASE}/sim/{path}", data=data)) as it:
        return json.load(it)


def bot(token=TOKEN):
    # Longer than the longest answer here; a proxy of the machine is not for loopback.
    request = lambda: HTTPXRequest(read_timeout=20, httpx_kwargs={"trust_env": False})
    return Bot(
        token,
        base_url=f"{BASE}/bot",
        base_file_url=f"{BASE}/file/bot",
        request=request(),
        get_updates_request=request(),
    )


async def refused(kind, call):
    try:
        await call
    except kind as err:
        return err
    raise AssertionError(f"expected {kind.__name__}")


async def main():
    b = bot()
    await b.initialize()
    me = await b.get_me()
    assert me.is_bot and me.username, me
    print("getMe")

    pushed = sim("push", {"drafts": [
        {"chat": 5, "text": "hello"},
        {"chat": GROUP, "text": f"😀 @{me.username} hi", "from": 6, "name": "Bo", "topic": 4},
        {"chat": 5, "more": {"document": {"file_id": "x", "file_unique_id": "y", "file_name": "a.txt"}}},
    ]})["message_ids"]
    sim("push", {"drafts": [{"chat": 5, "text": "hello again", "edit_of": pushed[0]}]})
    updates = await b.get_updates(offset=0, timeout=5)
    assert len(updates) == 4, updates
    assert updates[0].message.text == "hello" and updates[0].message.chat.type == "private"
    mention = updates[1].message
    assert mention.parse_entities(["mention"]) and mention.is_topic_message and mention.message_thread_id == 4
    assert list(mention.parse_entities(["mention"]).values()) == [f"@{me.username}"]
    assert updates[2].message.document.file_name == "a.txt"
    assert updates[3].edited_message.text == "hello again"
    again = await b.get_updates(offset=0, timeout=0)
    assert [it.update_id for it in again] == [it.update_id for it in updates], "not confirmed"
    assert await b.get_updates(offset=updates[-1].update_id + 1, timeout=0) == ()
    print("getUpdates")

    markup = InlineKeyboardMarkup([[InlineKeyboardButton("Yes", callback_data="y")]])
    sent = await b.send_message(5, "a <b>bold</b> 😀", parse_mode="HTML", reply_markup=markup,
                                reply_to_message_id=pushed[0])
    assert sent.text == "a bold 😀" and sent.entities[0].type == "bold", sent
    assert sent.reply_to_message.message_id == pushed[0]
    assert sent.reply_markup.inline_keyboard[0][0].callback_data == "y"
    err = await refused(BadRequest, b.send_message(5, "a <b>bold", parse_mode="HTML"))
    assert "parse entities" in str(err), err
    err = await refused(BadRequest, b.send_message(5, "done.", parse_mode="MarkdownV2"))
    assert "parse entities" in str(err), err
    err = await refused(BadRequest, b.send_message(5, "x" * 4097))
    assert "too long" in str(err), err
    print("sendMessage")

    edited = await b.edit_message_text("other", 5, sent.message_id, reply_markup=markup)
    assert edited.text == "other" and edited.edit_date
    err = await refused(BadRequest, b.edit_message_text("other", 5, sent.message_id, reply_markup=markup))
    assert "not modified" in str(err), err
    assert (await b.edit_message_reply_markup(5, sent.message_id)).reply_markup is None
    print("edit")

    sim("push", {"drafts": [{"chat": 5, "press": {"message_id": sent.message_id, "data": "y"}}]})
    press = (await b.get_updates(offset=updates[-1].update_id + 1, timeout=5))[0].callback_query
    assert press.data == "y" and press.message.message_id == sent.message_id
    assert await press.answer()
    print("callback query")

    file = await b.send_document(5, b"some bytes", filename="a.bin", caption="c")
    assert file.document.file_name == "a.bin" and file.caption == "c"
    back = await (await b.get_file(file.document.file_id)).download_as_bytearray()
    assert bytes(back) == b"some bytes"
    assert (await b.send_photo(5, b"\x89PNG")).photo
    for send in (b.send_voice, b.send_audio, b.send_video):
        assert await send(5, b"media")
    print("files")

    assert await b.send_chat_action(5, "typing")
    assert (await b.get_chat(5)).type == "private"
    assert await b.set_my_commands([("stop", "stops")])
    print("small ones")

    sim("fault", {"method": "sendMessage", "how": {"type": "too_many_requests", "retry_after_s": 3},
                  "when": {"next": 1}})
    err = await refused(RetryAfter, b.send_message(5, "x"))
    assert str(err.retry_after).startswith(("3", "0:00:03")), err
    sim("set", {"migrate": [-42, GROUP]})
    err = await refused(ChatMigrated, b.send_message(-42, "x"))
    assert err.new_chat_id == GROUP
    await refused(InvalidToken, bot("1:no").get_me())
    print("refusals")

    assert await b.set_webhook("http://127.0.0.1:9/hook", secret_token="s")
    assert (await b.get_webhook_info()).url == "http://127.0.0.1:9/hook"
    await refused(Conflict, b.get_updates(timeout=0))
    assert await b.delete_webhook()
    waiting = asyncio.create_task(b.get_updates(offset=10**6, timeout=5))
    await asyncio.to_thread(lambda: urllib.request.urlopen(f"{BASE}/sim/wait?polls=6&ms=5000").read())
    await b.get_updates(offset=10**6, timeout=0)
    await refused(Conflict, waiting)
    print("conflicts")
    await b.shutdown()


asyncio.run(main())
