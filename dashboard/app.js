// The frame around the pages: login, navigation, banners.

import { h, html, render, useEffect, useState } from "./vendor/htm-preact.js";
import { ApiError, get, post, whenLoggedOut } from "./api.js";
import { currentLanguage, setLanguage, t } from "./i18n.js";
import { Icon } from "./icons.js";
import { connect, disconnect } from "./live.js";
import { changed, chatName, keyOf, may, newsOf, placeOf, recallOutbox, state, useApp } from "./store.js";
import { Approvals } from "./pages/approvals.js";
import { Channels } from "./pages/channels.js";
import { Chat } from "./pages/chat.js";
import { Groups } from "./pages/groups.js";
import { Home } from "./pages/home.js";
import { Logs } from "./pages/logs.js";
import { Messages } from "./pages/messages.js";
import { People } from "./pages/people.js";
import { Plugins } from "./pages/plugins.js";
import { State } from "./pages/state.js";
import { Tasks } from "./pages/tasks.js";
import { Usage } from "./pages/usage.js";
import { channelName } from "./ui.js";

/** The pages, each with the right that it wants for the whole gateway. */
const PAGES = { home: null, chat: null, messages: null, groups: null, channels: "operate", tasks: null, approvals: "approve_chat", people: "invite", plugins: "configure", usage: null, logs: "operate", state: null };

const mayOpen = (page) => Object.hasOwn(PAGES, page) && (!PAGES[page] || may(PAGES[page]));

