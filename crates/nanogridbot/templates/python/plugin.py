"""Answers `!hello`."""

import json

from wit_world import exports
from wit_world.imports import config, log
from wit_world.imports.types import Message, Verdict, Verdict_Answer, Verdict_Pass


class MessageReceived(exports.MessageReceived):
    def handle(self, message: Message) -> Verdict:
        if message.text.strip() != "!hello":
            return Verdict_Pass()
        log.write(log.Level.INFO, f"{message.sender} says hello")
        polite = json.loads(config.get()).get("polite")
        name = f"dear {message.sender_name}" if polite else message.sender_name
        return Verdict_Answer(f"Hello, {name}!")
