// How the gateway is doing, and what needs a hand.

import { html, useEffect, useState } from "../vendor/htm-preact.js";
import { get, post } from "../api.js";
import { ago, t } from "../i18n.js";
import { attempt, loadStatus, may, toast, useApp } from "../store.js";
import { Act, copy } from "../ui.js";

/** Counts move without an event; this is how often they are read while somebody looks, in milliseconds. */
const REFRESH_MS = 5_000;

const COUNTS = ["jobs_queued", "jobs_running", "outbox_pending", "outbox_in_doubt", "jobs_dead", "messages_in", "messages_out"];

export function State() {
  const { status, me } = useApp();
  const [dead, setDead] = useState([]);
  // Who may mend in some group is shown its dead letters.
  const operates = may("operate") || me.groups.some((it) => it.rights.includes("operate"));
  const refresh = async () => {
    await loadStatus();
    if (!operates) return;
    const [jobs, sends] = await Promise.all([get("/api/dead"), get("/api/dead/sends")]);
    setDead([...jobs.map((it) => ({ ...it, name: `${it.id}`, path: `/api/dead/${it.id}` })), ...sends.map((it) => ({ ...it, name: `send-${it.id}`, path: `/api/dead/sends/${it.id}` }))]);
  };
  useEffect(() => {
    void attempt(refresh);
    const timer = setInterval(() => refresh().catch(() => {}), REFRESH_MS);
    return () => clearInterval(timer);
  }, []);
  if (!status) return html`<div class="center faint">${t("connecting")}</div>`;
  const letter = ({ path }, what, done) => async () => {
    if (await attempt(() => post(`${path}/${what}`))) toast(done);
    await attempt(refresh);
  };
  return html`<section class="page">
    <header><h1>${t("state")}</h1></header>
    ${may("configure") && html`<${Model} agent=${status.agent} open=${status.demo} refresh=${refresh} />`}
    <div class="cards">
      <${Sandbox} sandbox=${status.sandbox} />
      <article class="card">
        <h2>${t("agents")}</h2>
        <div class="figures">
          <div><b>${status.agents.working}</b><span>${t("agents_working")}</span></div>
          <div><b>${status.agents.idle}</b><span>${t("agents_idle")}</span></div>
        </div>
        <dl class="facts">
          <div><dt>${t("agent_model")}</dt><dd>${status.agent}</dd></div>
          <div><dt>${t("version")}</dt><dd>${status.version}</dd></div>
          <div><dt>${t("up_since")}</dt><dd>${ago(status.started_at)}</dd></div>
        </dl>
      </article>
    </div>
    ${status.counts && html`<article class="card">
      <h2>${t("queue")}</h2>
      <div class="figures wrap">${COUNTS.map((key) => html`<div key=${key}><b>${status.counts[key]}</b><span>${t(`q_${key}`)}</span></div>`)}</div>
    </article>`}
    ${operates &&
    html`<article class="card">
      <h2>${t("dead")}</h2>
      ${dead.length === 0 && html`<p class="faint">${t("dead_none")}</p>`}
      <ul class="dead">${dead.map(
        (it) => html`<li key=${it.name} data-dead=${it.name}>
          <div class="row wrap"><b>#${it.name}</b><code class="break">${it.place}</code><span class="faint">${ago(it.created_at)}</span><span class="grow"></span>
            <${Act} run=${letter(it, "requeue", t("requeued"))}>${t("requeue")}<//>
            <${Act} class="danger" run=${letter(it, "drop", t("dropped"))}>${t("drop")}<//></div>
          ${it.text && html`<p class="break">${it.text}</p>`}
          <p class="problem">${it.error}</p>
        </li>`,
      )}</ul>
    </article>`}
  </section>`;
}

