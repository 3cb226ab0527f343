// One chat: what was said, what is being done, and a place to write.

import { html, useEffect, useLayoutEffect, useMemo, useRef, useState } from "../vendor/htm-preact.js";
import { post } from "../api.js";
import { clockTime, t } from "../i18n.js";
import { Icon } from "../icons.js";
import { render } from "../markdown.js";
import { changed, chatName, chatOf, keyOf, may, placeOf, runIn, state, useApp } from "../store.js";
import { attempt, deliver, discard, loadOlder, openChat, say } from "../store.js";
import { Act, channelName, copy } from "../ui.js";
import { Why } from "./why.js";

/** What the demonstration agent knows: it understands the words on its buttons, in each language of the page. */
const DEMO = ["demo_file", "demo_remind", "demo_ask", "demo_long", "demo_walls"];

/** How near to the end somebody must be to be taken along when more comes, in pixels. */
const NEAR_END_PX = 120;

export function Chat({ at }) {
  useApp();
  const [why, setWhy] = useState(null);
  useEffect(() => {
    if (at) void attempt(() => openChat(at));
  }, [at]);
  if (!at) return html`<div class="center faint">${state.status ? t("no_group") : t("connecting")}</div>`;

  const { jid, thread } = placeOf(at);
  const group = state.groups.find((it) => it.jid === jid) ?? state.groups.find((it) => it.bindings.some((b) => b.jid === jid));
  const here = jid.startsWith("web@");
  const writable = here && may("speak", group?.id);
  const chat = chatOf(at);
  const run = runIn(at);
  const waiting = [...state.waiting.values()].filter((it) => it === at).length;
  const unsent = state.outbox.filter((it) => keyOf(it) === at);
  const asks = [...state.asks.values()].filter((it) => it.at === at);
  const threads = state.threads.get(jid) ?? [];
  const empty = chat.messages.length === 0 && unsent.length === 0 && !run;
  const demo = state.status?.demo && writable;
  const title = here ? (group?.name ?? jid) : chatName(jid);

  return html`<section class="chat" aria-label=${title}>
    <header class="chat-head">
      <h1>${title}</h1>
      ${!here && html`<span class="tag">${channelName(jid)}</span>`}
      ${group && !here && html`<span class="faint">${group.name}</span>`}
      ${(0 < threads.length || thread) && html`<${Threads} jid=${jid} thread=${thread} threads=${threads} />`}
      <span class="grow"></span>
      <span class="faint" role="status">
        ${run && t("working")} ${0 < waiting && t("queued_count", waiting)}
      </span>
    </header>
    <${Scroll} at=${at}>
      <div class="log" role="log" aria-live="polite" aria-relevant="additions">
        ${chat.more && html`<p class="more"><${Act} class="quiet" run=${() => attempt(() => loadOlder(at))}>${t("older")}<//></p>`}
        ${chat.fresh && empty && html`<${Empty} name=${group?.name ?? title} at=${at} demo=${demo} writable=${writable} />`}
        ${chat.messages.map(
          (it) => html`<${Message} key=${it.id} message=${it} note=${chat.notes.find((note) => note.answer === it.id)}
            waiting=${state.waiting.has(it.id)} onWhy=${() => setWhy(it.id)} />
            ${chat.notes.filter((note) => note.answer === null && note.after === it.id).map((note) => html`<${Work} ...${note} />`)}`,
        )}
        ${unsent.map((it) => html`<${Unsent} key=${it.key} item=${it} />`)}
        ${run && html`<${Live} key=${`run${run.run}`} run=${run} asking=${0 < asks.length} />`}
        ${asks.map((it) => html`<${Ask} key=${`ask${it.ask}`} ask=${it} />`)}
      </div>
    <//>
    ${demo && !empty && html`<${Demo} at=${at} />`}
    ${writable && html`<${Composer} at=${at} run=${run} own=${run && isOwn(run, chat)} group=${group?.id} />`}
    ${!here && html`<p class="elsewhere faint">${t("elsewhere", channelName(jid))}</p>`}
    ${here && !writable && html`<p class="elsewhere faint">${t("only_reads")}</p>`}
    ${why !== null && html`<${Why} id=${why} onClose=${() => setWhy(null)} />`}
  </section>`;
}

/** Whether the person asked for all of what a run answers. */
function isOwn(run, chat) {
  return run.messages.every((id) => chat.messages.find((it) => it.id === id)?.sender_id === `user:${state.me.id}`);
}

/** Which of a chat's conversations is shown: what is in no thread, or one of its threads. */
function Threads({ jid, thread, threads }) {
  const all = thread && !threads.includes(thread) ? [thread, ...threads] : threads;
  const go = (to) => {
    location.hash = `#/chat/${encodeURIComponent(jid)}${to && `/${encodeURIComponent(to)}`}`;
  };
  return html`<select class="threads" aria-label=${t("conversation")} title=${t("conversation")} value=${thread ?? ""}
    onChange=${(event) => go(event.target.value)}>
    <option value="">${t("conversation_main")}</option>
    ${all.map((it) => html`<option key=${it} value=${it}>${it}</option>`)}
  </select>`;
}

