"""Adds metric units to what is sent: "10 miles" becomes "10 miles (16.1 km)"."""

import json
import re

from wit_world import exports
from wit_world.imports import config
from wit_world.imports.types import Outgoing, Verdict, Verdict_Change, Verdict_Pass

# The unit, how much of the metric one it is, and what that is called.
UNITS = {
    "miles": (1.609344, "km"),
    "feet": (0.3048, "m"),
    "inches": (2.54, "cm"),
    "pounds": (0.45359237, "kg"),
}

AMOUNT = re.compile(r"\b(\d+(?:\.\d+)?) (miles|feet|inches|pounds)\b(?! \()")


class MessageSending(exports.MessageSending):
    def handle(self, outgoing: Outgoing) -> Verdict:
        decimals = json.loads(config.get())["decimals"]

        def metric(found: re.Match[str]) -> str:
            factor, name = UNITS[found[2]]
            return f"{found[0]} ({float(found[1]) * factor:.{decimals}f} {name})"

        text = AMOUNT.sub(metric, outgoing.text)
        return Verdict_Change(text) if text != outgoing.text else Verdict_Pass()
