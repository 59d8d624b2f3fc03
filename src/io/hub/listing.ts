/**
 * What a hub says that a repository holds. The hub may be anybody's, and its words become names of files
 * in the cache, so each is checked, and there is an end to them.
 *
 * @module
 */

import { FalqonError, HubError } from "../../errors.ts";
import { showJson } from "../json.ts";
import type { RepoFile } from "./download.ts";
import { isCommit, isSafePath, type Repo, showRepo } from "./names.ts";
import { type Action, type Fetch, hubFetch } from "./requests.ts";
import type { HubSettings } from "./settings.ts";

/** The files of a repository at a commit. */
export interface Listing {
  commit: string;
  files: RepoFile[];
}

/** The most bytes of an answer, and the most pages of a list: hubs put up to 1,000 files on one. */
const [LARGEST_ANSWER, MOST_PAGES] = [16 << 20, 1_000];

/**
 * Asks the hub what a repository holds. Paths that lead out of its folder are left out.
 *
 * @throws {HubError} if the hub cannot be reached, refuses, or answers with something else.
 */
export async function listRepo(hub: HubSettings, repo: Repo): Promise<Listing> {
  return await understood(hub, repo, "fetch", async () => {
    const { datasetInfo, listFiles, modelInfo } = await import("@huggingface/hub");
    const common = {
      hubUrl: hub.endpoint,
      fetch: bounded(hubFetch(hub, repo)),
      ...(hub.token === null ? {} : { accessToken: hub.token }),
    };
    const asked = { ...common, name: repo.name, revision: repo.revision };
    const { sha } = repo.kind === "model"
      ? await modelInfo({ ...asked, additionalFields: ["sha"] })
      : await datasetInfo({ ...asked, additionalFields: ["sha"] });
    if (typeof sha !== "string" || !isCommit(sha)) throw new Unusable("the commit", sha);
    const files: RepoFile[] = [];
    const entries = listFiles({
      ...common,
      repo: { type: repo.kind, name: repo.name },
      revision: sha,
      recursive: true,
    });
    for await (const { type, path, size, oid, lfs } of entries) {
      if (type !== "file") continue;
      if (typeof path !== "string") throw new Unusable("the path of a file", path);
      if (!isSafePath(path)) continue;
      const hash = lfs?.oid ?? oid;
      if (!isHash(hash)) throw new Unusable(`the hash of ${showJson(path)}`, hash);
      if (!Number.isSafeInteger(size) || size < 0) {
        throw new Unusable(`the size of ${showJson(path)}`, size);
      }
      files.push({ path, size, hash });
    }
    return { commit: sha, files };
  });
}

/** Something in an answer that cannot be what it should. */
class Unusable extends Error {
  constructor(what: string, found: unknown) {
    super(`it gives ${what} as ${showJson(found)}`);
  }
}

/** SHA-256 of a large file, or git's SHA-1: it becomes the name of a file. */
function isHash(hash: unknown): hash is string {
  return typeof hash === "string" && /^([0-9a-f]{40}|[0-9a-f]{64})$/.test(hash);
}

/**
 * Does what asks a hub through its library.
 *
 * @throws {HubError} for an answer that the library, or `work`, cannot use.
 */
export async function understood<T>(
  hub: HubSettings,
  repo: Repo,
  action: Action,
  work: () => Promise<T>,
): Promise<T> {
  try {
    return await work();
  } catch (error) {
    hub.signal?.throwIfAborted();
    const isAnswer = error instanceof TypeError || error instanceof SyntaxError ||
      error instanceof RangeError || error instanceof Unusable;
    if (error instanceof FalqonError || !isAnswer) throw error;
    // What the library says of values that are missing helps nobody.
    const reason = error instanceof TypeError ? "it has another form" : error.message;
    throw new HubError(
      `Cannot ${action} "${showRepo(repo)}" as the answer of ${
        new URL(hub.endpoint).host
      } cannot be ` +
        `understood (${reason}): check HF_ENDPOINT, or try again later`,
      { cause: error },
    );
  }
}

/** A `fetch` for answers that are read whole. */
function bounded(fetch: Fetch): Fetch {
  let pages = 0;
  return async (input, init) => {
    if (++pages > MOST_PAGES) throw new RangeError(`its list has more than ${MOST_PAGES} pages`);
    const response = await fetch(input, init);
    const pieces: Uint8Array<ArrayBuffer>[] = [];
    let length = 0;
    for await (const piece of response.body ?? []) {
      length += piece.length;
      if (length > LARGEST_ANSWER) {
        throw new RangeError(`it has more than ${LARGEST_ANSWER} bytes`);
      }
      pieces.push(piece);
    }
    const { headers, status } = response;
    return new Response(new Blob(pieces), { headers, status });
  };
}