/** Who answers. What is entered here is tried with one answer before it is saved, and counts from the next message on. */
function Model({ agent, open, refresh }) {
  const [shown, show] = useState(open);
  const [offers, setOffers] = useState([]);
  const [name, setName] = useState("anthropic");
  const [problem, setProblem] = useState(null);
  const [busy, setBusy] = useState(false);
  useEffect(() => {
    if (!shown) return;
    void get("/api/model/offers").then((all) => {
      setOffers(all);
      // What is here already comes first.
      setName(all.find(isHere)?.name ?? "anthropic");
    }, setProblem);
  }, [shown]);
  const offer = offers.find((it) => it.name === name);
  const filled = (text) => (text?.includes("<") ? "" : text);
  const save = async (event) => {
    event.preventDefault();
    const form = new FormData(event.target);
    const text = (name) => form.get(name)?.trim() || undefined;
    const api_key = text("api_key") ?? (offer.variable ? `env:${offer.variable}` : undefined);
    setBusy(true);
    setProblem(null);
    try {
      const { kind, auth } = offer;
      const saved = await post("/api/model", { provider: name, kind, auth, model: text("model"), base_url: text("base_url"), api_key });
      toast(t("model_saved", saved.agent, (saved.took_ms / 1000).toFixed(1)));
      show(false);
      await refresh();
    } catch (error) {
      setProblem(error);
    } finally {
      setBusy(false);
    }
  };
  return html`<article class="card" data-card="model">
    <h2>${t("model")}</h2>
    <p><code>${agent}</code> ${!shown && html`<button class="quiet" onClick=${() => show(true)}>${t("model_change")}</button>`}</p>
    ${shown &&
    offer &&
    html`<form key=${name} onSubmit=${save}>
      <p class="faint">${t("model_intro")}</p>
      <label>${t("model_provider")}<select name="provider" value=${name} onChange=${(event) => setName(event.target.value)}>
        ${offers.map((it) => html`<option key=${it.name} value=${it.name}>${it.title}${isHere(it) ? ` (${t("model_here")})` : ""}</option>`)}
      </select></label>
      <label>${t("model_name")}<input name="model" required autocomplete="off" spellcheck="false" list="models-here" defaultValue=${filled(offer.models?.[0] ?? offer.model)} placeholder=${offer.model} /></label>
      <datalist id="models-here">${(offer.models ?? []).map((it) => html`<option key=${it} value=${it}></option>`)}</datalist>
      <label>${t("model_key")}<input name="api_key" type="password" autocomplete="off" required=${offer.needs_key && !offer.variable} placeholder=${offer.variable ? t("model_key_here", offer.variable) : ""} /></label>
      <label>${t("model_url")}<input name="base_url" type="url" autocomplete="off" required defaultValue=${filled(offer.base_url)} placeholder=${offer.base_url} /></label>
      ${problem && html`<p class="problem" role="alert">${problem.message}${problem.hint && html`<br /><span class="faint">${problem.hint}</span>`}</p>`}
      <button class="primary" disabled=${busy}>${t(busy ? "model_asking" : "model_save")}</button>
    </form>`}
  </article>`;
}

/** Whether a key for it is in the environment, or its server runs on this machine. */
const isHere = (offer) => Boolean(offer.variable || offer.models?.length);

function Sandbox({ sandbox }) {
  const walls = ["memory", "cpu", "pids", "disk", "network"];
  return html`<article class="card">
    <h2>${t("sandbox")}</h2>
    ${sandbox.state === "proving" && html`<p><span class="light connecting"></span>${t("sandbox_proving")}</p>`}
    ${["refused", "away"].includes(sandbox.state) &&
    html`<p><span class="light down"></span><b>${t(`sandbox_${sandbox.state}`)}</b></p>
      <p>${sandbox.why}</p>
      <p class="faint">${t("do_this")}</p>
      <pre class="command">${sandbox.remedy}<button class="quiet code-copy" onClick=${() => copy(sandbox.remedy)}>${t("copy")}</button></pre>`}
    ${sandbox.state === "ready" &&
    html`<p><span class="light up"></span>${t("sandbox_ready", sandbox.engine)}</p>
      <dl class="facts">${walls.map(
        (it) => html`<div key=${it}><dt>${t(`p_${it}`)}</dt><dd class=${`kept ${sandbox[it]}`}>${t(`kept_${sandbox[it]}`)}</dd></div>`,
      )}</dl>
      ${sandbox.remarks.map((it) => html`<p class="faint small">${it}</p>`)}`}
  </article>`;
}
