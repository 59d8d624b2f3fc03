/**
 * `inspect`: what a model is, and the memory that training it would take.
 *
 * @module
 */

import { join } from "node:path";
import type { Device } from "../gpu/device.ts";
import { fitsInF16, type SizedBuffer } from "../gpu/too_large.ts";
import { exists } from "../io/exists.ts";
import { Weights, WEIGHTS_FILE, WEIGHTS_INDEX_FILE } from "../io/weights.ts";
import { expectTensors } from "../model/claimed_tensors.ts";
import {
  type ModelConfig,
  modelTensorShapes,
  type QuantizationConfig,
  readModelConfig,
} from "../model/config.ts";
import { type MemoryPlan, planMemory } from "../train/memory.ts";
import { type ResolvedOptions, resolveOptions } from "../train/options.ts";
import { command } from "./command.ts";
import type { Command } from "./command_type.ts";
import { group, toggle } from "./flags.ts";
import { formatBytes, formatCount, formatList, formatTable } from "./format.ts";
import { trainingMethod } from "./method.ts";
import { locate } from "./located.ts";
import { openDevice } from "./open_device.ts";
import { trainerOptions } from "./run_folder.ts";
import { GPU_FLAGS, SHAPE_FLAGS, STEP_FLAGS } from "./shared_flags.ts";
import { METHOD_FLAGS } from "./method_flags.ts";

/** The tensors of one dtype in the files of a model. */
interface StoredTensors {
  tensors: number;
  elements: number;
  bytes: number;
}

/** Everything that `inspect` finds out. */
interface Inspection {
  config: ModelConfig;
  /** Number of parameters of each kind. */
  parameters: Record<string, number>;
  /** By dtype; empty where the folder holds no weights yet. */
  files: Record<string, StoredTensors>;
  training: { method: string } & Pick<ResolvedOptions, "batchSize" | "sequenceLength">;
  memory: Omit<MemoryPlan, "buffers" | "tooLarge">;
  /** The most that this machine's GPU binds as one buffer; null without a GPU. */
  bufferLimit: number | null;
  /** Buffers of the run beyond that. */
  tooLarge: SizedBuffer[];
}

/** What makes a buffer smaller, in the words of the command line. */
const REMEDIES = {
  step: "reduce --batch-size or --sequence-length, or take a smaller model",
  text: "take a smaller model",
  model: "take a smaller model, or a GPU that binds more",
  "f32 model": "store the weights in f16 (--base f16), or take a smaller model",
  trained:
    "train an adapter over weights in f16 (--method lora --base f16), or take a smaller model",
} as const;

function remedyFor({ growsWith, size }: SizedBuffer, limit: number): string {
  const isWeight = growsWith === "f32 model" || growsWith === "trained";
  return REMEDIES[isWeight && !fitsInF16(size / limit) ? "model" : growsWith];
}

/** The command `inspect`. */
export const inspect: Command = command({
  name: "inspect",
  summary: "Show what a model is, and the memory that training it would take",
  synopsis: "MODEL [options]",
  argument: "MODEL",
  flags: {
    provider: {
      ...GPU_FLAGS.provider,
      help: "Plan for the kernels that this machine's GPU runs, by its native WebGPU or by Dawn",
      default: "those of any GPU with f16",
    },
    ...METHOD_FLAGS,
    ...SHAPE_FLAGS,
    ...STEP_FLAGS,
    ...group("Output", { json: toggle("Write JSON, sizes in bytes") }),
  },
  async run(given, terminal, model) {
    const { model: folder, ...values } = await locate({ ...given, model }, terminal, {
      weights: false,
    });
    const { config, files } = await readFolder(folder);
    await using device = values.provider && await openDevice(values, terminal);
    const method = await trainingMethod(values, device ?? { hasF16: true }, terminal);
    const options = resolveOptions({ ...trainerOptions(values), model: { config } });
    const { batchSize, sequenceLength } = options;
    const bufferLimit = await largestBuffer(device);
    const bindingLimit = bufferLimit ?? Infinity;
    const plan = await planMemory({ config, method, ...options, device, bindingLimit });
    const { buffers: _buffers, tooLarge, ...memory } = plan;
    const inspection: Inspection = {
      config,
      parameters: countParameters(config),
      files,
      training: { method: method.name, batchSize, sequenceLength },
      memory,
      bufferLimit,
      tooLarge,
    };
    const { plan: _, quantization, ...shown } = config; // the sizes say it shorter
    const json = { ...inspection, config: { ...shown, quantization: plain(quantization) } };
    terminal.stdout(values.json ? JSON.stringify(json, null, 2) + "\n" : show(inspection));
  },
});

/** Parameters by kind: embeddings, the linear layers of the blocks, the norms, the head, others. */
function countParameters(config: ModelConfig): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const [name, shape] of modelTensorShapes(config)) {
    const kind = name.includes("embed")
      ? "embedding"
      : name.includes("linear_attn")
      ? "delta nets"
      : name.includes("norm")
      ? "norms"
      : name.includes("self_attn")
      ? "attention"
      : name.includes("mlp")
      ? "mlp"
      : name.startsWith("lm_head")
      ? "lm_head"
      : "other";
    counts[kind] = (counts[kind] ?? 0) + product(shape);
  }
  return counts;
}

/** Reads what a folder says of its model, and holds its weights against that where they are there. */
async function readFolder(folder: string): Promise<Pick<Inspection, "config" | "files">> {
  const config = await readModelConfig(folder);
  const stored = await Promise.all(
    [WEIGHTS_FILE, WEIGHTS_INDEX_FILE].map((name) => exists(join(folder, name))),
  );
  if (!stored.includes(true)) return { config, files: {} };
  using weights = await Weights.open(folder);
  const files = listFiles(weights);
  // The files can have a head of its own where config.json ties it.
  const { plan } = await expectTensors(weights, config.plan, config.quantization);
  return { config: { ...config, plan, tieWordEmbeddings: plan.head.tied }, files };
}

