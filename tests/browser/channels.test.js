// The page of channels: an account is added by a form, set up step by step until a message proves it, rests and goes.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { browser, gateway, logIn, page, shot, telegram } from "./harness.js";

/** Longest that something may take on its way, in milliseconds. */
const SOON_MS = 30_000;

let it;
let bot;
let chrome;
let tab;

before(async () => {
  bot = await telegram();
  it = await gateway();
  chrome = await browser();
  tab = await page(chrome, it.origin);
  await logIn(tab, it.link);
});
after(async () => {
  await chrome?.close();
  await it?.end();
  bot?.end();
});

const settings = async () => readFile(join(it.home, "config.toml"), "utf8").catch(() => "");
const dialog = () => tab.getByRole("dialog");
const card = () => tab.locator('[data-account="telegram@main"]');

test("what makes no sense is told, and nothing is written", async () => {
  await tab.getByRole("link", { name: "Channels" }).click();
  await tab.getByText("No account yet").waitFor();
  await tab.getByRole("button", { name: "Add an account" }).click();
  await dialog().locator("select[name=kind]").selectOption("wecom");
  await dialog().locator("input[name=corp_id]").fill("ww1");
  await dialog().locator("input[name=agent_id]").fill("1000002");
  for (const key of ["secret", "token", "encoding_aes_key"]) await dialog().locator(`input[name=${key}]`).fill("short");
  await shot(tab, "70-add-channel");
  await dialog().getByRole("button", { name: "Connect" }).click();
  await dialog().getByRole("alert").getByText("encoding_aes_key").first().waitFor();
  assert.doesNotMatch(await settings(), /wecom/);
});

test("each platform's form asks for what its settings are called", async () => {
  const kinds = await tab.evaluate(async () => (await fetch("/api/channels/kinds")).json());
  assert.deepEqual(kinds.map((it) => it.kind).sort(), ["dingtalk", "discord", "feishu", "qq", "slack", "telegram", "wecom", "whatsapp"]);
  for (const { kind, ways } of kinds) {
    await dialog().locator("select[name=kind]").selectOption(kind);
    for (const [n, { wants }] of ways.entries()) {
      if (1 < ways.length) await dialog().locator("select[name=way]").selectOption(String(n));
      for (const { key, is_secret } of wants) {
        assert.equal(await dialog().locator(`input[name=${key}]`).getAttribute("type"), is_secret ? "password" : "text", `${kind}: ${key}`);
      }
    }
  }
});

test("an account is connected, and a message that is answered proves it", async () => {
  await dialog().locator("select[name=kind]").selectOption("telegram");
  await dialog().locator("input[name=token]").fill(bot.token);
  await dialog().locator("summary").click();
  await dialog().locator("input[name=api_url]").fill(bot.url);
  await dialog().getByRole("button", { name: "Connect" }).click();
  await card().locator("[data-stage=connected]").waitFor({ timeout: SOON_MS });
  await card().getByText("press Start and write something").waitFor();
  await shot(tab, "71-channel-connected");
  assert.match(await settings(), /\[channels\.telegram\.main\]/);
  await bot.push({ chat: 7, name: "Ann", text: "hello" });
  await card().locator("[data-stage=answered]").waitFor({ timeout: SOON_MS });
  await shot(tab, "72-channel-answered");
});

test("it rests, goes on, and is there once", async () => {
  await card().getByRole("button", { name: "Pause" }).click();
  await card().getByText("paused", { exact: true }).waitFor({ timeout: SOON_MS });
  await card().getByRole("button", { name: "Resume" }).click();
  await card().getByText("up", { exact: true }).waitFor({ timeout: SOON_MS });
  const again = await tab.evaluate(async () => {
    const body = JSON.stringify({ kind: "telegram", settings: { token: "1:x" } });
    const response = await fetch("/api/channels", { method: "POST", headers: { "content-type": "application/json" }, body });
    return [response.status, (await response.json()).error.message];
  });
  assert.equal(again[0], 422);
  assert.match(again[1], /`telegram@main` is in .* already/);
});

test("it is taken away, and what was said stays", async () => {
  await card().getByRole("button", { name: "Remove: telegram@main" }).click();
  await dialog().getByRole("button", { name: "Remove", exact: true }).click();
  await card().waitFor({ state: "detached", timeout: SOON_MS });
  assert.doesNotMatch(await settings(), /telegram/);
  const kept = await tab.evaluate(async () => (await fetch("/api/messages?q=hello")).json());
  assert.equal(kept.filter((it) => it.jid === "telegram@main:7" && it.role === "user").length, 1);
});

test("it fits a phone, in the dark", async () => {
  await tab.setViewportSize({ width: 390, height: 844 });
  await tab.emulateMedia({ colorScheme: "dark" });
  await tab.getByRole("button", { name: "Add an account" }).click();
  await dialog().locator("select[name=kind]").waitFor();
  await shot(tab, "73-channels-phone");
  const wide = await tab.evaluate(() => document.documentElement.scrollWidth);
  assert.ok(wide <= 390, `${wide}`);
});

test("the page complained about nothing and asked nobody else", () => {
  assert.deepEqual(tab.complaints, []);
});
