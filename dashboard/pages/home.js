// What goes on now, and how it went lately.

import { html, useEffect, useState } from "../vendor/htm-preact.js";
import { get } from "../api.js";
import { t } from "../i18n.js";
import { attempt, chatName, loadStatus, may, placeOf, useApp } from "../store.js";
import { channelName } from "../ui.js";

/** How often the figures are read while somebody looks, in milliseconds. */
const REFRESH_MS = 3_000;

/** Spans that somebody may look at, in minutes. */
const SPANS = [60, 360, 1440];

/** Bars of the chart; a longer span has more minutes in each. */
const BARS = 60;

const CHART = { width: 600, height: 120 };

/** The accounts on platforms: the page and the terminal are always there. */
const platforms = (status) => (status.channels ?? []).filter((it) => it.name !== "web" && it.name !== "terminal");

const total = (rows, key) => rows.reduce((sum, it) => sum + it[key], 0);

/** A duration as a person would say it. */
function span(ms) {
  if (ms < 1000) return `${ms} ms`;
  return ms < 60_000 ? `${(ms / 1000).toFixed(1)} s` : `${(ms / 60_000).toFixed(1)} min`;
}

export function Home() {
  const { status, runs, alerts } = useApp();
  const [minutes, setMinutes] = useState(SPANS[0]);
  const [seen, see] = useState(null);
  useEffect(() => {
    let gone = false;
    const look = async () => {
      const [it] = await Promise.all([get(`/api/overview?minutes=${minutes}`), loadStatus()]);
      if (!gone) see(it);
    };
    void attempt(look);
    const timer = setInterval(() => document.hidden || look().catch(() => {}), REFRESH_MS);
    return () => {
      gone = true;
      clearInterval(timer);
    };
  }, [minutes]);
  if (!seen || !status) return html`<div class="center faint">${t("connecting")}</div>`;
  return html`<section class="page" data-home>
    <header class="row wrap">
      <h1 class="grow">${t("home")}</h1>
      <select aria-label=${t("span")} value=${minutes} onChange=${(event) => setMinutes(Number(event.target.value))}>
        ${SPANS.map((it) => html`<option key=${it} value=${it}>${t("last_hours", it / 60)}</option>`)}
      </select>
    </header>
    <${FirstSteps} status=${status} />
    <article class="card">
      <h2>${t("activity")}</h2>
      <div class="figures wrap">
        ${["messages_in", "messages_out", "runs", "runs_failed"].map(
          (key) => html`<div key=${key} data-figure=${key}><b>${total(seen.minutes, key).toLocaleString()}</b><span>${t(`sum_${key}`)}</span></div>`,
        )}
      </div>
      <${Chart} seen=${seen} />
    </article>
    <div class="cards">
      <${Now} runs=${[...runs.values()]} status=${status} />
      <${Steps} steps=${seen.steps} />
      <article class="card" data-card="today">
        <h2>${t("today")}</h2>
        <div class="figures wrap">
          <div data-figure="cost"><b>${seen.today.cost === null ? t("cost_unknown") : `${seen.today.cost.toFixed(4)} ${seen.today.currency}`}</b><span>${t("cost")}</span></div>
          <div data-figure="tokens_in"><b>${seen.today.input_tokens.toLocaleString()}</b><span>${t("tokens_in")}</span></div>
          <div data-figure="tokens_out"><b>${seen.today.output_tokens.toLocaleString()}</b><span>${t("tokens_out")}</span></div>
        </div>
        <p><a href="#/usage">${t("usage")}</a></p>
      </article>
      <article class="card" data-card="health">
        <h2>${t("health")}</h2>
        ${status.counts && (platforms(status).length === 0
          ? html`<p class="faint">${t("none_set_up")}</p>`
          : html`<ul class="lines">${platforms(status).map(
              (it) => html`<li key=${it.account}><span class=${`light ${it.state}`}></span><code>${it.account}</code> ${t(`ch_${it.state}`)}</li>`,
            )}</ul>`)}
        ${alerts.map((it) => html`<p key=${it.key} class="problem">${it.says} ${it.remedy}</p>`)}
        ${seen.troubles.length === 0 && alerts.length === 0
          ? html`<p><span class="light up"></span>${t("no_trouble")}</p>`
          : html`<ul class="lines">${seen.troubles.map((it) => html`<li key=${it.kind} data-trouble=${it.kind}><b>${it.count}</b> ${t(`trouble_${it.kind}`)}</li>`)}</ul>`}
      </article>
    </div>
  </section>`;
}

