// Groups: make, bind, limit, rename, remove.

import { html, useState } from "../vendor/htm-preact.js";
import { patch, post, remove } from "../api.js";
import { t } from "../i18n.js";
import { Icon } from "../icons.js";
import { attempt, loadGroups, may as mayDo, useApp } from "../store.js";
import { Act, Dialog, channelName } from "../ui.js";

/** Limits that may be no number: then there is no cap. Others that are none are lists or words. */
const MAY_BE_NONE = ["tokens_per_day", "cost_per_day"];

/** The limits that are numbers. */
const numbers = (limits) => Object.entries(limits).filter(([key, value]) => typeof value === "number" || MAY_BE_NONE.includes(key));

export function Groups() {
  const state = useApp();
  const [dialog, setDialog] = useState(null); // {what, group}
  const may = mayDo("configure");
  const close = () => setDialog(null);
  const save = async (work) => {
    if (!(await attempt(work))) return;
    close();
    await attempt(loadGroups);
  };
  const props = dialog && { group: dialog.group, onClose: close, save, recent: state.recent };
  return html`<section class="page">
    <header class="row wrap">
      <div class="grow"><h1>${t("groups")}</h1><p class="faint">${t("groups_intro")}</p></div>
      ${may && html`<button class="primary with-icon" onClick=${() => setDialog({ what: "new" })}><${Icon} name="plus" />${t("new_group")}</button>`}
    </header>
    ${state.groups.map((it) => html`<${Card} key=${it.id} group=${it} may=${may} open=${(what) => setDialog({ what, group: it })} save=${save} />`)}
    ${dialog?.what === "new" && html`<${NewGroup} ...${props} />`}
    ${dialog?.what === "bind" && html`<${Bind} ...${props} />`}
    ${dialog?.what === "change" && html`<${Change} ...${props} />`}
    ${dialog?.what === "mount" && html`<${NewMount} ...${props} />`}
    ${dialog?.what === "remove" && html`<${Remove} ...${props} />`}
  </section>`;
}

