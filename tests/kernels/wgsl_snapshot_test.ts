/**
 * The WGSL that drivers get, written out in `snapshots/`, so that a change of a template or of constants is seen in
 * review. The variants are those that a FALQON training step records, and where it has none of a kernel, what other
 * methods, loading, evaluation and generation record, on three GPUs that are not there; beside them, those of rotated
 * int8 with stochastic updates on two.
 *
 * After a change that is meant: `deno test -A tests/kernels/wgsl_snapshot_test.ts -- --update`, and look at the
 * difference.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import { Dataset, falqon, full, lora, type Method, Model, qlora, Trainer } from "../../mod.ts";
import { readKernelFiles } from "../../scripts/bundle_wgsl.ts";
import { columnsOf, type Matrix } from "../../src/gpu/buffers.ts";
import type { Device } from "../../src/gpu/device.ts";
import { openDryDevice } from "../../src/gpu/dry_device.ts";
import { Program } from "../../src/gpu/program.ts";
import { attentionBackward, attentionForward } from "../../src/kernels/attention/attention.ts";
import { qkNorm } from "../../src/kernels/attention/qk_norm.ts";
import {
  qkNormBackward,
  qkNormWeightGradient,
} from "../../src/kernels/attention/qk_norm_backward.ts";
import { outputGate, outputGateBackward } from "../../src/kernels/attention/output_gate.ts";
import { deltaConv, deltaConvBackward, moveConvHistory } from "../../src/kernels/delta_net/conv.ts";
import { gatedNorm, gatedNormBackward } from "../../src/kernels/delta_net/gated_norm.ts";
import {
  deltaGates,
  deltaGatesBackward,
  normQueriesAndKeys,
  normQueriesAndKeysBackward,
} from "../../src/kernels/delta_net/inputs.ts";
import { deltaRule, deltaRuleBackward } from "../../src/kernels/delta_net/rule.ts";
import { addColumnSums } from "../../src/kernels/rows/column_sums.ts";
import { copyColumns } from "../../src/kernels/rows/columns.ts";
import { countMicroBatch, dropout, DROPOUT_STATE } from "../../src/kernels/rows/dropout.ts";
import { rowNormFactors } from "../../src/kernels/rows/row_norm_factors.ts";
import { scaleColumns } from "../../src/kernels/rows/scale_columns.ts";
import { rotate } from "../../src/kernels/rows/rotation.ts";
import { scale } from "../../src/kernels/rows/scale.ts";
import { softCap } from "../../src/kernels/rows/soft_cap.ts";
import { widen } from "../../src/kernels/rows/widen.ts";
import { planMemory } from "../../src/train/memory.ts";
import { kernelsOf, openDryGpu, openDryTensorGpu } from "../support/dry_gpus.ts";

const UPDATE = "deno test -A tests/kernels/wgsl_snapshot_test.ts -- --update";
const folder = new URL("snapshots/", import.meta.url);
const tiny = new URL("../../examples/tiny/", import.meta.url).pathname;

/** A GPU without f16, as native WebGPU shows it. */
function openDryF32Gpu(): Device {
  const like = { provider: "native", info: {}, gpu: { features: new Set() } };
  return openDryDevice(like as unknown as Device).device;
}

/** Odd sizes, with a rank that is large enough for tensor cores. */
const SHAPE = { batchSize: 5, sequenceLength: 47 };
const FALQON = falqon({ rank: 20 });
const SOME_ROWS = falqon({
  rank: 20,
  topK: 3,
  updateRule: "accumulate",
  scaleGranularity: "tensor",
});
const BOTH_FACTORS = falqon({ rank: 20, updateRule: "stochastic", trainA: true });
const INT8 = falqon({ rank: 20, format: "int8", updateRule: "requantize" });
const STOCHASTIC = falqon({ rank: 20, format: "int8", updateRule: "stochastic", denseType: "f32" });
const OTHERS = [qlora({ rank: 20 }), lora({ rank: 20 }), full()];

