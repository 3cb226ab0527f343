// The path of one message: what was decided about it, and how long each step took.

import { html, useEffect, useState } from "../vendor/htm-preact.js";
import { get } from "../api.js";
import { clockTime, t } from "../i18n.js";
import { attempt } from "../store.js";
import { Dialog } from "../ui.js";

/** `ms` as people read it. */
function span(ms) {
  if (ms < 1000) return `${ms} ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(1)} s`;
  return `${Math.round(ms / 60_000)} min`;
}

export function Why({ id, onClose }) {
  const [why, setWhy] = useState(null);
  useEffect(() => {
    void attempt(async () => setWhy(await get(`/api/messages/${id}/why`))).then((ok) => ok || onClose());
  }, [id]);
  return html`<${Dialog} side title=${t("why_title", id)} onClose=${onClose}>
    ${!why && html`<div class="dots"><i></i><i></i><i></i></div>`}
    ${why && html`<div class="why" data-why-shown=${id}>
      <blockquote>${why.message.text.slice(0, 280)}</blockquote>
      <h3>${t("why_steps")}</h3>
      <ol class="steps">
        ${why.decisions.map(
          (it, n) => html`<li>
            <div><b>${it.kind.replaceAll("_", " ")}</b>
              <span class="faint">${n === 0 ? clockTime(it.at) : `+${span(it.after_ms)}`}</span></div>
            ${it.detail && html`<p>${it.detail}</p>`}
          </li>`,
        )}
      </ol>
      ${0 < why.jobs.length &&
      html`<h3>${t("why_jobs")}</h3>
        ${why.jobs.map(
          (it) => html`<p>#${it.id} <span class="tag">${it.state}</span>
            ${0 < it.failures + it.gateway_deaths && html` <span class="faint">${t("tries", it.failures, it.gateway_deaths)}</span>`}
            ${it.error && html`<br /><span class="problem">${it.error}</span>`}</p>`,
        )}`}
      ${0 < why.usage.length &&
      html`<h3>${t("usage")}</h3>
        ${why.usage.map(
          (it) => html`<p>${t("used_tokens", it.input_tokens.toLocaleString(), it.output_tokens.toLocaleString())}
            <span class="faint">${it.provider}/${it.model}${it.estimated ? ` · ${t("estimated")}` : ""}${it.cost === null ? "" : ` · ${it.cost.toFixed(4)}`}</span></p>`,
        )}`}
      ${0 < why.outbox.length &&
      html`<h3>${t("why_out")}</h3>
        ${why.outbox.map(
          (it) => html`<p>${it.jid} <span class="tag">${it.state}</span>
            ${it.sent_at && html` <span class="faint">${clockTime(it.sent_at)}</span>`}
            ${it.error && html`<br /><span class="problem">${it.error}</span>`}</p>`,
        )}`}
    </div>`}
  <//>`;
}
