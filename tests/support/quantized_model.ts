/**
 * Quantised checkpoints as other tools write them, made of the tiny model: small files for what does
 * not need a trained one.
 *
 * @module
 */

import { join } from "node:path";
import { fromFloat32, toFloat32 } from "../../src/io/dtype.ts";
import { SafetensorsFile, type TensorSource, writeSafetensors } from "../../src/io/safetensors.ts";
import { codecOf, type NumberFormat } from "../../src/numerics/formats.ts";
import { FORMATS } from "../../src/numerics/formats.ts";
import { writeTinyModel } from "./tiny_model.ts";
import { decodeBlocks } from "../oracle/scale_grid.ts";

/** A scheme, and how its files spell it. */
export interface Scheme {
  /** The block of config.json. */
  quantization: Record<string, unknown>;
  format: NumberFormat;
  /** What shares a scale. */
  weights: "row" | "tensor" | readonly [rows: number, cols: number];
  /** What scales of weights and of activations are called; null where those have none. */
  names: { weight: string; activation: string | null };
  /** Of the scales. */
  dtype: "F32" | "F16" | "BF16";
  /** The shape of a single scale. */
  single?: number[];
}

/** The block of compressed-tensors for FP8 or int8. */
export function compressedTensors(
  weights: object,
  activations: object,
  more: object = {},
  type: "float" | "int" = "float",
): Record<string, unknown> {
  const common = { num_bits: 8, type, symmetric: true, group_size: null, block_structure: null };
  return {
    quant_method: "compressed-tensors",
    format: `${type}-quantized`,
    quantization_status: "compressed",
    sparsity_config: {},
    transform_config: {},
    kv_cache_scheme: null,
    ignore: ["lm_head"],
    config_groups: {
      group_0: {
        targets: ["Linear"],
        weights: { ...common, dynamic: false, ...weights },
        input_activations: { ...common, dynamic: true, ...activations },
        output_activations: null,
      },
    },
    ...more,
  };
}

const TOKEN = { strategy: "token" };
const CT = { weight: "weight_scale", activation: null };
const BLOCK = [16, 24] as const; // cuts every matrix of the tiny model

/** One of each scheme that is accepted. */
export const SCHEMES: Readonly<Record<string, Scheme>> = {
  "compressed-tensors, FP8 per row": {
    quantization: compressedTensors({ strategy: "channel" }, TOKEN),
    format: FORMATS.e4m3,
    weights: "row",
    names: CT,
    dtype: "F16",
  },
  "compressed-tensors, FP8 static": {
    quantization: compressedTensors(
      { strategy: "tensor" },
      { strategy: "tensor", dynamic: false },
      { sparsity_config: { format: "dense", global_sparsity: 0.1, ignore: [] } },
    ),
    format: FORMATS.e4m3,
    weights: "tensor",
    names: { weight: "weight_scale", activation: "input_scale" },
    dtype: "F32",
    single: [1],
  },
  "compressed-tensors, FP8 per block": {
    quantization: compressedTensors(
      { strategy: "block", block_structure: [...BLOCK] },
      { strategy: "group", group_size: 128 },
    ),
    format: FORMATS.e4m3,
    weights: BLOCK,
    names: CT,
    dtype: "BF16",
  },
  "compressed-tensors, int8": {
    quantization: compressedTensors({ strategy: "channel" }, TOKEN, {}, "int"),
    format: FORMATS.int8,
    weights: "row",
    names: CT,
    dtype: "F32",
  },
  "fp8 per block": {
    quantization: {
      quant_method: "fp8",
      fmt: "e4m3",
      activation_scheme: "dynamic",
      weight_block_size: [...BLOCK],
    },
    format: FORMATS.e4m3,
    weights: BLOCK,
    names: { weight: "weight_scale_inv", activation: null },
    dtype: "F32",
  },
  "fp8 static": {
    quantization: {
      quant_method: "fp8",
      activation_scheme: "static",
      weight_block_size: null,
      modules_to_not_convert: ["lm_head", "model.vision_tower"],
      dequantize: false,
    },
    format: FORMATS.e4m3,
    weights: "tensor",
    names: { weight: "weight_scale_inv", activation: "activation_scale" },
    dtype: "BF16",
    single: [],
  },
  AutoFP8: {
    quantization: {
      quant_method: "fp8",
      activation_scheme: "static",
      ignored_layers: ["re:.*lm_head"],
      kv_cache_quant_targets: [],
    },
    format: FORMATS.e4m3,
    weights: "tensor",
    names: { weight: "weight_scale", activation: "input_scale" },
    dtype: "F32",
    single: [],
  },
};

