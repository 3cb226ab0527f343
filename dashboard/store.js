// What the page knows. The server's events change it, the pages show it.

import { useEffect, useState } from "./vendor/htm-preact.js";
import { ApiError, get, post } from "./api.js";
import { t } from "./i18n.js";

/** Longest piece of streamed text that is kept while an answer is made, in characters. */
const MAX_LIVE_CHARS = 400_000;

const PAGE_MESSAGES = 60;

export const state = {
  me: undefined, // undefined: not asked yet; null: not logged in
  loginProblem: null,
  connection: "connecting", // connecting, up, offline
  status: null,
  alerts: [],
  groups: [],
  pairings: [],
  recent: [], // chats that wrote
  threads: new Map(), // jid -> names of its threads, the latest first
  chats: new Map(), // key of a place -> Chat
  runs: new Map(), // run id -> Run
  asks: new Map(), // ask id -> {ask, at, question, options, chosen}
  waiting: new Map(), // message id -> key of its place: stored, and not taken up yet
  unread: new Map(), // key of a place -> count
  outbox: [], // {key, jid, thread, text, at, problem}: written, and not known to be stored
  toasts: [],
};

/** The key of a place: what is said in a thread is a conversation of its own. */
export const keyOf = ({ jid, thread }) => (thread ? `${jid}\n${thread}` : jid);

/** The place of a key. */
export function placeOf(key) {
  const [jid, ...thread] = key.split("\n");
  return { jid, thread: thread.length ? thread.join("\n") : null };
}

/** Whether the person may do `right` in the group `id`; without one, for the whole gateway. */
export function may(right, id) {
  const where = id === undefined ? state.me : state.me?.groups.find((it) => it.id === id);
  return where?.rights.includes(right) ?? false;
}

const watchers = new Set();
let scheduled = false;

/** Shows what changed, at most once a frame. */
export function changed() {
  if (scheduled) return;
  scheduled = true;
  setTimeout(() => {
    scheduled = false;
    for (const it of watchers) it();
  }, 16);
}

/** Draws the caller anew whenever the state changed. */
export function useApp() {
  const [, draw] = useState(0);
  useEffect(() => {
    const it = () => draw((n) => n + 1);
    watchers.add(it);
    return () => watchers.delete(it);
  }, []);
  return state;
}

/** Tells the person something for a few seconds. */
export function toast(text, kind = "info") {
  const it = { text, kind };
  state.toasts = [...state.toasts, it];
  changed();
  setTimeout(() => {
    state.toasts = state.toasts.filter((other) => other !== it);
    changed();
  }, 6000);
}

/** Runs `work`; tells the person when it fails. Returns whether it went well. */
export async function attempt(work) {
  try {
    await work();
    return true;
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    const text = error.hint ? `${error.message} ${error.hint}` : error.message;
    toast(error.status === 0 ? t("offline") : t("failed_request", text), "bad");
    return false;
  }
}

// ---------------------------------------------------------------- reading

/** Reads everything but messages; returns the cursor where events go on. */
export async function loadAll() {
  const live = await get("/api/live");
  const [status, groups, recent] = await Promise.all([get("/api/status"), get("/api/groups"), get("/api/chats")]);
  Object.assign(state, { status, groups, recent });
  state.runs = new Map(live.runs.map((run) => [run.run, { ...run, at: keyOf(run.place) }]));
  state.asks = new Map(live.asks.map((ask) => [ask.ask, { ...ask, at: keyOf(ask.place) }]));
  await Promise.all([loadPairings(), loadAlerts()]);
  changed();
  return { instance: live.instance, number: live.number };
}

export async function loadPairings() {
  state.pairings = may("approve_chat") ? await get("/api/pairings") : [];
  changed();
}

export async function loadAlerts() {
  state.alerts = may("operate") ? await get("/api/alerts") : [];
  changed();
}

export async function loadGroups() {
  // What one may changes with them.
  [state.me, state.groups, state.recent] = await Promise.all([get("/api/me"), get("/api/groups"), get("/api/chats")]);
  changed();
}

export async function loadStatus() {
  state.status = await get("/api/status");
  changed();
}

