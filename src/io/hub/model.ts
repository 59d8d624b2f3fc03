/**
 * Fetches a model or an adapter by its name on a hub: the files that are used, and no others.
 *
 * @module
 */

import { checkOptions, checkText, type Names } from "../../checks.ts";
import { HubError, ModelError } from "../../errors.ts";
import { isJsonObject, parseJson, showJson } from "../json.ts";
import { ADAPTER_CONFIG_FILE, ADAPTER_WEIGHTS_FILE } from "../peft.ts";
import { WEIGHTS_FILE, WEIGHTS_INDEX_FILE } from "../weights.ts";
import { parseModelName, type Repo, showRepo } from "./names.ts";
import { HUB_NAMES, type HubOptions, hubSettings } from "./settings.ts";
import { type FetchProgress, fetchSnapshot, type RepoContents } from "./snapshot.ts";

/** Options of {@linkcode fetchModel}. */
export interface FetchOptions extends HubOptions {
  /**
   * Whether the weights of a model are wanted too; without, its architecture can be read. Default true.
   */
  weights?: boolean;
  /** Is told how far the download is. */
  onProgress?: (progress: FetchProgress) => void;
}

/** The names of {@linkcode FetchOptions}. */
const FETCH_NAMES: Names<FetchOptions> = { weights: true, onProgress: true, ...HUB_NAMES };

/** The file by which a model folder is known. */
const CONFIG_FILE = "config.json";

/** What is no weight: settings, tokenizers, templates, and what other tools want beside them. */
const SMALL_FILES: readonly string[] = [
  "generation_config.json",
  "tokenizer.json",
  "tokenizer_config.json",
  "special_tokens_map.json",
  "added_tokens.json",
  "vocab.json",
  "merges.txt",
  "tokenizer.model",
  "chat_template.jinja",
  "chat_template.json",
  "preprocessor_config.json",
  "processor_config.json",
  "video_preprocessor_config.json",
];

const TEMPLATES = /^additional_chat_templates\/[\w.-]+\.jinja$/;

/**
 * Brings a model, or a PEFT adapter, from a hub into the cache that is shared with the hub's Python
 * client. Only settings, tokenizer, chat templates and safetensors are downloaded. What is there
 * already is not downloaded again, a download that was cut off goes on, and every file is checked by
 * its hash.
 *
 * @param name `org/name`, or `org/name@revision` for a branch, a tag or a commit.
 * @returns The path of the model's folder, for `Model.load`.
 * @throws {OptionError} for options that are unknown or of another kind.
 * @throws {HubError} for what is no name on a hub, if the hub cannot be reached and the cache does not
 * hold the model, or if it does not give the model.
 * @throws {ModelError} if the repository holds no weights in safetensors.
 * @throws {FileError} if the cache cannot be written.
 * @example
 * ```ts
 * import { fetchModel, Model } from "@falqon/webgpu";
 *
 * using model = await Model.load(await fetchModel("HuggingFaceTB/SmolLM2-135M-Instruct"));
 * ```
 */
export async function fetchModel(name: string, options: FetchOptions = {}): Promise<string> {
  checkText("name", name);
  checkOptions("fetchModel", options, FETCH_NAMES);
  const repo = parseModelName(name);
  if (repo === null) {
    throw new HubError(
      `Cannot fetch "${name}" as it is no name on a hub: give one such as ORG/NAME or ORG/NAME@REVISION`,
    );
  }
  const hub = await hubSettings(options);
  const choose = (contents: RepoContents) => chooseFiles(repo, contents, options.weights ?? true);
  const { folder } = await fetchSnapshot(hub, repo, choose, options.onProgress);
  return folder;
}

/** Whether a file of this name belongs to a model or an adapter. */
export function isUsedFile(path: string): boolean {
  return SMALL_FILES.includes(path) || TEMPLATES.test(path) || /^[^/]+\.safetensors$/.test(path) ||
    [CONFIG_FILE, WEIGHTS_INDEX_FILE, ADAPTER_CONFIG_FILE].includes(path);
}

/** The wanted files. */
async function chooseFiles(
  repo: Repo,
  contents: RepoContents,
  withWeights: boolean,
): Promise<string[]> {
  const { paths } = contents;
  const has = (path: string) => paths.includes(path);
  const small = paths.filter((path) => SMALL_FILES.includes(path) || TEMPLATES.test(path));
  const weights = withWeights ? await modelWeights(repo, contents) : [];
  const adapter = [ADAPTER_WEIGHTS_FILE, ADAPTER_CONFIG_FILE].filter(has);
  if (weights.length === 0 && adapter.length < 2 && (withWeights || !has(CONFIG_FILE))) {
    const other = paths.find((path) => /\.(bin|gguf|pth?|ckpt|onnx|h5|msgpack)$/.test(path));
    throw new ModelError(
      `Cannot use "${showRepo(repo)}" as it has no ${WEIGHTS_FILE}, ${WEIGHTS_INDEX_FILE} or ` +
        `${ADAPTER_WEIGHTS_FILE}${
          other === undefined ? "" : `, but ${other}`
        }: take a repository ` +
        "or a revision with weights in safetensors",
    );
  }
  return [...small, ...weights, ...adapter, ...has(CONFIG_FILE) ? [CONFIG_FILE] : []];
}

/** The files of weights, as `Weights.open` chooses them. */
async function modelWeights(repo: Repo, { paths, readText }: RepoContents): Promise<string[]> {
  if (paths.includes(WEIGHTS_FILE)) return [WEIGHTS_FILE];
  if (!paths.includes(WEIGHTS_INDEX_FILE)) return [];
  const index = parsedIndex(await readText(WEIGHTS_INDEX_FILE), repo);
  const map = isJsonObject(index) && isJsonObject(index.weight_map) ? index.weight_map : {};
  const shards = [...new Set(Object.values(map))] as string[];
  const missing = shards.find((path) => !paths.includes(path)); // also one that is no string
  if (missing !== undefined || shards.length === 0) {
    throw new ModelError(
      `Cannot use "${showRepo(repo)}" as its ${WEIGHTS_INDEX_FILE} names ` +
        `${
          missing === undefined ? "no files" : `${showJson(missing)}, which is not there`
        }: take ` +
        "another revision, or fetch it again",
    );
  }
  return [...shards, WEIGHTS_INDEX_FILE];
}

function parsedIndex(text: string, repo: Repo): unknown {
  try {
    return parseJson(text);
  } catch (error) {
    throw new ModelError(
      `Cannot use "${showRepo(repo)}" as its ${WEIGHTS_INDEX_FILE} cannot be read as JSON ` +
        `(${(error as Error).message}): take another revision, or fetch it again`,
    );
  }
}