/** A tensor of a file. */
export type Stored = TensorSource & { data: () => Uint8Array<ArrayBuffer> };

/** What to write otherwise. */
export interface QuantizedModelOptions {
  /** Linear layers that stay unquantised, as ends of their modules' names. */
  unquantised?: readonly string[];
  /** Fields of config.json, for the tiny model of another family. */
  config?: Record<string, unknown>;
  /** Changes the tensors before they are written. */
  edit?: (tensors: Map<string, Stored>) => void;
}

/**
 * Writes the tiny model quantised by a scheme.
 *
 * @returns What its parameters decode to.
 */
export async function writeQuantizedModel(
  folder: string,
  { quantization, format, weights, names, dtype, single = [1] }: Scheme,
  { unquantised = [], config = {}, edit = () => {} }: QuantizedModelOptions = {},
): Promise<Map<string, Float32Array>> {
  await writeTinyModel(folder, {
    config: { ...config, quantization_config: quantization },
    // So that what is not quantised is saved as it is.
    edit: (_, values) => values.set(roundTo("BF16", Float32Array.from(values))),
  });
  const path = join(folder, "model.safetensors");
  const tensors = new Map<string, Stored>();
  const decoded = new Map<string, Float32Array>();
  const add = (tensor: Stored) => tensors.set(tensor.name, tensor);
  {
    using file = await SafetensorsFile.open(path);
    for (const { name, shape, dtype: stored } of file.tensors.values()) {
      const bytes = await file.read(name);
      const values = new Float32Array(bytes.slice().buffer);
      const module = name.replace(/\.weight$/, "");
      if (!/_proj\.weight$/.test(name) || unquantised.some((end) => module.endsWith(end))) {
        decoded.set(name, values);
        add({ name, shape: [...shape], dtype: stored, data: () => bytes });
        continue;
      }
      const [rows, cols] = shape;
      const block = weights === "row"
        ? [1, cols] as const
        : weights === "tensor"
        ? [rows, cols] as const
        : weights;
      const scales = roundTo(
        dtype,
        largestOf(values, cols, block).map((x) => 1.01 * x / format.max),
      );
      const perRow = Math.ceil(cols / block[1]);
      const scaled = values.map((value, i) =>
        value /
        scales[
          Math.floor(Math.floor(i / cols) / block[0]) * perRow + Math.floor(i % cols / block[1])
        ]
      );
      const codes = codecOf(format).encode(scaled);
      decoded.set(name, Float32Array.from(decodeBlocks(format, codes, cols, scales, block)));
      add({ name, shape: [rows, cols], dtype: format.dtype, data: () => codes });
      const scaleShape = weights === "tensor" ? single : [Math.ceil(rows / block[0]), perRow];
      const scale = (name: string, shape: number[], values: Float32Array<ArrayBuffer>) =>
        add({ name: `${module}.${name}`, dtype, shape, data: () => fromFloat32(values, dtype) });
      scale(names.weight, scaleShape, scales);
      if (names.activation) scale(names.activation, single, Float32Array.of(0.5));
    }
  }
  edit(tensors);
  await Deno.remove(path);
  await writeSafetensors(path, [...tensors.values()]);
  return decoded;
}

/** The largest magnitude of each block. */
function largestOf(
  values: Float32Array,
  cols: number,
  [rowsPerBlock, colsPerBlock]: readonly [number, number],
): Float32Array<ArrayBuffer> {
  const perRow = Math.ceil(cols / colsPerBlock);
  const largest = new Float32Array(Math.ceil(values.length / cols / rowsPerBlock) * perRow);
  values.forEach((value, i) => {
    const [row, col] = [Math.floor(i / cols), i % cols];
    const block = Math.floor(row / rowsPerBlock) * perRow + Math.floor(col / colsPerBlock);
    largest[block] = Math.max(largest[block], Math.abs(value));
  });
  return largest;
}

function roundTo(
  dtype: Scheme["dtype"],
  values: Float32Array<ArrayBuffer>,
): Float32Array<ArrayBuffer> {
  return toFloat32(fromFloat32(values, dtype).slice(), dtype);
}
