/**
 * Merges an adapter into its model, or writes a model in another format, tensor by tensor on the host:
 * it takes no GPU, and no more memory than the largest tensors.
 *
 * @module
 */

import {
  checkBoolean,
  checkInteger,
  checkOneOf,
  checkOptions,
  checkText,
  type Names,
} from "../checks.ts";
import { OptionError } from "../errors.ts";
import { fromFloat32 } from "../io/dtype.ts";
import type { PeftAdapter } from "../io/peft.ts";
import { expectFinite } from "../io/finite.ts";
import type { TensorSource } from "../io/safetensors.ts";
import { writeWeights } from "../io/weights_writer.ts";
import { readMatrixValues, weightName } from "../layers/load.ts";
import { PRECISIONS } from "../layers/operand.ts";
import type { WeightSource } from "../layers/weight_source.ts";
import { baseChanges } from "../methods/lora/base_changes.ts";
import { expectAdapter, expectAdapterKind } from "../methods/lora/given_adapter.ts";
import { modelSpecs } from "../model/model_specs.ts";
import { changedModel } from "../model/changed_model.ts";
import { planTensorShapes } from "../model/plan_tensors.ts";
import { quantizationBlock } from "../model/quantization_config.ts";
import { encodeRows, encodingScales } from "../numerics/encode_rows.ts";
import { CODE_FORMATS, type CodeFormat } from "../numerics/formats.ts";
import { tensorStream } from "../numerics/stochastic.ts";
import { writeChatTemplate, writeEnds } from "./saved_tokenizer.ts";
import {
  abortable,
  CONFIG_FILE,
  copyFiles,
  fillFolder,
  unquantizedParts,
  writeConfig,
} from "./model_folder.ts";
import { ModelFiles } from "./model_files.ts";
import { newBiases } from "./save_model.ts";

/** A format that {@linkcode mergeModel} writes. */
export type MergeFormat = "f32" | "bf16" | CodeFormat;

/** Every {@linkcode MergeFormat}, the default first. */
export const MERGE_FORMATS: readonly MergeFormat[] = ["bf16", "f32", ...CODE_FORMATS];

/** Options of {@linkcode mergeModel}. */
export interface MergeOptions {
  /** The chat template to save with it, as in `Model.load`. Default: the model's own. */
  chatTemplate?: string;
  /** The adapter to merge in. Default none: the model itself in another format. */
  adapter?: PeftAdapter;
  /**
   * What to write. `fp8` and `int8` quantise the linear layers of the blocks with one scale per row, but
   * those that the model's files leave unquantised; what else there is, is then BF16. Default `bf16`,
   * which every tool reads.
   */
  saveAs?: MergeFormat;
  /** Write over a model that is there. Default false. */
  overwrite?: boolean;
  /**
   * The most bytes of a shard. Default: that of the model's largest shard; one file where it is one.
   */
  shardBytes?: number;
  /** Seeds stochastic rounding, see `SaveOptions.saveAs`. Default 0. */
  seed?: number;
  /** Ends the merging between tensors: its reason is thrown, and nothing half-written is left. */
  signal?: AbortSignal;
  /** Is told before each tensor how many are written, of how many. */
  onProgress?: (done: number, total: number) => void;
}

/** The names of {@linkcode MergeOptions}. */
const MERGE_NAMES: Names<MergeOptions> = {
  chatTemplate: true,
  adapter: true,
  saveAs: true,
  overwrite: true,
  shardBytes: true,
  seed: true,
  signal: true,
  onProgress: true,
};

/**
 * Writes a model with an adapter merged in, or in another format: `W + c·B·A` for LoRA, its rows scaled to
 * their magnitudes for DoRA, and whatever else the adapter changes. All values are computed in f32.
 *
 * @param model The model's folder.
 * @param folder Where to write.
 * @throws {OptionError} for an unknown option, if the folder holds a model and `overwrite` is not given,
 * is the model's own, or the adapter has what a model's files have no place for.
 * @throws {ModelError} if the adapter was made for another model, or weights are not finite.
 * @throws {FileError} if something cannot be read or written; nothing half-written is left.
 * @example
 * ```ts
 * import { mergeModel, readPeftAdapter } from "@falqon/webgpu";
 *
 * await mergeModel("./model", "./merged", { adapter: await readPeftAdapter("./adapter") });
 * ```
 */
