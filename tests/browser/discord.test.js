// The adapter against a Discord that others wrote: npm's discord-digital-twin, which knows no slash commands, no resume and no
// budgets, and brings no mentions with a message.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { DigitalDiscord } from "discord-digital-twin";

import { gateway } from "./harness.js";

const GUILD_TEXT = 0;

let discord;
let it;

before(async () => {
  discord = new DigitalDiscord({ channels: [{ name: "general", type: GUILD_TEXT }], users: [{ username: "Ada" }] });
  await discord.start();
  it = await gateway({
    NGB_CHANNELS__DISCORD__MAIN__TOKEN: discord.botToken,
    NGB_CHANNELS__DISCORD__MAIN__API_URL: `${discord.restUrl}/v10`,
    NGB_CHANNELS__DISCORD__MAIN__NEW_CHATS: "own-group",
  });
  // It has no history before the first message that we stored, so what is said before is nobody's.
  while (!/discord@main: up/.test(await it.run("status")));
});

after(async () => {
  await it?.end();
  await discord?.stop();
});

test("the bot is named in a channel and answers there, once", async () => {
  const people = await discord.prisma.user.findMany();
  const bot = people.find((user) => user.bot);
  const ada = people.find((user) => user.username === "Ada");
  const [channel] = await discord.prisma.channel.findMany({ where: { name: "general" } });
  const said = { content: `<@${bot.id}> hello there` };
  await discord.channel(channel.id).user(ada.id).sendMessage(said);
  const answer = await discord.channel(channel.id).waitForBotReply({ timeout: 30_000 });
  assert.match(answer.content, /@\S+ hello there/);
  const answers = await discord.prisma.message.findMany({ where: { authorId: bot.id } });
  assert.equal(answers.length, 1);
});
