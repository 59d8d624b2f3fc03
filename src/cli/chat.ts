/**
 * `chat`: talks with a model.
 *
 * @module
 */

import { FalqonError } from "../errors.ts";
import type { Device } from "../gpu/device.ts";
import { Chat } from "../inference/chat.ts";
import type { GenerateOptions } from "../inference/generate.ts";
import { expectConversations } from "../inference/prompt.ts";
import { command, needed } from "./command.ts";
import type { Command } from "./command_type.ts";
import { group, text } from "./flags.ts";
import { locate } from "./located.ts";
import { chosenTemplate } from "./chosen_template.ts";
import { openDevice } from "./open_device.ts";
import { loadRunnable } from "./runnable.ts";
import type { Terminal } from "./terminal.ts";
import {
  CHAT_FLAGS,
  GENERATION_FLAGS,
  generationOf,
  GPU_FLAGS,
  RUN_FLAGS,
} from "./shared_flags.ts";

/** The most tokens of an answer. */
const MOST_TOKENS = 512;

const HELP = `  /reset          forget what was said
  /system TEXT    tell the model something before all else, and begin anew
  /exit           leave; so does Ctrl-D
  Ctrl-C          stop an answer
A line that ends with \\ goes on in the next; """ begins and ends several lines.
`;

/** The command `chat`. */
export const chat: Command = command({
  name: "chat",
  summary: "Talk with a model, through its chat template",
  synopsis: "MODEL [options]",
  argument: "MODEL",
  argumentFor: "model",
  flags: {
    ...RUN_FLAGS,
    ...CHAT_FLAGS,
    ...GPU_FLAGS,
    ...group("Generation", { system: text("TEXT", "What the model is told before all else") }),
    ...GENERATION_FLAGS,
    maxNewTokens: { ...GENERATION_FLAGS.maxNewTokens, default: `${MOST_TOKENS}` },
  },
  async run(given, terminal) {
    needed(given, "model");
    const values = await locate(given, terminal);
    await using device = await openDevice(values, terminal);
    const chatTemplate = await chosenTemplate(values);
    using model = await loadRunnable(values, device, terminal, { chatTemplate });
    expectConversations(model.tokenizer, "chat");
    const chat = new Chat(model, { system: values.system });
    const options = { ...generationOf(values), maxNewTokens: values.maxNewTokens ?? MOST_TOKENS };
    terminal.stderr("Say something; /help shows what else there is.\n");
    for (;;) {
      const said = await readTurn(terminal);
      if (said === null || /^\/(exit|quit|bye)$/.test(said)) break;
      if (said !== "" && !obey(said, chat, terminal)) {
        await answer(chat, said, options, device, terminal);
      }
    }
    return 0;
  },
});

/**
 * What is said next: a line, or several. Null at the end of the input, or for Ctrl-C while nothing is
 * being answered.
 */
async function readTurn(terminal: Terminal): Promise<string | null> {
  const lines: string[] = [];
  let quoted = false;
  for (;;) {
    let line = await terminal.input?.readLine(lines.length === 0 && !quoted ? "> " : ". ") ?? null;
    if (line === null) return lines.length === 0 ? null : lines.join("\n");
    if (!quoted && lines.length === 0 && line.startsWith('"""')) {
      quoted = true;
      line = line.slice(3);
      if (line === "") continue;
    }
    if (quoted) {
      const end = line.endsWith('"""');
      lines.push(end ? line.slice(0, -3) : line);
      if (end) return lines.join("\n").trim();
    } else if (line.endsWith("\\")) {
      lines.push(line.slice(0, -1));
    } else {
      return [...lines, line].join("\n").trim();
    }
  }
}

/** Does what a command of the conversation says; false for what is none. */
function obey(said: string, chat: Chat, terminal: Terminal): boolean {
  const [, name, rest] = /^\/(\w+)(?:\s+([\s\S]*))?$/.exec(said) ?? [];
  if (name === undefined) return false;
  if (name === "reset") chat.reset();
  else if (name === "system") chat.reset(rest ?? "");
  else if (name === "help") return terminal.stderr(HELP), true;
  else return terminal.stderr(`There is no /${name}:\n${HELP}`), true;
  terminal.stderr("a new conversation\n");
  return true;
}

/** Answers, until Ctrl-C. */
async function answer(
  chat: Chat,
  said: string,
  options: GenerateOptions,
  device: Device,
  terminal: Terminal,
): Promise<void> {
  const stop = new AbortController();
  using _ = terminal.onInterrupt(() => stop.abort());
  try {
    for await (const piece of chat.send(said, { ...options, signal: stop.signal })) {
      terminal.generated(piece);
    }
    terminal.stdout("\n");
    if (chat.wasCut) {
      terminal.stderr(
        "note: the answer was cut: --max-new-tokens or the model's context ended it\n",
      );
    }
  } catch (error) {
    if (stop.signal.aborted) return terminal.stdout("\n");
    if (!(error instanceof FalqonError)) throw error;
    device.check(); // a GPU that has failed, or is gone, fails in every turn
    // Such as a conversation that has become too long: the next one need not be.
    terminal.stderr(`error: ${error.message}; /reset begins a new conversation\n`);
  }
}
