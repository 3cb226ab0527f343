"""ncatbot's simulated NapCat, driven by lines: prints its port, then does what standard input says.

`group GROUP USER ME TEXT` and `private USER TEXT` are what people say; `calls` prints what was called, in order.
"""

import asyncio
import logging
import socket
import sys
import time

logging.disable(logging.CRITICAL)

from ncatbot.utils.testing.mock_server import NapCatMockServer  # noqa: E402  (it logs when it is loaded)


async def main():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    async with NapCatMockServer(host="127.0.0.1", port=port) as server:
        print(port)
        me = int(server.database.get_login_info()["user_id"])
        loop = asyncio.get_running_loop()
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            what, *words = line.split()
            if what == "group":
                group, user, named, text = words
                message = [{"type": "at", "data": {"qq": named}}, {"type": "text", "data": {"text": f" {text}"}}]
                event = {"message_type": "group", "group_id": int(group), "user_id": int(user), "message": message}
            elif what == "private":
                user, text = words
                message = [{"type": "text", "data": {"text": text}}]
                event = {"message_type": "private", "user_id": int(user), "message": message}
            else:
                shown = []
                for call in server.get_call_history():
                    kinds = ",".join(it["type"] for it in call["params"].get("message", []))
                    shown.append(call["action"] + (f":{kinds}" if kinds else ""))
                print(" ".join(shown))
                continue
            event |= {"post_type": "message", "sub_type": "normal", "self_id": me, "time": int(time.time())}
            event |= {"message_id": str(time.time_ns()), "raw_message": "", "sender": {"nickname": "Ann"}}
            await server.inject_event(event)


asyncio.run(main())
