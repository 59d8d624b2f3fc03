/**
 * The low-rank path beside a frozen weight: `c·(x·Aᵀ)·Bᵀ` of every adapted part of a merged linear layer.
 *
 * @module
 */

import { ModelError, OptionError } from "../../errors.ts";
import { type BufferView, columnsOf, firstOf, type Matrix, rowsOf } from "../../gpu/buffers.ts";
import type { Program } from "../../gpu/program.ts";
import { submitOnce } from "../../gpu/submit_once.ts";
import type { PeftAdapter } from "../../io/peft.ts";
import { gemm } from "../../kernels/gemm/gemm.ts";
import { randomUniform } from "../../kernels/rows/random.ts";
import { lowRankGradient } from "../../kernels/gemm/low_rank_gradient.ts";
import type { LinearSpec } from "../../layers/linear_spec.ts";
import type { Parameter } from "../../layers/parameters.ts";
import { drawKey } from "../../numerics/random_key.ts";
import type { LoraLayers } from "./layers.ts";
import {
  asOperand,
  type GemmOperand,
  operandGradientScale,
  PRECISIONS,
} from "../../layers/operand.ts";
import { needsScales } from "../../numerics/formats.ts";
import { RowBuffer } from "../../gpu/row_buffer.ts";
import { type AdapterLayout, adapterLayout } from "../targets.ts";
import { uploadRows } from "../../layers/load.ts";
import { RoundedAdapter } from "./rounded_adapter.ts";

/** What {@linkcode LoraAdapter.backward} reads and writes. */
export interface AdapterBackward {
  /** The gradient of the layer's output as an operand of this path's arithmetic. */
  g: GemmOperand;
  /** The same in f32 [tokens, width]. */
  dOutput: Matrix;
  /** f32 [tokens, inFeatures]; null where A is frozen. */
  input: Matrix | null;
  /** f32 [tokens, inFeatures], added to; null where nothing below is trained. */
  dInput: Matrix | null;
}

/**
 * A and B of the adapted parts of a layer. Gradients of A and B are computed from f32 values in every arithmetic; where
 * they are rounded and there are tensor cores, from f32 values that are rounded to f16.
 */
export class LoraAdapter {
  readonly layout: AdapterLayout;
  /** f32 [layout.width, inFeatures]: the parts' A below each other, zero rows between. */
  readonly #a: { value: Matrix; gradient?: Matrix };
  /** The A that is ours to free: the one that is not trained. */
  readonly #frozenA: Matrix | null = null;
  /** [rows, rank] of each adapted part */
  readonly #b: Parameter[];
  /** What products read instead; null in f32. */
  readonly #aCopy: RoundedAdapter | null = null;
  readonly #bCopies: RoundedAdapter[] | null = null;
  /** x·Aᵀ of the last forward. */
  readonly #low: RowBuffer;

  /** Null where the targets leave a layer out. */
  static create(layers: LoraLayers, spec: LinearSpec): LoraAdapter | null {
    const { rank, targets } = layers.settings;
    const layout = adapterLayout(spec, rank, targets);
    return layout.width > 0 ? new LoraAdapter(layers, spec, layout) : null;
  }

