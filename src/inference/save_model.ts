/**
 * Writes the network of a model: a Hugging Face folder, or a PEFT adapter.
 *
 * @module
 */

import { join, resolve } from "node:path";
import { checkInteger, checkOneOf } from "../checks.ts";
import { OptionError } from "../errors.ts";
import { submitOnce } from "../gpu/submit_once.ts";
import { writeAll } from "../io/atomic.ts";
import { exists } from "../io/exists.ts";
import { toFileError } from "../io/file_error.ts";
import { repoOfFolder } from "../io/hub/names.ts";
import { readJson } from "../io/json.ts";
import { ADAPTER_CONFIG_FILE, writePeftAdapter } from "../io/peft.ts";
import { type TensorSource, writeSafetensors } from "../io/safetensors.ts";
import { WEIGHTS_FILE } from "../io/weights.ts";
import type { SavedAdapter, SavedModel } from "../layers/method.ts";
import { parseModelConfig } from "../model/config.ts";
import type { Network } from "../model/network.ts";
import { quantizationBlock } from "../model/quantization_config.ts";
import { transformConfig } from "../model/transform_config.ts";
import { CODE_FORMATS, type CodeFormat } from "../numerics/formats.ts";
import {
  biasTensors,
  denseTensors,
  type Form,
  linearTensors,
  rotatedKinds,
  rotationTensors,
  unquantizedModules,
} from "./saved_tensors.ts";

/** Files of a model folder that training does not change. */
const COPIED = [
  "tokenizer.json",
  "tokenizer_config.json",
  "special_tokens_map.json",
  "chat_template.jinja",
  "generation_config.json",
];

const CONFIG_FILE = "config.json";

/** Names of the dtypes in config.json. */
const TORCH_DTYPES = { F32: "float32", F16: "float16", BF16: "bfloat16" } as const;

/** A format that a model can be saved in, whatever it was trained in. */
export type SaveFormat = CodeFormat | "bf16";

/** Every {@linkcode SaveFormat}. */
export const SAVE_FORMATS: readonly SaveFormat[] = [...CODE_FORMATS, "bf16"];

/** Options of `Model.save` and `Trainer.save`. */
export interface SaveOptions {
  /** Write over a model that is there. Default false. */
  overwrite?: boolean;
  /**
   * Write a whole model in this format, adapters merged in. Linear layers in `fp8` and `int8` have one
   * scale per row; what else there is, is then BF16. Default: the form of the method.
   *
   * Weights are rounded to nearest, or where they stand close to the codes stochastically: so nothing
   * that was learned is lost on average. Only the loss tells what it cost: evaluate what was written.
   */
  saveAs?: SaveFormat;
  /**
   * Write a model whose layers rotate their inputs as it is, with the `transform_config` that
   * compressed-tensors has for it. Not every tool applies it, and transformers ignores it without a
   * word. Default false: its weights are rotated back, and quantised anew.
   */
  rotated?: boolean;
  /** Seeds stochastic rounding. Default 0. */
  seed?: number;
  /** Ends the saving between tensors: its reason is thrown, and nothing half-written is left. */
  signal?: AbortSignal;
}

/** The files that a model was loaded from. */
export interface ModelSource {
  readonly folder: string;
  /** The name in the files of a tensor that goes by another in the plan. */
  fileName(name: string): string;
  /** Tensors that are no part of the text model, to be written as they are. */
  carried(): TensorSource[];
}

/** What was written. */
export interface SaveResult {
  /** Whether the weights of linear layers were rounded on the way, so that the loss may differ. */
  rounded: boolean;
}

/**
 * Writes a network in the form that its method chooses (a model folder, or a PEFT adapter folder), or
 * as a model in another format.
 *
 * Files are written under temporary names and then renamed. The file by which a folder is known,
 * `config.json` or `adapter_config.json`, is the last to come, and the first of an overwritten
 * model to go, so that a folder never looks like a model while it holds files of two models.
 *
 * @param source What the model was loaded from: what is not trained is copied from there.
 * @throws {OptionError} if the folder holds a model and `overwrite` is not given, the method has
 * no file format, or `rotated` is asked of a model that is not.
 * @throws {FileError} if something cannot be written; nothing half-written is left.
 */
export async function saveNetwork(
  network: Network,
  source: ModelSource,
  folder: string,
  options: SaveOptions = {},
): Promise<SaveResult> {
  const { overwrite = false, signal } = options;
  const saved = formOf(network, options);
  const marker = "model" in saved ? CONFIG_FILE : ADAPTER_CONFIG_FILE;
  if (!overwrite && await exists(join(folder, marker))) {
    throw new OptionError(
      `Cannot save to "${folder}" as it holds a model: choose another folder or allow to overwrite`,
    );
  }
  const staging = join(folder, ".saving");
  try {
    await Deno.mkdir(folder, { recursive: true });
    await remove(staging);
    if ("model" in saved) {
      await writeModel(network, saved, source, staging, signal);
    } else {
      const { config } = saved;
      const tensors = await saved.tensors();
      await writePeftAdapter(staging, { config, tensors }, baseOf(source.folder));
    }
    signal?.throwIfAborted();
    await replace(staging, folder, marker);
  } catch (error) {
    await remove(staging).catch(() => {}); // the first error is the one to report
    signal?.throwIfAborted();
    throw toFileError("write", folder, error);
  }
  return { rounded: "model" in saved && isRounded(network, saved) };
}

/** What leads an adapter to its model from anywhere: a name on a hub and its commit, or a full path. */
function baseOf(folder: string): { baseModel: string; baseRevision?: string } {
  const repo = repoOfFolder(folder);
  if (repo?.kind !== "model") return { baseModel: resolve(folder) };
  return { baseModel: repo.name, baseRevision: repo.revision };
}

