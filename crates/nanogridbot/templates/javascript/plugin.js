// Answers `!hello`.

import { get } from 'nanogridbot:plugin/config@0.1.0';
import { write } from 'nanogridbot:plugin/log@0.1.0';

export const messageReceived = {
  handle(message) {
    if (message.text.trim() !== '!hello') return { tag: 'pass' };
    write('info', `${message.sender} says hello`);
    const name = JSON.parse(get()).polite ? `dear ${message.senderName}` : message.senderName;
    return { tag: 'answer', val: `Hello, ${name}!` };
  },
};
