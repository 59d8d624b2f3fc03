/** Helpers of the attention tests: one call of the kernels beside the oracle. */

import { assert, assertEquals } from "@std/assert";
import { type ColumnBlock, columnsOf, type Matrix } from "../../src/gpu/buffers.ts";
import type { Device } from "../../src/gpu/device.ts";
import { Program } from "../../src/gpu/program.ts";
import { attentionBackward, attentionForward } from "../../src/kernels/attention/attention.ts";
import type {
  AttentionBackwardOptions,
  AttentionForwardOptions,
  AttentionHeads,
} from "../../src/kernels/attention/shapes.ts";
import { uploadRopeFrequencies } from "../../src/kernels/attention/rope_angles.ts";
import * as reference from "../oracle/attention.ts";
import { takeColumns } from "../oracle/columns.ts";
import { attentionRotation } from "../oracle/rope.ts";
import { documentBounds } from "../oracle/token_stream.ts";
import { relativeError } from "../oracle/compare.ts";
import { filled, paddingOf, uploadMatrix } from "./gpu.ts";
import { randomValues } from "./random.ts";

/** What to run. */
export interface AttentionCase extends AttentionHeads {
  /** Lengths of the documents in the stream. */
  lengths: number[];
  /** Largest magnitude of q and k. Default 2. */
  scale?: number;
  /** The kernels' `scale`. Default 1 / √headDim. */
  scoreScale?: number;
  /** The kernels' `softCap`. Default none. */
  softCap?: number;
  /** How many tokens a token sees, itself included. Default all before it. */
  window?: number;
  /** Largest magnitude of the output's gradient. Default 1. */
  gradientScale?: number;
  /** Columns between k and q in their matrix. Default 2. */
  gap?: number;
  /**
   * Whether gradients are turned back. Default false. `stretched`: turned back from longer frequencies in every second
   * document, from a factor of some planes, and from factors of queries.
   */
  rotated?: boolean | "stretched";
  /** Element type of q, k and v; `rounded`: f16's values in f32. Default f32. */
  qkvType?: "f32" | "f16" | "rounded";
  /** Element type of the output. Default f32. */
  outputType?: "f32" | "f16";
  /** The first component of a head of q, k or v that gets other bits, at a token. */
  odd?: { of: "q" | "k" | "v"; token: number; head: number; bits: number };
}

/** The recorders to test. */
export interface AttentionRecorders {
  forward: (program: Program, options: AttentionForwardOptions) => void;
  backward: (program: Program, options: AttentionBackwardOptions) => void;
}

/** What came out, beside the oracle. */
export interface AttentionResult {
  /** Relative Frobenius errors. */
  errors: Record<"output" | "logSumExp" | "dQ" | "dK" | "dV", number>;
  /** Largest magnitude in columns that must be zero. */
  padding: number;
  /** Every number the kernels wrote. */
  written: Float32Array[];
  /** The columns of the gradients' matrix that belong to no head and held NaN before. */
  foreignColumn: number[];
}

