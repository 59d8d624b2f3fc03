/**
 * Opens the data that the flags of a command name.
 *
 * @module
 */

import { Dataset } from "../data/dataset.ts";
import { toFileError } from "../io/file_error.ts";
import type { RowValues } from "./shared_flags.ts";

/**
 * Opens a data file as the flags say.
 *
 * @throws {FileError} if there is none, before a model is loaded for nothing.
 */
export async function openDataset(
  path: string,
  { columns, separator }: Pick<RowValues, "columns" | "separator">,
): Promise<Dataset> {
  try {
    await Deno.stat(path);
  } catch (error) {
    throw toFileError("read", path, error);
  }
  return Dataset.from(path, {
    ...(columns && { columns }),
    ...(separator !== undefined && { separator }),
  });
}