/** Kinds of GPU and of methods: the step of each kind's first method shows the main variants. */
const GPUS: Record<string, { open: () => Device; methods: Method[] }> = {
  native: { open: openDryGpu, methods: [FALQON, SOME_ROWS, BOTH_FACTORS, INT8, ...OTHERS] },
  tensor: { open: openDryTensorGpu, methods: [FALQON, SOME_ROWS, BOTH_FACTORS, INT8] },
  f32: { open: openDryF32Gpu, methods: [full()] },
  int8: { open: openDryGpu, methods: [STOCHASTIC] },
  int8tensor: { open: openDryTensorGpu, methods: [STOCHASTIC] },
};

/** Records all that a run does with a method: loading, training, evaluation, generation. */
async function recordRun(device: Device, method: Method): Promise<void> {
  using model = await Model.load(`${tiny}model`, { device });
  const data = Dataset.from(`${tiny}instructions_eval.jsonl`);
  const options = { ...SHAPE, steps: 1, schedule: "constant", updateStats: true } as const;
  using trainer = await Trainer.create({ model, data, method, ...options });
  for await (const _ of trainer.run());
  await trainer.evaluate(data);
  for await (const _ of model.generate("Once", { maxNewTokens: 2 }));
}

/** Records what reads the 16 bits of a file's weights, which the tiny model has none of. */
function recordWidening(device: Device): void {
  const out = device.matrix(5, 7, device.hasF16 ? "f16" : "f32", "widened");
  widen(new Program(device), { raw: device.allocate(2 * 5 * 7, "raw"), dtype: "BF16", out });
}

/** Records the gradient of a bias, which the tiny model has none of. */
function recordBiasGradient(device: Device): void {
  const [input, out] = [5, 1].map((rows) => columnsOf(device.matrix(rows, 7, "f32", "operand")));
  addColumnSums(new Program(device), { input, out });
}

/** Records adding a gradient to that of a stream without a norm between, which the tiny model has none of. */
function recordAdding(device: Device): void {
  const [input, output] = [0, 1].map(() => device.matrix(5, 7, "f32", "gradients"));
  rotate(new Program(device), { input, output, accumulate: true, block: 1 });
}

/** Records what caps logits, which the tiny model's have no cap for. */
function recordCap(device: Device): void {
  softCap(new Program(device), { values: device.matrix(5, 7, "f32", "logits"), cap: 30 });
}

/** Records what multiplies by a number of the model, which the tiny one has none of. */
function recordScale(device: Device): void {
  const factor = device.vector(1, "f32", "factor");
  scale(new Program(device), { values: device.matrix(5, 7, "f32", "stream"), factor });
}

/** Records copying columns, which the tiny model has no need of. */
function recordColumns(device: Device): void {
  const [from, to] = [0, 1].map(() => columnsOf(device.matrix(5, 7, "f32", "columns")));
  copyColumns(new Program(device), { from, to, factor: 2 });
}

/** Records what DoRA and dropout add to LoRA. */
function recordDora(device: Device): void {
  const program = new Program(device);
  const [input, out] = [0, 1].map(() => device.matrix(5, 16, "f32", "operand"));
  const factors = device.vector(16, "f32", "factors");
  const magnitude = device.matrix(1, 5, "f32", "magnitude");
  rowNormFactors(program, { input, magnitude, factors, inverse: factors });
  scaleColumns(program, { input, factors, bias: factors, addend: input, out });
  const state = device.vector(DROPOUT_STATE, "u32", "state");
  countMicroBatch(program, state);
  dropout(program, { input, out, state, tensor: 0, rate: 0.1 });
}

