// The API against its own description: schemathesis makes requests of `/api/openapi.json`, right ones and wrong ones, as
// each kind of person, and looks whether what comes back is what was described.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { gateway, session } from "./harness.js";

/** A Python with what `tests/browser/requirements.txt` names. */
const PYTHON = process.env.NGB_TEST_SCHEMATHESIS;

/** Longest that one person's run may take, in milliseconds. */
const LIMIT_MS = 180_000;

const CHECKS = [
  "not_a_server_error",
  "status_code_conformance",
  "content_type_conformance",
  "response_headers_conformance",
  "response_schema_conformance",
  "unsupported_method",
  "allow_header_conformance",
  "negative_data_rejection",
].join(",");

/**
 * Not asked: what ends the login that asks, what takes a model's or an agent's time (`api.test.js` and `model.test.js`
 * ask those), and what is no HTTP after its first answer.
 */
const LEFT_OUT = ["/api/logout", "/api/model", "/ws", "/api/people/{id}"];

/** Takes what the other requests are about. */
const FORGETS = "/api/prune";

const LEFT_OUT_OPERATIONS = ["post_messages", "post_groups_id_openai_v1_chat_completions"];

let it;
let owner;

before(async () => {
  if (!PYTHON) throw new Error("set NGB_TEST_SCHEMATHESIS to a Python with tests/browser/requirements.txt");
  it = await gateway();
  owner = await session(it.origin, it.link);
});
after(() => it?.end());

/** The cookie of a new person. */
async function person(name, role, groups) {
  const body = JSON.stringify({ name, role, groups });
  const headers = { cookie: owner, "content-type": "application/json" };
  const response = await fetch(`${it.origin}/api/people`, { method: "POST", headers, body });
  assert.equal(response.status, 200, await response.clone().text());
  return session(it.origin, (await response.json()).url);
}

/** Something of each kind, so that requests find what they name: all have the number 1. */
async function furnish() {
  const headers = { cookie: owner, "content-type": "application/json" };
  const things = {
    "/api/messages": { group: "main", content: "echo hello", wait_seconds: 60 },
    "/api/tasks": { group: "main", prompt: "x", schedule_type: "cron", schedule_value: "0 9 * * *" },
  };
  for (const [path, thing] of Object.entries(things)) {
    const response = await fetch(it.origin + path, { method: "POST", headers, body: JSON.stringify(thing) });
    assert.equal(response.status, 200, await response.text());
  }
}

/**
 * Runs schemathesis as whoever has `cookie`; what it found wrong is the failure. It asks for what is there, or, with
 * `astray`, for whatever it can think of.
 */
async function conforms(cookie, examples, astray = false) {
  const folder = await mkdtemp(join(tmpdir(), "ngb-openapi-"));
  if (!astray) await writeFile(join(folder, "schemathesis.toml"), '[parameters]\n"path.id" = 1\n');
  const paths = astray ? LEFT_OUT : [...LEFT_OUT, FORGETS];
  const left = [...paths.flatMap((path) => ["--exclude-path", path]),
    ...LEFT_OUT_OPERATIONS.flatMap((id) => ["--exclude-operation-id", id])];
  const args = ["-m", "schemathesis.cli", "run", `${it.origin}/api/openapi.json`, "--url", it.origin, "--no-color",
    "--header", `Cookie: ${cookie}`, "--generation-with-security-parameters", "false", "--checks", CHECKS,
    "--phases", "coverage,fuzzing", "--generation-deterministic", "--max-examples", String(examples), "--no-shrink",
    "--continue-on-failure", "--request-timeout", "20", "--warnings", "off", ...left];
  try {
    const output = await new Promise((resolve, reject) => {
      const options = { cwd: folder, timeout: LIMIT_MS, maxBuffer: 64 << 20, env: { ...process.env, NO_COLOR: "1" } };
      execFile(PYTHON, args, options, (error, out, err) => (error ? reject(new Error(`${out}\n${err}`)) : resolve(out)));
    });
    // Something was asked: a run that selects nothing would be well too.
    const cases = Number(/(\d+) generated/.exec(output)?.[1] ?? 0);
    assert.ok(cases > 500, output);
    return cases;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

test("every answer of the reader page's routes is described", async () => {
  const page = await fetch(`${it.origin}/reader.html`);
  assert.equal(page.status, 200);
  const { paths, components } = await (await fetch(`${it.origin}/api/openapi.json`, { headers: { cookie: owner } })).json();
  assert.ok(Object.keys(paths).length > 40);
  assert.deepEqual(components.schemas.Error.required, ["error"]);
});

test("as a member of one group", async (t) => {
  await furnish();
  const cookie = await person("Mia", "member", ["main"]);
  t.diagnostic(`${await conforms(cookie, 2)} requests`);
});

test("as somebody who only reads", async (t) => {
  const cookie = await person("Vera", "viewer", ["main"]);
  t.diagnostic(`${await conforms(cookie, 2)} requests`);
});

test("as an operator", async (t) => {
  const cookie = await person("Olga", "operator");
  t.diagnostic(`${await conforms(cookie, 2)} requests`);
});

test("as the owner", async (t) => t.diagnostic(`${await conforms(owner, 5)} requests`));

test("as the owner, astray", async (t) => t.diagnostic(`${await conforms(owner, 5, true)} requests`));
