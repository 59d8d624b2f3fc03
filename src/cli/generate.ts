/**
 * `generate`: continues a prompt.
 *
 * @module
 */

import { Model } from "../inference/model.ts";
import { command, needed } from "./command.ts";
import type { Command } from "./command_type.ts";
import { group, number, text, whole } from "./flags.ts";
import { frozenMethod } from "./method.ts";
import { locate } from "./located.ts";
import { openDevice } from "./open_device.ts";
import { noticesOn } from "./terminal.ts";
import { GPU_FLAGS, RUN_FLAGS } from "./shared_flags.ts";

/** The command `generate`. */
export const generate: Command = command({
  name: "generate",
  summary: "Continue a prompt, showing the text as it comes",
  synopsis: "--model MODEL --prompt TEXT [options]",
  flags: {
    ...RUN_FLAGS,
    ...GPU_FLAGS,
    ...group("Generation", {
      prompt: text("TEXT", "What to continue"),
      maxNewTokens: whole("The most tokens to generate", "128"),
      temperature: number("0 for the likeliest tokens, 1 to draw them as the model says", "0.8"),
      topP: number("Draw from the likeliest tokens that hold this share", "0.95"),
      seed: whole("The same seed draws the same tokens", "another one each time"),
    }),
  },
  async run(given, terminal) {
    needed(given, "model");
    const prompt = needed(given, "prompt");
    const values = await locate(given, terminal);
    const folder = needed(values, "model");
    await using device = await openDevice(values, terminal);
    using model = await Model.load(folder, { device, onNotice: noticesOn(terminal) });
    const method = await frozenMethod(values, model.config, device, terminal);
    await model.use(method);
    for await (const piece of model.generate(prompt, values)) terminal.stdout(piece);
    terminal.stdout("\n");
  },
});