/** Stays at the end while somebody is there, and where they are when they look at something earlier. */
function Scroll({ at, children }) {
  const box = useRef(null);
  const atEnd = useRef(true);
  const [away, setAway] = useState(false);
  const toEnd = () => {
    box.current.scrollTop = box.current.scrollHeight;
  };
  useLayoutEffect(() => {
    if (atEnd.current) toEnd();
  });
  useEffect(() => {
    atEnd.current = true;
    toEnd();
  }, [at]);
  const scrolled = () => {
    const { scrollTop, scrollHeight, clientHeight } = box.current;
    atEnd.current = scrollHeight - scrollTop - clientHeight < NEAR_END_PX;
    setAway(!atEnd.current);
  };
  return html`<div class="scroll-frame">
    <div class="scroll" ref=${box} onScroll=${scrolled} tabindex="0" aria-label=${t("chat")}>${children}</div>
    ${away && html`<button class="to-end" aria-label=${t("newest")} title=${t("newest")} onClick=${toEnd}><${Icon} name="down" /></button>`}
  </div>`;
}

function Empty({ name, at, demo, writable }) {
  if (!writable) return html`<div class="empty"><p class="faint">${t("empty_readonly")}</p></div>`;
  return html`<div class="empty">
    <h2>${t("empty_title")}</h2>
    <p class="faint">${t("empty_text", name)}</p>
    ${demo &&
    html`<p class="faint small">${t("empty_demo")}</p>
      <${Demo} at=${at} />`}
  </div>`;
}

/** A button for each thing that the demonstration agent does. */
function Demo({ at }) {
  return html`<div class="demo">
    ${DEMO.map((key) => html`<button key=${key} data-demo=${key} onClick=${() => say(at, t(key))}>${t(key)}</button>`)}
  </div>`;
}

function Message({ message, note, waiting, onWhy }) {
  const own = message.role === "user";
  const who = own ? message.sender || t("you") : message.role === "assistant" ? t("agent") : t("gateway");
  return html`<article class=${`message ${message.role}`} data-message=${message.id}>
    <div class="sr">${who}</div>
    ${note && html`<${Work} ...${note} />`}
    ${own ? html`<div class="bubble">${message.text}</div>` : html`<${Markdown} text=${message.text} />`}
    <footer>
      <time datetime=${message.timestamp}>${clockTime(message.timestamp)}</time>
      ${own && message.sender && message.sender !== state.me.name && html`<span>${message.sender}</span>`}
      ${waiting && html`<span class="tag">${t("waiting")}</span>`}
      <button class="quiet tiny" title=${t("copy")} aria-label=${t("copy")} onClick=${() => copy(message.text)}><${Icon} name="copy" /></button>
      <button class="quiet tiny" title=${t("show_why")} aria-label=${t("show_why")} data-why=${message.id} onClick=${onWhy}><${Icon} name="why" /></button>
    </footer>
  </article>`;
}

function Unsent({ item }) {
  return html`<article class="message user unsent">
    <div class="bubble">${item.text}</div>
    <footer>
      ${item.problem === null && html`<span>${t("sending")}</span>`}
      ${item.problem === "offline" && html`<span>${t("unsent")}</span>`}
      ${item.problem !== null && item.problem !== "offline" && html`<span class="problem">${t("refused", item.problem)}</span>`}
      ${item.problem !== null &&
      html`<button class="quiet tiny-text" onClick=${() => deliver(item)}>${t("again")}</button>
        <button class="quiet tiny-text" onClick=${() => discard(item)}>${t("discard")}</button>`}
    </footer>
  </article>`;
}

function Live({ run, asking }) {
  const quiet = !run.text && run.tools.length === 0 && !run.thinking;
  return html`<article class="message assistant live" data-live=${run.run} aria-busy="true">
    <${Work} thinking=${run.thinking} tools=${run.tools} open=${true} />
    ${run.text && html`<${Markdown} text=${run.text} />`}
    ${!asking && html`<div class=${quiet ? "dots" : "dots small"} role="status" aria-label=${t("working")}><i></i><i></i><i></i></div>`}
  </article>`;
}

