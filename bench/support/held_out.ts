/**
 * The last rows of a file as held-out data, and the others to train on.
 *
 * @module
 */

import { join } from "node:path";
import { Dataset, type DatasetOptions } from "../../src/data/dataset.ts";
import { OptionError } from "../../src/errors.ts";

/** Both sides of a split. */
export interface Split {
  train: Dataset;
  heldOut: Dataset;
}

/**
 * Writes the rows of a JSON file into two files of a folder: all but the last `count`, and these. An
 * exact number of rows, the same everywhere, where {@linkcode Dataset.split} draws them.
 *
 * @param path JSON lines, or an array.
 * @param folder For the two files, so that a worker can read them.
 * @throws {OptionError} if no row would be left on one side.
 */
export async function lastRows(
  path: string,
  count: number,
  folder: string,
  options: DatasetOptions,
): Promise<Split> {
  const text = await Deno.readTextFile(path);
  const rows = text.trimStart().startsWith("[")
    ? (JSON.parse(text) as unknown[]).map((row) => JSON.stringify(row))
    : text.trim().split("\n");
  if (count < 1 || count >= rows.length) {
    throw new OptionError(
      `Cannot hold out ${count} of the ${rows.length} rows of ${path}: give a number from 1 to ` +
        `${rows.length - 1}`,
    );
  }
  const side = async (name: string, some: readonly string[]) => {
    const file = join(folder, name);
    await Deno.writeTextFile(file, `${some.join("\n")}\n`);
    return Dataset.from(file, options);
  };
  return {
    train: await side("train.jsonl", rows.slice(0, -count)),
    heldOut: await side("held_out.jsonl", rows.slice(-count)),
  };
}
