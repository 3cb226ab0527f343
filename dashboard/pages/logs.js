// The log of the gateway, as it grows.

import { html, useEffect, useRef, useState } from "../vendor/htm-preact.js";
import { ApiError, get, patch } from "../api.js";
import { t } from "../i18n.js";
import { attempt, may } from "../store.js";

/** How long one question for the next line waits, in seconds. */
const WAIT_S = 25;

/** After a question that failed, in milliseconds. */
const RETRY_MS = 3_000;

/** Lines that are shown, the newest. */
const SHOWN = 1_000;

/** The levels, the most urgent first. */
const LEVELS = ["error", "warn", "info", "debug", "trace"];

export function Logs() {
  const [lines, setLines] = useState([]);
  const [least, setLeast] = useState("trace");
  const [sought, seek] = useState("");
  const [held, hold] = useState(false);
  const [logged, setLogged] = useState(null);
  const end = useRef(null);
  useEffect(() => {
    void attempt(async () => setLogged((await get("/api/log")).level));
  }, []);
  useEffect(() => {
    let gone = false;
    const follow = async () => {
      let after = 0;
      while (!gone) {
        try {
          const more = await get(`/api/log/lines?after=${after}${after ? `&wait_s=${WAIT_S}` : ""}`);
          if (gone) return;
          if (more.length) {
            // A gateway that was started anew counts from one.
            if (more[0].number <= after) setLines([]);
            after = more.at(-1).number;
            setLines((now) => [...now, ...more].slice(-SHOWN));
          }
        } catch (error) {
          if (!(error instanceof ApiError)) throw error;
          await new Promise((done) => setTimeout(done, RETRY_MS));
        }
      }
    };
    void follow();
    return () => {
      gone = true;
    };
  }, []);
  useEffect(() => {
    if (!held) end.current?.scrollIntoView({ block: "end" });
  }, [lines, held]);
  // A further line of what was said before is as urgent as that.
  let level = "info";
  const wanted = lines.filter((it) => {
    level = it.level ?? level;
    return LEVELS.indexOf(level) <= LEVELS.indexOf(least) && (!sought || it.text.toLowerCase().includes(sought.toLowerCase()));
  });
  const change = (to) => attempt(async () => setLogged((await patch("/api/log", { level: to })).level));
  return html`<section class="page wide">
    <header class="row wrap">
      <h1 class="grow">${t("logs")}</h1>
      <input type="search" aria-label=${t("search")} placeholder=${t("search")} value=${sought} onInput=${(event) => seek(event.target.value)} />
      <label class="row">${t("log_least")}<select name="least" value=${least} onChange=${(event) => setLeast(event.target.value)}>
        ${LEVELS.map((it) => html`<option key=${it} value=${it}>${it}</option>`)}</select></label>
      ${may("configure") && logged && html`<label class="row">${t("log_level")}<select name="level" value=${logged} onChange=${(event) => change(event.target.value)}>
        ${["off", ...LEVELS].map((it) => html`<option key=${it} value=${it}>${it}</option>`)}</select></label>`}
      <label class="row"><input type="checkbox" checked=${held} onChange=${(event) => hold(event.target.checked)} />${t("log_hold")}</label>
    </header>
    <div class="card log-lines" role="log" aria-label=${t("logs")} tabindex="0">
      ${wanted.length === 0 && html`<p class="faint">${t("log_none")}</p>`}
      ${wanted.map((it) => html`<div key=${it.number} class=${`log-line ${it.level ?? ""}`}>${it.text}</div>`)}
      <div ref=${end}></div>
    </div>
  </section>`;
}
