// Tasks: what is scheduled, making it, and what became of it.

import { html, useEffect, useState } from "../vendor/htm-preact.js";
import { get, patch, post, remove } from "../api.js";
import { ago, t } from "../i18n.js";
import { Icon } from "../icons.js";
import { attempt, may, toast, useApp } from "../store.js";
import { Act, Dialog, channelName } from "../ui.js";

/** Tasks fire without an event; this is how often they are read while somebody looks, in milliseconds. */
const REFRESH_MS = 10_000;

/** Fires that a preview and a history show. */
const FIRES = 5;

/** How long a preview waits for the next key, in milliseconds. */
const PREVIEW_AFTER_MS = 250;

const KINDS = ["cron", "interval", "once"];

export function Tasks() {
  const { me, groups } = useApp();
  const [tasks, setTasks] = useState(null);
  const [dialog, setDialog] = useState(null); // {what, task}
  const mine = groups.filter((it) => may("schedule") || me.groups.some((of) => of.id === it.id && of.rights.includes("schedule")));
  const refresh = async () => setTasks(await get("/api/tasks"));
  useEffect(() => {
    void attempt(refresh);
    const timer = setInterval(() => refresh().catch(() => {}), REFRESH_MS);
    return () => clearInterval(timer);
  }, []);
  const close = () => setDialog(null);
  const save = async (work, said) => {
    if (!(await attempt(work))) return;
    close();
    if (said) toast(said);
    await attempt(refresh);
  };
  return html`<section class="page">
    <header class="row wrap">
      <div class="grow"><h1>${t("tasks")}</h1><p class="faint">${t("tasks_intro")}</p></div>
      ${0 < mine.length && html`<button class="primary with-icon" onClick=${() => setDialog({ what: "edit" })}><${Icon} name="plus" />${t("new_task")}</button>`}
    </header>
    ${tasks?.length === 0 && html`<article class="card"><p class="faint">${t("tasks_none")}</p></article>`}
    ${tasks?.map((it) => html`<${Task} key=${it.id} task=${it} mine=${mine.some((of) => of.id === it.group)} save=${save} open=${(what) => setDialog({ what, task: it })} />`)}
    ${dialog?.what === "edit" && html`<${Edit} task=${dialog.task} groups=${mine} onClose=${close} save=${save} />`}
    ${dialog?.what === "cancel" && html`<${Cancel} task=${dialog.task} onClose=${close} save=${save} />`}
  </section>`;
}

/** When it fires, in one line. */
function when(task) {
  return `${t(`when_${task.schedule_type}`)} ${task.schedule_value}${task.schedule_type === "cron" ? ` (${task.zone})` : ""}`;
}

function Task({ task, mine, save, open }) {
  const act = (what) => () => save(() => post(`/api/tasks/${task.id}/${what}`), what === "run" ? t("task_runs") : null);
  const active = task.status === "active";
  return html`<article class="card task" data-task=${task.id}>
    <div class="row wrap">
      <h2 class="break">${task.prompt}</h2>
      <span class=${active ? "tag accent" : "tag"}>${t(`task_${task.status}`)}</span>
      ${task.does === "say" && html`<span class="tag">${t("does_say")}</span>`}
      <span class="grow"></span>
      ${mine &&
      html`<${Act} run=${act("run")}>${t("run_now")}<//>
        ${active && html`<${Act} run=${act("pause")}>${t("rest")}<//>`}
        ${task.status === "paused" && html`<${Act} run=${act("resume")}>${t("go_on")}<//>`}
        <button class="square" title=${t("edit")} aria-label=${`${t("edit")}: ${task.prompt}`} onClick=${() => open("edit")}><${Icon} name="edit" /></button>
        <button class="square danger" title=${t("cancel_task")} aria-label=${`${t("cancel_task")}: ${task.prompt}`} onClick=${() => open("cancel")}><${Icon} name="trash" /></button>`}
    </div>
    <p class="faint">${task.group_name} · ${channelName(task.target_chat_jid)} <code>${task.target_chat_jid}</code> · ${when(task)}</p>
    ${task.next_run && html`<p>${t("next_fire")} <b>${task.next_run_local}</b></p>`}
    ${task.note && html`<p class="problem">${task.note}</p>`}
    <${History} task=${task} />
  </article>`;
}

/** The latest fires, once somebody wants to see them. */
function History({ task }) {
  const [fires, setFires] = useState(null);
  const read = (event) => event.target.open && void attempt(async () => setFires(await get(`/api/tasks/${task.id}/logs?n=${FIRES}`)));
  return html`<details onToggle=${read}><summary>${t("history")}${task.last_run ? ` · ${ago(task.last_run)}` : ""}</summary>
    ${fires?.length === 0 && html`<p class="faint">${t("never_fired")}</p>`}
    ${0 < (fires?.length ?? 0) &&
    html`<div class="table"><table>
      <thead><tr><th>${t("fired")}</th><th>${t("outcome")}</th><th>${t("took")}</th><th>${t("delivery")}</th></tr></thead>
      <tbody>${fires.map(
        (it) => html`<tr key=${it.slot}><td>${ago(it.fired_at)}</td>
          <td>${it.skipped ?? it.outcome} ${it.error && html`<span class="faint break">${it.error}</span>`}</td>
          <td>${it.duration_ms === null ? "" : `${(it.duration_ms / 1000).toFixed(1)} s`}</td>
          <td>${t("sent_of", it.delivery.sent, it.delivery.sent + it.delivery.not_sent)}</td></tr>`,
      )}</tbody></table></div>`}
  </details>`;
}

