// A model that is set on the page: tried before it is saved, and asked from the next message on, without a restart.

import assert from "node:assert/strict";
import { createServer } from "node:http";
import { after, before, test } from "node:test";

import { browser, gateway, logIn, page, shot } from "./harness.js";

/** Longest that an answer may take, in milliseconds. */
const ANSWER_MS = 60_000;

let it;
let chrome;
let tab;
let model;

/** A model of OpenAI's shape with one good key. */
async function openModel() {
  const server = createServer(async (request, response) => {
    let body = "";
    for await (const piece of request) body += piece;
    if (request.headers.authorization !== "Bearer good-key") {
      response.writeHead(401, { "content-type": "application/json" });
      return response.end(JSON.stringify({ error: { message: "this key is not good" } }));
    }
    if (!JSON.parse(body).stream) {
      response.writeHead(200, { "content-type": "application/json" });
      return response.end(JSON.stringify({ choices: [{ message: { role: "assistant", content: "ok" } }] }));
    }
    response.writeHead(200, { "content-type": "text/event-stream" });
    const say = (delta, end = null) => response.write(`data: ${JSON.stringify({ choices: [{ index: 0, delta, finish_reason: end }] })}\n\n`);
    say({ role: "assistant", content: "It is I, the model." });
    say({}, "stop");
    response.end("data: [DONE]\n\n");
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { url: `http://127.0.0.1:${server.address().port}/v1`, end: () => server.close() };
}

before(async () => {
  [it, model] = await Promise.all([gateway(), openModel()]);
  chrome = await browser();
  tab = await page(chrome, it.origin);
});
after(async () => {
  await chrome?.close();
  await it?.end();
  model?.end();
});

test("a model is tried, saved, and answers the next message", async () => {
  await logIn(tab, it.link);
  await tab.locator("[data-banner=demo]").getByRole("link").click();
  const card = tab.locator("[data-card=model]");
  // The address and a model of each are filled in; what is the account's own is left to be.
  await card.getByLabel("Provider").selectOption("deepseek");
  assert.equal(await card.getByLabel("Address").inputValue(), "https://api.deepseek.com/v1");
  assert.equal(await card.getByLabel("Model", { exact: true }).inputValue(), "deepseek-chat");
  await card.getByLabel("Provider").selectOption("azure");
  assert.equal(await card.getByLabel("Address").inputValue(), "");
  await shot(tab, "39-model-presets");
  await card.getByLabel("Provider").selectOption("openai");
  await card.getByLabel("Model", { exact: true }).fill("m");
  await card.getByLabel("Address").fill(model.url);
  await card.getByLabel("Key").fill("bad-key");
  await card.getByRole("button", { name: "Try and save" }).click();
  await card.getByRole("alert").waitFor({ timeout: ANSWER_MS });
  assert.match(await card.getByRole("alert").innerText(), /refuses the key: this key is not good/);
  await shot(tab, "40-model-refused");
  assert.equal(await tab.locator("[data-banner=demo]").count(), 1, "nothing was saved");

  await card.getByLabel("Key").fill("good-key");
  await card.getByRole("button", { name: "Try and save" }).click();
  await tab.locator("[data-banner=demo]").waitFor({ state: "detached", timeout: ANSWER_MS });
  await card.getByText("builtin with openai/m").waitFor();
  await shot(tab, "41-model-saved");

  await tab.getByRole("link", { name: "Chat", exact: true }).click();
  const composer = tab.getByRole("textbox", { name: "Message" });
  await composer.fill("Who is there?");
  await composer.press("Enter");
  await tab.locator(".message.assistant", { hasText: "It is I, the model." }).waitFor({ timeout: ANSWER_MS });
  assert.deepEqual(tab.complaints, []);
});

test("what was used is shown, and what nobody knows is not shown as nothing", async () => {
  await tab.getByRole("link", { name: "Usage" }).click();
  const card = tab.locator("[data-usage]");
  await card.getByRole("cell", { name: "openai/m" }).waitFor();
  // This model says nothing of its tokens, and has no price.
  assert.equal(await card.locator("[data-cost]").innerText(), "unknown");
  await card.getByText("of the tokens are estimated").waitFor();
  await card.getByText("[prices] has no price").waitFor();
  await tab.getByLabel("Time").selectOption("1");
  await card.getByRole("cell", { name: "main", exact: true }).waitFor();
  await shot(tab, "42-usage");

  await tab.getByRole("link", { name: "Messages" }).click();
  await tab.locator("[data-row]", { hasText: "It is I, the model." }).getByRole("button").click();
  await tab.locator("[data-why-shown]").getByText("estimated").waitFor();
  await shot(tab, "43-why-usage");
  assert.deepEqual(tab.complaints, []);
});
