/**
 * `eval`: the loss of a model on held-out rows.
 *
 * @module
 */

import { evaluate } from "../inference/evaluate.ts";
import { command, needed } from "./command.ts";
import type { Command } from "./command_type.ts";
import { openDataset } from "./data.ts";
import { locate } from "./located.ts";
import { chosenTemplate } from "./chosen_template.ts";
import { openDevice } from "./open_device.ts";
import { loadRunnable } from "./runnable.ts";
import { CHAT_FLAGS, GPU_FLAGS, ROW_FLAGS, RUN_FLAGS, SHAPE_FLAGS } from "./shared_flags.ts";
import { tell } from "./terminal.ts";

/** The command `eval`. */
export const evalCommand: Command = command({
  name: "eval",
  summary: "Compute the loss of a model; the last line of stdout is JSON",
  synopsis: "--model MODEL --data DATA [options]",
  flags: { ...RUN_FLAGS, ...CHAT_FLAGS, ...GPU_FLAGS, ...ROW_FLAGS, ...SHAPE_FLAGS },
  async run(given, terminal) {
    needed(given, "model");
    const data = await openDataset(needed(given, "data"), given, terminal);
    const values = await locate(given, terminal);
    await using device = await openDevice(values, terminal);
    const chatTemplate = await chosenTemplate(values);
    using model = await loadRunnable(values, device, terminal, { chatTemplate });
    const { warnings, ...result } = await evaluate(model, data, values);
    for (const warning of warnings) tell(terminal, "warning", warning);
    terminal.stdout(JSON.stringify(result) + "\n");
  },
});
