/**
 * Fetches the rows of a data set by its name on a hub: the files of one split, as they lie there.
 *
 * @module
 */

import { checkOptions, checkText } from "../../checks.ts";
import { join } from "node:path";
import { DataError, HubError } from "../../errors.ts";
import type { FetchOptions } from "./model.ts";
import { type DataName, parseDataName, showRepo } from "./names.ts";
import { HUB_NAMES, hubSettings } from "./settings.ts";
import { fetchSnapshot, type RepoContents } from "./snapshot.ts";
import { DEFAULT_SUBSET, findSubsets, type Subset } from "./splits.ts";

const CARD = "README.md";

/**
 * Brings a split of a data set from a hub into the cache that is shared with the hub's Python client.
 *
 * @param name `org/name[@revision][:part]`. The part is a split, a subset, or `subset/split`; without
 * one, the split `train` of the default subset, or the only ones there are.
 * @returns The paths of its files, in the order of their rows.
 * @throws {OptionError} for options that are unknown or of another kind.
 * @throws {HubError} for what is no name on a hub, if the hub cannot be reached and the cache does not
 * hold the files, or if it does not give them.
 * @throws {DataError} if there is no such split, or several and none is named.
 * @throws {FileError} if the cache cannot be written.
 */
export async function fetchData(
  name: string,
  options: Omit<FetchOptions, "weights"> = {},
): Promise<string[]> {
  checkText("name", name);
  checkOptions("fetchData", options, { onProgress: true, ...HUB_NAMES });
  const parsed = parseDataName(name);
  if (parsed === null) {
    throw new HubError(
      `Cannot fetch "${name}" as it is no name on a hub: give one such as ORG/NAME, ORG/NAME:SPLIT ` +
        "or ORG/NAME@REVISION:SUBSET/SPLIT",
    );
  }
  const hub = await hubSettings(options);
  const choose = (contents: RepoContents) => chooseFiles(parsed, contents, hub.onNotice);
  const { folder, paths } = await fetchSnapshot(hub, parsed.repo, choose, options.onProgress);
  return paths.map((path) => join(folder, path));
}

async function chooseFiles(
  { repo, part }: DataName,
  { paths, readText }: RepoContents,
  onNotice: (notice: string) => void,
): Promise<readonly string[]> {
  const card = paths.includes(CARD) ? await readText(CARD) : "";
  const subsets = findSubsets(paths, card);
  const name = showRepo(repo);
  if (subsets.length === 0) {
    throw new DataError(
      `Cannot use the data set "${name}" as it has no files of rows (Parquet, JSONL, JSON, CSV, TSV ` +
        `or text): the hub may have converted it, see ${repo.name}@refs/convert/parquet`,
    );
  }
  const { subset, split } = choosePart(name, part, subsets);
  const files = subset.splits.get(split)!;
  expectAll(name, files);
  if (part === undefined) {
    onNotice(`of ${name}, ${showPart(subset, split)} is read: ${count(files.length, "file")}`);
  }
  return files;
}

function choosePart(name: string, part: string | undefined, subsets: readonly Subset[]) {
  const [first, second] = part?.split("/") ?? [];
  const named = subsets.find((subset) => subset.name === first);
  const usual = subsets.find(({ isDefault }) => isDefault);
  const refuse = (problem: string) => {
    const all = subsets.flatMap((subset) =>
      [...subset.splits.keys()].map((split) => `${name}:${showPart(subset, split)}`)
    );
    const shown = all.length > 12 ? [...all.slice(0, 12), `${all.length - 12} more`] : all;
    return new DataError(
      `Cannot use the data set "${name}" as ${problem}: give one of ${shown.join(", ")}`,
    );
  };
  if (second !== undefined) {
    if (!named?.splits.has(second)) throw refuse(`it has no "${part}"`);
    return { subset: named, split: second };
  }
  if (first !== undefined && usual?.splits.has(first)) return { subset: usual, split: first };
  const subset = first === undefined ? usual : named;
  if (!subset && first !== undefined) throw refuse(`it has no "${first}"`);
  if (!subset) throw refuse(`it has ${subsets.length} subsets`);
  const splits = [...subset.splits.keys()];
  const split = splits.includes("train") ? "train" : splits[0];
  if (split !== "train" && splits.length > 1) throw refuse('it has no split "train"');
  return { subset, split };
}

/** A split as it is named behind the colon. */
function showPart({ name }: Subset, split: string): string {
  return name === DEFAULT_SUBSET ? split : `${name}/${split}`;
}

function count(n: number, what: string): string {
  return `${n} ${what}${n === 1 ? "" : "s"}`;
}

/** Of files that say how many they are, all must be there: a cache may have been filled in part. */
function expectAll(name: string, files: readonly string[]): void {
  const counted = files.map((path) => /^(.*)-\d{5}-of-(\d{5})/.exec(path)).filter((match) =>
    match !== null
  );
  for (const [series, group] of Map.groupBy(counted, ([, stem, count]) => `${stem} ${count}`)) {
    const count = Number(series.slice(-5));
    if (group.length === count) continue;
    throw new DataError(
      `Cannot use the data set "${name}" as ${group.length} of ${count} files ` +
        `"${series.slice(0, -6)}-…" are there: fetch it again, with a network`,
    );
  }
}
