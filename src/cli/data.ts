/**
 * Opens the data that the flags of a command name, and shows it.
 *
 * @module
 */

import { Dataset } from "../data/dataset.ts";
import { showRows } from "../data/preview.ts";
import { ModelFiles } from "../inference/model_files.ts";
import { OptionError } from "../errors.ts";
import { needed } from "./command.ts";
import { UsageError } from "./errors.ts";
import { locate, locateData } from "./located.ts";
import type { RowValues } from "./shared_flags.ts";
import { noticesOn, type Terminal } from "./terminal.ts";
import type { TrainValues } from "./train_flags.ts";

/**
 * Opens data, which a hub may have, as the flags say.
 *
 * @throws {FileError} if there is none, before a model is loaded for nothing.
 * @throws {HubError} if the hub does not give it.
 */
export async function openDataset(
  data: readonly string[],
  { columns, separator, dataWeights, dataFormat }: Pick<
    RowValues,
    "columns" | "separator" | "dataWeights" | "dataFormat"
  >,
  terminal: Terminal,
): Promise<Dataset> {
  if (dataWeights && dataWeights.length !== data.length) {
    throw new UsageError(
      `--data-weights has ${dataWeights.length} numbers, but --data is there ${data.length} times: ` +
        "give one number for each",
    );
  }
  const located: string[][] = [];
  for (const name of data) located.push(await locateData(name, terminal));
  return await Dataset.open(located, {
    ...(columns && { columns }),
    ...(separator !== undefined && { separator }),
    ...(dataFormat && { format: dataFormat }),
    ...(dataWeights && { weights: dataWeights }),
    onNotice: noticesOn(terminal),
  });
}

/** The rows to train on and those held out. */
export async function openTrainingData(
  values: TrainValues,
  terminal: Terminal,
): Promise<{ data: Dataset; evalData: Dataset | null }> {
  const { evalData: heldOut, evalFraction, seed } = values;
  const data = await openDataset(needed(values, "data"), values, terminal);
  if (heldOut === undefined && evalFraction === undefined) return { data, evalData: null };
  if (heldOut === undefined) {
    const { train, heldOut } = data.split(evalFraction!, seed);
    return { data: train, evalData: heldOut };
  }
  if (evalFraction !== undefined) {
    throw new OptionError(
      "Cannot use --eval-data and --eval-fraction together as each says what is held out: give one",
    );
  }
  return {
    data,
    evalData: await openDataset(heldOut, { ...values, dataWeights: undefined }, terminal),
  };
}

/**
 * Prints rows as they will be trained: targets in green on a terminal, else in brackets.
 *
 * @returns The exit code.
 */
export async function showDataset(
  values: TrainValues,
  terminal: Terminal,
): Promise<number> {
  const { showRows: count = 0, evalFraction, seed } = values;
  const given = await openDataset(needed(values, "data"), values, terminal);
  const data = evalFraction === undefined || values.evalData !== undefined
    ? given
    : given.split(evalFraction, seed).train;
  const located = await locate(values, terminal);
  using files = await ModelFiles.open(needed(located, "model"), {
    chatTemplate: values.chatTemplate,
  });
  const { tokenizer, config: { maxPositionEmbeddings, vocabSize } } = files;
  const { shuffle, shuffleBuffer, trainOnPrompt, skipBadRows } = values;
  const sequenceLength = values.sequenceLength ?? Math.min(512, maxPositionEmbeddings);
  const options = { shuffle, shuffleBuffer, seed, trainOnPrompt, skipBadRows };
  let shown = 0;
  if (count > 0) {
    for await (const row of showRows(data, tokenizer, { ...options, sequenceLength, vocabSize })) {
      terminal.stdout(`--- ${++shown}: ${row.tokens} tokens, ${row.targets} of them targets\n`);
      for (const { text, target } of row.segments) terminal.stdout(text, target);
      terminal.stdout("\n");
      if (shown >= count) break;
    }
  }
  return 0;
}