/** What the agent thought and did on its way to an answer. */
function Work({ thinking, tools }) {
  return html`
    ${thinking && html`<details class="thinking"><summary>${t("thinking")}</summary><div>${thinking}</div></details>`}
    ${tools.map(
      (it) => html`<details class=${`tool ${it.ok === null ? "busy" : it.ok ? "ok" : "bad"}`} key=${it.id} data-tool=${it.tool}>
        <summary>
          ${it.ok === null ? html`<i class="spin" aria-hidden="true"></i>` : html`<${Icon} name=${it.ok ? "check" : "close"} />`}
          <b>${it.tool}</b><span>${it.summary}</span>
        </summary>
        ${it.output && html`<pre>${it.output}</pre>`}
      </details>`,
    )}
  `;
}

function Ask({ ask }) {
  const press = (option) =>
    attempt(async () => {
      ask.chosen = option.label;
      changed();
      try {
        await post("/api/press", { jid: placeOf(ask.at).jid, value: option.value });
      } catch (error) {
        ask.chosen = undefined;
        changed();
        throw error;
      }
    });
  return html`<div class="ask" role="group" aria-label=${ask.question} data-ask=${ask.ask}>
    <p>${ask.question}</p>
    <div class="row">
      ${ask.chosen
        ? html`<span class="faint">${t("answered_with")}: <b>${ask.chosen}</b></span>`
        : ask.options.map((it, n) => html`<${Act} key=${it.value} class=${n === 0 ? "primary" : ""} run=${() => press(it)}>${it.label}<//>`)}
    </div>
  </div>`;
}

/** Rendered Markdown; code blocks get a button that copies them. */
function Markdown({ text }) {
  const safe = useMemo(() => render(text), [text]);
  const box = useRef(null);
  useLayoutEffect(() => {
    for (const pre of box.current.querySelectorAll("pre")) {
      const button = document.createElement("button");
      button.className = "quiet code-copy";
      button.textContent = t("copy");
      button.onclick = () => copy(pre.querySelector("code")?.textContent ?? pre.textContent);
      pre.append(button);
    }
    for (const table of box.current.querySelectorAll("table")) {
      const frame = document.createElement("div");
      frame.className = "table";
      table.replaceWith(frame);
      frame.append(table);
    }
  }, [safe]);
  return html`<div class="markdown" ref=${box} dangerouslySetInnerHTML=${{ __html: safe }}></div>`;
}

function Composer({ at, run, own, group }) {
  const draftKey = `draft ${at}`;
  const [text, setText] = useState(localStorage.getItem(draftKey) ?? "");
  const [stopping, setStopping] = useState(null);
  const area = useRef(null);
  const write = (to) => {
    setText(to);
    if (to) localStorage.setItem(draftKey, to);
    else localStorage.removeItem(draftKey);
  };
  useLayoutEffect(() => {
    area.current.style.height = "auto";
    area.current.style.height = `${Math.min(area.current.scrollHeight, 220)}px`;
  }, [text]);
  useEffect(() => {
    // On a phone this would open the keyboard over what one came to read.
    if (matchMedia("(pointer: fine)").matches) area.current.focus();
  }, [at]);
  const send = () => {
    if (!text.trim()) return;
    say(at, text);
    write("");
    area.current.focus();
  };
  const stop = async () => {
    setStopping(run.run);
    if (!(await attempt(() => post(`/api/lanes/${run.lane}/stop`)))) setStopping(null);
  };
  const key = (event) => {
    // An input method uses Enter to choose a word.
    if (event.key !== "Enter" || event.shiftKey || event.isComposing || event.keyCode === 229) return;
    event.preventDefault();
    send();
  };
  return html`<form class="composer" onSubmit=${(event) => {
    event.preventDefault();
    send();
  }}>
    <div class="composer-box">
      <textarea ref=${area} rows="1" value=${text} placeholder=${t("write")} aria-label=${t("write_label")} title=${t("keys")}
        onInput=${(event) => write(event.target.value)} onKeyDown=${key}></textarea>
      ${run && may(own ? "stop_own" : "stop", group) &&
      html`<button type="button" class="square stop" onClick=${stop} disabled=${stopping === run.run}
        aria-label=${stopping === run.run ? t("stopping") : t("stop")} title=${t("stop")} data-stop><${Icon} name="stop" /></button>`}
      <button class="primary square" disabled=${!text.trim()} aria-label=${t("send")} title=${t("send")}><${Icon} name="send" /></button>
    </div>
  </form>`;
}