/** Records attention of wide heads in f16, which the tiny model has none of. */
function recordWideHeads(device: Device): void {
  if (!device.hasF16 || device.matrixConfigs.length > 0) return;
  const [tokens, heads, headDim] = [5, 1, 80];
  const blocks = (matrix: Matrix) =>
    [0, 1, 2].map((part) => columnsOf(matrix, part * headDim, headDim));
  const [q, k, v] = blocks(device.matrix(tokens, 3 * headDim, "f16", "qkv"));
  const [dQ, dK, dV] = blocks(device.matrix(tokens, 3 * headDim, "f32", "gradients"));
  const output = device.matrix(tokens, headDim, "f32", "output");
  const logSumExp = device.matrix(tokens, heads, "f32", "logSumExp");
  const documents = device.allocate(8 * tokens, "documents");
  const both = { q, k, v, documents, output, logSumExp, heads, kvHeads: heads, headDim };
  const rotation = {
    positions: device.vector(tokens, "u32", "positions"),
    frequencies: device.vector(headDim, "u32", "frequencies"),
  };
  const program = new Program(device);
  attentionForward(program, both);
  attentionBackward(program, { ...both, rotation, dOutput: output, dQ, dK, dV });
}

/** Records the norms of queries and keys, which the tiny model has none of: their weights are trained in f32 alone. */
function recordQkNorms(device: Device): void {
  const [tokens, heads, kvHeads, headDim] = [5, 2, 1, 64];
  const shape = { over: "head", heads, kvHeads, headDim } as const;
  const columns = (matrix: Matrix) => ({
    q: columnsOf(matrix, 0, heads * headDim),
    k: columnsOf(matrix, heads * headDim, headDim),
    v: columnsOf(matrix, (heads + 1) * headDim, headDim),
  });
  const make = (type: "f32" | "f16") => device.matrix(tokens, 4 * headDim, type, "qkv");
  const weight = device.vector(headDim, "f32", "weight");
  const rstd = device.matrix(tokens, heads + kvHeads, "f32", "rstd");
  const rotation = {
    positions: device.vector(tokens, "u32", "positions"),
    frequencies: device.vector(headDim, "u32", "frequencies"),
  };
  const program = new Program(device);
  const [type, dQkv] = [device.hasF16 ? "f16" : "f32", make("f32")] as const;
  const weights = { ...shape, qWeight: weight, kWeight: weight };
  qkNorm(program, {
    ...{ ...weights, ...columns(make(type)), eps: 1e-6, rotation, rstd },
    output: make(type),
  });
  qkNormWeightGradient(program, {
    ...{ ...shape, ...columns(make("f32")), rstd, dQkv },
    ...{ dQWeight: weight, dKWeight: weight },
  });
  qkNormBackward(program, { ...weights, ...columns(make(type)), rstd, dQkv });
}

/** Records a delta net, which the tiny model has none of: its parameters are trained. */
function recordDeltaNet(device: Device): void {
  const heads = { keyHeads: 2, keyDim: 128, valueHeads: 4, valueDim: 128 };
  const matrix = (cols: number) => device.matrix(5, cols, "f32", "operand");
  const vector = (length: number) => device.vector(length, "f32", "weights");
  const row = device.matrix(1, 4, "f32", "gradient");
  const documents = device.allocate(40, "documents");
  const columns = { k: 256, v: 512, z: 1024, b: 1536, a: 1552 };
  const [merged, qkv, gates, values, rstd] = [1568, 1024, 8, 512, 4].map(matrix);
  const conv = { heads, width: 4, merged, columns, weight: vector(4096) };
  const ofGates = { heads: 4, merged, columns, aLog: vector(4), dtBias: vector(4), gates };
  const rule = { heads, qkv, gates };
  const norm = { heads: 4, input: values, merged, zColumn: 1024, weight: vector(128), eps: 1e-6 };
  const program = new Program(device);
  deltaConv(program, { ...conv, before: { documents }, output: qkv });
  moveConvHistory(program, { ...conv, history: device.matrix(3, 1024, "f32", "history") });
  deltaConvBackward(program, {
    ...conv,
    documents,
    d: qkv,
    dMerged: merged,
    dWeight: vector(4096),
  });
  normQueriesAndKeys(program, { heads, qkv, rstd });
  normQueriesAndKeysBackward(program, { heads, qkv, rstd, dQkv: qkv });
  deltaGates(program, ofGates);
  const parameters = { dALog: row, dDtBias: row };
  deltaGatesBackward(program, { ...ofGates, dGates: gates, dMerged: merged, parameters });
  deltaRule(program, { ...rule, from: { documents }, output: values });
  deltaRuleBackward(program, { ...rule, documents, dOutput: values, dQkv: qkv, dGates: gates });
  gatedNorm(program, { ...norm, output: values });
  const gradients = { dOutput: values, dInput: values, dMerged: merged, dWeight: vector(128) };
  gatedNormBackward(program, { ...norm, ...gradients });
}

