// Keeps what words mean, a list for each chat: `!define API = how programs talk`, then `API?` asks.

import { get as config } from 'nanogridbot:plugin/config@0.1.0';
import { get, keys, set } from 'nanogridbot:plugin/kv@0.1.0';
import { write } from 'nanogridbot:plugin/log@0.1.0';

const answer = (val) => ({ tag: 'answer', val });
const pass = { tag: 'pass' };

const keyOf = (chat, word) => `${chat}/${word.trim().toLowerCase()}`;

function define(message, word, meaning) {
  const max = JSON.parse(config()).max_chars;
  if (max < meaning.length) return answer(`A meaning has up to ${max} characters.`);
  // What is thrown by a capability fails the call, with its own words.
  set(keyOf(message.chat, word), new TextEncoder().encode(meaning));
  write('info', `${message.sender} defined ${word}`);
  return answer(`Noted: ${word} is ${meaning}`);
}

function meaning(message, word) {
  const found = get(keyOf(message.chat, word));
  return found ? answer(`${word} is ${new TextDecoder().decode(found)}`) : pass;
}

function list(message) {
  const words = keys(`${message.chat}/`).map((it) => it.slice(message.chat.length + 1));
  return answer(words.length ? words.join(', ') : 'Nothing is defined here.');
}

export const messageReceived = {
  handle(message) {
    const text = message.text.trim();
    if (text === '!glossary') return list(message);
    const defined = /^!define\s+([^=]{1,60}?)\s*=\s*(.+)$/s.exec(text);
    if (defined) return define(message, defined[1], defined[2]);
    const asked = /^([^\s?][^?]{0,59})\?$/.exec(text);
    return asked ? meaning(message, asked[1]) : pass;
  },
};
