/**
 * The splits of a data set, told by the names of its files as the Hugging Face hub does.
 *
 * @module
 */

import { SPLIT_WORDS } from "../io/split_words.ts";

/** By word in a name: the split that it stands for. */
const SPLIT_OF: Readonly<Record<string, string>> = Object.fromEntries(
  SPLIT_WORDS.flatMap(([split, words]) => words.map((word) => [word, split])),
);

/**
 * The split that a file belongs to by a word of its name, else by one of the folders around it;
 * null when none is there. `train_sft-00000-of-00003.parquet` is of `train_sft`.
 */
export function splitOf(path: string): string | null {
  const sharded = /(?:^|[/\\])([\w.]+?)-\d{5}-of-\d{5}/.exec(path)?.[1];
  if (sharded !== undefined) return SPLIT_OF[sharded.toLowerCase()] ?? sharded;
  for (const part of path.split(/[/\\]/).reverse()) {
    for (const word of part.toLowerCase().split(/[^a-z]+/)) {
      if (Object.hasOwn(SPLIT_OF, word)) return SPLIT_OF[word];
    }
  }
  return null;
}

/** The splits of files, by name. */
export function splitNames(paths: readonly string[]): string[] {
  return [...new Set(paths.map(splitOf))].filter((name) => name !== null).sort();
}

/**
 * The files of a split.
 *
 * @param split Without it: `train` where files belong to splits, and all files where none does.
 * @returns Null when there is no such split.
 */
export function chooseSplit(paths: readonly string[], split?: string): string[] | null {
  if (split === undefined && splitNames(paths).length === 0) return [...paths];
  const wanted = split ?? "train";
  const name = SPLIT_OF[wanted] ?? wanted;
  const chosen = paths.filter((path) => splitOf(path) === name);
  if (chosen.length > 0) return chosen;
  // Files of no split beside a test split are what is trained on.
  const others = split === undefined ? paths.filter((path) => splitOf(path) === null) : [];
  return others.length > 0 ? others : null;
}