/** Where the address says we are: `#/chat/<address>[/<thread>]`, `#/groups`, … */
function route() {
  const [page, ...rest] = location.hash.replace(/^#\/?/, "").split("/");
  const [jid, thread] = rest.map(decodeURIComponent);
  return { page: mayOpen(page) ? page : "chat", chat: jid ? keyOf({ jid, thread }) : null };
}

/** The chat that is shown: the one in the address, else the main group's. */
function shownChat() {
  const { page, chat } = route();
  if (page !== "chat") return null;
  return chat ?? (state.groups.find((it) => it.is_main) ?? state.groups[0])?.jid ?? null;
}

function App() {
  useApp();
  const [at, go] = useState(route());
  const [drawer, setDrawer] = useState(false);
  useEffect(() => {
    const moved = () => {
      go(route());
      setDrawer(false);
    };
    addEventListener("hashchange", moved);
    return () => removeEventListener("hashchange", moved);
  }, []);
  useEffect(() => {
    const key = (event) => event.key === "Escape" && setDrawer(false);
    addEventListener("keydown", key);
    return () => removeEventListener("keydown", key);
  }, []);

  if (state.me === undefined) return html`<div class="center"><${Brand} /></div>`;
  if (state.me === null) return html`<${Login} />`;
  const key = shownChat();
  const { jid } = placeOf(key ?? "");
  return html`
    <a class="skip" href="#main" onClick=${(event) => {
      event.preventDefault();
      document.getElementById("main").focus();
    }}>${t("skip")}</a>
    <div class="frame">
      <header class="topbar">
        <button class="quiet square" aria-label=${t("menu")} aria-expanded=${drawer} onClick=${() => setDrawer(!drawer)}>
          <${Icon} name="menu" />
        </button>
        <strong>${at.page === "chat" ? titleOf(jid) : t(at.page)}</strong>
        <${Connection} />
      </header>
      <aside class=${drawer ? "side open" : "side"}>
        <${Side} at=${at} jid=${jid} />
      </aside>
      ${drawer && html`<div class="veil" onClick=${() => setDrawer(false)}></div>`}
      <main id="main" tabindex="-1">
        <${Banners} />
        ${at.page === "home" && html`<${Home} />`}
        ${at.page === "chat" && html`<${Chat} key=${key} at=${key} />`}
        ${at.page === "messages" && html`<${Messages} />`}
        ${at.page === "groups" && html`<${Groups} />`}
        ${at.page === "channels" && html`<${Channels} />`}
        ${at.page === "tasks" && html`<${Tasks} />`}
        ${at.page === "approvals" && html`<${Approvals} />`}
        ${at.page === "people" && html`<${People} />`}
        ${at.page === "plugins" && html`<${Plugins} />`}
        ${at.page === "usage" && html`<${Usage} />`}
        ${at.page === "logs" && html`<${Logs} />`}
        ${at.page === "state" && html`<${State} />`}
      </main>
    </div>
    <div class="toasts" role="status" aria-live="polite">
      ${state.toasts.map((it) => html`<div class=${`toast ${it.kind}`}>${it.text}</div>`)}
    </div>
  `;
}

function titleOf(jid) {
  return state.groups.find((it) => it.jid === jid)?.name ?? (jid ? chatName(jid) : "");
}

function Brand() {
  return html`<span class="brand"><img src="/icon.svg" alt="" width="28" height="28" />NanoGridBot</span>`;
}

function Connection() {
  const word = { up: "connected", connecting: "connecting", offline: "offline" }[state.connection];
  return html`<span class=${`connection ${state.connection}`} role="status" title=${t(word)}>
    <i aria-hidden="true"></i><span class="word">${t(word)}</span>
  </span>`;
}

function Side({ at, jid }) {
  return html`
    <div class="side-head"><${Brand} /></div>
    <nav aria-label=${t("menu")}>
      ${Object.keys(PAGES).filter(mayOpen).map(
        (page) => html`<a href=${`#/${page}`} class="nav" aria-current=${at.page === page ? "page" : null}>
          <${Icon} name=${page} /><span>${t(page)}</span>
          ${page === "approvals" && state.pairings.length > 0 && html`<b class="badge">${state.pairings.length}</b>`}
          ${page === "state" && 0 < (state.status?.counts?.jobs_dead ?? 0) && html`<b class="badge">${state.status.counts.jobs_dead}</b>`}
        </a>`,
      )}
    </nav>
    <div class="side-chats">
      <h2>${t("chats")}</h2>
      <ul>
        ${chatList().map(
          (it) => html`<li key=${it.jid}>
            <a href=${`#/chat/${encodeURIComponent(it.jid)}`} class=${it.under ? "chat-link under" : "chat-link"}
              aria-current=${it.jid === jid ? "page" : null}>
              <span class="chat-name">${it.name}</span>
              ${it.channel && html`<span class="faint">${it.channel}</span>`}
              <${News} jid=${it.jid} />
            </a>
          </li>`,
        )}
      </ul>
    </div>
    <div class="side-foot">
      <${Connection} />
      <span class="grow"></span>
      <${ThemeButton} />
      <button class="quiet square" title=${t("language")} aria-label=${t("language")}
        onClick=${() => {
          setLanguage(currentLanguage() === "en" ? "zh" : "en");
          changed();
        }}><${Icon} name="language" /></button>
      <button class="quiet square" title=${t("logout")} aria-label=${t("logout")} onClick=${logOut}><${Icon} name="out" /></button>
    </div>
  `;
}

function News({ jid }) {
  const { busy, unread } = newsOf(jid);
  if (busy) return html`<i class="pulse" title=${t("working")}></i>`;
  return 0 < unread ? html`<b class="badge">${unread}</b>` : null;
}

/** Each group's chat on this page, and under it the chats of other channels that are bound to it. */
function chatList() {
  return state.groups.flatMap((group) => [
    { jid: group.jid, name: group.name },
    ...group.bindings
      .filter((it) => it.jid !== group.jid)
      .filter((it, n, all) => all.findIndex((other) => other.jid === it.jid) === n)
      .map((it) => ({
        jid: it.jid,
        name: chatName(it.jid),
        channel: channelName(it.jid),
        under: true,
      })),
  ]);
}

function ThemeButton() {
  const [wish, setWish] = useState(localStorage.getItem("theme") ?? "auto");
  const next = { auto: "light", light: "dark", dark: "auto" }[wish];
  const icon = { auto: "auto", light: "sun", dark: "moon" }[wish];
  return html`<button class="quiet square" title=${t(`theme_${wish}`)} aria-label=${t(`theme_${wish}`)}
    onClick=${() => {
      localStorage.setItem("theme", next);
      if (next === "auto") delete document.documentElement.dataset.theme;
      else document.documentElement.dataset.theme = next;
      setWish(next);
    }}><${Icon} name=${icon} /></button>`;
}

function Banners() {
  const status = state.status;
  return html`
    ${status?.demo && html`<p class="banner" data-banner="demo">${t("demo_banner")}${may("configure") && html` <a href="#/state">${t("demo_set")}</a>`}</p>`}
    ${["refused", "away"].includes(status?.sandbox.state) &&
    html`<p class="banner bad" data-banner="sandbox">
      ${t("sandbox_banner")} ${status.sandbox.why} <a href="#/state">${t("see_state")}</a>
    </p>`}
    ${status?.restored && html`<p class="banner bad" role="alert" data-banner="held">${t("held_banner")}</p>`}
    ${status?.disk?.state === "full" && html`<p class="banner bad" role="alert" data-banner="disk">${t("disk_banner")}</p>`}
    ${state.alerts.length > 0 && html`<div class="banner bad" role="alert" data-banner="alerts">
      ${state.alerts.map((it) => html`<p key=${it.key}>${it.says} ${it.remedy}</p>`)}
    </div>`}
    ${state.connection === "offline" && html`<p class="banner bad" role="alert" data-banner="offline">${t("offline")}</p>`}
  `;
}

function Login() {
  const [token, setToken] = useState("");
  const [problem, setProblem] = useState(state.loginProblem);
  const go = async (event) => {
    event.preventDefault();
    try {
      await post("/api/login", { token });
      await begin();
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      setProblem(error.message);
    }
  };
  return html`<main class="center">
    <form class="card login" onSubmit=${go}>
      <${Brand} />
      ${problem && html`<p class="problem" role="alert">${problem}</p>`}
      <p>${t("login_intro")}</p>
      <pre class="command">nanogridbot open</pre>
      <label>${t("login_token")}
        <input type="password" autocomplete="current-password" value=${token} onInput=${(event) => setToken(event.target.value)} />
      </label>
      <button class="primary" disabled=${!token}>${t("login_go")}</button>
    </form>
  </main>`;
}

async function logOut() {
  disconnect();
  await post("/api/logout").catch(() => {});
  loggedOut();
}

function loggedOut() {
  disconnect();
  state.me = null;
  changed();
}

/** Asks who we are and starts the stream; leaves the login page standing when we are nobody. */
async function begin() {
  try {
    state.me = await get("/api/me");
    state.loginProblem = null;
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    if (error.status === 401) state.me = null;
    else setTimeout(begin, 1500);
  }
  changed();
  if (state.me) connect(shownChat);
}

async function start() {
  setLanguage(currentLanguage());
  whenLoggedOut(loggedOut);
  recallOutbox();
  render(h(App), document.getElementById("app"));
  const code = /^#login=(.+)$/.exec(location.hash)?.[1];
  if (code) {
    // The code must not stay in the address or the history.
    history.replaceState(null, "", "/");
    try {
      await post("/api/login", { code });
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      state.loginProblem = error.status === 401 ? t("login_used") : error.message;
    }
  }
  await begin();
}

void start();
