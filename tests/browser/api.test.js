// The API of the real executable, over its network door.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { gateway, session } from "./harness.js";

let it;
let cookie;

before(async () => {
  it = await gateway();
  cookie = await session(it.origin, it.link);
});
after(() => it?.end());

/** Asks as the owner, unless `headers` say otherwise. */
function ask(method, path, body, headers = {}) {
  const given = { cookie, ...headers };
  for (const name of Object.keys(given)) if (given[name] === undefined) delete given[name];
  if (body !== undefined && !given["content-type"]) given["content-type"] = "application/json";
  const raw = body === undefined || typeof body === "string" || body instanceof Uint8Array ? body : JSON.stringify(body);
  return fetch(it.origin + path, { method, headers: given, body: raw });
}

async function json(method, path, body, headers) {
  const response = await ask(method, path, body, headers);
  assert.equal(response.status, 200, `${method} ${path}: ${await response.clone().text()}`);
  return response.json();
}

test("what a stranger may do", async () => {
  const table = [
    ["GET", "/", 200], ["GET", "/app.js", 200], ["GET", "/healthz", 200],
    ["GET", "/api/groups", 401], ["GET", "/api/me", 401], ["GET", "/metrics", 401], ["GET", "/ws", 401],
    ["GET", "/api/openapi.json", 401], ["GET", "/api/nothing", 401], ["POST", "/api/messages", 401],
    ["GET", "/../Cargo.toml", 401], ["POST", "/hooks/telegram/nobody", 404],
  ];
  for (const [method, path, want] of table) {
    const response = await ask(method, path, undefined, { cookie: undefined });
    assert.equal(response.status, want, `${method} ${path}`);
    if (want === 401) assert.equal((await response.json()).error.code, "login_needed");
  }
});

test("every route of the table wants a login", async () => {
  const { paths } = await json("GET", "/api/openapi.json");
  let checked = 0;
  for (const [path, methods] of Object.entries(paths)) {
    for (const [method, operation] of Object.entries(methods)) {
      if (!operation.security) continue;
      const filled = path.replace(/\{\w+\}/g, "1");
      const response = await ask(method.toUpperCase(), filled, undefined, { cookie: undefined });
      assert.equal(response.status, 401, `${method} ${filled}`);
      checked += 1;
    }
  }
  assert.ok(30 < checked, `${checked}`);
});

test("a link works once, and wrong ones only so often, which locks nobody out", async () => {
  const code = it.link.split("#login=")[1];
  const again = await ask("POST", "/api/login", { code }, { cookie: undefined });
  assert.equal(again.status, 401);
  assert.equal((await again.json()).error.code, "login_refused");
  let last;
  for (let n = 0; n < 12; n += 1) last = await ask("POST", "/api/login", { code: `wrong${n}` }, { cookie: undefined });
  assert.equal(last.status, 429);
  assert.ok(0 < Number(last.headers.get("retry-after")));
  assert.equal((await json("GET", "/api/me")).role, "owner", "whoever is in stays in");
  const { url } = await json("POST", "/api/login/link");
  const right = await ask("POST", "/api/login", { code: url.split("#login=")[1] }, { cookie: undefined });
  assert.equal(right.status, 200, "what is right is let in");
});

test("other pages and bent names are refused", async () => {
  const port = new URL(it.origin).port;
  const table = [
    [{ origin: "http://evil.example.org" }, 403],
    [{ origin: `http://localhost:1` }, 403],
    [{ origin: "null" }, 403],
    [{ origin: it.origin }, 200],
  ];
  for (const [headers, want] of table) {
    assert.equal((await ask("GET", "/api/me", undefined, headers)).status, want, JSON.stringify(headers));
  }
  // `fetch` sets the host itself, so this one goes by hand.
  const { request } = await import("node:http");
  const status = await new Promise((resolve, reject) => {
    const headers = { host: `evil.example.org:${port}`, cookie };
    request({ host: "127.0.0.1", port, path: "/api/me", headers }, (response) => {
      response.resume();
      resolve(response.statusCode);
    }).on("error", reject).end();
  });
  assert.equal(status, 403);
});