/** Records the gate of attention's output, which the tiny model has none of. */
function recordOutputGate(device: Device): void {
  const [attended, merged] = [16, 48].map((cols) => device.matrix(5, cols, "f32", "operand"));
  const z = columnsOf(merged, 16, 16);
  const program = new Program(device);
  outputGate(program, { attended, z, output: attended });
  outputGateBackward(program, { attended, z, d: attended, dZ: z });
}

/** The text of each kernel's first variant on a GPU, by the name of the kernel. */
async function firstVariants({ open, methods }: typeof GPUS[string]): Promise<Map<string, string>> {
  const asked = await kernelsOf(async () => {
    const device = open();
    using model = await Model.load(`${tiny}model`, { device: open() });
    const request = { config: model.config, method: methods[0], device, ...SHAPE };
    await planMemory({ ...request, gradientCheckpointing: false, updateStats: false });
    for (const method of methods) await recordRun(open(), method);
    recordWidening(device);
    recordBiasGradient(device);
    recordAdding(device);
    recordCap(device);
    recordScale(device);
    recordColumns(device);
    recordWideHeads(device);
    recordQkNorms(device);
    recordDeltaNet(device);
    recordOutputGate(device);
    recordDora(device);
  });
  return new Map([...asked].map(([name, [first]]) => [name, first.code]));
}

/** Texts by the names of their files; a GPU that asks for the text of an earlier one has no file of its own. */
async function mainVariants(): Promise<Map<string, string>> {
  const files = new Map<string, string>();
  for (const [gpu, methods] of Object.entries(GPUS)) {
    for (const [name, text] of await firstVariants(methods)) {
      const known = Object.keys(GPUS).some((other) => files.get(`${name}__${other}.wgsl`) === text);
      if (!known) files.set(`${name}__${gpu}.wgsl`, text);
    }
  }
  return files;
}

async function readSnapshots(): Promise<Map<string, string>> {
  const files = new Map<string, string>();
  for (const { name } of Deno.readDirSync(folder)) {
    files.set(name, await Deno.readTextFile(new URL(name, folder)));
  }
  return files;
}

/** Writes the files that are new or different, and removes those that are no more. */
async function update(files: Map<string, string>): Promise<void> {
  await Deno.mkdir(folder, { recursive: true });
  for (const name of (await readSnapshots()).keys()) {
    if (!files.has(name)) await Deno.remove(new URL(name, folder));
  }
  for (const [name, text] of files) await Deno.writeTextFile(new URL(name, folder), text);
}

Deno.test("the WGSL of each kernel's main variants is what its snapshot shows", async () => {
  const files = await mainVariants();
  if (Deno.args.includes("--update")) await update(files);
  const snapshots = await readSnapshots();
  for (const name of new Set([...files.keys(), ...snapshots.keys()])) {
    const same = files.get(name) === snapshots.get(name);
    assert(
      same,
      `tests/kernels/snapshots/${name} is not the text of today: if that is meant, ${UPDATE}`,
    );
  }
  const shown = new Set([...files.keys()].map((name) => name.split("__")[0]));
  const kernels = readKernelFiles().filter(({ isKernel }) => isKernel).map(({ name }) => name);
  assertEquals([...shown].sort(), kernels);
});
