// The doors of a gateway with a bot, a model and a token: approvals, dead letters, official clients, hostile names.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { createServer } from "node:http";
import { after, before, test } from "node:test";
import { promisify } from "node:util";

import { browser, gateway, page, session, shot, telegram } from "./harness.js";

const TOKEN = "a-token-of-the-tests-0123456789";

/** Longest that a message may take on its way, in milliseconds. */
const ANSWER_MS = 60_000;

/** Names that would do something if anybody took them for HTML. */
const HOSTILE = [
  '<img src=x onerror="alert(1)">', "<script>alert(1)</script>", '"><svg onload=alert(1)>', "javascript:alert(1)",
  "{{constructor.constructor('alert(1)')()}}", "</title><iframe src=//evil.example.org>",
];

let it;
let bot;
let model;
let chrome;
let tab;

/** A model of OpenAI's shape that says the same each time, or refuses its key. */
async function openModel() {
  const at = { refuses: false, asked: 0 };
  const say = (delta, end = null) => `data: ${JSON.stringify({ id: "1", object: "chat.completion.chunk", created: 1, model: "m", choices: [{ index: 0, delta, finish_reason: end }] })}\n\n`;
  const server = createServer((request, response) => {
    at.asked += 1;
    request.resume();
    if (at.refuses) return response.writeHead(401, { "content-type": "application/json" }).end('{"error":{"message":"this key is not good"}}');
    response.writeHead(200, { "content-type": "text/event-stream" });
    for (const content of ["Good day. ", "All is ", "well."]) response.write(say({ content }));
    response.end(`${say({}, "stop")}data: [DONE]\n\n`);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  at.url = `http://127.0.0.1:${server.address().port}/v1`;
  at.end = () => server.close();
  return at;
}

before(async () => {
  [bot, model] = await Promise.all([telegram(), openModel()]);
  it = await gateway({
    NGB_WEB__TOKEN: TOKEN,
    NGB_AGENT__MODEL: "house/m",
    NGB_PROVIDERS__HOUSE__KIND: "openai",
    NGB_PROVIDERS__HOUSE__BASE_URL: model.url,
    NGB_PROVIDERS__HOUSE__API_KEY: "k",
    NGB_CHANNELS__TELEGRAM__MAIN__TOKEN: bot.token,
    NGB_CHANNELS__TELEGRAM__MAIN__API_URL: bot.url,
  });
  chrome = await browser();
  tab = await page(chrome, it.origin);
});
after(async () => {
  await chrome?.close();
  await it?.end();
  await bot?.end();
  model?.end();
});

test("the token logs in, and a wrong one is told", async () => {
  await tab.goto(it.origin);
  await tab.getByLabel("or the token of the settings").fill("wrong");
  await tab.getByRole("button", { name: "Log in" }).click();
  await tab.locator(".login .problem").waitFor();
  await tab.getByLabel("or the token of the settings").fill(TOKEN);
  await tab.keyboard.press("Enter");
  await tab.locator(".chat .composer textarea").waitFor();
  assert.equal(await tab.locator("[data-banner=demo]").count(), 0);
});

test("official clients understand the API", async () => {
  const python = process.env.NGB_TEST_PYTHON;
  if (!python) throw new Error("set NGB_TEST_PYTHON to a Python with the packages of crates/ngb-sim/referee/requirements.txt");
  const script = new URL("referee.py", import.meta.url).pathname;
  const { stdout } = await promisify(execFile)(python, [script, it.origin, TOKEN], { timeout: ANSWER_MS });
  assert.equal(stdout.trim(), "ok");
});

test("a stranger with a hostile name asks, and is let in on the page", async () => {
  await tab.getByRole("link", { name: "Approvals" }).click();
  for (const [n, name] of HOSTILE.entries()) await bot.push({ chat: 100 + n, name, text: name });
  const card = (n) => tab.locator("[data-code]", { has: tab.getByRole("heading", { name: HOSTILE[n], exact: true }) });
  for (const n of HOSTILE.keys()) await card(n).waitFor({ timeout: ANSWER_MS });
  await shot(tab, "30-approvals");
  for (const [n, what] of ["Give it a group of its own", "Deny", "Approve"].entries()) {
    await card(n).getByRole("button", { name: what, exact: true }).click();
    await card(n).waitFor({ state: "detached" });
  }

  await bot.push({ chat: 100, name: HOSTILE[0], text: HOSTILE.join(" ") });
  await bot.said("All is well.");
  await tab.locator(".chat-link").filter({ hasText: HOSTILE[0] }).filter({ hasText: "Telegram" }).first().click();
  await tab.locator(".message.user .bubble").filter({ hasText: HOSTILE[5] }).first().waitFor({ timeout: ANSWER_MS });
  await tab.locator(".message.assistant").filter({ hasText: "All is well." }).first().waitFor({ timeout: ANSWER_MS });
  await shot(tab, "31-foreign-chat");
  await tab.getByRole("link", { name: "Groups" }).click();
  await tab.locator(".group").filter({ hasText: HOSTILE[0] }).first().waitFor();
  await shot(tab, "32-hostile-groups");
  assert.equal(await tab.locator("main img, main iframe, main script, main svg[onload]").count(), 0);
});

test("whoever says that a chat is theirs gets no role by it", async () => {
  const ask = (path, body, how = {}) =>
    fetch(it.origin + path, { method: "POST", headers: { "content-type": "application/json", authorization: `Bearer ${TOKEN}`, ...how }, body: JSON.stringify(body) });
  const { url } = await (await ask("/api/people", { name: "Op", role: "operator" })).json();
  const cookie = await session(it.origin, url);
  const pairings = await (await fetch(`${it.origin}/api/pairings`, { headers: { cookie } })).json();
  const { code, jid } = pairings.find((pairing) => pairing.sender_name === HOSTILE[3]);
  const approved = await ask(`/api/pairings/${code}/approve`, { me: true }, { authorization: "", cookie });
  assert.equal(approved.status, 200);
  await bot.push({ chat: Number(jid.split(":")[1]), name: HOSTILE[3], text: "/whoami" });
  await bot.said("You are operator here.");
});

test("a dead letter is shown, tried again and dropped", async () => {
  model.refuses = true;
  await tab.evaluate(async () => {
    const body = JSON.stringify({ group: "main", content: "hello", wait_seconds: 60 });
    await fetch("/api/messages", { method: "POST", headers: { "content-type": "application/json" }, body });
  });
  await tab.getByRole("link", { name: "State" }).click();
  const letter = tab.locator("[data-dead]");
  await letter.first().waitFor({ timeout: ANSWER_MS });
  await shot(tab, "33-dead");
  const asked = model.asked;
  await letter.first().getByRole("button", { name: "Try again" }).click();
  await tab.waitForFunction(() => document.querySelector(".toasts").textContent.includes("Back in the queue"));
  // It is refused again, and so is dead again.
  await letter.first().waitFor({ timeout: ANSWER_MS });
  while (model.asked === asked) await new Promise((resolve) => setImmediate(resolve));
  await letter.first().getByRole("button", { name: "Drop" }).click();
  await letter.first().waitFor({ state: "detached", timeout: ANSWER_MS });
  await tab.getByText("None. Nothing was given up.").waitFor();
  model.refuses = false;
});

test("the page complained about nothing and asked nobody else", () => {
  assert.deepEqual(tab.complaints, []);
});
