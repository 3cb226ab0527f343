// Chats and people that ask to be let in.

import { html, useEffect, useState } from "../vendor/htm-preact.js";
import { post } from "../api.js";
import { ago, left, t } from "../i18n.js";
import { attempt, loadGroups, loadPairings, toast, useApp } from "../store.js";
import { Act, channelName } from "../ui.js";

export function Approvals() {
  const state = useApp();
  useEffect(() => void attempt(loadPairings), []);
  return html`<section class="page">
    <header><h1>${t("approvals")}</h1><p class="faint">${t("approvals_intro")}</p></header>
    ${state.pairings.length === 0 &&
    html`<div class="card empty-card"><h2>${t("approvals_none")}</h2><p class="faint">${t("approvals_none_text")}</p></div>`}
    ${state.pairings.map((it) => html`<${Pairing} key=${it.code} pairing=${it} groups=${state.groups} />`)}
  </section>`;
}

function Pairing({ pairing, groups }) {
  const [group, setGroup] = useState(groups[0]?.id);
  const name = pairing.is_direct ? pairing.sender_name : pairing.chat_title;
  const approve = (how) => async () => {
    const path = `/api/pairings/${encodeURIComponent(pairing.code)}/approve`;
    if (await attempt(() => post(path, how))) toast(t("approved", name));
    await attempt(() => Promise.all([loadPairings(), loadGroups()]));
  };
  const deny = async () => {
    if (await attempt(() => post(`/api/pairings/${encodeURIComponent(pairing.code)}/deny`))) toast(t("denied", name));
    await attempt(loadPairings);
  };
  return html`<article class="card pairing" data-code=${pairing.code}>
    <div class="row wrap">
      <h2>${name}</h2>
      <span class="tag">${channelName(pairing.jid)}</span>
      <span class="tag">${t(pairing.is_direct ? "direct_chat" : "group_chat")}</span>
      <span class="grow"></span>
      <span class="faint">${ago(pairing.offered_at)} · ${t("expires_in", left(pairing.expires_at))}</span>
    </div>
    <p class="faint break">${pairing.sender_name} · ${pairing.jid} · ${t("code")} <code>${pairing.code}</code></p>
    <div class="row wrap actions">
      ${pairing.is_direct && html`<${Act} class="primary" run=${approve({ me: true })}>${t("approve_me")}<//>`}
      <${Act} class=${pairing.is_direct ? "" : "primary"} run=${approve({})}>${t("approve_own")}<//>
      <span class="row into">
        <label class="row">${t("approve_into")}
          <select value=${group} onChange=${(event) => setGroup(Number(event.target.value))}>
            ${groups.map((it) => html`<option key=${it.id} value=${it.id}>${it.name}</option>`)}
          </select></label>
        <${Act} disabled=${group === undefined} run=${approve({ group })}>${t("approve")}<//>
      </span>
      <span class="grow"></span>
      <${Act} class="danger" run=${deny}>${t("deny")}<//>
    </div>
  </article>`;
}
