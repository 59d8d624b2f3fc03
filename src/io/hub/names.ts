/**
 * Names of models and data sets on a hub, as people write them, and as a cache folder has them.
 *
 * @module
 */

import { resolve } from "node:path";

/** What kind of repository a hub keeps something in. */
export type RepoKind = "model" | "dataset";

/** A repository at a revision. */
export interface Repo {
  readonly kind: RepoKind;
  /** `org/name` */
  readonly name: string;
  /** A branch, a tag or a commit. */
  readonly revision: string;
}

/** A part of a data set. */
export interface DataName {
  readonly repo: Repo;
  /** What stands behind the colon: a split, a subset, or `subset/split`; undefined for the default. */
  readonly part?: string;
}

/** The branch that a name without a revision means. */
export const MAIN = "main";

const REPO = String.raw`[A-Za-z0-9][\w.-]*\/[A-Za-z0-9][\w.-]*`;
const REVISION = String.raw`[A-Za-z0-9][\w.-]*(?:\/[A-Za-z0-9][\w.-]*)*`;
const MODEL_NAME = new RegExp(`^(${REPO})(?:@(${REVISION}))?$`);
const DATA_NAME = new RegExp(`^(${REPO})(?:@(${REVISION}))?(?::([\\w.-]+(?:/[\\w.-]+)?))?$`);
/** `data/train.jsonl` is a file that is not there, not a data set. */
const FILE_NAME = /\.(jsonl?|ndjson|txt|md|csv|tsv|parquet|arrow|gz|zst|ya?ml|safetensors|gguf)$/i;

/** Reads `org/name[@revision]`; null for what cannot be a name on a hub. */
export function parseModelName(text: string): Repo | null {
  const match = MODEL_NAME.exec(text);
  if (!match || FILE_NAME.test(match[1])) return null;
  const [, name, revision = MAIN] = match;
  return { kind: "model", name, revision };
}

/** Reads `org/name[@revision][:part]`; null for what cannot be a name on a hub. */
export function parseDataName(text: string): DataName | null {
  const match = DATA_NAME.exec(text);
  if (!match || FILE_NAME.test(match[1])) return null;
  const [, name, revision = MAIN, part] = match;
  return { repo: { kind: "dataset", name, revision }, part };
}

/** Whether a revision is a commit: what it holds never changes. */
export function isCommit(revision: string): boolean {
  return /^[0-9a-f]{40}$/.test(revision);
}

/** Whether a path stays in the folder that it is joined to: a hub might say anything. */
export function isSafePath(path: string): boolean {
  return path !== "" && !/[\\:\p{Cc}]/u.test(path) &&
    path.split("/").every((part) => part !== "" && part !== "." && part !== "..");
}

/** A repository in words: `org/name`, with its revision if that is not the default. */
export function showRepo({ name, revision }: Repo): string {
  return revision === MAIN ? name : `${name}@${revision}`;
}

/** The command that downloads a repository without this package. */
export function byHand({ kind, name, revision }: Repo): string {
  const folder = name.split("/").at(-1)!;
  const type = kind === "model" ? "" : " --repo-type dataset";
  const at = revision === MAIN ? "" : ` --revision ${revision}`;
  return `"hf download ${name}${type}${at} --local-dir ${folder}"`;
}

/** The folder of a repository in a cache, as the hub's Python client names it. */
export function cacheFolderName({ kind, name }: Pick<Repo, "kind" | "name">): string {
  return [`${kind}s`, ...name.split("/")].join("--");
}

/**
 * What a folder in a hub's cache holds, whoever downloaded it: the inverse of the layout
 * `models--org--name/snapshots/COMMIT`. Null for any other folder.
 */
export function repoOfFolder(folder: string): Repo | null {
  const parts = resolve(folder).replaceAll("\\", "/").split("/");
  const [repo, snapshots, revision] = parts.slice(-3);
  const match = /^(model|dataset)s--(.+)$/.exec(repo ?? "");
  if (!match || snapshots !== "snapshots" || !isCommit(revision)) return null;
  return { kind: match[1] as RepoKind, name: match[2].split("--").join("/"), revision };
}

/**
 * What leads to a model folder from anywhere: `org/name@COMMIT` if it lies in a hub's cache, else its
 * absolute path.
 */
export function referenceTo(folder: string): string {
  const repo = repoOfFolder(folder);
  return repo?.kind === "model" ? showRepo(repo) : resolve(folder);
}
