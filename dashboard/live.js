// The stream of events: one socket that comes back by itself and goes on where it stopped.

import { get } from "./api.js";
import { apply, changed, deliverAll, forgetFreshness, loadAll, openChat, state } from "./store.js";

const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 15_000;

/** The server sends something at least each 20 s; a socket that is silent for longer is dead. */
const SILENCE_MS = 50_000;

let socket = null;
let cursor = null;
let wait = FIRST_WAIT_MS;
let silence = null;
let shownChat = () => null;

/** Connects and stays connected; `shown` says which chat the person looks at. */
export function connect(shown) {
  shownChat = shown;
  void open();
}

export function disconnect() {
  cursor = null;
  const old = socket;
  socket = null;
  old?.close();
}

async function open() {
  if (state.me === null) return;
  state.connection = state.connection === "offline" ? "offline" : "connecting";
  changed();
  try {
    cursor ??= await reload();
  } catch {
    return again();
  }
  const mine = new WebSocket(`${location.origin.replace(/^http/, "ws")}/ws`);
  socket = mine;
  mine.onopen = () => {
    mine.send(JSON.stringify({ resume: cursor }));
    wait = FIRST_WAIT_MS;
    state.connection = "up";
    changed();
    deliverAll();
    listen();
  };
  mine.onmessage = ({ data }) => {
    listen();
    void take(JSON.parse(data));
  };
  mine.onclose = () => {
    clearTimeout(silence);
    if (socket === mine) again();
  };
  function listen() {
    clearTimeout(silence);
    silence = setTimeout(() => mine.close(), SILENCE_MS);
  }
}

async function take(frame) {
  if (frame.reset) {
    cursor = null;
    forgetFreshness();
    const old = socket;
    socket = null;
    old?.close();
    return open();
  }
  for (const event of frame.events ?? []) apply(event, shownChat());
  if (frame.number !== undefined) cursor = { instance: frame.instance, number: frame.number };
  changed();
}

async function reload() {
  const at = await loadAll();
  const jid = shownChat();
  forgetFreshness();
  if (jid) await openChat(jid);
  return at;
}

async function again() {
  socket = null;
  if (state.me === null) return;
  state.connection = "offline";
  changed();
  setTimeout(open, wait * (0.75 + Math.random() / 2));
  wait = Math.min(wait * 2, LONGEST_WAIT_MS);
  // A login that ended looks like any other closed socket; asking tells them apart.
  await get("/api/me").catch(() => {});
}

// A phone that wakes up should not wait for the timer.
addEventListener("online", () => {
  if (!socket) wait = FIRST_WAIT_MS;
});
