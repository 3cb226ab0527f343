"""An agent that speaks the Agent Client Protocol by script: what a person writes says what it does.

permission   asks whether it may, and says what was chosen
tool         shows a tool at work, then answers
wait         works until it is cancelled
die          ends in the midst of it
refuse       ends its turn with `refusal`
anything     answers with the number of the prompt in its session
It keeps sessions in its home, so that another process of it can load them.
"""

import json
import os
import pathlib
import sys

HOME = pathlib.Path(os.environ["HOME"]) / ".scripted"


def send(message):
    print(json.dumps({"jsonrpc": "2.0", **message}), flush=True)


def receive():
    line = sys.stdin.readline()
    if not line:
        sys.exit(0)
    return json.loads(line)


def update(session, **what):
    send({"method": "session/update", "params": {"sessionId": session, "update": what}})


def say(session, text):
    update(session, sessionUpdate="agent_message_chunk", content={"type": "text", "text": text})


def ask_permission(session):
    options = [
        {"optionId": "o-never", "name": "Never", "kind": "reject_always"},
        {"optionId": "o-yes", "name": "Yes", "kind": "allow_once"},
        {"optionId": "o-no", "name": "No", "kind": "reject_once"},
    ]
    call = {"toolCallId": "t1", "title": "launch", "rawInput": {"command": "launch --all"}}
    params = {"sessionId": session, "toolCall": call, "options": options}
    send({"id": "p1", "method": "session/request_permission", "params": params})
    while True:
        answer = receive()
        if answer.get("id") == "p1":
            return answer["result"]["outcome"].get("optionId", "cancelled")


def work(session, text, number, told):
    if "permission" in text:
        say(session, ask_permission(session))
    elif "tool" in text:
        say(session, "let me see")
        update(session, sessionUpdate="tool_call", toolCallId="t2", title="look around", status="in_progress")
        content = [{"type": "content", "content": {"type": "text", "text": "nothing here"}}]
        update(session, sessionUpdate="tool_call_update", toolCallId="t2", status="completed", content=content)
        update(session, sessionUpdate="agent_thought_chunk", content={"type": "text", "text": "hm"})
        say(session, "I ")
        say(session, "looked")
    elif "wait" in text:
        say(session, "waiting")
        while receive().get("method") != "session/cancel":
            pass
        return "cancelled"
    elif "die" in text:
        print("a planted death", file=sys.stderr)
        sys.exit(3)
    elif "refuse" in text:
        return "refusal"
    else:
        say(session, f"prompt {number}; told {told}; model {os.environ.get('ANTHROPIC_MODEL')}")
    return "end_turn"


def main():
    counts = {}
    HOME.mkdir(exist_ok=True)
    while True:
        message = receive()
        method, params = message.get("method"), message.get("params", {})
        result = {}
        if method == "initialize":
            result = {"protocolVersion": 1, "agentCapabilities": {"loadSession": True}}
        elif method == "session/new":
            session = f"s{len(list(HOME.iterdir()))}"
            (HOME / session).write_text("0")
            result = {"sessionId": session}
        elif method == "session/load":
            if not (HOME / params["sessionId"]).exists():
                send({"id": message["id"], "error": {"code": -32002, "message": "no such session"}})
                continue
            say(params["sessionId"], "an old story")
        elif method == "session/prompt":
            session = params["sessionId"]
            number = int((HOME / session).read_text()) + 1
            (HOME / session).write_text(str(number))
            *before, asked = [it["text"] for it in params["prompt"]]
            result = {"stopReason": work(session, asked, number, bool(before))}
        elif "id" not in message:
            continue
        send({"id": message["id"], "result": result})


main()
