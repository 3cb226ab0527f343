// The page of plugins: switched on, told what to do by a form, and asked from the next message on.

import assert from "node:assert/strict";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { gunzipSync } from "node:zlib";

import { browser, gateway, logIn, page, shot } from "./harness.js";

/** Longest that something may take on its way, in milliseconds. */
const SOON_MS = 30_000;

/** The component of the command line's tests that answers all messages with `Kraa`, by gzip. */
const PARROT = [
  "H4sIAAAAAAACA82UzW7TQBDHZ3bXdmKnkWiRql6Qqp5AchoqoAhxaODAoYhXoBt7SUzjD3Y3aXJKTpx4Ah6OB+ApGDffkqUmiAO25FnZO1+/+a9BmvQAELyfiO8cvDWo6y",
  "yJxyLqS2tc29dKxuD0dD4swDUqi5U2wdyGmUyVEVaNrfHplQ2lDVMz9gqdjKRVUwEebTCypzggfnNEIY0BcCl21lNowJWZuVOaViLWeVHafj6ISwveSOk4iSwH7p8hPMlk",
  "lvd0Endz+6YYDHtJdm4nhTJX7dbzVtsB/I1AzSAAYJPdiCldOL1BenDOAB2OwLyP3E1VmusJg0Yku8ln6m8wyCOAdkWCRfWhVpFKRiqe5zqj8uOBAvSfMRc6s5kITqFD9y",
  "sGHdFhpal1ZrXSNjqiNBAEAdLWWiCutZTQFCU75iFSUdLCeb3QeTyMCC42aBlRYhWH3Qke3CU2jPK0yDMi7LVbFy9ftC7cY8Zhg+6KFhMlALdBYREWrXpH7CsyNFe4dEDg",
  "7gdGoP6ia3LaIlcLyoycA2UW4heDpaI+sVvzD8XknyAcJcRB27AcfLiWltfaT1z+Nd8OtZYaPK5I0ebAtj8sHOiDuKfrbtJ1wPOPEQ4XDl+GWRTO4WEtOGHrsbH13DgJvg",
  "zkbwaqk2yaNMaFM52hhmOItlMVuhoOVvbJqrvE6h5ZcI7wdGehOFThD9FcafZ+svgeiOHeasMtqWGwoWqswyNSXCqTjJaHy+V3OugP/Szwcuc6QtNP0jDJjJVZpNjuFGiS",
  "68ld0vE4tZPwgbKWc2dLVeBbOlSv9yx2Bf6/YbH37+0PQwvfUJYGAAA=",
].join("");

let it;
let chrome;
let tab;

before(async () => {
  it = await gateway();
  chrome = await browser();
  tab = await page(chrome, it.origin);
  await logIn(tab, it.link);
});
after(async () => {
  await chrome?.close();
  await it?.end();
});

const card = () => tab.locator('[data-plugin="word_filter"]');
const said = (text, seconds = 30) =>
  tab.evaluate(
    async ([content, wait_seconds]) => {
      const body = JSON.stringify({ group: "main", content, wait_seconds });
      const response = await fetch("/api/messages", { method: "POST", headers: { "content-type": "application/json" }, body });
      return (await response.json()).answer?.text ?? null;
    },
    [text, seconds],
  );

test("a filter is switched on and filled in, and masks the next message", async () => {
  await tab.getByRole("link", { name: "Plugins" }).click();
  await card().getByText("off", { exact: true }).waitFor();
  await card().locator("summary").click();
  await card().locator("textarea[name=words]").fill("darn\nheck");
  await card().getByRole("button", { name: "Save" }).click();
  await tab.waitForFunction(() => document.querySelector(".toasts").textContent.includes("Saved"));
  await card().getByRole("button", { name: "Switch on" }).click();
  await card().getByText("on", { exact: true }).waitFor({ timeout: SOON_MS });
  await shot(tab, "60-plugins");
  assert.equal(await said("echo a darn thing"), "a **** thing");
});

test("what it may not be set to is told, and nothing changes", async () => {
  await card().locator("textarea[name=files]").fill("/nowhere/words.txt");
  await card().getByRole("button", { name: "Save" }).click();
  await tab.waitForFunction(() => document.querySelector(".toasts").textContent.includes("/nowhere/words.txt"));
  assert.equal(await said("echo what the heck"), "what the ****");
});

test("what it holds is let go from the page", async () => {
  await card().locator("textarea[name=files]").fill("");
  await card().locator("select[name=action]").selectOption("hold");
  await card().getByRole("button", { name: "Save" }).click();
  await tab.waitForFunction(() => document.querySelector(".toasts").textContent.includes("Saved"));
  const held = said("echo darn it", 20);
  const box = tab.locator("[data-held]");
  await box.getByText("echo darn it").waitFor({ timeout: SOON_MS });
  await shot(tab, "61-held");
  // Held on its way in, and again on its way out, where the agent says the same.
  await box.getByRole("button", { name: "Let it go" }).first().click();
  await box.getByText("darn it", { exact: true }).waitFor({ timeout: SOON_MS });
  await box.getByRole("button", { name: "Let it go" }).first().click();
  await box.waitFor({ state: "detached", timeout: SOON_MS });
  await held;
});

test("one that is installed shows what it may do and what it was refused", async () => {
  const folder = join(it.home, "parrot-as-downloaded");
  const manifest = `name = "parrot"
version = "1.0.0"
hooks = ["message-received"]
[capabilities]
log = true
http = ["api.example.com"]
`;
  await mkdir(folder);
  await writeFile(join(folder, "plugin.toml"), manifest);
  await writeFile(join(folder, "plugin.wasm"), gunzipSync(Buffer.from(PARROT, "base64")));
  await it.run("plugin", "install", folder, "--grant", "log");
  const grants = tab.locator('[data-plugin="parrot"] [data-grants] li');
  await grants.filter({ hasText: "May: log write to its own log" }).waitFor({ timeout: SOON_MS });
  await grants.filter({ hasText: "Not granted: http ask these hosts: api.example.com" }).waitFor();
  await shot(tab, "63-plugin-grants");
  await it.run("plugin", "remove", "parrot");
  await grants.first().waitFor({ state: "detached", timeout: SOON_MS });
});

test("it goes back to what the settings file says, and fits a phone", async () => {
  await card().getByRole("button", { name: "As in the settings file" }).click();
  await card().getByText("off", { exact: true }).waitFor({ timeout: SOON_MS });
  assert.equal(await said("echo a darn thing"), "a darn thing");
  await tab.setViewportSize({ width: 390, height: 844 });
  await tab.emulateMedia({ colorScheme: "dark" });
  const wide = await tab.evaluate(() => document.documentElement.scrollWidth);
  assert.ok(wide <= 390, `${wide}`);
  await shot(tab, "62-plugins-phone");
  assert.deepEqual(tab.complaints, []);
});
