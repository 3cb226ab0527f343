// The first page: every number on it is what a query of the database says.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { after, before, test } from "node:test";
import { promisify } from "node:util";

import { browser, gateway, logIn, page, shot } from "./harness.js";

/** Longest that something may take on its way, in milliseconds. */
const SOON_MS = 30_000;

const GROUPS = 10;
const MESSAGES_A_GROUP = 100;

/** Asks the database itself, by Python's SQLite, which is not ours. */
const QUERY = `
import json, sqlite3, sys
db = sqlite3.connect(f"file:{sys.argv[1]}/nanogridbot.db?mode=ro", uri=True)
one = lambda text: db.execute(text).fetchone()[0]
took = sorted(row[0] for row in db.execute("""SELECT max(at) - min(at) FROM decisions WHERE kind IN ('received', 'sent')
    AND message_id IS NOT NULL GROUP BY message_id HAVING count(DISTINCT kind) = 2"""))
print(json.dumps({
    "messages_in": one("SELECT count(*) FROM messages WHERE author = 'user'"),
    "messages_out": one("SELECT count(*) FROM messages WHERE author <> 'user'"),
    "runs": one("SELECT count(*) FROM runs"),
    "runs_failed": one("SELECT count(*) FROM runs WHERE error IS NOT NULL"),
    "whole": {"count": len(took), "p50_ms": took[len(took) * 50 // 100], "p95_ms": took[len(took) * 95 // 100]},
}))
`;

let it;
let chrome;
let tab;

before(async () => {
  it = await gateway();
  chrome = await browser();
  tab = await page(chrome, it.origin, { colorScheme: "light" });
  await logIn(tab, it.link);
});
after(async () => {
  await chrome?.close();
  await it?.end();
});

const figure = async (name) => Number((await tab.locator(`[data-figure=${name}] b`).textContent()).replaceAll(/\D/g, ""));

test("a new gateway says what to do first", async () => {
  await tab.getByRole("link", { name: "Home" }).click();
  const first = tab.locator("[data-card=first]");
  await first.getByRole("link", { name: "Set a model" }).waitFor();
  await first.getByRole("link", { name: "Write to your agent" }).waitFor();
  await first.getByRole("link", { name: "Connect a chat platform" }).waitFor();
  assert.equal(await figure("messages_in"), 0);
  await shot(tab, "05-home-new");
});

test("after 1,000 messages every number is what the database says", async () => {
  const wrong = await tab.evaluate(
    async ([groups, messages]) => {
      const headers = { "content-type": "application/json" };
      const post = (path, body) => fetch(path, { method: "POST", headers, body: JSON.stringify(body) });
      const talk = async (n) => {
        const group = `g${n}`;
        const made = await post("/api/groups", { name: group });
        if (!made.ok) return [await made.text()];
        for (let at = 0; at < messages; at += 1) {
          const said = await (await post("/api/messages", { group, content: `echo ${at}`, wait_seconds: 60 })).json();
          if (said.answer?.text !== String(at)) return [JSON.stringify(said)];
        }
        return [];
      };
      return (await Promise.all(Array.from({ length: groups }, (_, n) => talk(n)))).flat();
    },
    [GROUPS, MESSAGES_A_GROUP],
  );
  assert.deepEqual(wrong, []);
  // The last answers are on their way still: their receipts are written with what comes next.
  await tab.waitForFunction(async () => (await (await fetch("/api/status")).json()).counts.outbox_pending === 0, null, { timeout: SOON_MS });
  const told = JSON.parse((await promisify(execFile)("python3", ["-c", QUERY, it.home])).stdout);
  assert.equal(told.messages_in, GROUPS * MESSAGES_A_GROUP);
  await tab.waitForFunction((n) => document.querySelector("[data-figure=messages_in] b").textContent.replace(/\D/g, "") === String(n), told.messages_in, { timeout: SOON_MS });
  for (const name of ["messages_in", "messages_out", "runs", "runs_failed"]) assert.equal(await figure(name), told[name], name);
  const overview = await tab.evaluate(async () => (await fetch("/api/overview?minutes=60")).json());
  const { step, ...whole } = overview.steps.at(-1);
  assert.deepEqual([step, whole], ["whole", told.whole]);
  assert.equal(await tab.locator("[data-card=now] [data-figure=working] b").textContent(), "0");
  assert.equal(await tab.locator("[data-step=whole]").count(), 1);
  await shot(tab, "06-home");
});

test("it fits a phone, in the dark", async () => {
  await tab.setViewportSize({ width: 390, height: 844 });
  await tab.emulateMedia({ colorScheme: "dark" });
  const wide = await tab.evaluate(() => document.documentElement.scrollWidth);
  assert.ok(wide <= 390, `${wide}`);
  await shot(tab, "07-home-phone");
});

test("the page complained about nothing and asked nobody else", () => {
  assert.deepEqual(tab.complaints, []);
});
