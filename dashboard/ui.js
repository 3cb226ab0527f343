// Pieces that several pages share.

import { html, useEffect, useRef } from "./vendor/htm-preact.js";
import { t } from "./i18n.js";
import { Icon } from "./icons.js";
import { toast } from "./store.js";

const CHANNELS = {
  whatsapp: "WhatsApp", telegram: "Telegram", slack: "Slack", discord: "Discord", wecom: "WeCom",
  dingtalk: "DingTalk", feishu: "Feishu", qq: "QQ", web: "Web", terminal: "Terminal",
};

/** The channel of an address, as people call it. */
export function channelName(jid) {
  return CHANNELS[jid.split(/[@:]/, 1)[0]] ?? jid;
}

/** A dialog over the page: Esc and a click beside it close it, the focus comes back to where it was. */
export function Dialog({ title, onClose, children, side }) {
  const box = useRef(null);
  useEffect(() => {
    const before = document.activeElement;
    const dialog = box.current;
    dialog.showModal();
    return () => {
      // While it is open, nothing beside it takes the focus.
      dialog.close();
      before?.focus?.();
    };
  }, []);
  return html`<dialog ref=${box} class=${side ? "drawer" : "dialog"} aria-label=${title}
    onCancel=${(event) => {
      event.preventDefault();
      onClose();
    }}
    onClick=${(event) => event.target === box.current && onClose()}>
    <div class="dialog-box">
      <header><h2>${title}</h2>
        <button class="quiet square" aria-label=${t("close")} onClick=${onClose}><${Icon} name="close" /></button>
      </header>
      ${children}
    </div>
  </dialog>`;
}

/** Puts `text` on the clipboard; pages that did not come over https or from this machine have no clipboard. */
export async function copy(text) {
  if (navigator.clipboard) {
    await navigator.clipboard.writeText(text);
  } else {
    const area = document.createElement("textarea");
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
  toast(t("copied"));
}

/** A button that can't be pressed twice while its work goes on. */
export function Act({ run, children, ...rest }) {
  const busy = useRef(false);
  return html`<button type="button" ...${rest}
    onClick=${async () => {
      if (busy.current) return;
      busy.current = true;
      try {
        await run();
      } finally {
        busy.current = false;
      }
    }}>${children}</button>`;
}
