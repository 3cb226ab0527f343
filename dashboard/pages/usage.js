// Usage: tokens and money, by day, group and model.

import { html, useEffect, useState } from "../vendor/htm-preact.js";
import { get } from "../api.js";
import { t } from "../i18n.js";
import { attempt, useApp } from "../store.js";

/** Spans that somebody may look at, in days. */
const SPANS = [1, 7, 30, 366];

const sum = (lines, key) => lines.reduce((all, it) => all + it[key], 0);

/** Money with as many digits as small sums need; unknown is not nothing. */
function money(lines, currency) {
  const priced = lines.filter((it) => it.cost !== null);
  if (priced.length === 0) return t("cost_unknown");
  const all = `${sum(priced, "cost").toFixed(4)} ${currency}`;
  return priced.length === lines.length ? all : t("cost_at_least", all);
}

export function Usage() {
  const { groups } = useApp();
  const [group, setGroup] = useState("");
  const [days, setDays] = useState(7);
  const [used, setUsed] = useState(null);
  useEffect(() => {
    let gone = false;
    const query = new URLSearchParams({ days, ...(group && { group }) });
    void attempt(async () => {
      const answer = await get(`/api/usage?${query}`);
      if (!gone) setUsed(answer);
    });
    return () => {
      gone = true;
    };
  }, [group, days]);
  const lines = used?.lines ?? [];
  const guessed = sum(lines, "estimated_tokens");
  return html`<section class="page">
    <header class="row wrap">
      <div class="grow"><h1>${t("usage")}</h1><p class="faint">${t("usage_intro")}</p></div>
      <select aria-label=${t("groups")} value=${group} onChange=${(event) => setGroup(event.target.value)}>
        <option value="">${t("all_groups")}</option>
        ${groups.map((it) => html`<option key=${it.id} value=${it.id}>${it.name}</option>`)}
      </select>
      <select aria-label=${t("span")} value=${days} onChange=${(event) => setDays(Number(event.target.value))}>
        ${SPANS.map((it) => html`<option key=${it} value=${it}>${it === 1 ? t("today") : t("last_days", it)}</option>`)}
      </select>
    </header>
    ${used && lines.length === 0 && html`<article class="card"><p class="faint">${t("usage_none")}</p></article>`}
    ${0 < lines.length &&
    html`<article class="card" data-usage>
      <div class="figures wrap">
        <div><b data-cost>${money(lines, used.currency)}</b><span>${t("cost")}</span></div>
        <div><b>${sum(lines, "input_tokens").toLocaleString()}</b><span>${t("tokens_in")}</span></div>
        <div><b>${sum(lines, "output_tokens").toLocaleString()}</b><span>${t("tokens_out")}</span></div>
        <div><b>${sum(lines, "runs").toLocaleString()}</b><span>${t("runs")}</span></div>
      </div>
      <div class="table"><table>
        <thead><tr><th>${t("day")}</th><th>${t("group")}</th><th>${t("model")}</th><th>${t("runs")}</th><th>${t("tokens_in")}</th><th>${t("tokens_out")}</th><th>${t("cost")}</th></tr></thead>
        <tbody>${lines.map(
          (it) => html`<tr key=${`${it.day} ${it.group} ${it.provider} ${it.model}`}>
            <td>${it.day}</td><td>${it.group}</td><td>${it.provider}/${it.model}</td><td>${it.runs}</td>
            <td>${it.input_tokens.toLocaleString()}</td><td>${it.output_tokens.toLocaleString()}</td><td>${money([it], used.currency)}</td></tr>`,
        )}</tbody></table></div>
      ${0 < guessed && html`<p class="faint">${t("estimated_tokens", guessed.toLocaleString())}</p>`}
      ${lines.some((it) => it.cost === null) && html`<p class="faint">${t("cost_hint")}</p>`}
    </article>`}
  </section>`;
}