test("bad bodies are told plainly", async () => {
  const invalid = Buffer.concat([Buffer.from('{"group":"main","content":"'), Buffer.from([0xff]), Buffer.from('"}')]);
  const table = [
    ["x".repeat(17 * 1024 * 1024), 413, "larger than 16777216 bytes"],
    [invalid, 400, "not valid UTF-8"],
    ["{", 400, "EOF while parsing"],
    [{ group: "main", content: "  " }, 400, "empty"],
    [{ group: "main", content: "a", contents: "b" }, 400, "unknown field `contents`"],
    [{ group: "none such", content: "a" }, 404, "no group `none such`"],
    [{ chatJid: "telegram@main:1", content: "a" }, 400, "telegram"],
    [{ group: "main", content: "a", idempotency_key: "k".repeat(201) }, 400, "1 to 200 bytes"],
  ];
  for (const [body, status, want] of table) {
    const response = await ask("POST", "/api/messages", body);
    const { error } = await response.json();
    assert.equal(response.status, status, error.message);
    assert.ok(error.message.includes(want), error.message);
  }
});

test("a message waits for its answer, and its key makes it one", async () => {
  const body = { group: "main", content: "echo one two", idempotency_key: "k1", wait_seconds: 60 };
  const first = await json("POST", "/api/messages", body);
  assert.equal(first.outcome, "answered");
  assert.ok(first.answer.in_reply_to === first.id && first.answer.role === "assistant");
  const again = await json("POST", "/api/messages", { ...body, idempotency_key: undefined }, { "idempotency-key": "k1" });
  assert.deepEqual([again.id, again.repeat, again.text], [first.id, true, first.text]);

  const jid = first.answer.chat_jid;
  const page = await json("GET", `/api/messages?chat_jid=${encodeURIComponent(jid)}&limit=2`);
  assert.deepEqual(page.map((message) => message.id), [first.id, first.answer.id]);
  assert.equal(page[0].content, "echo one two");
  const after = await json("GET", `/api/messages?chat_jid=${encodeURIComponent(jid)}&after=${first.id}`);
  assert.equal(after[0].id, first.answer.id);

  const why = await json("GET", `/api/messages/${first.id}/why`);
  const kinds = why.decisions.map((decision) => decision.kind);
  assert.ok(kinds.includes("queued") && kinds.includes("answered"), kinds.join());
});

test("an answer is streamed", async () => {
  const body = { group: "main", content: "Write and read a file" };
  const response = await ask("POST", "/api/messages", body, { accept: "text/event-stream" });
  assert.match(response.headers.get("content-type"), /^text\/event-stream/);
  const events = [...(await response.text()).matchAll(/^event: (\w+)\ndata: (.*)$/gm)];
  const names = events.map((event) => event[1]);
  assert.equal(names[0], "accepted");
  assert.equal(names.at(-1), "done");
  const kinds = events.filter((event) => event[1] === "event").map((event) => JSON.parse(event[2]).step?.kind);
  assert.ok(kinds.includes("tool_start") && kinds.includes("tool_end"), kinds.join());
  assert.equal(JSON.parse(events.at(-1)[2]).outcome, "answered");
});

test("OpenAI's shape, whole and streamed", async () => {
  const base = "/api/groups/main/openai/v1";
  assert.equal((await json("GET", `${base}/models`)).data[0].id, "main");
  const messages = [{ role: "system", content: "s" }, { role: "user", content: "echo three" }];
  const whole = await json("POST", `${base}/chat/completions`, { model: "main", messages });
  assert.equal(whole.object, "chat.completion");
  assert.ok(whole.choices[0].message.content.includes("three"));

  const streamed = await ask("POST", `${base}/chat/completions`, { model: "main", messages, stream: true });
  const data = [...(await streamed.text()).matchAll(/^data: (.*)$/gm)].map((match) => match[1]);
  assert.equal(data.at(-1), "[DONE]");
  const text = data.slice(0, -1).map((line) => JSON.parse(line).choices[0].delta.content ?? "").join("");
  assert.equal(text, whole.choices[0].message.content);
});

