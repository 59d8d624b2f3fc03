/**
 * The subsets and splits of a data set's repository: as its card lists them, else as its file names
 * tell. The rules are those of the `datasets` library, as the hub's documentation describes them.
 *
 * @module
 */

import { DataError } from "../../errors.ts";
import { globTest } from "./glob.ts";
import { isJsonObject } from "../json.ts";
import { SPLIT_WORDS } from "../split_words.ts";
import { parseYaml } from "../yaml.ts";

/** Files by the name of their split. */
export type Splits = ReadonlyMap<string, readonly string[]>;

/** A part of a data set that is read by itself. */
export interface Subset {
  readonly name: string;
  /** Whether it is read if none is named. */
  readonly isDefault: boolean;
  readonly splits: Splits;
}

/** The name of the subset that has none. */
export const DEFAULT_SUBSET = "default";

/** The most characters of the list in a card: those of thousands of subsets have less than 1 MiB. */
const LARGEST_LIST = 2 << 20;

const DATA_FILE = /\.(parquet|jsonl?|ndjson|csv|tsv|txt)(\.(gz|zst))?$/i;
/** Files that are about the data. */
const NO_DATA = /(^|\/)(dataset_infos?|dataset_dict|state|metadata|config)\.json$|(^|\/)\./;

/**
 * Sorts the files of a repository.
 *
 * @param paths In the repository.
 * @param card The text of its README.md, which may begin with a list of `configs`.
 * @returns The subsets that have files.
 */
export function findSubsets(paths: readonly string[], card: string): Subset[] {
  const files = paths.filter((path) => DATA_FILE.test(path) && !NO_DATA.test(path));
  const listed = configsOf(card)
    .map((config) => ({ config, splits: listedSplits(config, files) }))
    .filter(({ splits }) => splits.size > 0)
    .map(({ config, splits }, i): Subset => {
      const { config_name: given, default: chosen } = config;
      const name = typeof given === "string" ? given : `${DEFAULT_SUBSET}${i || ""}`;
      return { name, isDefault: chosen === true || name === DEFAULT_SUBSET, splits };
    });
  if (listed.length === 1) return [{ ...listed[0], isDefault: true }];
  if (listed.length > 0) return listed;
  const converted = convertedSubsets(files);
  if (converted.length > 0) return converted;
  const splits = namedSplits(ofOneKind(files));
  return splits.size > 0 ? [{ name: DEFAULT_SUBSET, isDefault: true, splits }] : [];
}

/** The layout of the branch `refs/convert/parquet`, which the hub writes: subset, split, number. */
function convertedSubsets(files: readonly string[]): Subset[] {
  const parts = files.map((path) => /^([^/]+)\/([^/]+)\/\d{4}\.parquet$/.exec(path));
  if (!parts.every((part) => part !== null)) return [];
  const subsets = [...Map.groupBy(parts, ([, subset]) => subset)].map(([name, members]) => ({
    name,
    isDefault: name === DEFAULT_SUBSET,
    splits: new Map(
      [...Map.groupBy(members, ([, , split]) => split)]
        .map(([split, matches]) => [split, matches.map(([path]) => path)]),
    ),
  }));
  return subsets.length === 1 ? [{ ...subsets[0], isDefault: true }] : subsets;
}

/** What the front matter of a card lists. */
function configsOf(card: string): Record<string, unknown>[] {
  const front = /^---\r?\n([\s\S]*?)\r?\n---/.exec(card);
  if (!front) return [];
  if (front[1].length > LARGEST_LIST) {
    throw new DataError(
      `Cannot use a data set whose card begins with a list of ${
        front[1].length
      } characters: at most ` +
        `${LARGEST_LIST} are read; download its files and give them by their paths`,
    );
  }
  try {
    const fields = parseYaml(front[1]);
    const configs = isJsonObject(fields) ? fields.configs : [];
    return Array.isArray(configs) ? configs.filter(isJsonObject) : [];
  } catch {
    return []; // an unreadable list: the names of the files say what the splits are
  }
}

/** The files that a subset of a card names, by split. */
function listedSplits(config: Record<string, unknown>, files: readonly string[]): Splits {
  const { data_files: listed } = config;
  const folder = wordOf(config.data_dir) ?? "";
  const within = (pattern: string) =>
    [folder, pattern].filter((part) => part !== "").join("/").replace(/^\.?\//, "");
  if (listed === undefined) {
    const inside = `${within("")}/`;
    return folder === ""
      ? new Map()
      : namedSplits(ofOneKind(files.filter((path) => path.startsWith(inside))));
  }
  const entries = isJsonObject(listed)
    ? Object.entries(listed).map(([split, path]) => ({ split, path }))
    : Array.isArray(listed) && listed.every(isJsonObject)
    ? listed
    : [{ split: "train", path: listed }];
  const splits = new Map<string, string[]>();
  for (const { split: named, path } of entries) {
    const split = wordOf(named) ?? "train";
    const patterns = [path].flat().map(wordOf).filter((pattern) => pattern !== undefined);
    const fits = patterns.map((pattern) => globTest(within(pattern)));
    const matching = files.filter((file) => fits.some((fit) => fit(file)));
    if (matching.length > 0) splits.set(split, [...splits.get(split) ?? [], ...matching]);
  }
  return splits;
}

/** A value of a card where a word belongs; undefined for what is none. */
function wordOf(value: unknown): string | undefined {
  return typeof value === "string" || typeof value === "number" ? String(value) : undefined;
}

/** Of files in several formats, which may hold the same rows, those of the most frequent one. */
function ofOneKind(files: readonly string[]): string[] {
  const kinds = Map.groupBy(files, (path) => DATA_FILE.exec(path)![1].toLowerCase());
  const [most = []] = [...kinds.values()].sort((a, b) => b.length - a.length);
  return [...most];
}

/** Files by the splits that their paths name; those of a single, nameless split are `train`. */
function namedSplits(files: readonly string[]): Splits {
  const sharded = /(?:^|\/)data\/(\w+(?:\.\w+)*)-\d{5}-of-\d{5}[^/]*$/;
  const groups = Map.groupBy(files, (path) => sharded.exec(path)?.[1] ?? "");
  groups.delete("");
  if (groups.size > 0) return groups;
  const named = Map.groupBy(files, (path) => splitOf(path) ?? "");
  named.delete("");
  if (named.size > 0 || files.length === 0) return named;
  return new Map([["train", [...files]]]);
}

/** The split that a path names, by its folders before its file. */
function splitOf(path: string): string | undefined {
  const parts = path.toLowerCase().split("/");
  for (const part of parts) {
    const words = part.split(/[ ._\-0-9]+/);
    const found = SPLIT_WORDS.find(([, known]) => known.some((word) => words.includes(word)));
    if (found) return found[0];
  }
  return undefined;
}
