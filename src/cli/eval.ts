/**
 * `eval`: the loss of a model on held-out rows.
 *
 * @module
 */

import { evaluate, evaluationOf, type EvaluationProgress } from "../inference/evaluate.ts";
import { command, needed } from "./command.ts";
import type { Command } from "./command_type.ts";
import { openDataset } from "./data.ts";
import { locate } from "./located.ts";
import { chosenTemplate } from "./chosen_template.ts";
import { formatCount, formatDuration } from "./format.ts";
import { showLoading } from "./loading.ts";
import { openDevice } from "./open_device.ts";
import { estimateRows } from "./row_estimate.ts";
import { loadRunnable } from "./runnable.ts";
import { CHAT_FLAGS, GPU_FLAGS, ROW_FLAGS, RUN_FLAGS, SHAPE_FLAGS } from "./shared_flags.ts";
import { StatusLine } from "./status_line.ts";
import { tell } from "./terminal.ts";

/** The command `eval`. */
export const evalCommand: Command = command({
  name: "eval",
  summary: "Compute the loss of a model; the last line of stdout is JSON",
  synopsis: "--model MODEL --data DATA [options]",
  flags: { ...RUN_FLAGS, ...CHAT_FLAGS, ...GPU_FLAGS, ...ROW_FLAGS, ...SHAPE_FLAGS },
  async run(given, plain) {
    using line = new StatusLine(plain);
    const { terminal } = line;
    needed(given, "model");
    const data = await openDataset(needed(given, "data"), given, terminal);
    const values = await locate(given, terminal);
    await using device = await openDevice(values, terminal);
    const chatTemplate = await chosenTemplate(values);
    await showLoading(line, device);
    using model = await loadRunnable(values, device, terminal, { chatTemplate });
    const rows = terminal.columns === null ? null : await estimateRows(data);
    const onProgress = showProgress(line, rows);
    const { warnings, ...result } = await evaluate(model, data, {
      ...evaluationOf(values),
      onProgress,
    });
    line.show(null);
    for (const warning of warnings) tell(terminal, "warning", warning);
    terminal.stdout(JSON.stringify(result) + "\n");
  },
});

/** Shows how far an evaluation is; of how many rows, where that is known. */
function showProgress(
  line: StatusLine,
  rows: number | null,
): (progress: EvaluationProgress) => void {
  line.phase("evaluating");
  const begun = performance.now();
  return (progress) => {
    const seconds = (performance.now() - begun) / 1000;
    const done = Math.min(progress.rows, rows ?? Infinity);
    const left = rows !== null && done > 0 && done < rows
      ? `, ${formatDuration(seconds * (rows - done) / done)} left`
      : "";
    const of = rows === null ? "" : ` of ${formatCount(rows)}`;
    line.show(() =>
      `evaluating, ${formatCount(done)}${of} rows${left}, loss ${progress.loss.toFixed(4)}`
    );
  };
}