/**
 * How a network is to be written.
 *
 * @throws {OptionError} if it cannot be.
 */
export function formOf(
  network: Network,
  { saveAs, rotated = false, seed = 0 }: SaveOptions,
): Form | SavedAdapter {
  checkInteger("seed", seed, 0);
  if (saveAs !== undefined) checkOneOf("saveAs", saveAs, SAVE_FORMATS);
  const linears = network.linears();
  // Some methods have no form of their own.
  const own = saveAs === undefined || linears.some(({ stored }) => stored)
    ? network.layers.saved()
    : null;
  const isRotated = linears.some(({ rotation }) => rotation > 1);
  if (rotated && !(isRotated && own?.kind === "model" && isFormat(own, saveAs))) {
    throw new OptionError(
      "Cannot save the model rotated as its layers are not stored so in that format: leave rotated out",
    );
  }
  if (saveAs === undefined && own?.kind === "adapter") return own;
  const model = own?.kind === "model" && isFormat(own, saveAs) ? own : modelAs(saveAs!);
  return { model, asStored: model === own && (rotated || !isRotated), rotated, seed };
}

/** Whether weights of linear layers change by being written, values beside codes to BF16. */
function isRounded(network: Network, form: Form): boolean {
  return !form.asStored ||
    (form.model.codes !== null && unquantizedModules(network, form).length > 0);
}

/** Whether a model is in the format that is asked for, if one is. */
function isFormat({ codes }: SavedModel, saveAs?: SaveFormat): boolean {
  return saveAs === undefined || codes?.format === saveAs;
}

function modelAs(format: SaveFormat): SavedModel {
  const codes = format === "bf16" ? null : { format, granularity: "row" as const };
  return { kind: "model", dtype: "BF16", codes };
}

/** Moves the files of a finished staging folder to their final place. */
async function replace(staging: string, folder: string, marker: string): Promise<void> {
  await remove(join(folder, marker));
  const names = [...Deno.readDirSync(staging)].map(({ name }) => name);
  for (const name of [...names.filter((name) => name !== marker), marker]) {
    await Deno.rename(join(staging, name), join(folder, name));
  }
  await Deno.remove(staging);
}

async function remove(path: string): Promise<void> {
  if (await exists(path)) await Deno.remove(path, { recursive: true });
}

async function writeModel(
  network: Network,
  form: Form,
  source: ModelSource,
  folder: string,
  signal?: AbortSignal,
): Promise<void> {
  await Deno.mkdir(folder);
  const { device, layers } = network;
  if (layers.flush) await submitOnce(device, (program) => layers.flush!(program));
  const tensors = denseTensors(network, form);
  if (form.rotated) tensors.push(...rotationTensors(network));
  for (const linear of network.linears()) {
    signal?.throwIfAborted();
    tensors.push(...await linearTensors(linear, form), ...biasTensors(network, linear, form));
  }
  const carried = source.carried();
  const named = tensors.map((tensor) => ({ ...tensor, name: source.fileName(tensor.name) }));
  const abortable = [...named, ...carried].map((tensor): TensorSource => ({
    ...tensor,
    data: () => {
      signal?.throwIfAborted();
      return tensor.data();
    },
  }));
  await writeSafetensors(join(folder, WEIGHTS_FILE), abortable);
  const quantization = quantizationOf(network, form, carried);
  await writeConfig(network, form.model, quantization, source.folder, folder);
  for (const name of COPIED) {
    const from = join(source.folder, name);
    if (await exists(from)) await Deno.copyFile(from, join(folder, name));
  }
}

/** The `quantization_config` that inference engines read; null where nothing is quantised. */
function quantizationOf(
  network: Network,
  form: Form,
  carried: readonly TensorSource[],
): Record<string, unknown> | null {
  const { model: { codes }, rotated } = form;
  if (codes === null) return null;
  const { format, granularity } = codes;
  const ignore = ["lm_head", ...unquantizedModules(network, form), ...unquantizedParts(carried)];
  const scheme = { format, weights: granularity, activations: granularity, ignore };
  if (!rotated) return quantizationBlock(scheme);
  const transforms = transformConfig(rotatedKinds(network), ignore.slice(1));
  return quantizationBlock({ ...scheme, transformConfig: transforms });
}

/** What matches the modules of the parts of a model that are no text model. */
function unquantizedParts(carried: readonly TensorSource[]): string[] {
  const parts = carried.map(({ name }) => name.replace(/^model\./, "").split(".")[0]);
  return [...new Set(parts)].map((part) => `re:(.*\\.)?${part}\\..*`);
}

/**
 * The original config.json with the dtype, whether the head is the embedding and, where there is one,
 * the quantisation.
 */
async function writeConfig(
  { config: { tieWordEmbeddings } }: Network,
  { dtype }: SavedModel,
  quantization: Record<string, unknown> | null,
  source: string,
  folder: string,
): Promise<void> {
  const config = await readJson(join(source, CONFIG_FILE)) as Record<string, unknown>;
  delete config.quantization_config;
  config["torch_dtype" in config ? "torch_dtype" : "dtype"] = TORCH_DTYPES[dtype];
  if (parseModelConfig(config, `"${source}"`).tieWordEmbeddings !== tieWordEmbeddings) {
    config.tie_word_embeddings = tieWordEmbeddings;
  }
  if (quantization) config.quantization_config = quantization;
  const bytes = new TextEncoder().encode(JSON.stringify(config, null, 2) + "\n");
  using file = await Deno.open(join(folder, CONFIG_FILE), { write: true, createNew: true });
  await writeAll(file, bytes);
  await file.sync();
}
