// The accounts on platforms: added, set up step by step, and how each is doing.

import { html, useEffect, useState } from "../vendor/htm-preact.js";
import { ApiError, get, patch, post, remove as del } from "../api.js";
import { ago, t } from "../i18n.js";
import { Icon } from "../icons.js";
import { attempt, loadStatus, may, toast, useApp } from "../store.js";
import { Act, Dialog, channelName, copy } from "../ui.js";

/** Counts move without an event; this is how often they are read while somebody looks, in milliseconds. */
const REFRESH_MS = 5_000;

/** How long one question for the next stage of a set-up waits, in seconds. */
const WAIT_S = 25;

/** The stages at which a set-up waits for nothing more. */
const SETTLED = ["answered", "cant_answer"];

const pathOf = (account) => `/api/channels/${encodeURIComponent(account)}`;

export function Channels() {
  const { status } = useApp();
  const [adding, add] = useState(false);
  const [shown, show] = useState(null); // the account whose set-up is followed
  useEffect(() => {
    void attempt(loadStatus);
    const timer = setInterval(() => document.hidden || loadStatus().catch(() => {}), REFRESH_MS);
    return () => clearInterval(timer);
  }, []);
  const accounts = (status?.channels ?? []).filter((it) => it.name !== "web" && it.name !== "terminal");
  return html`<section class="page">
    <header class="row wrap">
      <div class="grow"><h1>${t("channels")}</h1><p class="faint">${t("channels_intro")}</p></div>
      ${may("configure") && html`<button class="primary" onClick=${() => add(true)}><${Icon} name="plus" />${t("add_channel")}</button>`}
    </header>
    ${accounts.length === 0 && html`<article class="card"><p class="faint">${t("channels_none")}</p></article>`}
    ${accounts.map((it) => html`<${Account} key=${it.account} account=${it} open=${shown === it.account} show=${(open) => show(open ? it.account : null)} />`)}
    ${adding && html`<${Add} onClose=${() => add(false)} onAdded=${(account) => {
      add(false);
      show(account);
    }} />`}
  </section>`;
}

