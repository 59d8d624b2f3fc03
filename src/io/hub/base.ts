/**
 * Finds the model that a PEFT adapter belongs to.
 *
 * @module
 */

import { checkText } from "../../checks.ts";
import { isAbsolute, join, resolve } from "node:path";
import { ModelError } from "../../errors.ts";
import { exists } from "../exists.ts";
import { JsonFields, readJson } from "../json.ts";
import { ADAPTER_CONFIG_FILE } from "../peft.ts";
import { WEIGHTS_FILE, WEIGHTS_INDEX_FILE } from "../weights.ts";
import { MAIN, parseModelName, repoOfFolder, showRepo } from "./names.ts";

/** Whether a folder holds an adapter and no model. */
export async function isAdapterFolder(folder: string): Promise<boolean> {
  const names = [ADAPTER_CONFIG_FILE, "config.json", WEIGHTS_FILE, WEIGHTS_INDEX_FILE];
  const [adapter, config, ...weights] = await Promise.all(
    names.map((name) => exists(join(folder, name))),
  );
  return adapter && !(config && weights.includes(true));
}

/**
 * The model that an adapter was trained for, as its `base_model_name_or_path` names it: a folder from
 * here, one from the adapter's own folder, or a model on a hub.
 *
 * @returns The path of a folder that exists, or `org/name@revision`.
 * @throws {ModelError} if it names nothing that can be found.
 */
export async function baseOfAdapter(folder: string): Promise<string> {
  checkText("folder", folder);
  const path = join(folder, ADAPTER_CONFIG_FILE);
  const fields = new JsonFields(await readJson(path), `"${path}"`);
  const base = fields.string("base_model_name_or_path", "");
  if (base !== "" && await isFolder(base)) return resolve(base);
  if (base !== "" && !isAbsolute(base) && await isFolder(join(folder, base))) {
    return resolve(folder, base);
  }
  // A cache on another machine, or a commit that was deleted from this one.
  const repo = parseModelName(base) ?? repoOfFolder(base);
  if (repo?.kind === "model") {
    const revision = fields.string("revision", MAIN);
    if (parseModelName(`${repo.name}@${revision}`) === null) {
      throw fields.error("revision", "a branch, a tag or a commit");
    }
    return showRepo(repo.revision === MAIN ? { ...repo, revision } : repo);
  }
  const problem = base === "" ? "does not say which" : `names "${base}", which is not there`;
  throw new ModelError(
    `Cannot find the model of the adapter "${folder}" as its ${ADAPTER_CONFIG_FILE} ${problem}: ` +
      "give the model as --model (Model.load) and the folder as --adapter (readPeftAdapter)",
  );
}

/** Whether a name is that of a folder here: someone else wrote it, so it may be anything. */
async function isFolder(path: string): Promise<boolean> {
  try {
    return (await Deno.stat(path)).isDirectory;
  } catch {
    return false; // not there, out of sight, or no path at all
  }
}
