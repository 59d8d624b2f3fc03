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
  { map, separator }: Pick<RowValues, "map" | "separator">,
): Promise<Dataset> {
  try {
    await Deno.stat(path);
  } catch (error) {
    throw toFileError("read", path, error);
  }
  return Dataset.from(path, {
    ...(map && { columns: map }),
    ...(separator !== undefined && { separator }),
  });
}
