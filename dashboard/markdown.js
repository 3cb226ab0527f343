// Markdown to safe HTML. What an agent writes is hostile input: it may quote a page that somebody else wrote.

import { marked } from "./vendor/marked.js";
import DOMPurify from "./vendor/purify.js";

marked.use({ gfm: true, breaks: true });

DOMPurify.addHook("afterSanitizeAttributes", (node) => {
  if (node.tagName === "A" && node.hasAttribute("href")) {
    node.setAttribute("target", "_blank");
    node.setAttribute("rel", "noopener noreferrer");
  }
});

// No pictures: an address in one would carry words of the chat to whoever the answer names. The policy of the page
// (`img-src 'self'`) refuses them as well.
const ALLOWED = {
  ALLOWED_TAGS: [
    "a", "b", "blockquote", "br", "code", "del", "details", "em", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "i",
    "input", "kbd", "li", "ol", "p", "pre", "s", "strong", "sub", "summary", "sup", "table", "tbody", "td", "th",
    "thead", "tr", "ul",
  ],
  ALLOWED_ATTR: ["href", "title", "class", "start", "type", "checked", "disabled", "align"],
  ALLOWED_URI_REGEXP: /^(?:https?:|mailto:)/i,
};

/** Safe HTML for `text`. */
export function render(text) {
  return DOMPurify.sanitize(marked.parse(text), ALLOWED);
}