const messagesOf = (key, more) => {
  const { jid, thread } = placeOf(key);
  const query = new URLSearchParams({ jid, thread: thread ?? "", limit: PAGE_MESSAGES, ...more });
  return get(`/api/messages?${query}`);
};

/** The conversation `key`, read from the server when it is new or stale. */
export async function openChat(key) {
  state.unread.delete(key);
  const chat = chatOf(key);
  if (!chat.fresh) {
    const { jid } = placeOf(key);
    const [page, threads] = await Promise.all([messagesOf(key), get(`/api/threads?jid=${encodeURIComponent(jid)}`)]);
    state.threads.set(jid, threads.map((it) => it.thread));
    // Events that came while the page was on its way.
    const newest = page.at(-1)?.id ?? 0;
    chat.messages = [...page, ...chat.messages.filter((it) => newest < it.id)];
    chat.more = page.length === PAGE_MESSAGES;
    chat.fresh = true;
    for (const [id, of] of state.waiting) if (of === key) state.waiting.delete(id);
    for (const it of page) if (it.state === "queued") state.waiting.set(it.id, key);
  }
  changed();
}

/** Messages before those that are shown. */
export async function loadOlder(key) {
  const chat = chatOf(key);
  const first = chat.messages[0];
  if (!first) return;
  const page = await messagesOf(key, { before: first.id });
  chat.messages = [...page, ...chat.messages];
  chat.more = page.length === PAGE_MESSAGES;
  changed();
}

export function chatOf(key) {
  let chat = state.chats.get(key);
  if (!chat) {
    chat = { messages: [], more: false, fresh: false, notes: [] };
    state.chats.set(key, chat);
  }
  return chat;
}

/** What was read may be old: chats are read anew when they are shown. */
export function forgetFreshness() {
  for (const chat of state.chats.values()) chat.fresh = false;
}

/** What a chat is called; one that was never heard of, by its id. */
export function chatName(jid) {
  return state.recent.find((it) => it.jid === jid)?.title || jid.split(":").slice(1).join(":");
}

/** The run that works in the place `key` now. */
export function runIn(key) {
  for (const run of state.runs.values()) if (run.at === key) return run;
  return null;
}

/** Whether something runs in a chat or a thread of it, and how much there is unread. */
export function newsOf(jid) {
  const here = (key) => placeOf(key).jid === jid;
  const unread = [...state.unread].reduce((sum, [key, n]) => (here(key) ? sum + n : sum), 0);
  return { busy: [...state.runs.values()].some((it) => here(it.at)), unread };
}

// ---------------------------------------------------------------- events

/** Takes in one event; `shown` is the chat that the person looks at. */
export function apply(event, shown) {
  const handler = EVENTS[event.type];
  if (handler) handler(event, shown);
}