function listFiles(weights: Weights): Record<string, StoredTensors> {
  const files: Record<string, StoredTensors> = {};
  for (const name of weights.names()) {
    const { dtype, shape, byteLength } = weights.info(name);
    const line = files[dtype] ??= { tensors: 0, elements: 0, bytes: 0 };
    line.tensors++;
    line.elements += product(shape);
    line.bytes += byteLength;
  }
  return files;
}

/** The largest buffer that kernels can bind on a device, by default the machine's. */
async function largestBuffer(device?: Device): Promise<number | null> {
  const gpu = device ??
    await navigator.gpu?.requestAdapter({ powerPreference: "high-performance" });
  if (!gpu) return null;
  const { maxBufferSize, maxStorageBufferBindingSize } = gpu.limits;
  return Math.min(maxBufferSize, maxStorageBufferBindingSize);
}

function show({ config, parameters, files, training, memory, ...limits }: Inspection): string {
  const { quantization } = config;
  const sum = Object.values(parameters).reduce((a, b) => a + b, 0);
  const count = (counts: Record<string, number>) =>
    formatTable(Object.entries(counts).map(([kind, value]) => [kind, formatCount(value)]));
  const dtypes = Object.entries(files).map(([dtype, { tensors, elements, bytes }]) =>
    `  ${dtype}: ${formatCount(elements)} values in ${tensors} tensors, ${formatBytes(bytes)}\n`
  );
  return "architecture\n" + formatList(describe(config)) +
    "parameters\n" + count({ ...parameters, total: sum }) +
    `files\n${dtypes.join("") || "  no weights\n"}` +
    `quantisation\n  ${quantization ? describeQuantization(quantization) : "none"}\n` +
    `memory to train by ${training.method}, ${training.batchSize} rows of ` +
    `${training.sequenceLength} tokens\n` + formatTable(tabulate(memory)) + warn(limits);
}

function describeQuantization(quantization: QuantizationConfig): string {
  const { format, weights, activations } = quantization;
  const shared = typeof weights === "string" ? weights : `block of ${weights.join("×")}`;
  return `${format}, one scale per ${shared} of weights and per ${activations} of activations` +
    describeRotations(quantization);
}

/** The same for JSON, which has no maps. */
function plain(quantization: QuantizationConfig | null): Record<string, unknown> | null {
  if (quantization === null) return null;
  const { transforms: { rotations }, ...rest } = quantization;
  return { ...rest, rotations: Object.fromEntries(rotations) };
}

function describeRotations({ transforms: { rotations } }: QuantizationConfig): string {
  if (rotations.size === 0) return "";
  const sizes = [...new Set(rotations.values())].join(" and ");
  return `; inputs of ${rotations.size} linear layers rotated in blocks of ${sizes}`;
}

function describe(config: ModelConfig): [string, string][] {
  const { tieWordEmbeddings, plan } = config;
  const deltaNets = plan.layers.filter(({ deltaNet }) => deltaNet).length;
  const heads = new Set(
    plan.layers.flatMap(({ attention }) =>
      attention
        ? `${attention.heads} of ${attention.headDim}, ${attention.kvHeads} for keys and values`
        : []
    ),
  );
  const widths = new Set(plan.layers.map(({ mlp }) => mlp.width));
  return [
    ["layers", `${config.numLayers}${deltaNets > 0 ? `, ${deltaNets} of them delta nets` : ""}`],
    ["hidden size", `${config.hiddenSize}`],
    ["feed-forward size", [...widths].join(" and ")],
    ["heads", [...heads].join("; ")],
    ["vocabulary", `${config.vocabSize}${tieWordEmbeddings ? ", tied with the head" : ""}`],
    ["context", `${config.maxPositionEmbeddings}`],
  ];
}

function tabulate(memory: Inspection["memory"]): [string, string][] {
  return [
    ["weights", formatBytes(memory.weights)],
    ["adapters, gradients, moments", formatBytes(memory.training)],
    ["activations, kept by each layer", formatBytes(memory.kept)],
    ["activations, shared", formatBytes(memory.passing)],
    ["logits", formatBytes(memory.logits)],
    ["kernels' own", formatBytes(memory.kernels)],
    ["total", formatBytes(memory.total)],
    ...(memory.peak > memory.total
      ? [["for a moment, before training", formatBytes(memory.peak)] as [string, string]]
      : []),
  ];
}

function warn({ bufferLimit, tooLarge }: Pick<Inspection, "bufferLimit" | "tooLarge">): string {
  if (tooLarge.length === 0) return "";
  const [{ label, size }] = tooLarge;
  const more = tooLarge.length > 1 ? `, the largest of ${tooLarge.length} such` : "";
  const remedies = new Set<string>(tooLarge.map((buffer) => remedyFor(buffer, bufferLimit!)));
  if (remedies.has(REMEDIES.model)) {
    remedies.delete(REMEDIES["f32 model"]); // would not do
    remedies.delete(REMEDIES.trained);
  }
  return `warning: "${label}" takes ${formatBytes(size)}${more}, and this GPU binds at most ` +
    `${formatBytes(bufferLimit!)} as one buffer: ${[...remedies].join("; also ")}\n`;
}

function product(shape: readonly number[]): number {
  return shape.reduce((a, b) => a * b, 1);
}
