// People: who may do what, inviting them, letting them go.

import { html, useEffect, useState } from "../vendor/htm-preact.js";
import { get, patch, post, remove } from "../api.js";
import { t } from "../i18n.js";
import { Icon } from "../icons.js";
import { attempt, may, toast, useApp } from "../store.js";
import { Act, Dialog, copy } from "../ui.js";

const ROLES = ["viewer", "guest", "member", "operator", "admin", "owner"];

/** Roles that only an owner gives. */
const HIGH = ["admin", "owner"];

export function People() {
  const state = useApp();
  const [people, setPeople] = useState(null);
  const [dialog, setDialog] = useState(null); // {what, person, url}
  const refresh = async () => setPeople(await get("/api/people"));
  useEffect(() => void attempt(refresh), []);
  const close = () => setDialog(null);
  const link = (person) => async () => {
    await attempt(async () => {
      const { url } = await post(`/api/people/${person.id}/link`);
      setDialog({ what: "link", person, url });
    });
  };
  const save = async (work, then = close) => {
    if (!(await attempt(async () => then(await work())))) return;
    await attempt(refresh);
  };
  const props = dialog && { person: dialog.person, onClose: close, save, groups: state.groups };
  const invited = (name) => ({ url }) => setDialog({ what: "link", person: { name }, url });
  return html`<section class="page">
    <header class="row wrap">
      <div class="grow"><h1>${t("people")}</h1><p class="faint">${t("people_intro")}</p></div>
      <button class="primary with-icon" onClick=${() => setDialog({ what: "invite" })}><${Icon} name="plus" />${t("invite")}</button>
    </header>
    ${people?.map((it) => html`<${Person} key=${it.id} person=${it} me=${state.me} groups=${state.groups} link=${link(it)} open=${(what) => setDialog({ what, person: it })} />`)}
    ${dialog?.what === "invite" && html`<${Invite} ...${props} invited=${invited} />`}
    ${dialog?.what === "change" && html`<${Change} ...${props} />`}
    ${dialog?.what === "remove" && html`<${Remove} ...${props} />`}
    ${dialog?.what === "link" &&
    html`<${Dialog} title=${t("link_for", dialog.person.name)} onClose=${close}>
      <p>${t("link_text")}</p>
      <pre class="command" data-link>${dialog.url}</pre>
      <footer class="row"><button onClick=${close}>${t("close")}</button><button class="primary" onClick=${() => copy(dialog.url)}>${t("copy")}</button></footer>
    <//>`}
  </section>`;
}

function Person({ person, me, groups, link, open }) {
  const held = [person.role, ...person.groups.map((it) => it.role)];
  const mine = may("grant_roles") || !held.some((it) => HIGH.includes(it));
  const name = (id) => groups.find((it) => it.id === id)?.name ?? `#${id}`;
  return html`<article class="card person" data-person=${person.id}>
    <div class="row wrap">
      <h2>${person.name}</h2>
      ${person.role && html`<span class="tag accent">${t(`role_${person.role}`)}</span>`}
      ${person.groups.map((it) => html`<span class="tag" key=${it.id}>${name(it.id)}: ${t(`role_${it.role}`)}</span>`)}
      ${person.id === me.id && html`<span class="faint">${t("you")}</span>`}
      <span class="grow"></span>
      ${mine &&
      html`<${Act} run=${link}>${t("fresh_link")}<//>
        <button class="square" title=${t("change_role")} aria-label=${`${t("change_role")}: ${person.name}`} onClick=${() => open("change")}><${Icon} name="edit" /></button>
        ${person.id !== me.id && html`<button class="square danger" title=${t("remove")} aria-label=${`${t("remove")}: ${person.name}`} onClick=${() => open("remove")}><${Icon} name="trash" /></button>`}`}
    </div>
    ${0 < person.addresses.length && html`<p class="faint small break">${person.addresses.join(", ")}</p>`}
  </article>`;
}

/** A role, and the groups where it counts: none ticked is the whole gateway. */
function Standing({ role, setRole, chosen, setChosen, groups }) {
  const known = ROLES.filter((it) => may("grant_roles") || !HIGH.includes(it));
  const tick = (id) => setChosen(chosen.includes(id) ? chosen.filter((it) => it !== id) : [...chosen, id]);
  return html`<label>${t("role")}
      <select value=${role} onChange=${(event) => setRole(event.target.value)}>
        ${known.map((it) => html`<option key=${it} value=${it}>${t(`role_${it}`)}</option>`)}
      </select><small class="faint">${t(`role_${role}_text`)}</small></label>
    <fieldset><legend>${t("where")}</legend>
      ${groups.map((it) => html`<label class="row check" key=${it.id}><input type="checkbox" checked=${chosen.includes(it.id)} onChange=${() => tick(it.id)} />${it.name}</label>`)}
      <small class="faint">${chosen.length === 0 ? t("where_all") : t("where_some")}</small>
    </fieldset>`;
}

const body = (role, chosen) => (chosen.length === 0 ? { role } : { role, groups: chosen });

function Invite({ onClose, save, groups, invited }) {
  const [name, setName] = useState("");
  const [role, setRole] = useState("member");
  const [chosen, setChosen] = useState([]);
  const go = (event) => {
    event.preventDefault();
    void save(() => post("/api/people", { name, ...body(role, chosen) }), invited(name));
  };
  return html`<${Dialog} title=${t("invite")} onClose=${onClose}>
    <form onSubmit=${go}>
      <label>${t("name")}<input required maxlength="60" value=${name} onInput=${(event) => setName(event.target.value)} autofocus /></label>
      <${Standing} role=${role} setRole=${setRole} chosen=${chosen} setChosen=${setChosen} groups=${groups} />
      <footer class="row"><button type="button" onClick=${onClose}>${t("cancel")}</button><button class="primary">${t("make_link")}</button></footer>
    </form>
  <//>`;
}

function Change({ person, onClose, save, groups }) {
  const [role, setRole] = useState(person.role ?? person.groups[0]?.role ?? "guest");
  const [chosen, setChosen] = useState(person.role ? [] : person.groups.map((it) => it.id));
  const go = (event) => {
    event.preventDefault();
    void save(() => patch(`/api/people/${person.id}`, body(role, chosen)));
  };
  return html`<${Dialog} title=${person.name} onClose=${onClose}>
    <form onSubmit=${go}>
      <${Standing} role=${role} setRole=${setRole} chosen=${chosen} setChosen=${setChosen} groups=${groups} />
      <footer class="row"><button type="button" onClick=${onClose}>${t("cancel")}</button><button class="primary">${t("save")}</button></footer>
    </form>
  <//>`;
}

function Remove({ person, onClose, save }) {
  const go = () =>
    save(async () => {
      await remove(`/api/people/${person.id}`);
      onClose();
      toast(t("let_go", person.name));
    });
  return html`<${Dialog} title=${t("remove_title", person.name)} onClose=${onClose}>
    <p>${t("let_go_text")}</p>
    <footer class="row"><button onClick=${onClose}>${t("cancel")}</button>
      <${Act} class="danger solid" run=${go}>${t("remove")}<//></footer>
  <//>`;
}
