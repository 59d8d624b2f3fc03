/**
 * `eval`: the loss of a model on held-out rows.
 *
 * @module
 */

import { Model } from "../inference/model.ts";
import { evaluate } from "../inference/evaluate.ts";
import { command, needed } from "./command.ts";
import type { Command } from "./command_type.ts";
import { openDataset } from "./data.ts";
import { frozenMethod } from "./method.ts";
import { locate } from "./located.ts";
import { openDevice } from "./open_device.ts";
import { noticesOn } from "./terminal.ts";
import { GPU_FLAGS, ROW_FLAGS, RUN_FLAGS, SHAPE_FLAGS } from "./shared_flags.ts";

/** The command `eval`. */
export const evalCommand: Command = command({
  name: "eval",
  summary: "Compute the loss of a model; the last line of stdout is JSON",
  synopsis: "--model MODEL --data DATA [options]",
  flags: { ...RUN_FLAGS, ...GPU_FLAGS, ...ROW_FLAGS, ...SHAPE_FLAGS },
  async run(given, terminal) {
    needed(given, "model");
    const data = await openDataset(needed(given, "data"), given, terminal);
    const values = await locate(given, terminal);
    const folder = needed(values, "model");
    await using device = await openDevice(values, terminal);
    using model = await Model.load(folder, { device, onNotice: noticesOn(terminal) });
    const method = await frozenMethod(values, model.config, device, terminal);
    await model.use(method);
    const { warnings, ...result } = await evaluate(model, data, values);
    for (const warning of warnings) terminal.stderr(`warning: ${warning}\n`);
    terminal.stdout(JSON.stringify(result) + "\n");
  },
});
