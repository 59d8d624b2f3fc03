/**
 * How fast GEMMs are on this GPU, by layout and variant, and whether they are right.
 *
 * `deno run -A bench/gemm_bench.ts` times shapes of the steps of LLaMA-7B and of SmolLM2-135M.
 * `--provider native|dawn`, `--shapes 8192x4096x4096,…` (m×n×k), `--layouts nt,nn` and `--types
 * int8,fp8,f16,f32` choose; `--sweep` times every variant in the list below instead of the one that
 * the table of src/kernels/gemm/variants.ts chooses, `--variants int8,int8Tensor` those whose names
 * begin so. The rate counts packing, transposing and scaling as time and 2·m·n·k as operations; `kernel` is the rate of the product's own kernel. Errors are relative to the product
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
import { formatOf } from "../src/numerics/formats.ts";
import { gemm, type GemmLayout } from "../src/kernels/gemm/gemm.ts";
import { multiplies } from "../src/kernels/gemm/products.ts";
import {
  chooseVariant,
  GEMM_VARIANTS,
  type GemmVariant,
  halfVariant,
  int8TensorVariant,
  int8Variant,
  tensorVariant,
} from "../src/kernels/gemm/variants.ts";
import { type GemmOperand, operand } from "./support/gemm_operand.ts";
import { measure, teraflops, totalMs } from "./support/measure.ts";
import { readRow } from "./support/row_checks.ts";
import { readFlags, runScript } from "./support/script.ts";
import { relativeError } from "../tests/oracle/compare.ts";

/**
 * Types of the operands of a product, as training has them: activations or gradients, and weights.
 */
