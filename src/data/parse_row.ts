/**
 * From a row as it was read to what it means.
 *
 * @module
 */

import { DataError } from "../errors.ts";
import { parseJson } from "../io/json.ts";
import type { ColumnMap } from "./column_map.ts";
import { recognise } from "./row_format.ts";
import type { Example, RawRow } from "./types.ts";

/**
 * What a row means.
 *
 * @param where The name of the row, for messages.
 * @param onUnused Is told of columns that look like data and are not used.
 * @throws {DataError} when the row is malformed or of no known format.
 */
export function parseRow(
  row: RawRow,
  columns: ColumnMap,
  where: string,
  onUnused?: (columns: string[]) => void,
): Example {
  if (row.value !== undefined) return recognise(row.value, columns, where, { onUnused });
  if (row.problem !== undefined) throw new DataError(`Cannot read ${where}: ${row.problem}`);
  if (row.text === null) {
    throw new DataError(`Cannot read ${where}: it is not valid UTF-8; convert the file to UTF-8`);
  }
  if (row.kind === "text") {
    return { kind: "text", text: row.text.trim().replaceAll("\r\n", "\n") };
  }
  const table = row.kind === "table";
  return recognise(parseText(row.text, where), columns, where, { table, onUnused });
}

function parseText(text: string, where: string): unknown {
  try {
    return parseJson(text);
  } catch (error) {
    // V8 appends a line and a column, counted from the start of the row.
    const reason = (error as Error).message.replace(/ \(line \d+ column \d+\)$/, "");
    throw new DataError(
      `Cannot read ${where}: it is not valid JSON (${reason}); correct the row or skip bad rows`,
    );
  }
}
