// Plugins: which are asked, how they fare, their settings as their schema describes them, and what they hold.

import { html, useEffect, useState } from "../vendor/htm-preact.js";
import { get, patch, post } from "../api.js";
import { ago, t } from "../i18n.js";
import { attempt, toast } from "../store.js";
import { Act } from "../ui.js";

/** How often the page asks anew, in milliseconds. */
const REFRESH_MS = 5_000;

/** Lines of a plugin's log that are shown, the newest. */
const SHOWN_LINES = 100;

/** The schema behind a `$ref` of its own document. */
function resolved(of, root) {
  const path = of?.$ref?.match(/^#\/\$defs\/(.+)$/);
  return path ? { ...root.$defs?.[path[1]], ...of } : (of ?? {});
}

const choices = (of) => of.enum ?? of.oneOf?.map((it) => it.const).filter((it) => typeof it === "string");

/** How a setting is entered: what the field shows, and what is read from it. */
function kindOf(schema, root) {
  const of = resolved(schema, root);
  const items = of.type === "array" ? resolved(of.items, root) : null;
  if (of.type === "boolean") return "boolean";
  if (choices(of)?.length) return "choice";
  if (of.type === "integer" || of.type === "number") return "number";
  if (of.type === "string") return "text";
  if (items?.type === "string" && !choices(items)?.length) return "lines";
  return "json";
}

const SHOW = { lines: (it) => (it ?? []).join("\n"), json: (it) => (it === undefined ? "" : JSON.stringify(it, null, 2)) };
const READ = { number: Number, lines: (it) => it.split("\n").map((line) => line.trim()).filter(Boolean), json: (it) => (it.trim() ? JSON.parse(it) : undefined) };

function Field({ name, of, root, value, set }) {
  const kind = kindOf(of, root);
  const about = resolved(of, root).description;
  const label = html`<span><code>${name}</code>${about && html` <span class="faint small">${about}</span>`}</span>`;
  const change = (event) => set(name, kind === "boolean" ? event.target.checked : event.target.value);
  const shown = value ?? "";
  if (kind === "boolean") return html`<label class="row"><input type="checkbox" name=${name} checked=${value === true} onChange=${change} />${label}</label>`;
  if (kind === "choice") {
    return html`<label>${label}<select name=${name} value=${shown} onChange=${change}>
      ${choices(resolved(of, root)).map((it) => html`<option key=${it} value=${it}>${it}</option>`)}</select></label>`;
  }
  if (kind === "lines" || kind === "json") return html`<label>${label}<textarea name=${name} rows="4" value=${shown} onInput=${change}></textarea></label>`;
  return html`<label>${label}<input name=${name} type=${kind === "number" ? "number" : "text"} step="any" value=${shown} onInput=${change} /></label>`;
}

/** A plugin's own settings: what is entered counts from the next message on. */
function Settings({ plugin, refresh }) {
  const fields = plugin.schema?.properties ?? {};
  const now = Object.fromEntries(
    Object.entries(fields).map(([name, of]) => {
      const value = plugin.settings.config[name] ?? plugin.defaults[name] ?? of.default;
      return [name, (SHOW[kindOf(of, plugin.schema)] ?? ((it) => it))(value)];
    }),
  );
  const [entered, enter] = useState(now);
  const save = async (event) => {
    event.preventDefault();
    const saved = await attempt(async () => {
      const config = { ...plugin.settings.config };
      for (const [name, of] of Object.entries(fields)) {
        if (entered[name] === now[name]) continue;
        config[name] = (READ[kindOf(of, plugin.schema)] ?? ((it) => it))(entered[name]);
      }
      return patch(`/api/plugins/known/${encodeURIComponent(plugin.name)}`, { config });
    });
    if (saved) toast(t("plugin_saved"));
    await attempt(refresh);
  };
  if (Object.keys(fields).length === 0) return html`<p class="faint">${t("plugin_no_settings")}</p>`;
  return html`<form onSubmit=${save}>
    ${Object.entries(fields).map(
      ([name, of]) => html`<${Field} key=${name} name=${name} of=${of} root=${plugin.schema} value=${entered[name]}
        set=${(key, value) => enter({ ...entered, [key]: value })} />`,
    )}
    <div class="row"><button type="submit" class="primary">${t("save")}</button></div>
  </form>`;
}

function Plugin({ plugin, fares, lines, refresh }) {
  const change = (what, done) => async () => {
    if (await attempt(what)) toast(done);
    await attempt(refresh);
  };
  const path = `/api/plugins/known/${encodeURIComponent(plugin.name)}`;
  const { enabled, required } = plugin.settings;
  return html`<article class="card" data-plugin=${plugin.name}>
    <div class="row wrap">
      <h2>${plugin.name}</h2><span class="faint">${plugin.version}</span>
      <span class=${enabled ? "badge" : "faint"}>${enabled ? t("plugin_on") : t("plugin_off")}</span>
      ${required && enabled && html`<span class="faint">${t("plugin_required")}</span>`}
      <span class="grow"></span>
      ${plugin.changed && html`<${Act} run=${change(() => post(`${path}/revert`, { version: 0 }), t("plugin_saved"))}>${t("plugin_back")}<//>`}
      ${plugin.installed && html`<${Act} run=${change(() => post(`${path}/reload`), t("plugin_reloaded"))}>${t("plugin_reload")}<//>`}
      <${Act} run=${change(() => patch(path, { enabled: !enabled }), t("plugin_saved"))}>${enabled ? t("plugin_switch_off") : t("plugin_switch_on")}<//>
    </div>
    <p class="faint">${plugin.about}</p>
    ${plugin.grants.length > 0 && html`<ul class="small" data-grants>${plugin.grants.map(
      (it) => html`<li class=${it.granted ? "break" : "break faint"} key=${`${it.capability} ${it.granted}`}>
        ${it.granted ? t("plugin_may") : t("plugin_may_not")} <code>${it.capability}</code> ${it.about}${it.names.length > 0 && `: ${it.names.join(", ")}`}</li>`,
    )}</ul>`}
    ${fares?.error && html`<p class="problem">${fares.error}</p>`}
    ${fares?.switched_off && html`<p class="problem">${t("plugin_failed_often")}</p>`}
    ${fares && html`<p class="small faint">${t("plugin_calls", fares.calls, fares.failures)}${fares.hooks.length > 0 && ` · ${fares.hooks.join(", ")}`}
      ${Object.entries(fares.metrics).map(([name, value]) => html` · ${name}: ${value}`)}</p>`}
    ${lines.length > 0 && html`<details data-lines><summary>${t("plugin_lines")}</summary>
      <pre class="plugin-log">${lines.map((it) => `${it.at.slice(11, 19)} ${it.level.padEnd(5)} ${it.text}`).join("\n")}</pre></details>`}
    <details><summary>${t("settings")}</summary><${Settings} key=${JSON.stringify(plugin.settings)} plugin=${plugin} refresh=${refresh} /></details>
  </article>`;
}

export function Plugins() {
  const [known, setKnown] = useState(null);
  const [fares, setFares] = useState([]);
  const [held, setHeld] = useState([]);
  const [lines, setLines] = useState([]);
  const refresh = async () => {
    const [all, active, waiting, written] = await Promise.all([
      get("/api/plugins/known"), get("/api/plugins"), get("/api/plugins/held"), get("/api/plugins/logs"),
    ]);
    setKnown(all);
    setFares(active);
    setHeld(waiting);
    setLines(written);
    return all;
  };
  useEffect(() => {
    void attempt(refresh);
    const timer = setInterval(() => refresh().catch(() => {}), REFRESH_MS);
    return () => clearInterval(timer);
  }, []);
  const decide = (id, what, done) => async () => {
    if (await attempt(() => post(`/api/plugins/held/${id}/${what}`))) toast(done);
    await attempt(refresh);
  };
  // What is installed and can't be used has no settings yet.
  const unusable = fares.filter((it) => it.error && !known?.some((plugin) => plugin.name === it.name));
  return html`<section class="page">
    <header><h1>${t("plugins")}</h1><p class="faint">${t("plugins_intro")}</p></header>
    ${held.length > 0 && html`<article class="card" data-held>
      <h2>${t("plugin_held")}</h2>
      <ul class="dead">${held.map(
        (it) => html`<li key=${it.id}>
          <div class="row wrap"><b>${it.plugin}</b><code class="break">${it.chat_jid}</code><span class="faint">${ago(it.created_at)}</span><span class="grow"></span>
            <${Act} run=${decide(it.id, "release", t("plugin_released"))}>${t("plugin_release")}<//>
            <${Act} class="danger" run=${decide(it.id, "drop", t("dropped"))}>${t("drop")}<//></div>
          <p class="break">${it.text}</p><p class="faint small">${it.why}</p>
        </li>`,
      )}</ul>
    </article>`}
    ${unusable.map((it) => html`<article class="card" key=${it.name}><h2>${it.name}</h2><p class="problem">${it.error}</p></article>`)}
    ${known?.map((it) => html`<${Plugin} key=${it.name} plugin=${it} fares=${fares.find((one) => one.name === it.name)}
      lines=${lines.filter((one) => one.plugin === it.name).slice(-SHOWN_LINES)} refresh=${refresh} />`)}
  </section>`;
}