test("groups and bindings", async () => {
  const made = await json("POST", "/api/groups", { name: "Book club" });
  assert.deepEqual([made.name, made.folder, made.jid, made.is_main], ["Book club", "book-club", "web@main:book-club", false]);
  const twice = await ask("POST", "/api/groups", { name: "Book club", folder: "other" });
  assert.equal(twice.status, 409);
  for (const folder of ["../up", "A", "a/b"]) {
    assert.equal((await ask("POST", "/api/groups", { name: "x", folder })).status, 400, folder);
  }
  const path = `/api/groups/${made.id}`;
  const limited = await json("PATCH", path, { limits: { pids: 64 } });
  assert.deepEqual([limited.limits.pids, limited.limits.memory_mib], [64, made.limits.memory_mib]);
  const binding = { jid: "telegram@main:-5", engage: "trigger", pattern: "^@Andy\\b" };
  const bound = await json("POST", `${path}/bindings`, binding);
  assert.deepEqual([bound.trigger_pattern, bound.requires_trigger], ["^@Andy\\b", true]);
  assert.equal((await ask("POST", `${path}/bindings`, { ...binding, jid: "telegram@main:-6", pattern: "(" })).status, 400);
  const unbound = await json("DELETE", `${path}/bindings`, { jid: "telegram@main:-5" });
  assert.equal(unbound.bindings.length, 1);
  await json("DELETE", path);
  assert.equal((await ask("GET", path)).status, 404);
  const main = (await json("GET", "/api/groups")).find((group) => group.is_main);
  assert.equal((await ask("DELETE", `/api/groups/${main.id}`)).status, 409);
});

/** Logs in whoever the link is for; gives their cookie as a header. */
async function enter(url) {
  return { cookie: await session(it.origin, url) };
}

/** Opens `/ws`; the status, and the socket where it was let in. */
async function upgrade(headers) {
  const { request } = await import("node:http");
  const url = new URL(it.origin);
  const all = { connection: "Upgrade", upgrade: "websocket", "sec-websocket-version": "13", "sec-websocket-key": "AAAAAAAAAAAAAAAAAAAAAA==", ...headers };
  return new Promise((resolve, reject) => {
    request({ host: url.hostname, port: url.port, path: "/ws", headers: all })
      .on("upgrade", (response, socket) => resolve({ status: response.statusCode, socket }))
      .on("response", (response) => resolve({ status: response.statusCode, socket: response.resume().socket }))
      .on("error", reject)
      .end();
  });
}

test("the stream of events is for the page and for programs, not for other pages", async () => {
  const host = new URL(it.origin).host;
  const table = [
    [{ cookie, origin: it.origin }, 101], [{ cookie }, 101],
    [{ cookie, origin: "http://evil.example.org" }, 403], [{ cookie, origin: "null" }, 403],
    [{ cookie, host: "evil.example.org" }, 403], [{ origin: `http://${host}` }, 401],
    [{ authorization: "Bearer no" }, 401],
  ];
  for (const [headers, want] of table) {
    const { status, socket } = await upgrade(headers);
    socket.destroy();
    assert.equal(status, want, JSON.stringify(headers));
  }
});

