/**
 * Opens the data that the flags of a command name.
 *
 * @module
 */

import { Dataset } from "../data/dataset.ts";
import { DataError } from "../errors.ts";
import { toFileError } from "../io/file_error.ts";
import { locateData } from "./located.ts";
import type { RowValues } from "./shared_flags.ts";
import type { Terminal } from "./terminal.ts";

/**
 * Opens a data file, or a data set of a hub, as the flags say.
 *
 * @throws {FileError} if there is none, before a model is loaded for nothing.
 * @throws {HubError} if the hub does not give it.
 */
export async function openDataset(
  data: string,
  { columns, separator }: Pick<RowValues, "columns" | "separator">,
  terminal: Terminal,
): Promise<Dataset> {
  const [path, ...others] = await locateData(data, terminal);
  if (others.length > 0) {
    throw new DataError(
      `Cannot read "${data}" as it has ${
        others.length + 1
      } files: give the path of one, such as ${path}`,
    );
  }
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
