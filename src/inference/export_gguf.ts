/**
 * Writes a model as a GGUF file, which llama.cpp, Ollama and LM Studio run: tensor by tensor on the
 * host, with an adapter merged in and codes decoded.
 *
 * @module
 */

import { expectModel } from "./loaded_model.ts";
import { basename, dirname, resolve } from "node:path";
import { statfs } from "node:fs/promises";
import { checkBoolean, checkOneOf, checkOptions, checkText, type Names } from "../checks.ts";
import { FileError, OptionError } from "../errors.ts";
import { noticeOnConsole } from "../printable.ts";
import { exists } from "../io/exists.ts";
import { ELEMENTS, encodeElements, type GgufElement } from "../io/gguf/encode.ts";
import { tokenizerMetadata } from "../io/gguf/tokenizer.ts";
import { type GgufTensor, layOutGguf, tensorBytes, writeGguf } from "../io/gguf/writer.ts";
import type { PeftAdapter } from "../io/peft.ts";
import type { Tokenizer } from "../io/tokenizer.ts";
import { readMatrixValues } from "../layers/load.ts";
import { rowsPerRead, type WeightSource } from "../layers/weight_source.ts";
import { baseChanges } from "../methods/lora/base_changes.ts";
import { expectAdapter, expectAdapterKind } from "../methods/lora/given_adapter.ts";
import { changedModel } from "../model/changed_model.ts";
import type { ModelConfig } from "../model/config.ts";
import { ggufArchitecture } from "../model/gguf_support.ts";
import { ggufMetadata, ropeFactors } from "../model/gguf_metadata.ts";
import { type GgufSource, ggufSources } from "../model/gguf_tensors.ts";
import { modelSpecs } from "../model/model_specs.ts";
import { planTensorShapes } from "../model/plan_tensors.ts";
import type { Model } from "./model.ts";
import { ModelFiles } from "./model_files.ts";
import { newBiases } from "./save_model.ts";

/** How the matrices of a GGUF file are stored. */
export type GgufType = "f32" | "f16" | "bf16" | "q8_0" | "q4_0";

/** Every {@linkcode GgufType}. */
export const GGUF_TYPES: readonly GgufType[] = ["f32", "f16", "bf16", "q8_0", "q4_0"];

/** Options of {@linkcode exportGguf}. */
export interface GgufOptions {
  /**
   * How matrices are stored; vectors are always F32. `q8_0` and `q4_0` have a scale for every 32 values:
   * 8.5 and 4.5 bits each; with `q4_0`, embedding and head are Q8_0, and matrices whose rows are no
   * multiple of 32 are F16 in both. Default `f16`.
   */
  type?: GgufType;
  /** The adapter to merge in, where `model` is a folder. Default none. */
  adapter?: PeftAdapter;
  /** Write over a file that is there. Default false. */
  overwrite?: boolean;
  /** Ends the export between tensors: its reason is thrown, and nothing half-written is left. */
  signal?: AbortSignal;
  /** Is told the file's size before it is written, and then after each tensor the bytes so far. */
  onProgress?: (progress: { done: number; total: number }) => void;
  /**
   * Is told what llama.cpp computes otherwise, and what is not written. Default: `console.warn`.
   */
  onNotice?: (notice: string) => void;
}

/** The names of {@linkcode GgufOptions}. */
const GGUF_NAMES: Names<GgufOptions> = {
  type: true,
  adapter: true,
  overwrite: true,
  signal: true,
  onProgress: true,
  onNotice: true,
};

/** What {@linkcode exportGguf} wrote. */
export interface GgufResult {
  /** Bytes of the file. */
  byteLength: number;
}