const TYPES: Record<string, (layout: GemmLayout) => [ElementType, ElementType]> = {
  int8: () => ["int8", "int8"],
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
    int8: GEMM_VARIANTS.int8,
    "int8 band 4": int8Variant(128, 64, 8, { band: 4 }),
    "int8 band 8": int8Variant(128, 64, 8, { band: 8 }),
    "int8 band 32": int8Variant(128, 64, 8, { band: 32 }),
    "int8 half a step": int8Variant(128, 64, 8, { atOnce: 8 }),
    "int8 128×128": int8Variant(128, 128, 8),
    "int8 128×64": int8Variant(128, 64, 8),
    "int8 64×64 of 4": int8Variant(64, 64, 4),
    int8Small: GEMM_VARIANTS.int8Small,
    int8Row: GEMM_VARIANTS.int8Row,
    int8Rows: GEMM_VARIANTS.int8Rows,
  },
  dawn: {
    matrix: GEMM_VARIANTS.tensor,
    "matrix band 4": tensorVariant(128, 128, 4),
    "matrix band 8": tensorVariant(128, 128, 8),
    "matrix band 22": tensorVariant(128, 128, 22),
    "matrix band 64": tensorVariant(128, 128, 64),
    tensorNarrow: GEMM_VARIANTS.tensorNarrow,
    half: GEMM_VARIANTS.half,
    int8Tensor: GEMM_VARIANTS.int8Tensor,
    "int8 band 4": int8TensorVariant(128, 128, { band: 4 }),
    "int8 band 8": int8TensorVariant(128, 128, { band: 8 }),
    "int8 band 22": int8TensorVariant(128, 128, { band: 22 }),
    "int8 band 32": int8TensorVariant(128, 128, { band: 32 }),
    "int8 256×128": int8TensorVariant(256, 128, { subgroups: [4, 2], band: 8 }),
    "int8 128×256": int8TensorVariant(128, 256, { subgroups: [2, 4] }),
    "int8 128×128 of 4×2": int8TensorVariant(128, 128, { subgroups: [4, 2] }),
    int8TensorNarrow: GEMM_VARIANTS.int8TensorNarrow,
    "int8 128×64 of 2×1": int8TensorVariant(128, 64, { subgroups: [2, 1] }),
    "int8 64×128": int8TensorVariant(64, 128),
    "int8 64×128 of 1×2": int8TensorVariant(64, 128, { subgroups: [1, 2] }),
    int8TensorSmall: GEMM_VARIANTS.int8TensorSmall,
    "int8 64×64 of 1×2": int8TensorVariant(64, 64, { subgroups: [1, 2] }),
    "int8 without tensor cores": GEMM_VARIANTS.int8,
    int8Row: GEMM_VARIANTS.int8Row,
    int8Rows: GEMM_VARIANTS.int8Rows,
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

const FLAGS = {
  ...GPU_FLAGS,
  ...group("Products", {
    shapes: list("M×N×K", "Such as 8192x4096x4096", "those of LLaMA-7B and SmolLM2-135M"),
    layouts: list("NAMES", "Which of nt, nn, tn", "nt,nn"),
    types: list("NAMES", `Which of ${Object.keys(TYPES).join(", ")}`, "int8,fp8"),
    repeats: whole("Timed runs", "9"),
    sweep: toggle("Time every variant instead of the chosen one"),
    variants: list("NAMES", "Those of --sweep to time, by how their names begin", "all"),
  }),
};

/** Runs the bench with a command line's words. */
async function run(args: readonly string[], terminal: Terminal): Promise<void> {
  const values = readFlags(args, FLAGS);
  const { layouts = ["nt", "nn"], types = ["int8", "fp8"], repeats = 9, sweep = false } = values;
  const { variants: beginnings = [""] } = values;
  using device = await openDevice(values, terminal);
  const shapes = values.shapes ?? (device.isFallback ? ["256x192x128"] : [
    "8192x4096x4096",
    "8192x12288x4096",
    "8192x22016x4096",
    "8192x4096x11008",
    "2560x576x576",
    "2560x960x576",
    "2560x3072x576",
    "2560x576x1536",
  ]);
  terminal.stdout(`${device.name} (${device.provider})\n`);
  for (const shape of shapes) {
    const [m, n, k] = shape.split("x").map(Number);
    for (const layout of layouts as GemmLayout[]) {
      for (const name of types) {
        const [aType, bType] = TYPES[name](layout);
        const chosen = chooseVariant(device, { m, n, k, aType, bType });
        const variants = sweep
          ? sweptVariants(device.provider, beginnings, aType, bType)
          : [[chosen.kernel, chosen] as const];
        for (const [label, variant] of variants) {
          const given = { layout, m, n, k, types: [aType, bType] as const, variant };
          terminal.stdout(
            `${layout} ${name} ${shape} ${label}: ${await time(device, given, repeats)}\n`,
          );
        }
      }
    }
  }
}

/** Variants with such names that multiply operands of these types. */
function sweptVariants(
  provider: Provider,
  beginnings: readonly string[],
  aType: ElementType,
  bType: ElementType,
): [string, GemmVariant][] {
  const [a, b] = [formatOf(aType), formatOf(bType)];
  return Object.entries(SWEEP[provider]).filter(([name, { kernel }]) =>
    multiplies(kernel, a, b) && beginnings.some((beginning) => name.startsWith(beginning))
  );
}

async function time(device: Device, given: GemmCase, repeats: number): Promise<string> {
  using product = new GemmRun(device, given);
  await product.program.prepare();
  const times = await measure(product.program, { repeats });
  const all = totalMs(times);
  const kernel = times.find(({ kernel }) => kernel === given.variant.kernel)!;
  const rest = times.filter((each) => each !== kernel)
    .map(({ kernel, ms }) => `, ${kernel} ${ms.toFixed(3)}`).join("");
  const unit = given.types[0] === "int8" ? "TOPS" : "TFLOP/s";
  return `${all.toFixed(3)} ms, ${teraflops(kernel.flops, all).toFixed(1)} ${unit} ` +
    `(kernel ${teraflops(kernel.flops, kernel.ms).toFixed(1)}${rest}), ` +
    `error ${(await product.error()).toExponential(1)}`;
}

if (import.meta.main) await runScript(run);
