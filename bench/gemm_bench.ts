/**
 * How fast GEMMs are on this GPU, by layout and variant, and whether they are right.
 *
 * `deno run -A bench/gemm_bench.ts` times the shapes of a LLaMA-7B step. `--provider native|dawn`,
 * `--shapes 8192x4096x4096,…` (m×n×k), `--layouts nt,nn` and `--types fp8,f16,f32` choose;
 * `--sweep` times every variant in the list below instead of the one that the table of
 * src/kernels/gemm/variants.ts chooses. The rate counts packing and scaling as time and 2·m·n·k as
 * operations; `kernel` is the rate of the product's own kernel. Errors are relative to the product
 * in f64 of the same rounded operands, on sampled rows and columns.
 *
 * @module
 */

import type { ElementType, Matrix, Vector } from "../src/gpu/buffers.ts";
import { group, list, toggle, whole } from "../src/cli/flags.ts";
import { openDevice } from "../src/cli/open_device.ts";
import { GPU_FLAGS } from "../src/cli/shared_flags.ts";
import type { Terminal } from "../src/cli/terminal.ts";
import type { Device, Provider } from "../src/gpu/device.ts";
import { Program } from "../src/gpu/program.ts";
import { E4M3, E5M2, encodeFp8Array, fp8DecodeTable } from "../src/numerics/fp8.ts";
import { gemm, type GemmLayout } from "../src/kernels/gemm/gemm.ts";
import {
  chooseVariant,
  GEMM_VARIANTS,
  type GemmVariant,
  halfVariant,
  tensorVariant,
} from "../src/kernels/gemm/variants.ts";
import { measure, teraflops, totalMs } from "./support/measure.ts";
import { readRow } from "./support/row_checks.ts";
import { readFlags, runScript } from "./support/script.ts";
import { relativeError } from "../tests/oracle/compare.ts";

/**
 * Types of the operands of a product, as training has them: activations or gradients, and weights.
 */
const TYPES: Record<string, (layout: GemmLayout) => [ElementType, ElementType]> = {
  fp8: (layout) => [layout === "nt" ? "e4m3" : "e5m2", "e4m3"],
  f16: () => ["f16", "f16"],
  f32: () => ["f32", "f32"],
};

/** What `--sweep` compares, by provider. */
const SWEEP: Record<Provider, Record<string, GemmVariant>> = {
  native: {
    half: GEMM_VARIANTS.half,
    "half promote 1": halfVariant(128, 64, 1),
    "half promote 2": halfVariant(128, 64, 2),
    "half 64×128": halfVariant(64, 128),
    "half 128×128": halfVariant(128, 128),
    large: GEMM_VARIANTS.large,
  },
  dawn: {
    matrix: GEMM_VARIANTS.tensor,
    "matrix band 4": tensorVariant(128, 128, 4),
    "matrix band 8": tensorVariant(128, 128, 8),
    "matrix band 22": tensorVariant(128, 128, 22),
    "matrix band 64": tensorVariant(128, 128, 64),
    tensorNarrow: GEMM_VARIANTS.tensorNarrow,
    half: GEMM_VARIANTS.half,
  },
};

/** One product to time. */
export interface GemmCase {
  layout: GemmLayout;
  m: number;
  n: number;
  k: number;
  types: readonly [ElementType, ElementType];
  variant: GemmVariant;
}

/** A product's operands, output and program, freed together. */
export class GemmRun implements Disposable {
  readonly program: Program;
  readonly #case: GemmCase;
  readonly #operands: [GemmOperand, GemmOperand];
  readonly #out: Matrix;
  readonly #scales: Vector[] = [];

