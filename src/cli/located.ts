/**
 * From what the flags `--model`, `--adapter` and `--data` name to folders and files: paths, or names
 * on a hub, which are downloaded.
 *
 * @module
 */

import { resolve } from "node:path";
import { STANDARD_INPUT } from "../data/sources.ts";
import { FileError } from "../errors.ts";
import { exists } from "../io/exists.ts";
import { baseOfAdapter, isAdapterFolder } from "../io/hub/base.ts";
import { fetchData } from "../io/hub/data.ts";
import { fetchModel, type FetchOptions } from "../io/hub/model.ts";
import { parseDataName, parseModelName, repoOfFolder, showRepo } from "../io/hub/names.ts";
import { DownloadBar } from "./download_bar.ts";
import { InterruptedError, UsageError } from "./errors.ts";
import { noticesOn, tell, type Terminal } from "./terminal.ts";

/** The flags that name a model. */
interface ModelValues {
  model?: string;
  adapter?: string;
}

/**
 * The same flags with folders for what they name. The folder of an adapter as `--model` becomes the
 * model that it belongs to, and `--adapter`.
 *
 * @param options `weights: false` for a model whose architecture will do.
 * @throws {FileError} for what is neither there nor a name on a hub.
 * @throws {HubError} if the hub does not give it.
 * @throws {UsageError} for an adapter as `--model` beside `--adapter`.
 */
export async function locate<T extends ModelValues>(
  values: T,
  terminal: Terminal,
  options: Pick<FetchOptions, "weights"> = {},
): Promise<T> {
  const { model, adapter } = values;
  const given = adapter === undefined
    ? undefined
    : await locateModel(adapter, terminal, { what: "adapter" });
  if (model === undefined) return { ...values, ...given && { adapter: given } };
  const folder = await locateModel(model, terminal, options);
  if (!await isAdapterFolder(folder)) {
    return { ...values, model: folder, ...given && { adapter: given } };
  }
  if (given !== undefined) {
    throw new UsageError(
      `Cannot use --model "${model}" with --adapter as it is an adapter itself: leave --adapter out, ` +
        "or give the model that both belong to",
    );
  }
  const base = await baseOfAdapter(folder);
  tell(terminal, "note", `"${model}" is an adapter of ${base}, which is loaded with it`);
  return { ...values, model: await locateModel(base, terminal, options), adapter: folder };
}

/**
 * The folder of a model or an adapter: a path that exists, or what a hub has under that name.
 *
 * @throws {FileError} for what is neither there nor a name on a hub.
 * @throws {HubError} if the hub does not give it.
 */
export async function locateModel(
  text: string,
  terminal: Terminal,
  { what = "model", weights = true }: { what?: "model" | "adapter"; weights?: boolean } = {},
): Promise<string> {
  const repo = parseModelName(text);
  const isPath = repo === null ? await exists(text) : await isSeen(text);
  if (isPath) return takePath(text, repo !== null, terminal);
  if (repo === null) {
    throw new FileError(
      `Cannot find the ${what} "${text}": there is no such folder, and names on the hub are as ` +
        "ORG/NAME or ORG/NAME@REVISION; check the path",
    );
  }
  const folder = await transferring(
    text,
    terminal,
    (options) => fetchModel(text, { ...options, weights }),
  );
  tell(terminal, "note", `${text} from the hub: ${folder}`);
  return folder;
}

/**
 * The files of what `--data` names: itself where there is such a path, or where it cannot be a name
 * on a hub.
 *
 * @throws {HubError} if the hub does not give it.
 * @throws {DataError} if it has no such split.
 */
export async function locateData(text: string, terminal: Terminal): Promise<string[]> {
  if (text.includes(",") && !await exists(text)) {
    const parts = text.split(",").map((part) => locateData(part.trim(), terminal));
    return (await Promise.all(parts)).flat();
  }
  if (parseDataName(text) === null) return [text];
  if (await isHere(text)) return [takePath(text, true, terminal)];
  return await transferring(text, terminal, (options) => fetchData(text, options));
}

/**
 * How what a flag names is found again from another folder: a path in full; names on a hub, addresses
 * and standard input as they are.
 */
export async function lastingName(name: string): Promise<string> {
  if (name === STANDARD_INPUT || /^[a-z][a-z0-9+.-]+:\/\//i.test(name)) return name;
  return parseDataName(name) !== null && !await isHere(name) ? name : resolve(name);
}

/** Whether a path is there, or the folder before a colon and the name of a split. */
async function isHere(text: string): Promise<boolean> {
  return await isSeen(text) || await isSeen(text.replace(/:[^:]*$/, ""));
}

/** Whether there is such a path that Deno allows to look at: any other is the hub's. */
async function isSeen(path: string): Promise<boolean> {
  try {
    await Deno.stat(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotCapable) return false;
    return await exists(path);
  }
}

/** A model's folder as people know it: by its name on the hub if it is in the cache. */
export function shownModel(folder: string): string {
  const repo = repoOfFolder(folder);
  return repo ? showRepo({ ...repo, revision: repo.revision.slice(0, 7) }) : folder;
}

/** Shows the progress of a transfer, and ends it at Ctrl-C. */
export async function transferring<T>(
  what: string,
  terminal: Terminal,
  work: (options: Omit<FetchOptions, "weights">) => Promise<T>,
  way: "down" | "up" = "down",
): Promise<T> {
  const stop = new AbortController();
  using _ = terminal.onInterrupt(() =>
    stop.abort(
      new InterruptedError(
        `The ${way}load of ${what} was interrupted: run the same command again, which goes on from there`,
      ),
    )
  );
  using bar = new DownloadBar(terminal, what, way);
  return await work({
    signal: stop.signal,
    onNotice: noticesOn(terminal),
    onProgress: (progress) => bar.update(progress),
  });
}

function takePath(path: string, mayBeName: boolean, terminal: Terminal): string {
  if (mayBeName) tell(terminal, "note", `"${path}" is taken from this folder, not from the hub`);
  return path;
}
