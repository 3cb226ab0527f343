// Every message that one may read, the latest first, each with its why.

import { html, useEffect, useState } from "../vendor/htm-preact.js";
import { get } from "../api.js";
import { clockTime, t } from "../i18n.js";
import { attempt, chatName, useApp } from "../store.js";
import { Act, channelName } from "../ui.js";
import { Why } from "./why.js";

const PAGE_MESSAGES = 100;

/** How often new messages are looked for while somebody looks, in milliseconds. */
const REFRESH_MS = 5_000;

export function Messages() {
  const state = useApp();
  const [group, setGroup] = useState("");
  const [sought, setSought] = useState("");
  const [rows, setRows] = useState([]); // the latest first
  const [more, setMore] = useState(false);
  const [why, setWhy] = useState(null);
  const page = async (span) => {
    const query = new URLSearchParams({ limit: PAGE_MESSAGES, ...(group && { group }), ...(sought && { q: sought }), ...span });
    return (await get(`/api/messages?${query}`)).reverse();
  };
  useEffect(() => {
    let gone = false;
    const look = async () => {
      const latest = await page({});
      if (gone) return;
      // Rows that are shown already may have another state by now; older ones stay as they were read.
      const oldest = latest.at(-1)?.id ?? 0;
      setRows((before) => [...latest, ...before.filter((it) => it.id < oldest)]);
      setMore((before) => before || latest.length === PAGE_MESSAGES);
    };
    setRows([]);
    setMore(false);
    void attempt(look);
    const timer = setInterval(() => look().catch(() => {}), REFRESH_MS);
    return () => {
      gone = true;
      clearInterval(timer);
    };
  }, [group, sought]);
  const older = () =>
    attempt(async () => {
      const next = await page({ before: rows.at(-1).id });
      setRows([...rows, ...next]);
      setMore(next.length === PAGE_MESSAGES);
    });
  return html`<section class="page">
    <header class="row wrap">
      <div class="grow"><h1>${t("messages")}</h1><p class="faint">${t("messages_intro")}</p></div>
      <input type="search" aria-label=${t("search")} placeholder=${t("search")} maxlength="200" value=${sought} onChange=${(event) => setSought(event.target.value.trim())} />
      <select aria-label=${t("groups")} value=${group} onChange=${(event) => setGroup(event.target.value)}>
        <option value="">${t("all_groups")}</option>
        ${state.groups.map((it) => html`<option key=${it.id} value=${it.id}>${it.name}</option>`)}
      </select>
    </header>
    ${rows.length === 0 && html`<div class="card empty-card"><h2>${t("empty_readonly")}</h2></div>`}
    ${0 < rows.length &&
    html`<ul class="card messages">${rows.map(
      (it) => html`<li key=${it.id} data-row=${it.id}>
        <button class="quiet" onClick=${() => setWhy(it.id)} aria-label=${`${t("show_why")}: #${it.id}`}>
          <span class="row wrap">
            <b>${it.role === "user" ? it.sender : t(it.role === "assistant" ? "agent" : "gateway")}</b>
            <span class="tag">${channelName(it.jid)}</span>
            <span class="faint">${chatName(it.jid)}${it.thread ? ` · ${it.thread}` : ""}</span>
            <span class="grow"></span>
            ${it.state && html`<span class="tag">${it.state.replaceAll("-", " ")}</span>`}
            <time class="faint" datetime=${it.timestamp}>${clockTime(it.timestamp)}</time>
          </span>
          <span class="line">${it.text}</span>
        </button>
      </li>`,
    )}</ul>`}
    ${more && html`<p class="more"><${Act} class="quiet" run=${older}>${t("older")}<//></p>`}
    ${why !== null && html`<${Why} id=${why} onClose=${() => setWhy(null)} />`}
  </section>`;
}
