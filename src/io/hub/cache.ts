/**
 * The cache of the hub's Python client, which this package shares: `models--org--name` holds the
 * contents of files under their hashes in `blobs`, for each commit a folder of links to these in
 * `snapshots`, and what commit a branch stood at in `refs`.
 *
 * @module
 */

import { dirname, join, relative } from "node:path";
import { exists } from "../exists.ts";
import { toFileError } from "../file_error.ts";
import { cacheFolderName, isCommit, type Repo } from "./names.ts";
import { pause } from "./requests.ts";

/** Milliseconds between two looks at a lock. */
const LOCK_MS = 200;

/** The part of a cache that belongs to one repository. */
export class RepoCache {
  /** `models--org--name` */
  readonly folder: string;
  readonly #locks: string;

  constructor(cacheFolder: string, readonly repo: Repo) {
    const name = cacheFolderName(repo);
    this.folder = join(cacheFolder, name);
    this.#locks = join(cacheFolder, ".locks", name);
  }

  /** The commit that the revision stood at when it was last asked for; null if it never was. */
  async commit(): Promise<string | null> {
    const { revision } = this.repo;
    if (isCommit(revision)) return revision;
    const path = join(this.folder, "refs", revision);
    if (!await exists(path)) return null;
    const commit = (await Deno.readTextFile(path)).trim();
    return isCommit(commit) ? commit : null;
  }

  /** Notes which commit the revision stands at. */
  async note(commit: string): Promise<void> {
    if (isCommit(this.repo.revision)) return;
    const path = join(this.folder, "refs", this.repo.revision);
    if (await this.commit() === commit) return;
    await makeFolder(dirname(path));
    try {
      // Not by a temporary file: several processes may do so at once, and read only what is a commit.
      await Deno.writeTextFile(path, commit);
    } catch (error) {
      throw toFileError("write", path, error);
    }
  }

  /** The folder of a commit, which looks like the repository. */
  snapshot(commit: string): string {
    return join(this.folder, "snapshots", commit);
  }

  /** The files of a commit that are here. */
  async files(commit: string): Promise<string[]> {
    const found: string[] = [];
    const walk = async (folder: string) => {
      for await (const { name, isDirectory } of Deno.readDir(folder)) {
        const path = join(folder, name);
        if (isDirectory) await walk(path);
        // A link whose content was deleted is no file.
        else if (await exists(path)) found.push(relative(this.snapshot(commit), path));
      }
    };
    if (await exists(this.snapshot(commit))) await walk(this.snapshot(commit));
    return found.map((path) => path.replaceAll("\\", "/")).sort();
  }

  /** Where the content of this hash is, or goes. */
  blob(hash: string): string {
    return join(this.folder, "blobs", hash);
  }

  /** Makes a content appear as a file of a commit. */
  async link(commit: string, path: string, hash: string): Promise<void> {
    const pointer = join(this.snapshot(commit), ...path.split("/"));
    if (await exists(pointer)) return;
    await makeFolder(dirname(pointer));
    await Deno.remove(pointer).catch(() => {}); // a link to a content that was deleted
    const target = relative(dirname(pointer), this.blob(hash));
    try {
      await Deno.symlink(target, pointer, { type: "file" });
    } catch (error) {
      if (error instanceof Deno.errors.AlreadyExists) return;
      // Deno makes symbolic links only for those who may read and write everywhere: a hard link then.
      if (error instanceof Deno.errors.NotCapable) return await hardLink(this.blob(hash), pointer);
      // Windows lets only some make links: the content itself moves there, as with the Python client.
      if (Deno.build.os !== "windows") throw toFileError("link", pointer, error);
      await Deno.rename(this.blob(hash), pointer);
    }
  }

  /**
   * Waits until no other process downloads the content of this hash, this package's or the Python
   * client's.
   *
   * @param onWait Is told if it has to wait.
   */
  async lock(
    hash: string,
    signal: AbortSignal | undefined,
    onWait: () => void,
  ): Promise<Disposable> {
    await makeFolder(this.#locks);
    await makeFolder(join(this.folder, "blobs"));
    const path = join(this.#locks, `${hash}.lock`);
    try {
      using opened = new DisposableStack();
      const file = opened.use(await Deno.open(path, { write: true, create: true }));
      for (let attempt = 0; !await file.tryLock(true); attempt++) {
        if (attempt === 0) onWait();
        await pause(LOCK_MS, signal);
      }
      return opened.move();
    } catch (error) {
      throw toFileError("lock", path, error);
    }
  }
}

async function hardLink(from: string, to: string): Promise<void> {
  try {
    await Deno.link(from, to);
  } catch (error) {
    if (!(error instanceof Deno.errors.AlreadyExists)) throw toFileError("link", to, error);
  }
}

async function makeFolder(path: string): Promise<void> {
  try {
    await Deno.mkdir(path, { recursive: true });
  } catch (error) {
    throw toFileError("create", path, error);
  }
}