  constructor(readonly device: Device, given: GemmCase) {
    const { layout, m, n, k, types: [aType, bType], variant } = given;
    this.#case = given;
    const a = layout === "tn" ? [k, m] : [m, k];
    const b = layout === "nt" ? [n, k] : [k, n];
    this.#operands = [
      operand(device, a[0], a[1], aType, 1),
      operand(device, b[0], b[1], bType, 2),
    ];
    this.#out = device.matrix(m, n, "f32", "product");
    this.program = new Program(device);
    const [left, right] = this.#operands;
    // Scales of 1, so that dividing by them is part of the time and the result is the plain
    // product.
    const ones = (length: number) => {
      const scales = device.vector(length, "f32", "scales");
      device.write(scales, new Float32Array(length).fill(1));
      this.#scales.push(scales);
      return scales;
    };
    const quantized = aType !== "f32";
    gemm(this.program, {
      layout,
      a: left.matrix,
      b: right.matrix,
      out: this.#out,
      rowScales: quantized ? ones(m) : undefined,
      columnScales: quantized && layout === "nt" ? ones(n) : undefined,
      variant,
    });
  }

  /** ‖got − exact‖ / ‖exact‖ over some rows and columns, in f64. */
  async error(): Promise<number> {
    const { layout, m, n, k } = this.#case;
    const [a, b] = this.#operands;
    const at = (operand: GemmOperand, byK: boolean, x: number, kk: number) =>
      byK ? operand.value(kk, x) : operand.value(x, kk);
    const columns = Array.from({ length: n }, (_, column) => column)
      .filter((column) => column % Math.max(1, Math.floor(n / 97)) === 0);
    const rows = [0, 1, m >> 1, (m >> 1) + 7, m - 2, m - 1].filter((row) => row >= 0 && row < m);
    const [got, exact]: [number[], number[]] = [[], []];
    for (const row of new Set(rows)) {
      const values = await readRow(this.device, this.#out, row);
      for (const column of columns) {
        let sum = 0;
        for (let kk = 0; kk < k; kk++) {
          sum += at(a, layout === "tn", row, kk) * at(b, layout !== "nt", column, kk);
        }
        got.push(values[column]);
        exact.push(sum);
      }
    }
    return relativeError(got, exact);
  }

  [Symbol.dispose](): void {
    this.program[Symbol.dispose]();
    const [a, b] = this.#operands;
    this.device.free(a.matrix, b.matrix, this.#out, ...this.#scales);
  }
}

/** A matrix of test data, and the values of its elements. */
interface GemmOperand {
  matrix: Matrix;
  value: (row: number, column: number) => number;
}

/**
 * Normal values, the largest about the type's maximum where it is FP8, repeated with a prime
 * period.
 */
function operand(
  device: Device,
  rows: number,
  cols: number,
  type: ElementType,
  seed: number,
): GemmOperand {
  const matrix = device.matrix(rows, cols, type, "operand");
  const period = 1_000_003;
  const largest = type === "e4m3" ? 448 : type === "e5m2" ? 57344 : 4.5;
  let state = seed;
  const uniform = () => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) / 2 ** 32;
  const normal = () =>
    Math.sqrt(-2 * Math.log(uniform() + 1e-12)) * Math.cos(2 * Math.PI * uniform());
  const values = Float32Array.from({ length: period }, () => normal() * largest / 4.5);
  const format = type === "e4m3" ? E4M3 : E5M2;
  const encoded = type === "f32"
    ? values
    : type === "f16"
    ? Float16Array.from(values)
    : encodeFp8Array(values, format);
  const table = fp8DecodeTable(format);
  const worth = type === "f32" || type === "f16"
    ? Float64Array.from(encoded)
    : Float64Array.from(encoded, (code) => table[code]);
  // Rows at a time: the padding columns stay zero.
  const elements = rows * matrix.pitch;
  const data = new (encoded.constructor as Float32ArrayConstructor)(elements);
  for (let at = 0; at < elements; at += period) {
    data.set(encoded.subarray(0, Math.min(period, elements - at)) as Float32Array, at);
  }
  if (matrix.pitch !== cols) {
    for (let row = 0; row < rows; row++) {
      data.fill(0, row * matrix.pitch + cols, (row + 1) * matrix.pitch);
    }
  }
  device.write(matrix, data);
  return { matrix, value: (row, column) => worth[(row * matrix.pitch + column) % period] };
}

const FLAGS = {
  ...GPU_FLAGS,
  ...group("Products", {
    shapes: list("M×N×K", "Such as 8192x4096x4096", "those of a LLaMA-7B step"),
    layouts: list("NAMES", "Which of nt, nn, tn", "nt,nn"),
    types: list("NAMES", `Which of ${Object.keys(TYPES).join(", ")}`, "fp8"),
    repeats: whole("Timed runs", "9"),
    sweep: toggle("Time every variant instead of the chosen one"),
  }),
};

/** Runs the bench with a command line's words. */
async function run(args: readonly string[], terminal: Terminal): Promise<void> {
  const values = readFlags(args, FLAGS);
  const { layouts = ["nt", "nn"], types = ["fp8"], repeats = 9, sweep = false } = values;
  using device = await openDevice(values, terminal);
  const shapes = values.shapes ?? (device.isFallback ? ["256x192x128"] : [
    "8192x4096x4096",
    "8192x12288x4096",
    "8192x22016x4096",
    "8192x4096x11008",
  ]);
  terminal.stdout(`${device.name} (${device.provider})\n`);
  for (const shape of shapes) {
    const [m, n, k] = shape.split("x").map(Number);
    for (const layout of layouts as GemmLayout[]) {
      for (const name of types) {
        const [aType, bType] = TYPES[name](layout);
        const chosen = chooseVariant(device, { m, n, k, aType, bType });
        const variants = sweep ? SWEEP[device.provider] : { [chosen.kernel]: chosen };
        for (const [label, variant] of Object.entries(variants)) {
          const given = { layout, m, n, k, types: [aType, bType] as const, variant };
          terminal.stdout(
            `${layout} ${name} ${shape} ${label}: ${await time(device, given, repeats)}\n`,
          );
        }
      }
    }
  }
}

async function time(device: Device, given: GemmCase, repeats: number): Promise<string> {
  using product = new GemmRun(device, given);
  await product.program.prepare();
  const times = await measure(product.program, { repeats });
  const all = totalMs(times);
  const kernel = times.find(({ kernel }) => kernel === given.variant.kernel)!;
  const rest = times.filter((each) => each !== kernel)
    .map(({ kernel, ms }) => `, ${kernel} ${ms.toFixed(3)}`).join("");
  return `${all.toFixed(3)} ms, ${teraflops(kernel.flops, all).toFixed(1)} TFLOP/s ` +
    `(kernel ${teraflops(kernel.flops, kernel.ms).toFixed(1)}${rest}), ` +
    `error ${(await product.error()).toExponential(1)}`;
}

if (import.meta.main) await runScript(run);
