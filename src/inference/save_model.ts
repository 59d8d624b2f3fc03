/**
 * Writes what training made: a Hugging Face folder, or a PEFT adapter.
 *
 * @module
 */

import { join } from "node:path";
import { OptionError } from "../errors.ts";
import { writeAll } from "../io/atomic.ts";
import { type FloatDType, fromFloat32 } from "../io/dtype.ts";
import { exists } from "../io/exists.ts";
import { toFileError } from "../io/file_error.ts";
import { readJson } from "../io/json.ts";
import { writePeftAdapter } from "../io/peft.ts";
import { type TensorSource, writeSafetensors } from "../io/safetensors.ts";
import { WEIGHTS_FILE } from "../io/weights.ts";
import { submitOnce } from "../gpu/submit_once.ts";
import { FalqonLayers } from "../methods/falqon/falqon.ts";
import type { FalqonLinear } from "../methods/falqon/linear.ts";
import { LoraLayers } from "../methods/lora/layers.ts";
import { weightName } from "../layers/load.ts";
import { fp8QuantizationConfig } from "../model/config.ts";
import type { Model } from "./model.ts";
import type { Network } from "../model/network.ts";

/** Files of a model folder that are the same after training. */
const COPIED = [
  "tokenizer.json",
  "tokenizer_config.json",
  "special_tokens_map.json",
  "chat_template.jinja",
  "generation_config.json",
];

/** Options of `Trainer.save`. */
export interface SaveOptions {
  /** Write over a model that is there. Default false. */
  overwrite?: boolean;
}

/**
 * Writes a trained network: FALQON and full training as a model folder, LoRA as a PEFT adapter folder.
 *
 * FALQON's linear layers are stored as `F8_E4M3` codes with their scales, everything else of it in BF16; full training
 * stores F32. Files are written under temporary names and then renamed, `config.json` last, so that a folder never
 * looks like a model before it is one.
 *
 * @throws {OptionError} if the folder holds a model and `overwrite` is not given.
 * @throws {FileError} if something cannot be written; nothing half-written is left.
 */
export async function saveModel(
  model: Model,
  network: Network,
  folder: string,
  { overwrite = false }: SaveOptions = {},
): Promise<void> {
  const { layers } = network;
  const marker = layers instanceof LoraLayers ? "adapter_config.json" : "config.json";
  if (!overwrite && await exists(join(folder, marker))) {
    throw new OptionError(
      `Cannot save to "${folder}" as it holds a model: choose another folder or allow to overwrite`,
    );
  }
  const staging = join(folder, ".saving");
  try {
    await Deno.mkdir(folder, { recursive: true });
    await remove(staging);
    if (layers instanceof LoraLayers) await writeAdapter(model, layers, staging);
    else await writeModel(model, network, staging);
    const names = [...Deno.readDirSync(staging)].map(({ name }) => name).sort((a, b) =>
      Number(a === marker) - Number(b === marker)
    );
    for (const name of names) await Deno.rename(join(staging, name), join(folder, name));
    await Deno.remove(staging);
  } catch (error) {
    await remove(staging).catch(() => {}); // the first error is the one to tell
    throw toFileError("write", folder, error);
  }
}

async function remove(path: string): Promise<void> {
  if (await exists(path)) await Deno.remove(path, { recursive: true });
}

async function writeAdapter(model: Model, layers: LoraLayers, folder: string): Promise<void> {
  const { rank, alpha, useRslora, targets } = layers.settings;
  const tensors = new Map();
  for (const { adapter } of layers.linears) {
    for (const [module, pair] of await adapter?.read() ?? []) tensors.set(module, pair);
  }
  const config = { rank, alpha, useRslora, targetModules: [...targets] };
  await writePeftAdapter(folder, { config, tensors }, { baseModel: model.folder });
}

async function writeModel(model: Model, network: Network, folder: string): Promise<void> {
  await Deno.mkdir(folder);
  const { layers } = network;
  const fp8 = layers instanceof FalqonLayers ? layers : null;
  if (fp8) {
    await submitOnce(network.device, (program) => fp8.flush(program));
  }
  const plain: FloatDType = fp8 ? "BF16" : "F32";
  const tensors: TensorSource[] = [...network.dense].map(([name, { rows, cols }]) => ({
    name,
    dtype: plain,
    shape: rows === 1 ? [cols] : [rows, cols],
    data: async () => fromFloat32(await network.readParameter(name), plain),
  }));
  for (const linear of network.linears()) {
    for (const [index, part] of linear.spec.parts.entries()) {
      const name = weightName(part);
      const shape = [part.rows, linear.spec.inFeatures];
      if (!fp8) {
        const data = async () => fromFloat32(await linear.readWeight(index), plain);
        tensors.push({ name, dtype: plain, shape, data });
        continue;
      }
      const { format, codes, valueScales } = await (linear as FalqonLinear).readCodes(index);
      const scales = fp8.settings.scaling === "row" ? valueScales : valueScales.slice(0, 1);
      const scaleShape = fp8.settings.scaling === "row" ? [part.rows, 1] : [1];
      tensors.push({ name, dtype: format.dtype, shape, data: () => codes }, {
        name: `${name}_scale`,
        dtype: "F32",
        shape: scaleShape,
        data: () => fromFloat32(scales, "F32"),
      });
    }
  }
  await writeSafetensors(join(folder, WEIGHTS_FILE), tensors);
  await writeConfig(model, fp8, plain, folder);
  for (const name of COPIED) {
    const from = join(model.folder, name);
    if (await exists(from)) await Deno.copyFile(from, join(folder, name));
  }
}

/** The original config.json with the dtype and, for FP8, the quantisation that inference engines read. */
async function writeConfig(
  model: Model,
  fp8: FalqonLayers | null,
  plain: FloatDType,
  folder: string,
): Promise<void> {
  const config = await readJson(join(model.folder, "config.json")) as Record<string, unknown>;
  const dtype = plain === "BF16" ? "bfloat16" : "float32";
  delete config.quantization_config;
  if ("torch_dtype" in config) config.torch_dtype = dtype;
  else config.dtype = dtype;
  if (fp8) {
    const { scaling } = fp8.settings;
    config.quantization_config = fp8QuantizationConfig({ weights: scaling, activations: scaling });
  }
  const bytes = new TextEncoder().encode(JSON.stringify(config, null, 2) + "\n");
  using file = await Deno.open(join(folder, "config.json"), { write: true, createNew: true });
  await writeAll(file, bytes);
  await file.sync();
}