  private constructor(
    readonly layers: LoraLayers,
    readonly spec: LinearSpec,
    layout: AdapterLayout,
  ) {
    const { context: { device, parameters }, settings: { rank, trainA, adapterPrecision } } =
      layers;
    const { name, inFeatures } = spec;
    const { width, parts } = layout;
    this.layout = layout;
    if (trainA) {
      this.#a = parameters.declare(`${name}.lora_A`, width, inFeatures, true);
    } else {
      this.#frozenA = device.matrix(width, inFeatures, "f32", `${name} frozen A`);
      this.#a = { value: this.#frozenA };
    }
    this.#b = parts.map(({ part }) =>
      parameters.declare(`${part.module}.lora_B`, part.rows, rank, true)
    );
    this.#low = new RowBuffer(device, `${name} x·Aᵀ`);
    if (adapterPrecision === "f32") return;
    const a = { rows: width, cols: inFeatures };
    this.#aCopy = new RoundedAdapter(device, a, adapterPrecision, "row", `${name} A copy`);
    this.#bCopies = this.#b.map((b) => {
      if (needsScales(PRECISIONS[adapterPrecision].input)) expectRows(b, rank);
      return new RoundedAdapter(device, b, adapterPrecision, "tensor", `${b.name} copy`);
    });
  }

  /** Makes room for x·Aᵀ of up to `tokens` tokens. */
  reserve(tokens: number): void {
    this.#low.reserve(tokens, this.layout.width);
  }

  /** Begins with a stored adapter, or a random A and a zero B. */
  async load(): Promise<void> {
    const { context: { device, random }, settings: { adapter, rank } } = this.layers;
    // PEFT's default: Kaiming uniform with a = √5, that is uniform in ±1/√inFeatures.
    const bound = 1 / Math.sqrt(this.spec.inFeatures);
    await submitOnce(device, (program) => {
      for (const [i, { part, start }] of this.layout.parts.entries()) {
        const stored = adapter?.tensors.get(part.module);
        if (adapter && !stored) {
          throw new ModelError(
            `Cannot use the adapter as it has no tensors for "${part.module}", which its ` +
              "target_modules name: it was made for another model",
          );
        }
        if (stored) {
          uploadRows(device, this.#a.value, start, stored.A);
          uploadRows(device, this.#b[i].value, 0, stored.B);
        } else {
          const out = rowsOf(this.#a.value, start, rank);
          randomUniform(program, { key: drawKey(random), bound, out });
        }
      }
    });
  }

  /** Records the rounding of A and B to what products read; with `trained` only of what an optimizer step changes. */
  copy(program: Program, which: "all" | "trained"): void {
    if (which === "all" || !this.#frozenA) this.#aCopy?.record(program, this.#a.value);
    this.#bCopies?.forEach((copy, i) => copy.record(program, this.#b[i].value));
  }

  get #aOperand(): GemmOperand {
    return this.#aCopy?.operand ?? { matrix: this.#a.value };
  }

  #bOperand(i: number): GemmOperand {
    return this.#bCopies?.[i].operand ?? { matrix: this.#b[i].value };
  }

  /** Records `output += c·(x·Aᵀ)·Bᵀ`. */
  forward(program: Program, x: GemmOperand, output: Matrix): void {
    const { settings: { rank }, scaling, lowCodes } = this.layers;
    const { width, parts } = this.layout;
    const a = this.#aOperand;
    const low = this.#low.rows(output.rows);
    gemm(program, {
      layout: "nt",
      a: x.matrix,
      b: a.matrix,
      out: low,
      rowScales: x.scales,
      columnScales: a.scales,
    });
    const { matrix, scales } = asOperand(program, low, lowCodes?.rows(output.rows, width));
    parts.forEach(({ part, start }, i) => {
      const b = this.#bOperand(i);
      gemm(program, {
        layout: "nt",
        a: columnsOf(matrix, start, rank),
        b: b.matrix,
        out: columnsOf(output, part.start, part.rows),
        alpha: scaling,
        accumulate: true,
        rowScales: scales,
        columnScales: b.scales,
      });
    });
  }

  /** Records the gradients of A and B, added to theirs, and `dInput += c·(G·B)·A`. */
  backward(program: Program, { g, dOutput, input, dInput }: AdapterBackward): void {
    const { settings: { rank }, scaling: alpha, dLow: shared, dLowCodes } = this.layers;
    const { rows } = dOutput;
    const { width, parts } = this.layout;
    const low = this.#low.rows(rows);
    const dLow = shared.rows(rows, width);
    const range = operandGradientScale(program, g);
    parts.forEach(({ part, start }, i) => {
      lowRankGradient(program, {
        a: columnsOf(dOutput, part.start, part.rows),
        b: columnsOf(low, start, rank),
        out: this.#b[i].gradient,
        alpha,
        accumulate: true,
        range,
      });
      const b = this.#bOperand(i);
      gemm(program, {
        layout: "nn",
        a: columnsOf(g.matrix, part.start, part.rows),
        b: b.matrix,
        out: columnsOf(dLow, start, rank),
        alpha,
        rowScales: g.scales,
        columnScales: b.scales,
      });
    });
    const a = this.#aOperand;
    // The product with A runs over its rows, so their scales are divided out of dLow before it is rounded.
    const columnScales = a.scales && firstOf(a.scales, width);
    const room = dInput && dLowCodes && { ...dLowCodes.rows(rows, width), columnScales };
    const dLowOperand = asOperand(program, dLow, room);
    const { gradient } = this.#a;
    if (gradient) {
      lowRankGradient(program, {
        a: columnsOf(dLow),
        b: columnsOf(input!),
        out: gradient,
        accumulate: true,
        range: operandGradientScale(program, dLowOperand),
      });
    }
    if (!dInput) return;
    gemm(program, {
      layout: "nn",
      a: dLowOperand.matrix,
      b: a.matrix,
      out: dInput,
      accumulate: true,
      rowScales: dLowOperand.scales,
    });
  }

  /** A frozen A is not among the parameters, and starts from random numbers. */
  state(): [string, BufferView][] {
    return this.#frozenA ? [[`${this.spec.name}.frozen_A`, this.#frozenA]] : [];
  }

  /** The adapters by module, for a PEFT folder. */
  async read(): Promise<PeftAdapter["tensors"]> {
    const { context: { device }, settings: { rank } } = this.layers;
    const { inFeatures } = this.spec;
    const tensors: PeftAdapter["tensors"] = new Map();
    for (const [i, { part, start }] of this.layout.parts.entries()) {
      const [A, B] = [
        await device.readMatrix(rowsOf(this.#a.value, start, rank)),
        await device.readMatrix(this.#b[i].value),
      ];
      tensors.set(part.module, { A, B, inFeatures, outFeatures: part.rows });
    }
    return tensors;
  }

  /** Adds c·B·A of part `index` of the layer to its weight, f32 [rows, inFeatures]; nothing where it is not adapted. */
  async merge(
    index: number,
    weight: Float32Array<ArrayBuffer>,
  ): Promise<Float32Array<ArrayBuffer>> {
    const { context: { device }, settings: { rank }, scaling } = this.layers;
    const at = this.layout.parts.findIndex((adapted) => adapted.index === index);
    if (at < 0) return weight;
    const { part, start } = this.layout.parts[at];
    const merged = device.matrix(part.rows, this.spec.inFeatures, "f32", "merged weight");
    uploadRows(device, merged, 0, weight);
    await submitOnce(device, (program) => {
      gemm(program, {
        layout: "nn",
        a: this.#b[at].value,
        b: rowsOf(this.#a.value, start, rank),
        out: merged,
        alpha: scaling,
        accumulate: true,
      });
    });
    const values = await device.readMatrix(merged);
    device.free(merged);
    return values;
  }

  /** Frees what are no parameters. */
  free(): void {
    this.layers.context.device.free(this.#frozenA);
    this.#aCopy?.free();
    this.#bCopies?.forEach((copy) => copy.free());
    this.#low.free();
  }
}

/** One scale of all rows serves as that of all columns where B's columns are the output: there must be enough. */
function expectRows({ name, rows }: Parameter, rank: number): void {
  if (rank <= rows) return;
  throw new OptionError(
    `Cannot adapt "${name}" with rank ${rank} as its weight has only ${rows} rows: ` +
      "choose a rank up to that",
  );
}
