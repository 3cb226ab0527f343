#!/usr/bin/env python3
"""An MCP server by script, without any library: on its standard streams, or with `--http` on a port that it prints.

Its tools show what a server may do to whoever calls it: `echo` answers, `wait` does not, `flood` says endless other things
first, `die` ends, `env` tells its environment, `files` makes an error.
"""
import http.server
import json
import os
import sys

SCHEMA = {"type": "object", "properties": {"text": {"type": "string"}}}
TOOLS = ["echo", "wait", "flood", "die", "env", "fail", "odd.name/1"]


def text(said, is_error=False):
    return {"content": [{"type": "text", "text": said}], "isError": is_error}


def call(name, arguments, say):
    if name == "wait":
        return None
    if name == "die":
        sys.stderr.write("a planted death\n")
        sys.stderr.flush()
        os._exit(3)
    if name == "flood":
        for n in range(20_000):
            note = {"progressToken": "x", "progress": n, "message": "y" * 500}
            say({"jsonrpc": "2.0", "method": "notifications/progress", "params": note})
        say({"line": "z" * 5_000_000})
    if name == "env":
        return text(json.dumps(dict(os.environ), ensure_ascii=False))
    if name == "fail":
        return text("no such thing", True)
    return text("you said " + arguments.get("text", "nothing"))


def answer(message, say):
    """The result for a request; None for what is not answered."""
    method, params = message.get("method"), message.get("params", {})
    if method == "initialize":
        version = params.get("protocolVersion", "2025-06-18")
        return {"protocolVersion": version, "capabilities": {"tools": {}},
                "serverInfo": {"name": "scripted", "version": "1"}}
    if method == "tools/list":
        return {"tools": [{"name": name, "description": f"It is {name}.", "inputSchema": SCHEMA} for name in TOOLS]}
    if method == "tools/call":
        return call(params["name"], params.get("arguments") or {}, say)
    return None


def stdio():
    def say(message):
        sys.stdout.write(json.dumps(message) + "\n")
        sys.stdout.flush()

    for line in sys.stdin:
        message = json.loads(line)
        result = answer(message, say)
        if result is not None and "id" in message:
            say({"jsonrpc": "2.0", "id": message["id"], "result": result})


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        message = json.loads(self.rfile.read(int(self.headers["content-length"])))
        is_first = message.get("method") == "initialize"
        if not is_first and self.headers.get("mcp-session-id") != "s1":
            return self.reply(404, "application/json", b'{"error":{"message":"no such session"}}')
        if self.headers.get("authorization") != "Bearer tok-planted-42":
            return self.reply(401, "application/json", b'{"error":{"message":"who are you?"}}')
        result = answer(message, lambda it: None)
        if result is None or "id" not in message:
            return self.reply(202, "application/json", b"")
        body = json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result})
        if message["method"] == "tools/call":
            return self.reply(200, "text/event-stream", f": alive\n\nevent: message\ndata: {body}\n\n".encode())
        return self.reply(200, "application/json", body.encode())

    def reply(self, status, kind, body):
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("mcp-session-id", "s1")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    if sys.argv[1:] == ["--http"]:
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        print(server.server_address[1], flush=True)
        server.serve_forever()
    stdio()