/** What is left to do until somebody is answered by a model, wherever they write. */
function FirstSteps({ status }) {
  // Whoever does not see the counts has nothing to set up either.
  if (!may("configure") || !status.counts) return null;
  const steps = [
    ["first_model", !status.demo, "#/state"],
    ["first_talk", 0 < status.counts.messages_out, "#/chat"],
    ["first_channel", 0 < platforms(status).length, "#/channels"],
  ];
  if (steps.every(([, done]) => done)) return null;
  return html`<article class="card" data-card="first">
    <h2>${t("first_steps")}</h2>
    <ol class="lines">${steps.map(
      ([key, done, href]) => html`<li key=${key} class=${done ? "done" : ""}>
        <span class=${`light ${done ? "up" : "paused"}`}></span>${done ? html`<s>${t(key)}</s>` : html`<a href=${href}>${t(key)}</a>`}</li>`,
    )}</ol>
  </article>`;
}

/** Messages in and out, side by side, from the earliest to this minute. */
function Chart({ seen }) {
  const wide = Math.max(1, Math.round(seen.minutes.length / BARS));
  const bars = [];
  for (let at = 0; at < seen.minutes.length; at += wide) {
    const part = seen.minutes.slice(at, at + wide);
    bars.push({ at, in: total(part, "messages_in"), out: total(part, "messages_out") });
  }
  const most = Math.max(1, ...bars.flatMap((it) => [it.in, it.out]));
  const step = CHART.width / bars.length;
  const time = (at) => new Date(Date.parse(seen.since) + at * 60_000).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  const bar = (it, n, key, offset) => {
    const height = (it[key] / most) * CHART.height;
    return html`<rect class=${key} x=${n * step + offset * step} y=${CHART.height - height} width=${step * 0.4} height=${height} />`;
  };
  return html`<figure class="chart">
    <svg viewBox=${`0 0 ${CHART.width} ${CHART.height}`} preserveAspectRatio="none" role="img" aria-label=${t("chart_label", total(seen.minutes, "messages_in"), total(seen.minutes, "messages_out"))}>
      ${bars.map((it, n) => html`<g key=${it.at}><title>${`${time(it.at)} · ${t("sum_messages_in")} ${it.in} · ${t("sum_messages_out")} ${it.out}`}</title>
        <rect class="hit" x=${n * step} y="0" width=${step} height=${CHART.height} />${bar(it, n, "in", 0.1)}${bar(it, n, "out", 0.5)}</g>`)}
    </svg>
    <figcaption class="row faint small"><span>${time(0)}</span><span class="grow"></span><span class="key in">${t("sum_messages_in")}</span><span class="key out">${t("sum_messages_out")}</span><span class="grow"></span><span>${t("at_most", most)}</span><span>${t("now")}</span></figcaption>
  </figure>`;
}

/** Who works at this moment, and what waits. */
function Now({ runs, status }) {
  const { groups } = useApp();
  const name = (id) => groups.find((it) => it.id === id)?.name ?? "";
  return html`<article class="card" data-card="now">
    <h2>${t("right_now")}</h2>
    <div class="figures wrap">
      <div data-figure="working"><b>${runs.length}</b><span>${t("agents_working")}</span></div>
      ${status.counts && html`<div data-figure="queued"><b>${status.counts.jobs_queued}</b><span>${t("q_jobs_queued")}</span></div>
        <div data-figure="pending"><b>${status.counts.outbox_pending}</b><span>${t("q_outbox_pending")}</span></div>`}
    </div>
    <ul class="lines">${runs.map((it) => {
      const { jid } = placeOf(it.at);
      return html`<li key=${it.run}><i class="pulse"></i> <a href=${`#/chat/${encodeURIComponent(jid)}`}>${name(it.group)}</a>
        <span class="faint"> ${channelName(jid)} · ${chatName(jid)} ${it.tools.at(-1)?.ok === null ? `· ${it.tools.at(-1).tool}` : ""}</span></li>`;
    })}</ul>
  </article>`;
}

/** How long each step takes: the half of the messages are quicker than the dark part, nineteen of twenty than the light one. */
function Steps({ steps }) {
  const most = Math.max(1, ...steps.map((it) => it.p95_ms));
  const part = (ms) => `${Math.max(0.5, (ms / most) * 100)}%`;
  return html`<article class="card" data-card="steps">
    <h2>${t("latency")}</h2>
    ${steps.every((it) => it.count === 0)
      ? html`<p class="faint">${t("latency_none")}</p>`
      : html`<ul class="latency">${steps.map(
          (it) => html`<li key=${it.step} data-step=${it.step}>
            <span class="row"><span class="grow">${t(`step_${it.step}`)}</span><b>${it.count ? span(it.p50_ms) : "–"}</b><span class="faint">${it.count ? span(it.p95_ms) : "–"}</span></span>
            <span class="meter" aria-hidden="true"><i class="p95" style=${{ width: part(it.p95_ms) }}></i><i class="p50" style=${{ width: part(it.p50_ms) }}></i></span></li>`,
        )}</ul>
        <p class="faint small">${t("latency_key")}</p>`}
  </article>`;
}
