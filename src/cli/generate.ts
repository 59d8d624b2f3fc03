/**
 * `generate`: continues a prompt, or answers a conversation.
 *
 * @module
 */

import { command, needed } from "./command.ts";
import type { Command } from "./command_type.ts";
import { group, path, text } from "./flags.ts";
import { locate } from "./located.ts";
import { chosenTemplate } from "./chosen_template.ts";
import { openDevice } from "./open_device.ts";
import type { Prompt } from "../inference/prompt.ts";
import { UsageError } from "./errors.ts";
import { readMessages, readText } from "./messages_file.ts";
import { loadRunnable } from "./runnable.ts";
import type { Terminal } from "./terminal.ts";
import {
  CHAT_FLAGS,
  GENERATION_FLAGS,
  generationOf,
  GPU_FLAGS,
  RUN_FLAGS,
} from "./shared_flags.ts";

/** The command `generate`. */
export const generate: Command = command({
  name: "generate",
  summary: "Continue a prompt or a conversation, showing the text as it comes",
  synopsis: "--model MODEL (--prompt TEXT | --messages FILE)",
  flags: {
    ...RUN_FLAGS,
    ...CHAT_FLAGS,
    ...GPU_FLAGS,
    ...group("Generation", {
      prompt: text("TEXT", "What to continue, as it is; - reads standard input"),
      messages: path("FILE", "A conversation to answer, through the chat template; - for stdin"),
    }),
    ...GENERATION_FLAGS,
  },
  async run(given, terminal) {
    needed(given, "model");
    const prompt = await readPrompt(given, terminal);
    const values = await locate(given, terminal);
    await using device = await openDevice(values, terminal);
    const chatTemplate = await chosenTemplate(values);
    using model = await loadRunnable(values, device, terminal, { chatTemplate });
    for await (const piece of model.generate(prompt, generationOf(values))) {
      terminal.generated(piece);
    }
    terminal.generated("\n");
  },
});

/** What `--prompt` or `--messages` give. */
async function readPrompt(
  { prompt, messages }: { prompt?: string; messages?: string },
  terminal: Terminal,
): Promise<Prompt> {
  if (prompt !== undefined && messages !== undefined) {
    throw new UsageError(
      "Cannot use --prompt and --messages together as each says what to continue: give one",
    );
  }
  if (messages !== undefined) return await readMessages(messages, terminal);
  if (prompt === "-") return await readText("-", terminal);
  if (prompt !== undefined) return prompt;
  throw new UsageError(
    "--prompt is missing: give it, or --messages with a conversation to answer",
  );
}
