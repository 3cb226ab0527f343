// Line icons, 20 by 20, drawn in the colour of the text.

import { html } from "./vendor/htm-preact.js";

const PATHS = {
  home: "M3.5 9.5L10 4l6.5 5.5V16h-4.5v-4h-4v4H3.5z",
  chat: "M4 5.5A1.5 1.5 0 0 1 5.5 4h9A1.5 1.5 0 0 1 16 5.5v6a1.5 1.5 0 0 1-1.5 1.5H9l-3.5 3v-3A1.5 1.5 0 0 1 4 11.5z",
  groups: "M4 4h5v5H4zM11 4h5v5h-5zM4 11h5v5H4zM11 11h5v5h-5z",
  channels: "M3 7.5h10.5M10.5 4.5l3 3-3 3M17 12.5H6.5M9.5 9.5l-3 3 3 3",
  approvals: "M10 3l6 2.2v4.3c0 3.6-2.5 6.3-6 7.5-3.5-1.2-6-3.9-6-7.5V5.2zM7.4 10l1.9 1.9 3.4-3.7",
  logs: "M4 3.5h12v13H4zM7 7.5h6M7 10h6M7 12.5h4",
  messages: "M3.5 5.5h13M3.5 10h13M3.5 14.5h8",
  people: "M8 9.5a3 3 0 1 0 0-6 3 3 0 0 0 0 6zM2.5 16.5c.4-3 2.4-4.7 5.5-4.7s5.1 1.7 5.5 4.7M13 4.2a2.6 2.6 0 0 1 0 4.9M15 12.4c1.500.7 2.300 2.100 2.500 4.100",
  tasks: "M10 17a7 7 0 1 0 0-14 7 7 0 0 0 0 14zM10 6v4.2l2.8 1.800",
  usage: "M4 16V9.500M8 16V4.500M12 16v-4.500M16 16V7",
  plugins: "M8 3v4M12 3v4M5.5 7h9v3.500a4.500 4.500 0 0 1-9 0zM10 15v2.500",
  state: "M3 10.5h3l2-5.5 4 10 2-4.5h3",
  menu: "M3.5 6h13M3.5 10h13M3.5 14h13",
  close: "M5 5l10 10M15 5L5 15",
  send: "M10 16V4.5M5 9.5l5-5 5 5",
  stop: "M6 6h8v8H6z",
  copy: "M7 7h8.5v8.5H7zM4.5 12.5v-8h8",
  why: "M10 17a7 7 0 1 0 0-14 7 7 0 0 0 0 14zM8 8.2c0-1.2.9-2 2-2s2 .8 2 1.8c0 1.4-2 1.5-2 3M10 13.6v.1",
  plus: "M10 4.5v11M4.5 10h11",
  trash: "M4.5 6h11M8 6V4.5h4V6M6 6l.6 9.5h6.8L14 6",
  sun: "M10 13a3 3 0 1 0 0-6 3 3 0 0 0 0 6zM10 2.5v2M10 15.5v2M2.5 10h2M15.5 10h2M4.7 4.7l1.4 1.4M13.9 13.9l1.4 1.4M4.7 15.3l1.4-1.4M13.9 6.1l1.4-1.4",
  moon: "M16 11.5A6.5 6.5 0 0 1 8.5 4a6.5 6.5 0 1 0 7.5 7.5z",
  auto: "M10 17a7 7 0 1 0 0-14 7 7 0 0 0 0 14zM10 3v14",
  language: "M10 17a7 7 0 1 0 0-14 7 7 0 0 0 0 14zM3 10h14M10 3c4 4.5 4 9.5 0 14M10 3c-4 4.5-4 9.5 0 14",
  out: "M8 4H4.5v12H8M12 6.5l3.5 3.5-3.5 3.5M15.5 10H8",
  link: "M8.5 11.5l3-3M7 9.5l-1.6 1.6a2.5 2.5 0 0 0 3.5 3.5L10.5 13M13 10.5l1.6-1.6a2.5 2.5 0 0 0-3.5-3.5L9.5 7",
  tool: "M12.5 4a3.5 3.5 0 0 0-3.3 4.7L4 13.9 6.1 16l5.2-5.2A3.5 3.5 0 0 0 15.7 6.5l-2.1 2-1.9-1.9 2-2.1A3.5 3.5 0 0 0 12.5 4z",
  check: "M4.5 10.5l3.5 3.5 7.5-8",
  down: "M10 4v11.5M5 10.5l5 5 5-5",
  edit: "M4 16l.7-3.3L13 4.4 15.6 7l-8.3 8.3z",
};

/** One icon; it says nothing to a screen reader, its button does. */
export function Icon({ name }) {
  return html`<svg class="icon" viewBox="0 0 20 20" width="20" height="20" aria-hidden="true">
    <path d=${PATHS[name]} />
  </svg>`;
}