const EVENTS = {
  message(event, shown) {
    const { jid, thread } = event.place;
    const key = keyOf(event.place);
    const chat = chatOf(key);
    const threads = state.threads.get(jid);
    if (thread && threads && !threads.includes(thread)) threads.unshift(thread);
    if (!chat.messages.some((it) => it.id === event.message)) {
      chat.messages.push({
        id: event.message, chat_jid: jid, role: event.author, sender: event.sender, text: event.text,
        timestamp: new Date(event.at).toISOString(), in_reply_to: event.in_reply_to, state: "", group: event.group,
      });
      if (key !== shown && event.author !== "user") state.unread.set(key, (state.unread.get(key) ?? 0) + 1);
    }
    if (event.author === "user") {
      // The answer to the request may come after this event; the text tells which one it is.
      const own = state.outbox.find((it) => keyOf(it) === key && it.text === event.text);
      if (own) drop(own.key);
      if (event.lane !== null) state.waiting.set(event.message, key);
    } else if (event.in_reply_to !== null) {
      state.waiting.delete(event.in_reply_to);
    }
  },
  run_started(event) {
    for (const id of event.messages) state.waiting.delete(id);
    state.runs.set(event.run, {
      run: event.run, lane: event.lane, group: event.group, at: keyOf(event.place), messages: event.messages,
      text: "", thinking: "", tools: [], started: Date.now(),
    });
  },
  step(event) {
    const run = state.runs.get(event.run);
    if (!run) return;
    const step = event.step;
    if (step.kind === "text") run.text = (run.text + step.delta).slice(-MAX_LIVE_CHARS);
    else if (step.kind === "thinking") run.thinking = (run.thinking + step.delta).slice(-MAX_LIVE_CHARS);
    else if (step.kind === "tool_start") run.tools.push({ id: step.id, tool: step.tool, summary: step.summary, ok: null, output: "" });
    else if (step.kind === "tool_end") {
      const tool = run.tools.findLast((it) => it.id === step.id);
      if (tool) Object.assign(tool, { ok: step.ok, output: step.output });
    }
  },
  run_finished(event) {
    const run = state.runs.get(event.run);
    state.runs.delete(event.run);
    for (const id of event.messages) state.waiting.delete(id);
    for (const [id, ask] of state.asks) if (ask.at === keyOf(event.place)) state.asks.delete(id);
    const chat = chatOf(keyOf(event.place));
    if (run && (run.thinking || run.tools.length)) {
      chat.notes.push({ answer: event.answer, after: Math.max(0, ...event.messages), thinking: run.thinking, tools: run.tools });
    }
    if (event.outcome === "retry") for (const id of event.messages) state.waiting.set(id, keyOf(event.place));
  },
  asked(event) {
    state.asks.set(event.ask, { ask: event.ask, at: keyOf(event.place), question: event.question, options: event.options });
  },
  ask_answered(event) {
    state.asks.delete(event.ask);
  },
  pairing_offered: () => void attempt(loadPairings),
  settings: () => void attempt(() => Promise.all([loadGroups(), loadPairings()])),
  channel: () => void attempt(loadStatus),
  alert: (event) => {
    toast(`${t("alert")}: ${event.text}`, "bad");
    void attempt(loadAlerts);
  },
};

// ---------------------------------------------------------------- writing

const OUTBOX = "outbox";

function keep() {
  localStorage.setItem(OUTBOX, JSON.stringify(state.outbox));
}

function drop(key) {
  state.outbox = state.outbox.filter((it) => it.key !== key);
  keep();
}

/** Reads what a page that was closed too early had still to send. */
export function recallOutbox() {
  try {
    const kept = JSON.parse(localStorage.getItem(OUTBOX) ?? "[]");
    state.outbox = Array.isArray(kept) ? kept.filter((it) => it.key && it.jid && it.text) : [];
  } catch {
    state.outbox = [];
  }
}

/** Shows the message at once and sends it; its key makes that a resend doubles nothing. */
export function say(place, text) {
  const item = { key: crypto.randomUUID?.() ?? randomKey(), ...placeOf(place), text, at: new Date().toISOString(), problem: null };
  state.outbox = [...state.outbox, item];
  keep();
  changed();
  void deliver(item);
}

// `randomUUID` exists only where the page came over https or from this machine.
function randomKey() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (it) => it.toString(16).padStart(2, "0")).join("");
}

export async function deliver(item) {
  if (item.busy) return;
  item.busy = true;
  item.problem = null;
  changed();
  try {
    const answer = await post("/api/messages", { chatJid: item.jid, thread: item.thread, content: item.text, idempotency_key: item.key, wait: false });
    const chat = chatOf(keyOf(item));
    if (!chat.messages.some((it) => it.id === answer.id)) {
      chat.messages.push({ id: answer.id, chat_jid: item.jid, role: "user", sender: "", text: item.text, timestamp: item.at, in_reply_to: null, state: "" });
      chat.messages.sort((a, b) => a.id - b.id);
    }
    // The event of it doesn't say whose it is.
    chat.messages.find((it) => it.id === answer.id).sender_id = `user:${state.me.id}`;
    drop(item.key);
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    const passing = error.status === 0 || error.status === 401 || error.status >= 500;
    item.problem = passing ? "offline" : `${error.message} ${error.hint ?? ""}`;
  } finally {
    item.busy = false;
    keep();
    changed();
  }
}

export function discard(item) {
  drop(item.key);
  changed();
}

/** Sends again what waits for the connection. */
export function deliverAll() {
  for (const item of state.outbox) if (item.problem === null || item.problem === "offline") void deliver(item);
}