/** Runs forward and backward once over random data. Keys come first, then the foreign columns, q and v. */
export async function runAttention(
  device: Device,
  given: AttentionCase,
  { forward, backward }: AttentionRecorders = {
    forward: attentionForward,
    backward: attentionBackward,
  },
): Promise<AttentionResult> {
  const { heads, kvHeads, headDim, lengths, scale = 2, gradientScale = 1, gap = 2 } = given;
  const { rotated = false, qkvType, outputType = "f32" } = given;
  const { scoreScale, softCap, window = Infinity } = given;
  const bounds = documentBounds(lengths);
  const tokens = bounds.length / 2;
  const [wide, narrow] = [heads * headDim, kvHeads * headDim];
  const width = wide + 2 * narrow + gap;
  const random = randomValues(tokens * width, 11, scale);
  if (given.odd) {
    const { of, token, head, bits } = given.odd;
    const column = { k: 0, q: narrow + gap, v: narrow + gap + wide }[of] + head * headDim;
    new Uint32Array(random.buffer)[token * width + column] = bits;
  }
  const values = qkvType === "rounded" ? Float32Array.from(Float16Array.from(random)) : random;
  const { matrix: qkv, exact } = uploadMatrix(
    device,
    values,
    tokens,
    width,
    qkvType === "f16" ? "f16" : "f32",
  );
  const { matrix: dOutput, exact: dOut } = uploadMatrix(
    device,
    randomValues(tokens * wide, 12, gradientScale),
    tokens,
    wide,
  );
  const documents = device.vector(bounds.length, "u32", "documents");
  const inWindow = bounds.map((bound, i) => {
    const token = i >> 1;
    return i % 2 ? Math.min(bound, token + window) : Math.max(bound, token - window + 1);
  });
  device.write(documents, inWindow);
  const rotation = attentionRotation(bounds, headDim);
  const positions = device.vector(tokens, "u32", "positions");
  device.write(positions, rotation.positions);
  const stretched = rotated === "stretched" ? stretch(bounds, rotation) : null;
  if (stretched) device.write(positions, stretched.positions);
  const frequencies = uploadRopeFrequencies(
    device,
    [...rotation.inverseFrequencies, ...(stretched?.oracle.turning.longFrequencies ?? [])],
  );
  const output = device.matrix(tokens, wide, outputType, "output");
  device.write(output, new Uint8Array(output.size).fill(0xff)); // NaN
  const logSumExp = filled(device, tokens, heads, NaN);
  const gradients = filled(device, tokens, width, NaN);

  const k = columnsOf(qkv, 0, narrow);
  const q = columnsOf(qkv, narrow + gap, wide);
  const v = columnsOf(qkv, narrow + gap + wide, narrow);
  const inGradients = (block: ColumnBlock) => ({ ...block, matrix: gradients });
  const scores = { scale: scoreScale, softCap };
  const common = { q, k, v, documents, output, logSumExp, heads, kvHeads, headDim, ...scores };
  using program = new Program(device);
  forward(program, common);
  backward(program, {
    ...common,
    dOutput,
    ...(rotated && { rotation: { positions, frequencies, ...stretched?.options } }),
    dQ: inGradients(q),
    dK: inGradients(k),
    dV: inGradients(v),
  });
  (await program.prepare()).run();

  const shape = {
    numHeads: heads,
    numKeyValueHeads: kvHeads,
    headDim,
    scale: scoreScale,
    softCap,
    documentStart: inWindow.filter((_, i) => i % 2 === 0),
  };
  const [q64, k64, v64] = [q, k, v].map((block) => takeColumns(exact, width, block));
  const want = reference.attention(q64, k64, v64, shape);
  const turn = rotated ? { ...rotation, ...stretched?.oracle } : undefined;
  const { dq, dk, dv } = reference.attentionBackward(dOut, q64, k64, v64, want, shape, turn);
  const got = {
    output: await readOutput(device, output),
    logSumExp: await device.readMatrix(logSumExp),
    gradients: await device.readMatrix(gradients),
  };
  const gradient = (block: ColumnBlock) => takeColumns(got.gradients, width, block);
  const padded = outputType === "f32" ? [output, logSumExp, gradients] : [logSumExp, gradients];
  const padding = padded.map((matrix) => paddingOf(device, matrix));
  const result = {
    errors: {
      output: relativeError(got.output, want.out),
      logSumExp: relativeError(got.logSumExp, want.logSumExp),
      dQ: relativeError(gradient(q), dq),
      dK: relativeError(gradient(k), dk),
      dV: relativeError(gradient(v), dv),
    },
    padding: Math.max(...await Promise.all(padding)),
    written: [got.output, got.logSumExp, got.gradients],
    foreignColumn: [...takeColumns(got.gradients, width, { column: narrow, cols: gap })],
  };
  device.free(qkv, dOutput, documents, positions, frequencies, output, logSumExp, gradients);
  return result;
}

