/**
 * `merge`: writes a model with its adapter merged in, or in another format.
 *
 * @module
 */

import type { Dataset } from "../data/dataset.ts";
import { evaluate, type EvaluateOptions, evaluationOf } from "../inference/evaluate.ts";
import { MERGE_FORMATS, mergeModel } from "../inference/merge.ts";
import { Model } from "../inference/model.ts";
import { readPeftAdapter } from "../io/peft.ts";
import { chosenTemplate } from "./chosen_template.ts";
import { command, needed } from "./command.ts";
import type { Command } from "./command_type.ts";
import { openDataset } from "./data.ts";
import { InterruptedError, UsageError } from "./errors.ts";
import { choice, group, path, renamed, toggle } from "./flags.ts";
import { formatCount } from "./format.ts";
import { locate } from "./located.ts";
import { frozenMethod } from "./method.ts";
import { openDevice } from "./open_device.ts";
import { interrupting, noticesOn, type Terminal } from "./terminal.ts";
import { GPU_FLAGS, type GpuValues, ROW_FLAGS, RUN_FLAGS, SHAPE_FLAGS } from "./shared_flags.ts";

/** The command `merge`. */
export const merge: Command = command({
  name: "merge",
  summary: "Merge an adapter into its model, or write a model in another format",
  synopsis: "MODEL --output-dir DIR [options]",
  argument: "MODEL",
  argumentFor: "model",
  flags: {
    ...group("Model", { model: RUN_FLAGS.model, adapter: RUN_FLAGS.adapter }),
    ...group("Output", {
      outputDir: renamed(path("DIR", "Folder for the model"), "output"),
      saveAs: choice(MERGE_FORMATS, "What to write", MERGE_FORMATS[0]),
      overwrite: toggle("Replace a model that the folder holds"),
    }),
    ...ROW_FLAGS,
    data: { ...ROW_FLAGS.data, help: "Held-out rows: their loss before and after is computed" },
    ...SHAPE_FLAGS,
    ...GPU_FLAGS,
  },
  async run(given, terminal) {
    needed(given, "model");
    const output = needed(given, "outputDir");
    const data = given.data === undefined ? null : await openDataset(given.data, given, terminal);
    const values = await locate(given, terminal);
    const { model: folder, adapter, saveAs, overwrite } = values;
    if (adapter === undefined && saveAs === undefined) {
      throw new UsageError(
        `Cannot merge "${given.model}" as it is no adapter: give one as --adapter, or say by ` +
          `--save-as (${MERGE_FORMATS.join(", ")}) what the model is to be written in`,
      );
    }
    using interrupt = interrupting(
      terminal,
      new InterruptedError("The merging was interrupted: nothing was written"),
    );
    await mergeModel(folder!, output, {
      ...(adapter !== undefined && { adapter: await readPeftAdapter(adapter) }),
      ...(saveAs && { saveAs }),
      chatTemplate: await chosenTemplate({ adapter }),
      overwrite: overwrite ?? false,
      signal: interrupt.signal,
      onProgress: progressOn(terminal),
    });
    if (data) await compare(values, output, data, terminal);
    terminal.stdout(`model: ${output}\n`);
  },
});

/** Shows how many tensors are written: a line that is written over on a terminal. */
function progressOn(terminal: Terminal): (done: number, total: number) => void {
  return (done, total) => {
    if (terminal.columns === null) return;
    const text = `merging, ${formatCount(done)} of ${formatCount(total)} tensors written`;
    terminal.draw("\r", done + 1 < total ? text : "");
  };
}

/** Computes and says the loss before and after. */
async function compare(
  values: GpuValues & EvaluateOptions & { model?: string; adapter?: string },
  output: string,
  data: Dataset,
  terminal: Terminal,
): Promise<void> {
  await using device = await openDevice(values, terminal);
  const lossOf = async (folder: string, adapter?: string) => {
    using model = await Model.load(folder, { device, onNotice: noticesOn(terminal) });
    await model.use(await frozenMethod({ adapter }, model.config, device, terminal));
    return (await evaluate(model, data, evaluationOf(values))).loss;
  };
  const before = await lossOf(values.model!, values.adapter);
  const after = await lossOf(output);
  terminal.stdout(`held-out loss: ${before.toFixed(4)} before, ${after.toFixed(4)} after\n`);
}
