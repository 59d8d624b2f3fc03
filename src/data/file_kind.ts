/**
 * Tells what kind of file data is in: by its first bytes, then by its name.
 *
 * @module
 */

import { DataError } from "../errors.ts";
import { type FileBytes, startsWith } from "./bytes.ts";

/** A format of data files: `json` is JSON lines or an array, told apart by the first character. */
export type DataFormat = "json" | "csv" | "tsv" | "text" | "parquet";

/** The formats of data files. */
export const DATA_FORMATS: readonly DataFormat[] = ["json", "csv", "tsv", "text", "parquet"];

/** Formats by the ending of a name; every other name is taken for JSON. */
const ENDINGS: Readonly<Record<string, DataFormat>> = {
  txt: "text",
  csv: "csv",
  tsv: "tsv",
  tab: "tsv",
  parquet: "parquet",
};

/** Files that are no rows, by their first bytes: what they are, and what to do. */
const REFUSED: readonly [magic: readonly number[] | string, what: string, remedy: string][] = [
  [[0xff, 0xfe], "is UTF-16", "convert it to UTF-8, as iconv -f UTF-16 -t UTF-8 does"],
  [[0xfe, 0xff], "is UTF-16", "convert it to UTF-8, as iconv -f UTF-16 -t UTF-8 does"],
  ["PK\x03\x04", "is a ZIP archive or an Excel file", "unpack it, or save it as CSV"],
  ["BZh", "is compressed by bzip2", "decompress it, or use gzip or Zstandard"],
  [
    [0xfd, 0x37, 0x7a, 0x58, 0x5a],
    "is compressed by xz",
    "decompress it, or use gzip or Zstandard",
  ],
  [[0x37, 0x7a, 0xbc, 0xaf], "is a 7z archive", "unpack it"],
  ["ARROW1", "is an Arrow file", "write it as Parquet, as Dataset.to_parquet does"],
  [[0xff, 0xff, 0xff, 0xff], "is an Arrow file", "write it as Parquet, as Dataset.to_parquet does"],
  ["version https://git-lfs", "is only a Git LFS pointer", "fetch the file itself by git lfs pull"],
];

/**
 * The format of a file.
 *
 * @param given Wins over what the name says.
 * @throws {DataError} for files that are no rows in a way that their first bytes tell.
 */
export function formatOf(
  { name, head, compressed }: Pick<FileBytes, "name" | "head" | "compressed">,
  given: DataFormat | undefined,
): DataFormat {
  const refuse = (what: string, remedy: string): never => {
    throw new DataError(`Cannot read ${name}: it ${what}; ${remedy}`);
  };
  const refused = REFUSED.find(([magic]) => startsWith(head, magic));
  if (refused !== undefined) refuse(refused[1], refused[2]);
  if (startsWith(head, "PAR1")) {
    if (compressed) {
      refuse("is a compressed Parquet file", "decompress it: Parquet compresses itself");
    }
    return "parquet";
  }
  // No text in UTF-8 has zeros, and every other byte of English in UTF-16 is one.
  if (head.length > 1 && (head[0] === 0) !== (head[1] === 0)) refuse(REFUSED[0][1], REFUSED[0][2]);
  if (/^\s*<(!doctype html|html)/i.test(new TextDecoder().decode(head)) && given !== "text") {
    refuse("is a web page, not data", "give the address of the file itself");
  }
  const format = given ?? ENDINGS[/\.(\w+)$/.exec(name)?.[1].toLowerCase() ?? ""] ?? "json";
  if (format === "parquet") {
    refuse("is not Parquet, whatever its name says: it does not begin with PAR1", "fetch it again");
  }
  return format;
}