test("each role may what the ladder says, and in its groups only", async () => {
  const club = await json("POST", "/api/groups", { name: "Chess club" });
  const said = await json("POST", "/api/messages", { group: "chess-club", content: "echo in the club", wait_seconds: 60 });
  const secret = await json("POST", "/api/messages", { group: "main", content: "echo of the family", wait_seconds: 60 });
  // Each route, the right that it wants, and whether a role for one group is enough.
  const routes = [
    ["GET", "/api/groups/chess-club", undefined, "read", true],
    ["GET", `/api/messages?group=chess-club`, undefined, "read", true],
    ["GET", `/api/messages?jid=${encodeURIComponent(club.jid)}`, undefined, "read", true],
    ["GET", `/api/messages/${said.id}`, undefined, "read", true],
    ["GET", `/api/messages/${said.id}/why`, undefined, "read", true],
    ["GET", `/api/threads?jid=${encodeURIComponent(club.jid)}`, undefined, "read", true],
    ["GET", "/api/groups/chess-club/openai/v1/models", undefined, "read", true],
    ["GET", "/api/status", undefined, "read", true],
    ["POST", "/api/messages", { group: "chess-club", content: "/whoami", wait: false }, "speak", true],
    ["POST", "/api/lanes/999999/stop", {}, "stop_own", true],
    ["GET", "/api/dead", undefined, "operate", true],
    ["GET", "/api/health/metrics", undefined, "read", false],
    ["GET", "/api/pairings", undefined, "approve_chat", false],
    ["GET", "/metrics", undefined, "operate", false],
    ["PATCH", "/api/groups/chess-club", {}, "configure", false],
    ["GET", "/api/people", undefined, "invite", false],
    ["POST", "/api/login/link", {}, "grant_roles", false],
  ];
  const least = {
    read: "viewer", speak: "guest", stop_own: "guest", stop: "member", operate: "operator", approve_chat: "operator",
    configure: "admin", invite: "admin", grant_roles: "owner",
  };
  const ladder = ["viewer", "guest", "member", "operator", "admin", "owner"];
  for (const role of ladder) {
    const wide = await enter((await json("POST", "/api/people", { name: `wide ${role}`, role })).url);
    const here = await enter((await json("POST", "/api/people", { name: `club ${role}`, role, groups: ["chess-club"] })).url);
    for (const [method, path, body, right, within] of routes) {
      const has = ladder.indexOf(least[right]) <= ladder.indexOf(role);
      const got = await ask(method, path, body, wide);
      assert.equal(got.status, has ? 200 : 403, `${role}: ${method} ${path}: ${await got.text()}`);
      const gotHere = await ask(method, path, body, here);
      assert.equal(gotHere.status, has && within ? 200 : 403, `${role} of the club: ${method} ${path}`);
    }
    // What is of another group is not even there.
    const elsewhere = [
      ["GET", "/api/groups/main"], ["GET", "/api/messages?group=main"], ["GET", `/api/messages?jid=web@main:main`],
      ["GET", `/api/messages/${secret.id}`], ["GET", `/api/messages/${secret.id}/why`], ["GET", "/api/threads?jid=web@main:main"],
      ["GET", "/api/groups/main/openai/v1/models"],
    ];
    for (const [method, path] of elsewhere) {
      assert.equal((await ask(method, path, undefined, here)).status, 404, `${role} of the club: ${path}`);
    }
    const main = (await json("GET", "/api/groups")).find((group) => group.is_main);
    const words = async (id) => (await (await ask("GET", `/api/groups/${id}`, undefined, here)).json()).error.message;
    assert.equal(await words(main.id), `there is no group \`${main.id}\``);
    const groups = await (await ask("GET", "/api/groups", undefined, here)).json();
    assert.deepEqual(groups.map((group) => group.folder), ["chess-club"]);
    const all = await (await ask("GET", "/api/messages", undefined, here)).text();
    assert.ok(all.includes("in the club") && !all.includes("of the family"));
    const status = await (await ask("GET", "/api/status", undefined, here)).json();
    assert.deepEqual([status.counts, status.channels], [null, []]);
    if (role !== "viewer") {
      const post = await ask("POST", "/api/messages", { group: "main", content: "hello", wait: false }, here);
      assert.equal(post.status, 404, `${role} writes elsewhere`);
    }
  }
});

test("who makes whom, and who is let go", async () => {
  const admin = await enter((await json("POST", "/api/people", { name: "Ada", role: "admin" })).url);
  for (const [role, want] of [["operator", 200], ["admin", 403], ["owner", 403]]) {
    const got = await ask("POST", "/api/people", { name: "Bob", role }, admin);
    assert.equal(got.status, want, role);
  }
  const people = await json("GET", "/api/people");
  const owner = people.find((person) => person.name === "owner");
  for (const [method, path] of [["POST", `/api/people/${owner.id}/link`], ["DELETE", `/api/people/${owner.id}`], ["PATCH", `/api/people/${owner.id}`]]) {
    const got = await ask(method, path, method === "DELETE" ? undefined : { role: "guest" }, admin);
    assert.equal(got.status, 403, `${method} ${path}`);
  }
  for (const [body, want] of [
    [{ name: " ", role: "guest" }, "1 to 60"], [{ name: "x", role: "king" }, "unknown variant"],
    [{ name: "x", role: "guest", groups: [] }, "names no group"], [{ name: "x", role: "guest", groups: ["none such"] }, "no group"],
  ]) {
    const { error } = await (await ask("POST", "/api/people", body)).json();
    assert.ok(error.message.includes(want), error.message);
  }
  const bob = people.find((person) => person.name === "club guest");
  const { url } = await json("POST", `/api/people/${bob.id}/link`);
  const his = await enter(url);
  assert.equal((await (await ask("GET", "/api/me", undefined, his)).json()).name, "club guest");
  await json("PATCH", `/api/people/${bob.id}`, { role: "viewer", groups: ["chess-club"] });
  const said = await ask("POST", "/api/messages", { group: "chess-club", content: "hi", wait: false }, his);
  assert.equal(said.status, 403, "from this moment on");
  const spare = await json("POST", `/api/people/${bob.id}/link`);
  await json("DELETE", `/api/people/${bob.id}`);
  assert.equal((await ask("GET", "/api/me", undefined, his)).status, 401);
  const late = await ask("POST", "/api/login", { code: spare.url.split("#login=")[1] }, { cookie: undefined });
  assert.notEqual(late.status, 200, "a link of theirs is void");
  for (const person of people.filter((person) => person.role === "owner" && person.id !== owner.id)) {
    await json("DELETE", `/api/people/${person.id}`);
  }
  assert.equal((await ask("DELETE", `/api/people/${owner.id}`)).status, 409, "the last owner stays");
});

