// Shows `/api/openapi.json` to people: a list of routes, each with what it takes and what it answers.

import { get } from "./api.js";

/** How deep a type is unfolded before it is only named. */
const MAX_DEPTH = 6;

/** An element with attributes and children; texts are never read as HTML. */
function el(name, attributes, ...children) {
  const it = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) it.setAttribute(key, value);
  it.append(...children);
  return it;
}

/** A schema in the way people write types, with what its fields mean. */
function shown(schema, schemas, depth = 0) {
  if (!schema || schema === true) return "anything";
  const pad = "  ".repeat(depth + 1);
  if (schema.$ref) {
    const name = schema.$ref.split("/").pop();
    return depth < MAX_DEPTH && schemas[name] ? shown(schemas[name], schemas, depth) : name;
  }
  const among = schema.oneOf ?? schema.anyOf;
  if (among && !schema.properties) return among.map((it) => shown(it, schemas, depth)).join(" | ");
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.enum) return schema.enum.map((it) => JSON.stringify(it)).join(" | ");
  const types = [schema.type ?? "anything"].flat();
  if (types.includes("array")) return `[${shown(schema.items, schemas, depth)}]`;
  if (!schema.properties) {
    const format = schema.format ? ` (${schema.format})` : "";
    return types.join(" | ") + format;
  }
  const required = new Set(schema.required ?? []);
  const fields = Object.entries(schema.properties).map(([name, field]) => {
    const says = field.description ? `  // ${field.description.replace(/\s+/g, " ")}` : "";
    return `${pad}${name}${required.has(name) ? "" : "?"}: ${shown(field, schemas, depth + 1)},${says}`;
  });
  return `{\n${fields.join("\n")}\n${"  ".repeat(depth)}}`;
}

function route(method, path, operation, schemas) {
  const it = el("details", {}, el("summary", {},
    el("code", {}, `${method.toUpperCase()} ${path}`),
    el("span", { class: "says" }, operation.summary),
    el("span", { class: "right" }, operation["x-right"] ?? "open")));
  it.dataset.words = `${method} ${path} ${operation.summary}`.toLowerCase();
  const part = (title, text) => it.append(el("h3", {}, title), el("pre", { tabindex: "0" }, text));
  const parameters = operation.parameters.map((one) => {
    const says = one.schema.description ? `  // ${one.schema.description}` : "";
    return `${one.name}${one.required ? "" : "?"} (${one.in}): ${shown(one.schema, schemas)}${says}`;
  });
  it.addEventListener("toggle", () => {
    if (parameters.length) part("Parameters", parameters.join("\n"));
    const body = operation.requestBody?.content["application/json"].schema;
    if (body) part("Body", shown(body, schemas));
    for (const [status, answer] of Object.entries(operation.responses)) {
      for (const [type, { schema }] of Object.entries(answer.content ?? {})) {
        part(`${status} · ${type} · ${answer.description}`, shown(schema, schemas));
      }
    }
  }, { once: true });
  return it;
}

async function start() {
  const main = document.getElementById("reader");
  let api;
  try {
    api = await get("/api/openapi.json");
  } catch (error) {
    const hint = error.status === 401 ? "Log in on the page first, then come back." : (error.hint ?? "");
    document.getElementById("state").textContent = `${error.message}. ${hint}`;
    return;
  }
  const search = el("input", { type: "search", placeholder: "Find a route", "aria-label": "Find a route" });
  const routes = Object.entries(api.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => route(method, path, operation, api.components.schemas)));
  search.addEventListener("input", () => {
    const words = search.value.toLowerCase().split(/\s+/);
    for (const it of routes) it.hidden = !words.every((word) => it.dataset.words.includes(word));
  });
  main.replaceChildren(
    el("h1", {}, `${api.info.title} ${api.info.version}`),
    el("p", {}, "Also for machines: ", el("a", { href: "/api/openapi.json" }, "/api/openapi.json")),
    search, el("h2", {}, `${routes.length} routes`), ...routes);
}

start();
