/**
 * What the card of a model states, read from the folder of the run that made it.
 *
 * @module
 */

import { basename, join } from "node:path";
import packageConfig from "../../deno.json" with { type: "json" };
import { FileError } from "../errors.ts";
import { exists } from "../io/exists.ts";
import type { ModelCardFacts } from "../io/hub/model_card.ts";
import { parseDataName, parseModelName, repoOfFolder } from "../io/hub/names.ts";
import { isJsonObject, parseJson, readJson } from "../io/json.ts";
import { LARGEST_LIST, readTextFile } from "../io/text_file.ts";
import { ADAPTER_CONFIG_FILE } from "../io/peft.ts";
import { LOG_FILE } from "../train/log.ts";
import { type Flag, kebabCase } from "./flags.ts";
import { methodName } from "./method.ts";
import { OPTIONS_FILE } from "./run_folder.ts";
import { TRAIN_FLAGS } from "./train_flags.ts";

type Facts = Omit<ModelCardFacts, "name">;

/** Options that a card lists besides the command. */
const SETTINGS = [
  ...["rank", "alpha", "format", "base", "targetModules", "learningRate", "schedule"],
  ...["warmupSteps", "batchSize", "gradAccumSteps", "sequenceLength", "weightDecay", "seed"],
];

/** Reads the facts about what a folder holds; a folder that no run wrote has few. */
export async function factsOfRun(folder: string): Promise<Facts> {
  const isAdapter = await exists(join(folder, ADAPTER_CONFIG_FILE)) &&
    !await exists(join(folder, "config.json"));
  const adapter = isAdapter ? await readObject(join(folder, ADAPTER_CONFIG_FILE)) : {};
  const options = await readObject(join(folder, OPTIONS_FILE));
  const isRun = Object.keys(options).length > 0;
  const base = text(options.model) ?? text(adapter.base_model_name_or_path);
  const repo = base === undefined ? null : parseModelName(base) ?? repoOfFolder(base);
  const { evalData, evalFraction } = options;
  return {
    kind: isAdapter ? "adapter" : "model",
    ...base !== undefined && { base: repo?.name ?? basename(base) },
    ...repo && repo.revision !== "main" && { baseRevision: repo.revision },
    ...options.data !== undefined && { data: [options.data].flat().map(named) },
    ...evalData !== undefined && { heldOut: [evalData].flat().map(named).join(", ") },
    ...evalFraction !== undefined && { heldOut: `${evalFraction} of the rows` },
    ...isRun && {
      method: methodName(options),
      settings: Object.fromEntries(
        SETTINGS.filter((name) => options[name] !== undefined)
          .map((name) => [kebabCase(name), String(options[name])]),
      ),
      command: commandOf(options),
    },
    ...await readLog(join(folder, LOG_FILE)),
  };
}

/** What the log of a run says. */
async function readLog(path: string): Promise<Partial<Facts>> {
  if (!await exists(path)) return {};
  const lines = (await readTextFile(path, LARGEST_LIST)).split("\n")
    .filter((line) => line.trim() !== "");
  const entries = lines.map((line, i) => {
    try {
      return parseJson(line);
    } catch {
      throw new FileError(
        `Cannot read line ${
          i + 1
        } of "${path}", which tells what the card says: repair it, or move it away`,
      );
    }
  }).filter(isJsonObject);
  const values = (name: string) =>
    entries.map((entry) => entry[name]).filter((value) => typeof value === "number");
  const [losses, heldOut] = [values("loss").slice(-20), values("evalLoss")];
  const saved = values("savedEvalLoss").at(-1);
  return {
    ...losses.length > 0 && {
      steps: values("step").reduce((a, b) => Math.max(a, b)),
      trainingLoss: losses.reduce((a, b) => a + b) / losses.length,
    },
    ...heldOut.length > 1 && { lossBefore: heldOut[0] },
    ...heldOut.length > 0 && { lossAfter: saved ?? heldOut.at(-1) },
  };
}

/** The command that repeats a run, on files of these names. */
function commandOf(options: Record<string, unknown>): string {
  const flags = Object.entries(options).flatMap(([name, value]) => {
    if (value === null || value === "" || !/^\w+$/.test(name)) return [];
    if (typeof value === "boolean") return [`--${value ? "" : "no-"}${kebabCase(name)}`];
    const values = isPath(name) ? [value].flat().map(named) : [shownValue(value)];
    return values.map((one) => `--${kebabCase(name)} ${quoted(one)}`);
  });
  return [`deno run -A jsr:${packageConfig.name}@${packageConfig.version}/cli train`, ...flags]
    .join(" \\\n  ");
}

function shownValue(value: unknown): string {
  if (Array.isArray(value)) return value.join(",");
  if (!isJsonObject(value)) return String(value);
  return Object.entries(value).map(([key, column]) => `${key}=${column}`).join(",");
}

function quoted(value: string): string {
  return /^[\w@%+=:,./-]+$/.test(value) ? value : `'${value.replaceAll("'", String.raw`'\''`)}'`;
}

/** Whether an option names a file or a folder, or may. */
function isPath(name: string): boolean {
  const flag = Object.entries<Flag<unknown>>(TRAIN_FLAGS).find(([known]) => known === name)?.[1];
  return name === "chatTemplate" || flag?.wanted.startsWith("a path") === true;
}

/**
 * A name on the hub as it is; of a path only the last part, which tells nothing about a machine, and of an
 * address that without what stands behind a question mark, which may be a key.
 */
function named(value: unknown): string {
  const name = String(value);
  if (/^[a-z][a-z0-9+.-]+:\/\//i.test(name)) {
    return basename(URL.parse(name)?.pathname ?? "") || "data";
  }
  const repo = repoOfFolder(name);
  if (repo) return `${repo.name}@${repo.revision}`;
  return parseDataName(name) ? name : basename(name);
}

async function readObject(path: string): Promise<Record<string, unknown>> {
  const value = await exists(path) ? await readJson(path) : {};
  return isJsonObject(value) ? value : {};
}

function text(value: unknown): string | undefined {
  return typeof value === "string" && value !== "" ? value : undefined;
}