/** What the form begins with: a task as it is, or a new one. */
function begin(task, groups) {
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  if (!task) return { group: String(groups[0].id), prompt: "", schedule_type: "cron", schedule_value: "0 9 * * MON-FRI", zone, does: "think", chat_jid: "" };
  const { prompt, schedule_type, schedule_value, does } = task;
  return { group: String(task.group), prompt, schedule_type, schedule_value, does, zone: task.zone, chat_jid: task.target_chat_jid };
}

function Edit({ task, groups, onClose, save }) {
  const [draft, setDraft] = useState(begin(task, groups));
  const set = (key) => (event) => setDraft({ ...draft, [key]: event.target.value });
  const kind = (event) => {
    const value = { cron: "0 9 * * MON-FRI", interval: "1h", once: "" }[event.target.value];
    setDraft({ ...draft, schedule_type: event.target.value, schedule_value: value });
  };
  const chats = groups.find((it) => String(it.id) === draft.group)?.bindings ?? [];
  const go = (event) => {
    event.preventDefault();
    const body = { ...draft, chat_jid: draft.chat_jid || undefined };
    void save(() => (task ? patch(`/api/tasks/${task.id}`, body) : post("/api/tasks", body)));
  };
  return html`<${Dialog} title=${task ? t("edit_task") : t("new_task")} onClose=${onClose}>
    <form onSubmit=${go}>
      <label>${t("what_to_do")}<textarea required rows="3" value=${draft.prompt} onInput=${set("prompt")} autofocus></textarea></label>
      <label>${t("how")}<select value=${draft.does} onChange=${set("does")}>
        <option value="think">${t("does_think_text")}</option><option value="say">${t("does_say_text")}</option></select></label>
      ${!task && html`<label>${t("group")}<select value=${draft.group} onChange=${(event) => setDraft({ ...draft, group: event.target.value, chat_jid: "" })}>
        ${groups.map((it) => html`<option key=${it.id} value=${String(it.id)}>${it.name}</option>`)}</select></label>`}
      <label>${t("chat_to")}<select value=${draft.chat_jid} onChange=${set("chat_jid")}>
        ${!task && html`<option value="">${t("chat_usual")}</option>`}
        ${chats.map((it) => html`<option key=${it.id} value=${it.jid}>${channelName(it.jid)} ${it.jid}</option>`)}</select></label>
      <label>${t("schedule")}<select value=${draft.schedule_type} onChange=${kind}>
        ${KINDS.map((it) => html`<option key=${it} value=${it}>${t(`when_${it}`)}</option>`)}</select></label>
      <label>${t(`value_${draft.schedule_type}`)}<input required value=${draft.schedule_value} onInput=${set("schedule_value")} />
        <small class="faint">${t(`value_${draft.schedule_type}_hint`)}</small></label>
      ${draft.schedule_type !== "interval" && html`<label>${t("zone")}<input required value=${draft.zone} onInput=${set("zone")} /></label>`}
      <${Preview} draft=${draft} />
      <footer class="row"><button type="button" onClick=${onClose}>${t("cancel")}</button><button class="primary">${t("save")}</button></footer>
    </form>
  <//>`;
}

/** When it would fire, or what is wrong with it, while somebody writes. */
function Preview({ draft }) {
  const { schedule_type, schedule_value, zone } = draft;
  const [fires, setFires] = useState([]);
  const [problem, setProblem] = useState("");
  useEffect(() => {
    if (!schedule_value) {
      setFires([]);
      return () => {};
    }
    let late = false;
    const timer = setTimeout(async () => {
      try {
        const found = await post(`/api/tasks/preview?n=${FIRES}`, { schedule_type, schedule_value, zone });
        if (!late) {
          setFires(found.fires);
          setProblem("");
        }
      } catch (error) {
        if (!late) {
          setFires([]);
          setProblem(error.message);
        }
      }
    }, PREVIEW_AFTER_MS);
    return () => {
      late = true;
      clearTimeout(timer);
    };
  }, [schedule_type, schedule_value, zone]);
  return html`<div class="preview" role="status">
    ${problem && html`<p class="problem">${problem}</p>`}
    ${0 < fires.length && html`<p class="faint small">${t("next_fires")}</p><ul class="faint small">${fires.map((it) => html`<li key=${it.at}>${it.local}</li>`)}</ul>`}
  </div>`;
}

function Cancel({ task, onClose, save }) {
  return html`<${Dialog} title=${t("cancel_task_title")} onClose=${onClose}>
    <p class="break">${task.prompt}</p><p class="faint">${t("cancel_task_text")}</p>
    <footer class="row"><button onClick=${onClose}>${t("keep")}</button>
      <${Act} class="danger solid" run=${() => save(() => remove(`/api/tasks/${task.id}`))}>${t("cancel_task")}<//></footer>
  <//>`;
}