/**
 * Writes a model as a GGUF file.
 *
 * @param model A model's folder (one that FALQON wrote, too), or a model as it is on the GPU now, with
 * what was trained: `trainer.model`.
 * @param path The file, whose name ends in `.gguf` by custom.
 * @throws {OptionError} for an unknown option, if the file exists and `overwrite` is not given, or an
 * adapter is given for a model that is on the GPU.
 * @throws {ModelError} for an architecture, a tokenizer or weights that a file cannot hold, or an adapter
 * that was made for another model.
 * @throws {FileError} if something cannot be read or written; nothing half-written is left.
 * @example
 * ```ts
 * import { exportGguf, readPeftAdapter } from "@falqon/webgpu";
 *
 * const adapter = await readPeftAdapter("./adapter");
 * await exportGguf("./model", "./model-q8_0.gguf", { type: "q8_0", adapter });
 * ```
 */
export async function exportGguf(
  model: string | Model,
  path: string,
  options: GgufOptions = {},
): Promise<GgufResult> {
  checkText("path", path);
  if (typeof model === "string") checkText("model", model);
  else expectModel(model);
  checkOptions("exportGguf", options, GGUF_NAMES);
  const { type = "f16", adapter, overwrite = false } = options;
  checkOneOf("type", type, GGUF_TYPES);
  checkBoolean("overwrite", overwrite);
  if (adapter !== undefined) expectAdapterKind(adapter);
  if (!overwrite && await exists(path)) {
    throw new OptionError(
      `Cannot write "${path}" as it exists: choose another name or allow to overwrite it`,
    );
  }
  if (typeof model !== "string") {
    if (adapter) {
      throw new OptionError(
        "Cannot export a loaded model with another adapter: put it on the model by model.use, or give " +
          "the model's folder",
      );
    }
    const { folder, tokenizer } = model;
    const { config, addedBiases } = model.changed();
    if (addedBiases.length > 0) throw newBiases(addedBiases);
    return await write({ folder, tokenizer, config, source: model.source() }, path, type, options);
  }
  using files = await ModelFiles.open(model, { signal: options.signal });
  const from = { config: files.config, source: files.source() };
  const merged = adapter ? withAdapter(from, adapter) : from;
  const left = files.carried().length;
  if (left > 0) notify(options, `${left} tensors beside the text model are not written`);
  const { folder, tokenizer } = files;
  return await write({ folder, tokenizer, ...merged }, path, type, options);
}

/** A model whose weights can be read. */
interface Readable {
  folder: string;
  config: ModelConfig;
  tokenizer: Tokenizer;
  source: WeightSource;
}

function withAdapter(
  from: { config: ModelConfig; source: WeightSource },
  adapter: PeftAdapter,
): { config: ModelConfig; source: WeightSource } {
  const { linears } = modelSpecs(from.config.plan);
  expectAdapter(adapter, linears);
  const { config, source, addedBiases } = changedModel(from, baseChanges(adapter, []), linears);
  if (addedBiases.length > 0) throw newBiases(addedBiases);
  return { config, source };
}

function notify({ onNotice = noticeOnConsole }: GgufOptions, notice: string): void {
  onNotice(notice);
}

async function write(
  { folder, config, tokenizer, source }: Readable,
  path: string,
  type: GgufType,
  options: GgufOptions,
): Promise<GgufResult> {
  const { plan, modelType, vocabSize, eosTokenIds } = config;
  const arch = ggufArchitecture(modelType, plan);
  const onNotice = (notice: string) => notify(options, notice);
  const tokens = await tokenizerMetadata({ folder, tokenizer, vocabSize, eosTokenIds }, onNotice);
  const name = basename(resolve(folder));
  const metadata = new Map([
    ...ggufMetadata(arch, config, { name, type }, onNotice),
    ...tokens,
  ]);
  let done = 0;
  const shapes = planTensorShapes(plan);
  const tensors = ggufSources(arch, plan).map((from): GgufTensor => ({
    name: from.name,
    type: elementOf(from, type),
    shape: from.shape,
    data: () => encoded(from),
  }));
  for (const [name, factors] of ropeFactors(plan)) {
    tensors.push({
      name,
      type: "F32",
      shape: [factors.length],
      async *data() {
        yield await Promise.resolve(encodeElements(factors, "F32", name));
      },
    });
  }
  const layout = layOutGguf(metadata, tensors);
  const { byteLength } = layout;
  options.onProgress?.({ done: 0, total: byteLength });
  await expectSpace(path, byteLength);
  await writeGguf(path, layout);
  options.onProgress?.({ done: byteLength, total: byteLength });
  return { byteLength };

  async function* encoded(from: GgufSource): AsyncGenerator<Uint8Array> {
    options.signal?.throwIfAborted();
    const element = elementOf(from, type);
    for await (const values of readTensor(source, shapes.get(from.tensor)!, from, config)) {
      options.signal?.throwIfAborted();
      yield encodeElements(values, element, from.tensor);
    }
    done += tensorBytes({ type: element, shape: from.shape });
    options.onProgress?.({ done, total: byteLength });
  }
}

