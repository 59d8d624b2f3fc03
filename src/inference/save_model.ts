/**
 * Writes the network of a model: a Hugging Face folder, or a PEFT adapter.
 *
 * @module
 */

import { resolve } from "node:path";
import {
  checkBoolean,
  checkInteger,
  checkOneOf,
  checkOptions,
  checkText,
  type Names,
} from "../checks.ts";
import { OptionError } from "../errors.ts";
import { submitOnce } from "../gpu/submit_once.ts";
import { repoOfFolder } from "../io/hub/names.ts";
import { ADAPTER_CONFIG_FILE, writePeftAdapter } from "../io/peft.ts";
import { expectFinite } from "../io/finite.ts";
import type { TensorSource } from "../io/safetensors.ts";
import { writeWeights } from "../io/weights_writer.ts";
import type { SavedAdapter, SavedModel } from "../layers/saved.ts";
import type { Network } from "../model/network.ts";
import { quantizationBlock } from "../model/quantization_config.ts";
import { transformConfig } from "../model/transform_config.ts";
import { CODE_FORMATS, type CodeFormat } from "../numerics/formats.ts";
import { type SavedTokenizer, writeChatTemplate, writeEnds } from "./saved_tokenizer.ts";
import {
  abortable,
  CONFIG_FILE,
  copyFiles,
  fillFolder,
  unquantizedParts,
  writeConfig,
} from "./model_folder.ts";
import {
  biasTensors,
  denseTensors,
  type Form,
  linearTensors,
  rotatedKinds,
  rotationTensors,
  unquantizedModules,
} from "./saved_tensors.ts";

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

/** The names of {@linkcode SaveOptions}. */
const SAVE_NAMES: Names<SaveOptions> = {
  overwrite: true,
  saveAs: true,
  rotated: true,
  seed: true,
  signal: true,
};

/** The files that a model was loaded from. */
export interface ModelSource {
  readonly folder: string;
  /** The tokens that end a text, and the chat template. */
  readonly tokenizer: SavedTokenizer;
  /** The name in the files of a tensor that goes by another in the plan. */
  fileName(name: string): string;
  /** Tensors that are no part of the text model, to be written as they are. */
  carried(): TensorSource[];
  /** The size of its largest shard; undefined where its weights are one file. */
  readonly shardBytes?: number;
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
 * @param source What the model was loaded from: what is not trained is copied from there.
 * @throws {OptionError} if the folder holds a model and `overwrite` is not given, the method has
 * no file format, or `rotated` is asked of a model that is not.
 * @throws {ModelError} for weights that are not finite.
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
  await fillFolder(folder, { marker, overwrite, signal }, async (staging) => {
    if ("model" in saved) return await writeModel(network, saved, source, staging, signal);
    const { config, others } = saved;
    const tensors = await saved.tensors();
    const adapter = { config, tensors, ...(others && { others }) };
    await writePeftAdapter(staging, adapter, baseOf(source.folder));
    await writeChatTemplate(source.tokenizer, staging);
  });
  return { rounded: "model" in saved && isRounded(network, saved) };
}

/**
 * Checks what `Model.save` and `Trainer.save` are given.
 *
 * @throws {OptionError} for a folder that is no text, or options that are unknown or of another kind.
 */
export function checkSaving(folder: string, options: SaveOptions): void {
  checkText("folder", folder);
  checkOptions("save", options, SAVE_NAMES);
  const { overwrite = false, rotated = false, saveAs, seed = 0 } = options;
  checkBoolean("overwrite", overwrite);
  checkBoolean("rotated", rotated);
  if (saveAs !== undefined) checkOneOf("saveAs", saveAs, SAVE_FORMATS);
  checkInteger("seed", seed, 0);
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
  if (network.addedBiases.length > 0) throw newBiases(network.addedBiases);
  const model = own?.kind === "model" && isFormat(own, saveAs) ? own : modelAs(saveAs!);
  return { model, asStored: model === own && (rotated || !isRotated), rotated, seed };
}

/** The error for an adapter that a model folder cannot hold. */
export function newBiases(names: readonly string[]): OptionError {
  return new OptionError(
    `Cannot merge the adapter as it brings biases of ${names.length} layers, such as "${
      names[0]
    }", ` +
      "which this model's files have no place for: evaluate and generate with the adapter beside the " +
      "model",
  );
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
  const all = [...named.map(expectFinite), ...carried];
  await writeWeights(folder, abortable(all, signal), source.shardBytes);
  await writeConfig(source.folder, folder, {
    dtype: form.model.dtype,
    tieWordEmbeddings: network.config.tieWordEmbeddings,
    quantization: quantizationOf(network, form, carried),
  });
  await copyFiles(source.folder, folder);
  await writeChatTemplate(source.tokenizer, folder);
  await writeEnds(source.tokenizer, network.config.eosTokenIds, folder);
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
  const scheme = { format, weights: "row", activations: granularity, ignore } as const;
  if (!rotated) return quantizationBlock(scheme);
  const transforms = transformConfig(rotatedKinds(network), ignore.slice(1));
  return quantizationBlock({ ...scheme, transformConfig: transforms });
}
