/**
 * Puts a model, or an adapter, on a hub.
 *
 * @module
 */

import { checkOptions, checkText, type Names } from "../../checks.ts";
import { dirname, isAbsolute, join, relative, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { FileError, HubError } from "../../errors.ts";
import { exists } from "../exists.ts";
import { toFileError } from "../file_error.ts";
import { ADAPTER_CONFIG_FILE } from "../peft.ts";
import { isUsedFile } from "./model.ts";
import { understood } from "./listing.ts";
import { MAIN, parseModelName, type Repo, repoOfFolder } from "./names.ts";
import { type Fetch, hubFetch, pageAddress, RefusedError } from "./requests.ts";
import { HUB_NAMES, type HubOptions, type HubSettings, hubSettings } from "./settings.ts";

/** Options of {@linkcode pushModel}. */
export interface PushOptions extends HubOptions {
  /** Text of its README.md, as `modelCard` writes it. Default: that of the folder, which wins, or none. */
  card?: string;
  /** Whether only its owner sees it, if it is not there yet. Default: as the owner's settings say. */
  private?: boolean;
  /** One line about the commit. */
  message?: string;
  /** Is told how many of the bytes of large files are there. */
  onProgress?: (progress: { bytes: number; totalBytes: number }) => void;
}

/** The names of {@linkcode PushOptions}. */
const PUSH_NAMES: Names<PushOptions> = {
  card: true,
  private: true,
  message: true,
  onProgress: true,
  ...HUB_NAMES,
};

/** What was pushed. */
export interface PushResult {
  /** Its page. */
  url: string;
  /** The commit. */
  commit: string;
  /** The files, in the repository. */
  files: string[];
  /** What lies in the folder and was not pushed. */
  leftOut: string[];
}

const CARD = "README.md";

/**
 * Puts what a folder holds of a model or an adapter on a hub, in one commit: its settings, tokenizer,
 * chat templates, safetensors and GGUF files, and its card; no checkpoints, logs or options. The
 * repository is made if it is not there.
 *
 * @param name `org/name`, or `org/name@branch`.
 * @throws {OptionError} for options that are unknown or of another kind.
 * @throws {HubError} without an access token, for what is no name, or if the hub does not take it.
 * @throws {FileError} if the folder holds no model and no adapter, or cannot be read.
 */
export async function pushModel(
  name: string,
  folder: string,
  options: PushOptions = {},
): Promise<PushResult> {
  checkText("name", name);
  checkText("folder", folder);
  checkOptions("pushModel", options, PUSH_NAMES);
  const repo = parseModelName(name);
  if (repo === null) {
    throw new HubError(
      `Cannot push to "${name}" as it is no name on a hub: give one such as ORG/NAME or ORG/NAME@BRANCH`,
    );
  }
  const hub = await hubSettings(options);
  expectAccess(hub, repo);
  const { files, leftOut } = await filesOf(folder);
  const contents: { path: string; content: Blob | URL }[] = files.map((path) => ({
    path,
    content: pathToFileURL(resolve(folder, path)), // read only when it is sent
  }));
  if (options.card !== undefined && !files.includes(CARD)) {
    contents.push({ path: CARD, content: new Blob([options.card]) });
  }
  const commit = await understood(hub, repo, "push", async () => {
    await makeRepo(hub, repo, options.private);
    const { uploadFiles } = await import("@huggingface/hub");
    const done = await uploadFiles({
      ...access(hub, repo, options.onProgress),
      repo: { type: repo.kind, name: repo.name },
      branch: repo.revision,
      files: contents,
      commitTitle: options.message ?? "Upload a model trained with @falqon/webgpu",
      abortSignal: hub.signal,
      useXet: false, // plain uploads, which every hub takes
    });
    return done!.commit.oid;
  });
  return {
    url: pageAddress(hub, repo),
    commit,
    files: contents.map(({ path }) => path).sort(),
    leftOut,
  };
}

function expectAccess(
  { token, mayReadToken, offline, endpoint }: HubSettings,
  { name }: Repo,
): void {
  if (offline) {
    throw new HubError(`Cannot push "${name}" as HF_HUB_OFFLINE is set: unset it`);
  }
  if (token === null) {
    throw new HubError(
      `Cannot push "${name}" without an access token: make one that may write at ` +
        `${endpoint}/settings/tokens and set HF_TOKEN to it, or log in by "hf auth login"${
          mayReadToken ? "" : "; Deno does not allow to read HF_TOKEN: add it to --allow-env"
        }`,
    );
  }
}

/** What of a folder belongs on a hub. */
async function filesOf(folder: string): Promise<{ files: string[]; leftOut: string[] }> {
  const names: string[] = [];
  try {
    for await (const { name, isDirectory } of Deno.readDir(folder)) {
      if (name.startsWith(".")) continue;
      names.push(isDirectory ? `${name}/` : name);
    }
    const templates = "additional_chat_templates/";
    if (names.includes(templates)) {
      for await (const { name } of Deno.readDir(join(folder, templates))) {
        names.push(templates + name);
      }
    }
  } catch (error) {
    throw toFileError("read", folder, error);
  }
  const isWanted = (name: string) => name === CARD || isUsedFile(name) || /\.gguf$/.test(name);
  const files = names.filter(isWanted).sort();
  const isModel = files.some((name) => /\.(safetensors|gguf)$/.test(name)) &&
    files.some((name) =>
      ["config.json", ADAPTER_CONFIG_FILE].includes(name) || /\.gguf$/.test(name)
    );
  if (!isModel) {
    throw new FileError(
      `Cannot push "${folder}" as it holds neither a model nor an adapter: give the folder that ` +
        "was trained into or merged into",
    );
  }
  for (const name of files) await expectInside(folder, name);
  const isPart = (name: string) =>
    name.endsWith("/") && files.some((file) => file.startsWith(name));
  return { files, leftOut: names.filter((name) => !isWanted(name) && !isPart(name)).sort() };
}

/**
 * Expects a file to lie where it is pushed from: a link in a folder of someone else's could name any file
 * of this machine. In a hub's cache, files are links into the folder of their repository.
 */
async function expectInside(folder: string, name: string): Promise<void> {
  let [place, path] = [folder, join(folder, name)];
  try {
    [place, path] = [await Deno.realPath(folder), await Deno.realPath(path)];
  } catch (error) {
    throw toFileError("read", path, error);
  }
  const home = repoOfFolder(place) ? dirname(dirname(place)) : place;
  if (!relative(home, path).startsWith("..") && !isAbsolute(relative(home, path))) return;
  throw new FileError(
    `Cannot push "${
      join(folder, name)
    }" as it is a link to "${path}", outside of the folder: put a copy ` +
      "in its place if that file is meant",
  );
}

/** Makes the repository, unless it is there. */
async function makeRepo(hub: HubSettings, repo: Repo, isPrivate?: boolean): Promise<void> {
  const { createBranch, createRepo, modelInfo } = await import("@huggingface/hub");
  const common = access(hub, repo);
  const isThere = async (revision: string) => {
    try {
      await modelInfo({ ...common, name: repo.name, revision });
      return true;
    } catch (error) {
      if (error instanceof RefusedError && [401, 404].includes(error.status)) return false;
      throw error;
    }
  };
  const target = { type: repo.kind, name: repo.name };
  if (await isThere(repo.revision)) return;
  if (!await isThere(MAIN)) {
    try {
      await createRepo({
        ...common,
        repo: target,
        ...isPrivate !== undefined && { visibility: isPrivate ? "private" : "public" },
      });
    } catch (error) {
      // An empty one has no revision yet.
      if (!(error instanceof RefusedError && error.status === 409)) throw error;
    }
  }
  if (repo.revision !== MAIN) {
    await createBranch({ ...common, repo: target, branch: repo.revision });
  }
}

/** The parameters that every function of the hub's library takes. */
function access(
  hub: HubSettings,
  repo: Repo,
  onProgress?: PushOptions["onProgress"],
): { hubUrl: string; accessToken: string; fetch: Fetch } {
  const plain = hubFetch(hub, repo, "push");
  const fetch = onProgress ? counted(plain, onProgress) : plain;
  return { hubUrl: hub.endpoint, accessToken: hub.token!, fetch };
}

/** A `fetch` that tells how much of the large files was sent. */
function counted(fetch: Fetch, onProgress: NonNullable<PushOptions["onProgress"]>): Fetch {
  let [bytes, totalBytes] = [0, 0];
  return async (input, init) => {
    if (init?.method !== "PUT" || !(init.body instanceof Blob)) return await fetch(input, init);
    totalBytes += init.body.size;
    const body = new CountedBlob(init.body, (count) => {
      bytes += count;
      onProgress({ bytes, totalBytes });
    });
    return await fetch(input, { ...init, body });
  };
}

/** A blob that tells what is read of it. */
class CountedBlob extends Blob {
  #inner: Blob;
  #onBytes: (count: number) => void;
  #sent = 0;

  constructor(inner: Blob, onBytes: (count: number) => void) {
    super([]);
    this.#inner = inner;
    this.#onBytes = onBytes;
  }

  override get size(): number {
    return this.#inner.size;
  }

  override stream(): ReadableStream<Uint8Array<ArrayBuffer>> {
    this.#onBytes(-this.#sent); // it is sent again
    this.#sent = 0;
    return this.#inner.stream().pipeThrough(
      new TransformStream({
        transform: (piece, controller) => {
          this.#sent += piece.byteLength;
          this.#onBytes(piece.byteLength);
          controller.enqueue(piece);
        },
      }),
    );
  }
}

/** The license of a model on a hub; undefined where it cannot be found out. */
export async function licenseOf(
  name: string,
  options: HubOptions = {},
): Promise<string | undefined> {
  const repo = parseModelName(name);
  if (repo === null) return undefined;
  const hub = await hubSettings(options);
  try {
    return await understood(hub, repo, "fetch", async () => {
      const { modelInfo } = await import("@huggingface/hub");
      const { tags } = await modelInfo({
        ...access(hub, repo),
        name: repo.name,
        revision: repo.revision,
        additionalFields: ["tags"],
      });
      // Whatever a hub says may be of any type.
      const words = [tags].flat().filter((tag) => typeof tag === "string");
      return words.find((tag) => tag.startsWith("license:"))?.slice("license:".length);
    });
  } catch (error) {
    if (error instanceof HubError) return undefined;
    throw error;
  }
}

/** Whether a folder has a card of its own. */
export async function hasCard(folder: string): Promise<boolean> {
  return await exists(join(folder, CARD));
}
