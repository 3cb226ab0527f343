// WeCom's own packages: `@wecom/crypto` calls the gateway as WeCom would, and `@wecom/aibot-node-sdk` says whether the
// simulated AI bot's platform is one.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { after, before, test } from "node:test";

import { WSClient, generateReqId } from "@wecom/aibot-node-sdk";
import { encrypt, getSignature } from "@wecom/crypto";

import { gateway, sim } from "./harness.js";

let platform;
let it;

before(async () => {
  platform = await sim("wecom", ["api_url", "corp_id", "agent_id", "secret", "token", "encoding_aes_key", "ws_url", "bot_id", "bot_secret"]);
  const settings = ["API_URL", "CORP_ID", "AGENT_ID", "SECRET", "TOKEN", "ENCODING_AES_KEY"];
  const variables = settings.map((name) => [`NGB_CHANNELS__WECOM__MAIN__${name}`, platform[name.toLowerCase()]]);
  it = await gateway(Object.fromEntries(variables));
});

after(async () => {
  await it?.end();
  platform?.end();
});

const sent = async () => (await fetch(`${platform.api_url}/sim/sent`)).json();

const act = async (what, body = {}) =>
  (await fetch(`${platform.api_url}/sim/${what}`, { method: "POST", body: JSON.stringify(body) })).json();

/** What WeCom's library makes of `words`: the query, and what is encrypted. */
function sealed(words) {
  const encrypted = encrypt(platform.encoding_aes_key, words, platform.corp_id);
  const time = String(Math.floor(Date.now() / 1000));
  const nonce = randomBytes(4).toString("hex");
  const signature = getSignature(platform.token, time, nonce, encrypted);
  return { encrypted, query: new URLSearchParams({ msg_signature: signature, timestamp: time, nonce }) };
}

test("what WeCom's own library encrypts is taken, and nothing else", async () => {
  const hook = `${it.origin}/hooks/wecom/main`;
  for (let length = 1; length < 70; length += 1) {
    const words = randomBytes(length).toString("hex");
    const { encrypted, query } = sealed(words);
    query.set("echostr", encrypted);
    const answer = await fetch(`${hook}?${query}`);
    assert.deepEqual([answer.status, await answer.text()], [200, words]);
    query.set("nonce", "other");
    assert.equal((await fetch(`${hook}?${query}`)).status, 403);
  }
  const xml =
    "<xml><FromUserName><![CDATA[zhangsan]]></FromUserName><CreateTime>1348831860</CreateTime>" +
    "<MsgType><![CDATA[text]]></MsgType><Content><![CDATA[hello <b> 😀]]></Content><MsgId>1234567890123456</MsgId></xml>";
  const { encrypted, query } = sealed(xml);
  const body = `<xml><ToUserName><![CDATA[x]]></ToUserName><Encrypt><![CDATA[${encrypted}]]></Encrypt></xml>`;
  for (let n = 0; n < 2; n += 1) {
    const answer = await fetch(`${hook}?${query}`, { method: "POST", body });
    assert.deepEqual([answer.status, await answer.text()], [200, ""]);
  }
  let all = [];
  while (all.length === 0) all = await sent();
  assert.match(all[0].markdown.content, /code [A-Z0-9-]{9}/);
  assert.equal(all[0].touser, "zhangsan");
});

test("WeCom's own client is satisfied with the simulated bot", async () => {
  const quiet = { debug() {}, info() {}, warn() {}, error() {} };
  const options = { botId: platform.bot_id, secret: platform.bot_secret, wsUrl: platform.ws_url, logger: quiet };
  const client = new WSClient(options);
  const authenticated = once(client, "authenticated");
  client.connect();
  await authenticated;

  const heard = once(client, "message.text");
  const { req_id } = await act("bot", { user: "zhangsan", chat: "wr-group", text: "@Nano hi" });
  const [frame] = await heard;
  assert.equal(frame.headers.req_id, req_id);
  assert.deepEqual([frame.body.chatid, frame.body.chattype, frame.body.from.userid], ["wr-group", "group", "zhangsan"]);
  const id = generateReqId("stream");
  await client.replyStream(frame, id, "so");
  await client.replyStream(frame, id, "so far", true);
  const streams = await (await fetch(`${platform.api_url}/sim/streams`)).json();
  assert.deepEqual(streams, [{ request: req_id, id, content: "so far", finished: true, frames: 2 }]);
  await assert.rejects(client.replyStream(frame, id, "more", true), (refusal) => refusal.errcode === 846608);
  await assert.rejects(client.replyStream(frame, id, "x".repeat(20_481)), (refusal) => refusal.errcode === 45002);
  await assert.rejects(client.replyStream({ headers: { req_id: "none" } }, id, "x"), (refusal) => refusal.errcode === 846605);

  const bytes = randomBytes(1_200_000);
  const { media_id } = await client.uploadMedia(bytes, { type: "file", filename: "a.bin" });
  await client.sendMediaMessage("wr-group", "file", media_id);
  await client.sendMessage("wr-group", { msgtype: "markdown", markdown: { content: "**hi**" } });
  const got = (await sent()).filter((one) => one.chatid);
  assert.deepEqual(got.map((one) => one.msgtype), ["file", "markdown"]);

  const file = once(client, "message.file");
  await act("file", { user: "zhangsan", host: new URL(platform.api_url).host, text: "what the file says" });
  const [{ body }] = await file;
  const { buffer } = await client.downloadFile(body.file.url, body.file.aeskey);
  assert.equal(buffer.toString(), "what the file says");

  const other = new WSClient(options);
  const gone = once(client, "event.disconnected_event");
  const there = once(other, "authenticated");
  other.connect();
  await Promise.all([gone, there]);
  assert.equal(client.isConnected, false);
  other.disconnect();

  const wrong = new WSClient({ ...options, secret: "wrong", maxAuthFailureAttempts: 0 });
  const refused = once(wrong, "error");
  wrong.connect();
  const [err] = await refused;
  assert.match(String(err), /Authentication failed/);
  wrong.disconnect();
});