test("a guest stops what is theirs, a member whatever runs", async () => {
  const of = async (name, role) => enter((await json("POST", "/api/people", { name, role, groups: ["chess-club"] })).url);
  const [guest, other, member] = [await of("Gil", "guest"), await of("Olga", "guest"), await of("Mia", "member")];
  const begin = async (headers) => {
    await (await ask("POST", "/api/messages", { group: "chess-club", content: "A long answer to stop", wait: false }, headers)).json();
    for (;;) {
      const { runs } = await (await ask("GET", "/api/live", undefined, headers)).json();
      if (runs.length) return runs[0].lane;
    }
  };
  const lane = await begin(guest);
  const stop = (headers) => ask("POST", `/api/lanes/${lane}/stop`, {}, headers);
  assert.equal((await stop(other)).status, 403);
  assert.deepEqual(await (await stop(guest)).json(), { success: true, interrupted: true });
  for (;;) {
    const { runs } = await json("GET", "/api/live");
    if (!runs.length) break;
  }
  await begin(guest);
  assert.deepEqual(await (await stop(member)).json(), { success: true, interrupted: true });
});

test("threads are conversations of their own", async () => {
  const jid = encodeURIComponent("web@main:main");
  await json("POST", "/api/messages", { group: "main", thread: "trip", content: "echo by train", wait_seconds: 60 });
  const threads = await json("GET", `/api/threads?jid=${jid}`);
  assert.ok(threads.some((thread) => thread.thread === "trip") && threads.some((thread) => thread.thread === "api"));
  const inside = await json("GET", `/api/messages?jid=${jid}&thread=trip`);
  assert.deepEqual(inside.map((message) => message.thread), ["trip", "trip"]);
  const outside = await json("GET", `/api/messages?jid=${jid}&thread=&limit=500`);
  assert.ok(outside.length && outside.every((message) => message.thread === null));
});

test("what happens elsewhere is not heard", async () => {
  const { cookie: hers } = await enter((await json("POST", "/api/people", { name: "Eve", role: "guest", groups: ["chess-club"] })).url);
  const { socket } = await upgrade({ cookie: hers });
  let heard = "";
  const seen = new Promise((resolve) =>
    // What a server sends is not masked, so its text can be read as it is.
    socket.on("data", (data) => {
      heard += data.toString();
      if (heard.includes("in the open")) resolve();
    }),
  );
  await json("POST", "/api/messages", { group: "main", content: "echo of the secret", wait_seconds: 60 });
  await json("POST", "/api/messages", { group: "chess-club", content: "echo in the open", wait_seconds: 60 });
  await seen;
  socket.destroy();
  assert.ok(!heard.includes("of the secret"), heard);
});

test("health and metrics have the original's names", async () => {
  const health = await json("GET", "/api/health");
  for (const key of ["status", "timestamp", "version"]) assert.ok(key in health, key);
  const metrics = await json("GET", "/api/health/metrics");
  const names = ["active_containers", "registered_groups", "active_tasks", "connected_channels", "total_channels", "channels"];
  for (const key of names) assert.ok(key in metrics, key);
  assert.equal(metrics.registered_groups, (await json("GET", "/api/groups")).length);
  const page = await (await ask("GET", "/metrics")).text();
  assert.match(page, /^nanogridbot_messages_in \d+$/m);
});

test("headers of the page", async () => {
  const response = await ask("GET", "/");
  const policy = response.headers.get("content-security-policy");
  assert.ok(policy.includes("script-src 'self';") && policy.includes("default-src 'none'") && !policy.includes("unsafe"));
  assert.equal(response.headers.get("x-content-type-options"), "nosniff");
  assert.equal(response.headers.get("access-control-allow-origin"), null);
  const known = await ask("GET", "/", undefined, { "if-none-match": response.headers.get("etag") });
  assert.equal(known.status, 304);
  const wrong = await ask("PUT", "/api/groups", {});
  assert.deepEqual([wrong.status, (await wrong.json()).error.code], [405, "wrong_method"]);
});

test("a login can be ended", async () => {
  await json("POST", "/api/logout");
  assert.equal((await ask("GET", "/api/me")).status, 401);
});