export async function mergeModel(
  model: string,
  folder: string,
  options: MergeOptions = {},
): Promise<void> {
  checkText("model", model);
  checkText("folder", folder);
  checkOptions("mergeModel", options, MERGE_NAMES);
  const { adapter, saveAs = "bf16", overwrite = false, seed = 0, chatTemplate, signal } = options;
  checkOneOf("saveAs", saveAs, MERGE_FORMATS);
  checkInteger("seed", seed, 0);
  checkBoolean("overwrite", overwrite);
  if (adapter !== undefined) expectAdapterKind(adapter);
  if (options.shardBytes !== undefined) checkInteger("shardBytes", options.shardBytes, 1);
  if (chatTemplate !== undefined) checkText("chatTemplate", chatTemplate);
  await expectOther(model, folder);
  using files = await ModelFiles.open(model, { chatTemplate, signal });
  const { plan } = files.config;
  const { linears } = modelSpecs(plan);
  if (adapter !== undefined) expectAdapter(adapter, linears);
  const changes = adapter ? baseChanges(adapter, []) : new Map();
  const from = { config: files.config, source: files.source() };
  const { config, source, addedBiases } = changedModel(from, changes, linears);
  if (addedBiases.length > 0) throw newBiases(addedBiases);

  const format = saveAs === "bf16" || saveAs === "f32" ? null : saveAs;
  const dtype = saveAs === "f32" ? "F32" : "BF16";
  const weights = linears.flatMap(({ parts }) => parts).map(weightName);
  const dense = weights.filter((name) => files.source().leavesUnquantized(name));
  const coded = new Set(format ? weights.filter((name) => !dense.includes(name)) : []);
  const tensors = [...planTensorShapes(config.plan)].flatMap(([name, shape]) =>
    coded.has(name)
      ? codedTensors(source, name, shape, { format: format!, seed })
      : [denseTensor(source, name, shape, dtype)]
  );
  const carried = files.carried();
  const named = tensors.map((tensor) => ({ ...tensor, name: files.fileName(tensor.name) }));
  const counted = reporting([...named.map(expectFinite), ...carried], options.onProgress);
  await fillFolder(folder, { marker: CONFIG_FILE, overwrite, signal }, async (staging) => {
    await Deno.mkdir(staging);
    await writeWeights(staging, abortable(counted, signal), options.shardBytes ?? files.shardBytes);
    const ignore = [
      "lm_head",
      ...dense.map((name) => name.replace(/\.weight$/, "")),
      ...unquantizedParts(carried),
    ];
    await writeConfig(model, staging, {
      dtype,
      tieWordEmbeddings: config.tieWordEmbeddings,
      quantization: format &&
        quantizationBlock({ format, weights: "row", activations: "row", ignore }),
    });
    await copyFiles(model, staging);
    await writeChatTemplate(files.tokenizer, staging);
    await writeEnds(files.tokenizer, config.eosTokenIds, staging);
  });
}

/** A tensor that is not quantised. */
function denseTensor(
  source: WeightSource,
  name: string,
  shape: readonly number[],
  dtype: "F32" | "BF16",
): TensorSource {
  const data = async () => fromFloat32(await readMatrixValues(source, name, matrix(shape)), dtype);
  return { name, dtype, shape, data };
}

/** A weight as codes, and their scales, which are written after them. */
function codedTensors(
  source: WeightSource,
  name: string,
  shape: readonly number[],
  { format, seed }: { format: CodeFormat; seed: number },
): TensorSource[] {
  const { input } = PRECISIONS[format];
  const [rows, cols] = shape;
  const read = () => readMatrixValues(source, name, [rows, cols]);
  const scaling = { granularity: "row", stream: tensorStream(seed, name) } as const;
  // A file has the scales of all weights first: the weight is read again rather than kept.
  const codes = async () => encodeRows(await read(), cols, input, scaling).codes;
  const scales = async () => fromFloat32(encodingScales(await read(), cols, input, "row"), "F32");
  return [
    { name, dtype: input.dtype, shape, data: codes },
    { name: `${name}_scale`, dtype: "F32", shape: [rows, 1], data: scales },
  ];
}

/** A tensor's shape as a source takes it: what is no matrix is one row. */
function matrix(shape: readonly number[]): readonly [number, number] {
  return shape.length === 2 ? [shape[0], shape[1]] : [1, shape.reduce((a, b) => a * b, 1)];
}

/** The same tensors, which are counted as they are asked for. */
function reporting(
  tensors: readonly TensorSource[],
  onProgress: MergeOptions["onProgress"],
): TensorSource[] {
  let done = 0;
  return tensors.map((tensor) => ({
    ...tensor,
    data: () => {
      onProgress?.(done++, tensors.length);
      return tensor.data();
    },
  }));
}

/** A model is read while it is written: not into its own folder. */
async function expectOther(model: string, folder: string): Promise<void> {
  const [a, b] = await Promise.all(
    [model, folder].map((it) => Deno.realPath(it).catch(() => null)),
  );
  if (a === null || a !== b) return;
  throw new OptionError(`Cannot write to "${folder}" as the model is read from it: choose another`);
}
