// The adapter against a Telegram that others wrote: npm's telegram-test-api, whose `getMe` lacks `is_bot`, whose polls come
// back at once, and which says milliseconds where Telegram says seconds.

import assert from "node:assert/strict";
import { createServer } from "node:net";
import { once } from "node:events";
import { after, before, test } from "node:test";

import TelegramServer from "telegram-test-api";

import { gateway } from "./harness.js";

const TOKEN = "123456:TEST-token_of_the_counterpart";

let telegram;
let it;

async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  await once(server, "close");
  return port;
}

before(async () => {
  telegram = new TelegramServer({ port: await freePort(), host: "127.0.0.1", storeTimeout: 600 });
  await telegram.start();
  it = await gateway({
    NGB_CHANNELS__TELEGRAM__MAIN__TOKEN: TOKEN,
    NGB_CHANNELS__TELEGRAM__MAIN__API_URL: telegram.config.apiURL,
  });
});

after(async () => {
  await it?.end();
  await telegram?.stop();
});

/** The next thing that the bot says to `client` in which `pattern` is. */
async function said(client, pattern) {
  for (;;) {
    const { result } = await client.getUpdates();
    const found = result.find((it) => pattern.test(it.message.text));
    if (found) return found.message;
  }
}

test("an unknown chat is let in, asks, presses a button and is answered", async () => {
  const client = telegram.getClient(TOKEN, { userId: 42, chatId: 42, firstName: "Ada", timeout: 20_000, interval: 50 });
  await client.sendMessage(client.makeMessage("hello"));
  const code = /code ([A-Z0-9-]{9})/.exec((await said(client, /approve the code/)).text)[1];
  await it.run("approve", code);
  await said(client, /This chat is approved/);

  await client.sendMessage(client.makeMessage("ask for an approval"));
  const question = await said(client, /May the demonstration go on/);
  const { inline_keyboard: rows } = question.reply_markup;
  assert.deepEqual(rows.map((row) => row.map((it) => it.text)), [["Yes"], ["No"]]);

  // Somebody else in the chat presses, and nothing changes.
  const stranger = telegram.getClient(TOKEN, { userId: 43, chatId: 42, firstName: "Bob", timeout: 20_000, interval: 50 });
  const press = (who, data) => who.sendCallback(who.makeCallbackQuery(data));
  await press(stranger, rows[1][0].callback_data);
  await press(client, rows[0][0].callback_data);
  const answer = await said(client, /The answer was/);
  assert.match(answer.text, /The answer was: Yes/);
});

test("a code block keeps its place in a text with emoji", async () => {
  const client = telegram.getClient(TOKEN, { userId: 42, chatId: 42, firstName: "Ada", timeout: 20_000, interval: 50 });
  await client.sendMessage(client.makeMessage("echo 😀 **bold** `code`"));
  const answer = await said(client, /bold/);
  assert.equal(answer.text, "😀 bold code");
  assert.deepEqual(answer.entities, [
    { type: "bold", offset: 3, length: 4 },
    { type: "code", offset: 8, length: 4 },
  ]);
});
