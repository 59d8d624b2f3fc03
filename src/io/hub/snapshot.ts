/**
 * Brings the files of a repository that are wanted into the cache.
 *
 * @module
 */

import { join } from "node:path";
import { HubError, ModelError } from "../../errors.ts";
import { exists } from "../exists.ts";
import { LARGEST_LIST, readTextFile } from "../text_file.ts";
import { RepoCache } from "./cache.ts";
import { download, type RepoFile } from "./download.ts";
import { type Listing, listRepo } from "./listing.ts";
import { byHand, type Repo, showRepo } from "./names.ts";
import { authorization, fileAddress, hubFetch, UnreachableError } from "./requests.ts";
import type { HubSettings } from "./settings.ts";

/** How far a download is. */
export interface FetchProgress {
  /** Bytes that are here, of the files that were missing. */
  bytes: number;
  /** Bytes of the files that were missing. */
  totalBytes: number;
}

/** The files of a repository, from which some are chosen. */
export interface RepoContents {
  /** Paths in the repository, sorted. */
  readonly paths: readonly string[];
  /** Reads a small file, which is downloaded for that. */
  readText(path: string): Promise<string>;
}

/** Names the wanted files. */
export type Choose = (contents: RepoContents) => Promise<readonly string[]>;

/** What was fetched. */
export interface Snapshot {
  /** The folder that looks like the repository, as far as its files were wanted. */
  folder: string;
  /** The commit. */
  commit: string;
  /** The paths of the wanted files in the folder. */
  paths: readonly string[];
}

/** How many files are downloaded at a time. */
const AT_ONCE = 4;

/**
 * Fetches a repository's wanted files, those that are not in the cache yet.
 *
 * @throws {HubError} if the hub cannot be reached and they are not in the cache, or it refuses.
 * @throws {FileError} if the cache cannot be written.
 */
export async function fetchSnapshot(
  hub: HubSettings,
  repo: Repo,
  choose: Choose,
  onProgress?: (progress: FetchProgress) => void,
): Promise<Snapshot> {
  const cache = new RepoCache(hub.cacheFolder, repo);
  if (hub.offline) return await fromCache(cache, choose, "HF_HUB_OFFLINE is set");
  let listed: Listing;
  try {
    listed = await listRepo(hub, repo);
  } catch (error) {
    const known = error instanceof UnreachableError && await cache.commit();
    if (!known || (await cache.files(known)).length === 0) throw error;
    const reason = `${new URL(hub.endpoint).host} cannot be reached`;
    hub.onNotice(
      `${reason}: what the cache has of ${showRepo(repo)}, ` +
        `commit ${known.slice(0, 7)}, is used`,
    );
    return await fromCache(cache, choose, reason);
  }
  const { commit, files } = listed;
  const transfer = new Transfer(hub, cache, commit, onProgress);
  const at = new Map(files.map((file) => [file.path, file]));
  const paths = await choose({
    paths: [...at.keys()].sort(),
    readText: async (path) => {
      await transfer.fetch([at.get(path)!]);
      return await readTextFile(join(cache.snapshot(commit), path), LARGEST_LIST);
    },
  });
  await transfer.fetch(paths.map((path) => at.get(path)!));
  await cache.note(commit); // only now: without the hub, what was whole before is still found
  return { folder: cache.snapshot(commit), commit, paths };
}

/**
 * What is there without asking the hub.
 *
 * @param reason Why it is not asked.
 */
async function fromCache(cache: RepoCache, choose: Choose, reason: string): Promise<Snapshot> {
  const { repo } = cache;
  const commit = await cache.commit();
  const paths = commit === null ? [] : await cache.files(commit);
  const fail = (problem: string, cause?: unknown) =>
    new HubError(
      `Cannot use "${
        showRepo(repo)
      }" as ${reason} and "${cache.folder}" ${problem}: fetch it with a ` +
        `network and HF_HUB_OFFLINE unset, or run ${
          byHand(repo)
        } where there is one and give that folder`,
      { cause },
    );
  if (commit === null || paths.length === 0) throw fail("does not hold it");
  const folder = cache.snapshot(commit);
  const readText = (path: string) => readTextFile(join(folder, path), LARGEST_LIST);
  try {
    return { folder, commit, paths: await choose({ paths, readText }) };
  } catch (error) {
    if (!(error instanceof ModelError)) throw error;
    throw fail("holds only a part of it", error);
  }
}

/** The downloads of one snapshot. */
class Transfer {
  #bytes = 0;
  #totalBytes = 0;

  constructor(
    readonly hub: HubSettings,
    readonly cache: RepoCache,
    readonly commit: string,
    readonly onProgress: ((progress: FetchProgress) => void) | undefined,
  ) {}

  /**
   * Downloads those of the files that are missing. They appear in the folder together, at the end: a
   * folder that was cut off does not look like a whole one when the hub cannot be asked.
   */
  async fetch(files: readonly RepoFile[]): Promise<void> {
    const { hub, cache, commit } = this;
    const unlinked: RepoFile[] = [];
    const missing: RepoFile[] = [];
    for (const file of files) {
      if (await exists(join(cache.snapshot(commit), file.path))) continue;
      unlinked.push(file);
      if (!await exists(cache.blob(file.hash))) missing.push(file);
    }
    if (missing.length > 0) {
      this.#totalBytes += missing.reduce((sum, { size }) => sum + size, 0);
      this.#count(0);
      await eachAtOnce(missing, hub.signal, (file, signal) => this.#download(file, signal));
    }
    for (const { path, hash } of unlinked) await cache.link(commit, path, hash);
  }

  async #download(file: RepoFile, signal: AbortSignal): Promise<void> {
    const { hub, cache, commit } = this;
    const { path, hash, size } = file;
    using _ = await cache.lock(
      hash,
      signal,
      () =>
        hub.onNotice(
          `waiting for another process that downloads ${path} of ${showRepo(cache.repo)}`,
        ),
    );
    signal.throwIfAborted();
    if (await exists(cache.blob(hash))) return this.#count(size); // while this one waited
    await download(file, cache.blob(hash), {
      url: fileAddress(hub, cache.repo, commit, path),
      headers: authorization(hub),
      fetch: hubFetch({ ...hub, signal }, cache.repo),
      signal,
      retryMs: hub.retryMs,
      onBytes: (count) => this.#count(count),
    });
  }

  #count(bytes: number): void {
    this.#bytes += bytes;
    this.onProgress?.({ bytes: this.#bytes, totalBytes: this.#totalBytes });
  }
}

/** Does some of the work at a time; where one fails, the others end, and its error is thrown. */
async function eachAtOnce<T>(
  items: readonly T[],
  signal: AbortSignal | undefined,
  work: (item: T, signal: AbortSignal) => Promise<void>,
): Promise<void> {
  const failed = new AbortController();
  const either = signal ? AbortSignal.any([signal, failed.signal]) : failed.signal;
  const waiting = items[Symbol.iterator]();
  const worker = async () => {
    try {
      for (const item of waiting) await work(item, either);
    } catch (error) {
      failed.abort(error);
      throw error;
    }
  };
  await Promise.allSettled(Array.from({ length: AT_ONCE }, worker));
  either.throwIfAborted();
}