/** All that can happen to queries and keys as they are turned, as the kernels and as the oracle take it. */
export function stretch(
  bounds: Uint32Array,
  { positions, inverseFrequencies }: ReturnType<typeof attentionRotation>,
) {
  const { length } = positions;
  const starts = [...new Set(bounds.filter((_, i) => i % 2 === 0))];
  const long = Array.from({ length }, (_, t) => starts.indexOf(bounds[2 * t]) % 2 === 1);
  const factor = { value: 1.19, planes: Math.ceil(inverseFrequencies.length / 3) };
  const [beta, context] = [0.3, 2000];
  return {
    positions: positions.map((position, t) => position + (long[t] ? 2 ** 20 : 0)),
    options: { factor, queryScale: { beta, context } },
    oracle: {
      turning: { long, factor, longFrequencies: inverseFrequencies.map((f, i) => f / (i + 2)) },
      queryFactors: Array.from(
        positions,
        (position) => 1 + beta * Math.log(1 + Math.floor(position / context)),
      ),
    },
  };
}

/**
 * Expects of kernels that a NaN among q, k and v reaches the output of the tokens and heads that it is part
 * of: four heads, of which two each share keys and values, and two documents.
 */
export async function expectNaNSeen(
  device: Device,
  given: Partial<AttentionCase> & Pick<AttentionCase, "headDim">,
  recorders?: AttentionRecorders,
): Promise<void> {
  const shape = { heads: 4, kvHeads: 2, lengths: [40, 30], gap: 4, ...given };
  const run = (odd?: AttentionCase["odd"]) => runAttention(device, { ...shape, odd }, recorders);
  const { written: [clean] } = await run();
  const { heads, headDim } = shape;
  // As hosts write NaN, and as NVIDIA's GPUs do.
  for (const bits of [0x7fc00000, 0x7fffffff, 0xffffffff]) {
    for (const part of ["q", "k", "v"] as const) {
      const [token, head] = [17, part === "q" ? 2 : 1];
      const { written: [output] } = await run({ of: part, token, head, bits });
      for (let row = 0; row < clean.length / (heads * headDim); row++) {
        for (let h = 0; h < heads; h++) {
          const isIts = part === "q"
            ? row === token && h === head
            : row >= token && row < 40 && Math.floor(h / 2) === head;
          const at = (row * heads + h) * headDim;
          const label = `${part} ${bits.toString(16)} in row ${row}, head ${h}`;
          // A weight of zero times NaN is NaN: values reach other rows of their tile.
          if (isIts || (part === "v" && Number.isNaN(output[at]))) {
            assert(Number.isNaN(output[at]), label);
          } else assertEquals(output[at], clean[at], label);
        }
      }
    }
  }
}

/** Two variants of a kernel give the same: the same bits, unless a GPU's compiler fuses operations of one and not of the other. */
export function assertAlike(got: Float32Array[], want: Float32Array[], device: Device): void {
  if (device.isFallback) assertEquals(got, want);
  for (const [i, values] of got.entries()) {
    const known = (numbers: Float32Array) => numbers.filter((x) => !Number.isNaN(x));
    const error = relativeError(known(values), known(want[i]));
    assert(error < 1e-4, `error ${error}`);
  }
}

/** The elements of an output in f32 or f16; in f16, what is behind its columns must be zero. */
async function readOutput(device: Device, matrix: Matrix): Promise<Float32Array> {
  if (matrix.type === "f32") return await device.readMatrix(matrix);
  const { rows, cols, pitch } = matrix;
  const halves = new Float16Array(await device.read(matrix));
  assert(halves.every((value, i) => i % pitch < cols || value === 0), "zeros up to the pitch");
  return Float32Array.from(
    { length: rows * cols },
    (_, i) => halves[Math.floor(i / cols) * pitch + i % cols],
  );
}