/** How a tensor is stored. */
function elementOf({ name, shape }: GgufSource, type: GgufType): GgufElement {
  if (shape.length === 1) return "F32";
  const wanted = type.toUpperCase() as GgufElement;
  const outer = name === "token_embd.weight" || name === "output.weight";
  const element = wanted === "Q4_0" && outer ? "Q8_0" : wanted;
  return shape[1] % ELEMENTS[element].elements === 0 ? element : "F16";
}

/** The values of a tensor, in whole rows. */
async function* readTensor(
  source: WeightSource,
  stored: readonly number[],
  { tensor, firstRow, shape, turned, plus }: GgufSource,
  { headDim }: ModelConfig,
): AsyncGenerator<Float32Array<ArrayBuffer>> {
  const [rows, cols] = shape.length === 1 ? [1, shape[0]] : shape;
  const whole: readonly [number, number] = stored.length === 1
    ? [1, stored[0]]
    : [stored[0], stored[1]];
  const isVector = shape.length === 1;
  // Codes are decoded as a whole, and rows of heads change places; the rest is read in parts.
  if (isVector || turned > 0 || await source.codes(tensor, whole)) {
    const all = await readMatrixValues(source, tensor, whole);
    const first = firstRow * (isVector ? 1 : cols);
    const part = all.slice(first, first + rows * cols);
    if (plus !== 0) yield part.map((value) => value + plus);
    else yield turned > 0 ? toPairs(part, isVector ? 1 : cols, headDim, turned) : part;
    return;
  }
  const step = rowsPerRead(cols);
  for (let row = 0; row < rows; row += step) {
    yield await source.rows(tensor, whole, firstRow + row, Math.min(step, rows - row));
  }
}

/**
 * Heads whose components i and i + turned / 2 turn together become ones whose neighbours do; those from
 * `turned` on stay where they are.
 */
function toPairs(
  values: Float32Array<ArrayBuffer>,
  cols: number,
  headDim: number,
  turned: number,
): Float32Array<ArrayBuffer> {
  const out = new Float32Array(values.length);
  const half = turned / 2;
  for (let row = 0; row < values.length / cols; row++) {
    const component = row % headDim;
    const paired = 2 * (component % half) + Math.floor(component / half);
    const to = row - component + (component < turned ? paired : component);
    out.set(values.subarray(row * cols, (row + 1) * cols), to * cols);
  }
  return out;
}

/** Whether the disk has room, where that may be asked. */
async function expectSpace(path: string, needed: number): Promise<void> {
  const may = await Deno.permissions.query({ name: "sys", kind: "statfs" as "osRelease" });
  if (may.state !== "granted") return; // the disk says it itself, when it is full
  const folder = dirname(resolve(path));
  const disk = await statfs(folder).catch(() => null);
  if (disk === null || disk.bavail * disk.bsize >= needed) return;
  throw new FileError(
    `Cannot write "${path}" as it takes ${needed} bytes and the disk has ` +
      `${disk.bavail * disk.bsize} left: free some space, choose another folder, or a smaller type`,
  );
}