function Card({ group, may, open, save }) {
  const unbind = (it) => () =>
    save(() => remove(`/api/groups/${group.id}/bindings`, { jid: it.jid, thread: it.thread }));
  const rest = () => save(() => patch(`/api/groups/${group.id}`, { paused: !group.paused }));
  const unmount = (mount) => () => {
    const mounts = group.limits.mounts.filter((it) => it.name !== mount.name);
    return save(() => patch(`/api/groups/${group.id}`, { limits: { mounts } }));
  };
  return html`<article class="card group" data-group=${group.id}>
    <div class="row wrap">
      <h2>${group.name}</h2>
      ${group.is_main && html`<span class="tag accent">${t("main_group")}</span>`}
      <code class="faint">${group.folder}</code>
      ${group.paused && html`<span class="tag">${t("paused")}</span>`}
      ${group.active && html`<i class="pulse" title=${t("working")}></i>`}
      <span class="grow"></span>
      <a class="button" href=${`#/chat/${encodeURIComponent(group.jid)}`}>${t("open_chat")}</a>
      ${may &&
      html`<${Act} run=${rest}>${t(group.paused ? "go_on" : "rest")}<//>
        <button onClick=${() => open("bind")}>${t("bind")}</button>
        <button class="square" title=${t("edit_limits")} aria-label=${`${t("edit_limits")}: ${group.name}`} onClick=${() => open("change")}><${Icon} name="edit" /></button>
        ${!group.is_main && html`<button class="square danger" title=${t("remove")} aria-label=${`${t("remove")}: ${group.name}`} onClick=${() => open("remove")}><${Icon} name="trash" /></button>`}`}
    </div>
    <h3>${t("bindings")}</h3>
    <ul class="bindings">
      ${group.bindings.map(
        (it) => html`<li key=${it.id} class="row wrap">
          <span class="tag">${channelName(it.jid)}</span>
          <code class="break">${it.place}</code>
          <span class="faint">${t(`engage_${it.engage}`)}${it.pattern ? `: ${it.pattern}` : ""} · ${t(`senders_${it.senders}`)}${it.queue.mode === "collect" ? "" : ` · ${it.queue.mode}`}</span>
          <span class="grow"></span>
          ${may && it.jid !== group.jid && html`<${Act} class="quiet tiny-text" run=${unbind(it)}>${t("unbind")}<//>`}
        </li>`,
      )}
    </ul>
    <details class="limits"><summary>${t("limits")}</summary>
      <dl>${numbers(group.limits).map(([key, value]) => html`<div><dt>${t(`limit_${key}`)}</dt><dd>${value ?? t("no_cap")}</dd></div>`)}</dl>
    </details>
    <details class="limits"><summary>${t("mounts")}${0 < group.limits.mounts.length ? ` · ${group.limits.mounts.length}` : ""}</summary>
      <ul class="bindings" data-mounts>
        ${group.limits.mounts.map(
          (it) => html`<li key=${it.name} class="row wrap"><code class="break">${it.host}</code> →
            <code>/workspace/extra/${it.name}</code> <span class="tag">${t(it.write ? "mount_write" : "mount_read")}</span>
            <span class="grow"></span>
            ${may && html`<${Act} class="quiet tiny-text" run=${unmount(it)}>${t("remove")}<//>`}</li>`,
        )}
      </ul>
      ${group.limits.mounts.length === 0 && html`<p class="faint">${t("mounts_none")}</p>`}
      ${may && html`<button onClick=${() => open("mount")}>${t("mount")}</button>`}
    </details>
  </article>`;
}

function NewGroup({ onClose, save }) {
  const [name, setName] = useState("");
  const [folder, setFolder] = useState("");
  const go = (event) => {
    event.preventDefault();
    void save(() => post("/api/groups", folder ? { name, folder } : { name }));
  };
  return html`<${Dialog} title=${t("new_group")} onClose=${onClose}>
    <form onSubmit=${go}>
      <label>${t("name")}<input required maxlength="60" value=${name} onInput=${(event) => setName(event.target.value)} autofocus /></label>
      <label>${t("folder")}<input maxlength="60" pattern="[a-z0-9_\\-]*" value=${folder} onInput=${(event) => setFolder(event.target.value)} />
        <small class="faint">${t("folder_hint")}</small></label>
      <footer class="row"><button type="button" onClick=${onClose}>${t("cancel")}</button><button class="primary">${t("create")}</button></footer>
    </form>
  <//>`;
}

function Bind({ group, recent, onClose, save }) {
  const [jid, setJid] = useState("");
  const [engage, setEngage] = useState("mention");
  const [pattern, setPattern] = useState("");
  const [scope, setScope] = useState("thread");
  const [senders, setSenders] = useState("everyone");
  const [mode, setMode] = useState("collect");
  const [stale, setStale] = useState("ask");
  const others = recent.filter((it) => !it.jid.startsWith("web@") && !it.jid.startsWith("terminal@"));
  const go = (event) => {
    event.preventDefault();
    const body = { jid, engage, scope, senders, queue: { mode, stale } };
    if (engage === "trigger") body.pattern = pattern;
    void save(() => post(`/api/groups/${group.id}/bindings`, body));
  };
  const choice = (label, key, value, set, words) => html`<label>${label}
    <select value=${value} onChange=${(event) => set(event.target.value)}>
      ${words.map((it) => html`<option key=${it} value=${it}>${t(`${key}_${it}`)}</option>`)}
    </select></label>`;
  return html`<${Dialog} title=${t("bind_title", group.name)} onClose=${onClose}>
    <form onSubmit=${go}>
      <fieldset><legend>${t("bind_recent")}</legend>
        ${others.length === 0 && html`<p class="faint">${t("bind_recent_none")}</p>`}
        <div class="picker">
          ${others.map(
            (it) => html`<button type="button" key=${it.jid} aria-pressed=${jid === it.jid} onClick=${() => setJid(it.jid)}>
              <b>${it.title || it.jid}</b><span class="faint">${channelName(it.jid)}</span></button>`,
          )}
        </div>
      </fieldset>
      <label>${t("bind_address")}<input required value=${jid} onInput=${(event) => setJid(event.target.value)} />
        <small class="faint">${t("bind_address_hint")}</small></label>
      ${choice(t("engage"), "engage", engage, setEngage, ["mention", "always", "trigger", "never"])}
      ${engage === "trigger" && html`<label>${t("pattern")}<input required value=${pattern} onInput=${(event) => setPattern(event.target.value)} /></label>`}
      ${choice(t("scope"), "scope", scope, setScope, ["thread", "chat", "sender", "group"])}
      ${choice(t("senders"), "senders", senders, setSenders, ["everyone", "known"])}
      ${choice(t("mode"), "mode", mode, setMode, ["collect", "steer", "followup", "interrupt"])}
      ${choice(t("stale"), "stale", stale, setStale, ["ask", "answer", "drop"])}
      <footer class="row"><button type="button" onClick=${onClose}>${t("cancel")}</button><button class="primary">${t("bind")}</button></footer>
    </form>
  <//>`;
}

/** A folder of the machine for the group's agents. */
function NewMount({ group, onClose, save }) {
  const [draft, setDraft] = useState({ host: "", name: "", write: false });
  const usual = draft.host.split("/").findLast((it) => it) ?? "";
  const go = (event) => {
    event.preventDefault();
    const mount = { ...draft, name: draft.name || usual };
    const mounts = [...group.limits.mounts.filter((it) => it.name !== mount.name), mount];
    void save(() => patch(`/api/groups/${group.id}`, { limits: { mounts } }));
  };
  const set = (key) => (event) => setDraft({ ...draft, [key]: event.target.value });
  return html`<${Dialog} title=${t("mount")} onClose=${onClose}>
    <form onSubmit=${go}>
      <label>${t("mount_host")}<input required placeholder="/srv/projects" value=${draft.host} onInput=${set("host")} autofocus />
        <small class="faint">${t("mount_hint")}</small></label>
      <label>${t("mount_name")}<input placeholder=${usual} value=${draft.name} onInput=${set("name")} /></label>
      <label class="row check"><input type="checkbox" checked=${draft.write} onChange=${(event) => setDraft({ ...draft, write: event.target.checked })} />${t("mount_may_write")}</label>
      <footer class="row"><button type="button" onClick=${onClose}>${t("cancel")}</button><button class="primary">${t("mount")}</button></footer>
    </form>
  <//>`;
}

/** `NAME=value` lines as the variables that they name. */
const variables = (text) =>
  Object.fromEntries(
    text
      .split("\n")
      .filter((it) => it.trim())
      .map((it) => it.match(/^\s*([^=]*)=?(.*)$/).slice(1)),
  );

function Change({ group, onClose, save }) {
  const [name, setName] = useState(group.name);
  const [limits, setLimits] = useState(Object.fromEntries(numbers(group.limits)));
  const [driver, setDriver] = useState(group.limits.driver ?? "");
  const [model, setModel] = useState(group.limits.model ?? "");
  const [environment, setEnvironment] = useState(Object.entries(group.limits.environment).map((it) => it.join("=")).join("\n"));
  const go = (event) => {
    event.preventDefault();
    const all = { ...limits, driver: driver || null, model: model.trim() || null, environment: variables(environment) };
    void save(() => patch(`/api/groups/${group.id}`, { name, limits: all }));
  };
  const set = (key) => (event) => {
    const text = event.target.value;
    setLimits({ ...limits, [key]: text === "" ? null : Number(text) });
  };
  return html`<${Dialog} title=${group.name} onClose=${onClose}>
    <form onSubmit=${go}>
      <label>${t("name")}<input required maxlength="60" value=${name} onInput=${(event) => setName(event.target.value)} /></label>
      <fieldset class="grid"><legend>${t("who_answers")}</legend>
        <label>${t("driver")}<select name="driver" value=${driver} onChange=${(event) => setDriver(event.target.value)}>
          ${["", "builtin", "claude-code", "acp", "demo"].map((it) => html`<option key=${it} value=${it}>${it || t("as_in_settings")}</option>`)}
        </select></label>
        <label>${t("model")}<input name="model" spellcheck="false" autocomplete="off" placeholder=${t("as_in_settings")} value=${model} onInput=${(event) => setModel(event.target.value)} /></label>
      </fieldset>
      <fieldset class="grid"><legend>${t("limits")}</legend>
        ${Object.entries(limits).map(
          ([key, value]) => html`<label key=${key}>${t(`limit_${key}`)}
            <input type="number" min=${key === "cost_per_day" ? 0 : 1} step=${key === "cost_per_day" ? "any" : 1} required=${!MAY_BE_NONE.includes(key)} value=${value ?? ""} placeholder=${t("no_cap")} onInput=${set(key)} /></label>`,
        )}
      </fieldset>
      <label>${t("environment")}<textarea rows="3" spellcheck="false" placeholder="LANG=de_DE.UTF-8" value=${environment} onInput=${(event) => setEnvironment(event.target.value)}></textarea>
        <small class="faint">${t("environment_hint")}</small></label>
      <footer class="row"><button type="button" onClick=${onClose}>${t("cancel")}</button><button class="primary">${t("save")}</button></footer>
    </form>
  <//>`;
}

function Remove({ group, onClose, save }) {
  const [purge, setPurge] = useState(false);
  return html`<${Dialog} title=${t("remove_title", group.name)} onClose=${onClose}>
    <p>${t("remove_text")}</p>
    <label class="row check"><input type="checkbox" checked=${purge} onChange=${(event) => setPurge(event.target.checked)} />${t("purge")}</label>
    <footer class="row"><button onClick=${onClose}>${t("cancel")}</button>
      <${Act} class="danger solid" run=${() => save(() => remove(`/api/groups/${group.id}?purge=${purge}`))}>${t("remove_yes")}<//></footer>
  <//>`;
}
