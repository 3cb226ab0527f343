"""What official clients make of the API: OpenAI's own, and Prometheus's parser. Arguments: origin, token."""

import sys
import urllib.request

from openai import OpenAI
from prometheus_client.parser import text_string_to_metric_families

origin, token = sys.argv[1:]

client = OpenAI(base_url=f"{origin}/api/groups/main/openai/v1", api_key=token, max_retries=0)
assert [it.id for it in client.models.list()] == ["main"]
messages = [{"role": "user", "content": "How are you?"}]
whole = client.chat.completions.create(model="main", messages=messages, user="referee")
answer = whole.choices[0].message.content
assert whole.object == "chat.completion" and whole.choices[0].finish_reason == "stop", whole
assert answer == "Good day. All is well.", answer

streamed = client.chat.completions.create(model="main", messages=messages, user="referee", stream=True)
chunks = list(streamed)
assert {it.object for it in chunks} == {"chat.completion.chunk"} and chunks[-1].choices[0].finish_reason == "stop"
assert "".join(it.choices[0].delta.content or "" for it in chunks) == answer

# The same key is the same message, also for a client that tries again by itself.
headers = {"Idempotency-Key": "referee-1"}
first = client.chat.completions.create(model="main", messages=messages, extra_headers=headers)
again = client.chat.completions.create(model="main", messages=messages, extra_headers=headers)
assert first.id == again.id, (first.id, again.id)

request = urllib.request.Request(f"{origin}/metrics", headers={"Authorization": f"Bearer {token}"})
page = urllib.request.urlopen(request).read().decode()
families = {it.name: it for it in text_string_to_metric_families(page)}
for name in ["nanogridbot_up_seconds", "nanogridbot_messages_in", "nanogridbot_jobs_queued", "nanogridbot_channel_up"]:
    assert families[name].type == "gauge" and families[name].documentation, name
assert families["nanogridbot_messages_in"].samples[0].value >= 3
accounts = {it.labels["account"]: it.value for it in families["nanogridbot_channel_up"].samples}
assert accounts["web@main"] == 1 and "telegram@main" in accounts, accounts
print("ok")
