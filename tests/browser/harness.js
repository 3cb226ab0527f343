// Starts the real executable on a fresh home, and a real browser in front of it.

import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, mkdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { promisify } from "node:util";

import { chromium } from "playwright-core";

/** The executable under test. */
const BIN = process.env.NGB_TEST_BIN;

const CHROMIUM = process.env.NGB_TEST_CHROMIUM ?? "/usr/bin/chromium";

/** Where pictures go; none are made without it. */
const SHOTS = process.env.NGB_TEST_SHOTS;

const LINK = /https?:\/\/\S+\/#login=\S+/;

/** Longest that a start may take until the link is printed, in milliseconds. */
const START_MS = 30_000;

/**
 * A gateway of our own, with these variables: `link` and `origin`, `kill()` for `kill -9`, `start()` to start it again on
 * the same home, `run()` for a command of the command line.
 */
export async function gateway(variables = {}) {
  if (!BIN) throw new Error("set NGB_TEST_BIN to the executable under test");
  const home = await mkdtemp(join(tmpdir(), "ngb-browser-"));
  const it = { home, child: null, link: null, origin: null, log: "" };

  it.start = async () => {
    const env = { ...process.env };
    // With a key in the environment the agent would not be the demonstration.
    for (const name of Object.keys(env)) if (/^(ANTHROPIC|OPENAI|NGB)_/.test(name)) delete env[name];
    Object.assign(env, variables);
    const child = spawn(BIN, ["--home", home], { env, stdio: ["ignore", "pipe", "pipe"] });
    it.child = child;
    child.stderr.on("data", (data) => (it.log += data));
    const lines = createInterface({ input: child.stdout });
    const found = new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`no link within ${START_MS} ms\n${it.log}`)), START_MS);
      lines.on("line", (line) => {
        it.log += `${line}\n`;
        const link = LINK.exec(line)?.[0];
        if (!link) return;
        clearTimeout(timer);
        resolve(link);
      });
      child.once("exit", (code) => {
        clearTimeout(timer);
        reject(new Error(`it ended with ${code} before it printed a link\n${it.log}`));
      });
    });
    it.link = await found;
    it.origin = new URL(it.link).origin;
  };

  it.run = async (...args) => (await promisify(execFile)(BIN, ["--home", home, ...args])).stdout;

  it.kill = async (signal = "SIGKILL") => {
    if (it.child.exitCode !== null || it.child.signalCode !== null) return;
    const gone = once(it.child, "exit");
    it.child.kill(signal);
    await gone;
  };

  it.end = async () => {
    await it.kill("SIGTERM");
    await rm(home, { recursive: true, force: true });
  };

  await it.start();
  return it;
}

/** A simulated platform: `nanogridbot sim NAME`, with the settings of these names that it prints. */
export async function sim(name, settings) {
  const child = spawn(BIN, ["sim", name, "--bind", "127.0.0.1:0"], { stdio: ["ignore", "pipe", "inherit"] });
  const it = { end: () => child.kill() };
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  while (!settings.every((key) => it[key])) {
    const { value, done } = await lines.next();
    if (done) throw new Error(`the simulated ${name} did not start`);
    const [, key, text] = /^(\w+) = "?(.*?)"?$/.exec(value) ?? [];
    if (key) it[key] = text;
  }
  return it;
}

/** A simulated Telegram: `url` and `token`, `push(draft)` for what a person does, `said(text)` waits for the bot. */
export async function telegram() {
  const it = await sim("telegram", ["api_url", "token"]);
  it.url = it.api_url;
  it.push = async (draft) => {
    const body = JSON.stringify({ drafts: [draft] });
    const response = await fetch(`${it.url}/sim/push`, { method: "POST", body });
    if (!response.ok) throw new Error(`push: ${response.status} ${await response.text()}`);
  };
  it.said = async (text) => {
    for (let n = 1; ; n += 1) {
      const sent = await (await fetch(`${it.url}/sim/sent`)).text();
      if (sent.includes(text)) return;
      const { sent: count } = await (await fetch(`${it.url}/sim/wait?sent=${n}&ms=30000`)).json();
      if (count < n) throw new Error(`the bot never said "${text}": ${sent}`);
      n = Math.max(n, count);
    }
  };
  return it;
}

/** A browser; close it. */
export function browser() {
  return chromium.launch({ executablePath: CHROMIUM, args: ["--no-sandbox"] });
}

/** A page of its own profile that collects what a calm page never has: errors, and requests to anybody else. */
export async function page(browser, origin, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, ...options });
  const page = await context.newPage();
  page.complaints = [];
  page.on("pageerror", (error) => page.complaints.push(String(error)));
  page.on("console", (message) => {
    // A browser reports each failed request by itself; those are what some tests are about.
    const text = message.text();
    if (message.type() === "error" && !/Failed to load resource|WebSocket connection/.test(text)) page.complaints.push(text);
  });
  page.on("request", (request) => {
    const url = request.url();
    if (!url.startsWith(origin) && !url.startsWith("data:")) page.complaints.push(`asked ${url}`);
  });
  return page;
}

/** Logs in by the link and waits for the chat. */
export async function logIn(page, link) {
  await page.goto(link);
  await page.locator(".chat .composer textarea").waitFor();
  await page.locator(".connection.up").first().waitFor({ state: "attached" });
}

/** Keeps a picture under `name`. */
export async function shot(page, name) {
  if (!SHOTS) return;
  await mkdir(SHOTS, { recursive: true });
  await page.screenshot({ path: join(SHOTS, `${name}.png`), animations: "disabled" });
}

/** A session cookie, got the way the page gets one. */
export async function session(origin, link) {
  const code = link.split("#login=")[1];
  const response = await fetch(`${origin}/api/login`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ code }),
  });
  if (!response.ok) throw new Error(`login: ${response.status} ${await response.text()}`);
  return response.headers.get("set-cookie").split(";")[0];
}