/** One account: whether it receives and sends, and what can be done with it. */
function Account({ account: it, open, show }) {
  const [removing, remove] = useState(false);
  const path = pathOf(it.account);
  const paused = it.state === "paused";
  const test = () =>
    attempt(async () => {
      const { me, remarks } = await post(`${path}/test`);
      toast([me.name ? t("test_ok", it.account, me.name) : t("test_quiet", it.account), ...remarks].join(" · "));
    });
  const rest = async () => {
    await attempt(() => patch(path, { paused: !paused }));
    await attempt(loadStatus);
  };
  const takeAway = async () => {
    if (await attempt(() => del(path))) toast(t("channel_removed", it.account));
    remove(false);
    await attempt(loadStatus);
  };
  return html`<article class="card" data-account=${it.account}>
    <div class="row wrap">
      <h2><span class=${`light ${it.state}`}></span>${channelName(it.account)}</h2><code>${it.account}</code>
      <span>${t(`ch_${it.state}`)}</span><span class="grow"></span>
      ${may("operate") && html`<${Act} class="quiet" run=${test}>${t("test")}<//>
        <button class="quiet" aria-expanded=${open} onClick=${() => show(!open)}>${t("set_up")}</button>
        <${Act} class="quiet" run=${rest}>${t(paused ? "go_on" : "rest")}<//>`}
      ${may("configure") && html`<button class="quiet square" aria-label=${`${t("remove")}: ${it.account}`} onClick=${() => remove(true)}><${Icon} name="trash" /></button>`}
    </div>
    ${it.why && html`<p class=${it.state === "up" ? "faint" : "problem"}>${it.why}</p>`}
    ${it.send_error && html`<p class="problem">${t("cant_send", it.send_error)}</p>`}
    ${it.canary && it.canary.error && html`<p class="problem">${t("canary_failed", it.canary.error)}</p>`}
    <dl class="facts">
      <div><dt>${t("last_heard")}</dt><dd>${it.last_heard_at ? ago(it.last_heard_at) : t("never")}</dd></div>
      <div><dt>${t("last_sent")}</dt><dd>${it.last_sent_at ? ago(it.last_sent_at) : t("never")}</dd></div>
      ${it.canary && html`<div><dt>${t(it.canary.both_ways ? "canary_both" : "canary_send")}</dt><dd>${it.canary.proven_at ? ago(it.canary.proven_at) : t("never")}</dd></div>`}
      ${0 < it.backlog && html`<div><dt>${t("queue")}</dt><dd>${t("backlog", it.backlog)}</dd></div>`}
      ${it.webhook && html`<div><dt>${t("called_at")}</dt><dd><code class="break">${it.webhook.url || it.webhook.path}</code></dd></div>`}
    </dl>
    ${0 < it.reconnects && html`<p class="faint small">${t("reconnects", it.reconnects)}${it.last_failure && ` · ${it.last_failure.why}`}</p>`}
    ${it.others && html`<details class="small faint"><summary>${t("other_programs")}</summary>${it.others}</details>`}
    ${open && html`<${Setup} account=${it.account} />`}
    ${removing && html`<${Dialog} title=${t("remove_channel", it.account)} onClose=${() => remove(false)}>
      <p>${t("remove_channel_text")}</p>
      <div class="row"><button onClick=${() => remove(false)}>${t("keep")}</button><span class="grow"></span><${Act} class="danger" run=${takeAway}>${t("remove")}<//></div>
    <//>`}
  </article>`;
}

/** Follows the setting up of an account until its first message is answered: that proves both ways. */
function Setup({ account }) {
  const [setup, see] = useState(null);
  useEffect(() => {
    let gone = false;
    const follow = async () => {
      let stage = null;
      while (!gone) {
        try {
          const query = stage ? `?after=${stage}&wait_s=${WAIT_S}` : "";
          const it = await get(`${pathOf(account)}/setup${query}`);
          if (gone) return;
          see(it);
          stage = it.stage;
          if (SETTLED.includes(stage)) return;
        } catch (error) {
          if (!(error instanceof ApiError)) throw error;
          await new Promise((done) => setTimeout(done, REFRESH_MS));
        }
      }
    };
    void follow();
    return () => {
      gone = true;
    };
  }, [account]);
  if (!setup) return null;
  const proved = setup.stage === "answered";
  return html`<div class="setup" data-stage=${setup.stage}>
    <p><span class=${`light ${proved ? "up" : setup.stage === "refused" || setup.stage === "cant_answer" ? "down" : "connecting"}`}></span><b>${t(`stage_${setup.stage}`)}</b> ${!proved && setup.why}</p>
    ${!proved && setup.steps && html`<p>${t("left_to_do", setup.console)}</p><ol class="steps-to-do">${setup.steps.map((it) => html`<li key=${it}>${it}</li>`)}</ol>`}
    ${!proved && setup.webhook && html`<p>${t("called_at")}: <code class="break">${setup.webhook.url || setup.webhook.path}</code></p>`}
    ${!proved && setup.import && html`<p>${setup.import.place}</p><pre class="command">${setup.import.text}<button class="quiet code-copy" onClick=${() => copy(setup.import.text)}>${t("copy")}</button></pre>`}
    ${!proved && setup.write && html`<p class="faint">${t("then_write", setup.write)}</p>`}
    ${0 < setup.missing.length && html`<p>${t("may_be_missing")}</p><ul class="steps-to-do">${setup.missing.map((it) => html`<li key=${it}>${it}</li>`)}</ul>`}
  </div>`;
}

/** The form for a new account: what the platform calls its credentials, and where each is found. */
function Add({ onClose, onAdded }) {
  const [kinds, setKinds] = useState([]);
  const [kind, setKind] = useState(null);
  const [way, setWay] = useState(0);
  const [problem, setProblem] = useState(null);
  const [busy, setBusy] = useState(false);
  useEffect(() => {
    void attempt(async () => {
      const all = await get("/api/channels/kinds");
      setKinds(all);
      setKind(all[0]?.kind ?? null);
    });
  }, []);
  const chosen = kinds.find((it) => it.kind === kind);
  const save = async (event) => {
    event.preventDefault();
    const form = new FormData(event.target);
    const settings = Object.fromEntries([...chosen.ways[way].wants.map((it) => it.key), "api_url"].map((key) => [key, form.get(key)?.trim()]).filter(([, value]) => value));
    setBusy(true);
    setProblem(null);
    try {
      const made = await post("/api/channels", { kind, name: form.get("name").trim() || "main", settings });
      await loadStatus();
      onAdded(made.account);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      setProblem(error);
    } finally {
      setBusy(false);
    }
  };
  return html`<${Dialog} title=${t("add_channel")} onClose=${onClose}>
    ${chosen && html`<form onSubmit=${save} key=${`${kind} ${way}`}>
      <label>${t("platform")}<select name="kind" value=${kind} onChange=${(event) => {
        setWay(0);
        setProblem(null);
        setKind(event.target.value);
      }}>${kinds.map((it) => html`<option key=${it.kind} value=${it.kind}>${channelName(it.kind)}</option>`)}</select></label>
      ${1 < chosen.ways.length && html`<label>${t("way")}<select name="way" value=${way} onChange=${(event) => setWay(Number(event.target.value))}>
        ${chosen.ways.map((it, n) => html`<option key=${it.says} value=${n}>${it.says}</option>`)}</select></label>`}
      ${chosen.console && html`<p class="faint small">${t("found_on")} <a href=${chosen.console} target="_blank" rel="noreferrer">${chosen.console}</a></p>`}
      ${chosen.ways[way].wants.map(
        (it) => html`<label key=${it.key}>${it.key}<input name=${it.key} type=${it.is_secret ? "password" : "text"} required autocomplete="off" spellcheck="false" /><small class="faint">${it.help}</small></label>`,
      )}
      <details><summary>${t("more_settings")}</summary>
        <label>${t("account_name")}<input name="name" placeholder="main" autocomplete="off" /><small class="faint">${t("account_name_hint")}</small></label>
        <label>api_url<input name="api_url" type="url" autocomplete="off" /><small class="faint">${t("model_url_hint")}</small></label>
      </details>
      ${problem && html`<p class="problem" role="alert">${problem.message}${problem.hint && html`<br /><span class="faint">${problem.hint}</span>`}</p>`}
      <button class="primary" disabled=${busy}>${t(busy ? "connecting" : "connect_it")}</button>
    </form>`}
  <//>`;
}
