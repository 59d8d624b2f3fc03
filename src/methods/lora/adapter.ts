/**
 * The low-rank path of LoRA: `c·(x·Aᵀ)·Bᵀ` for every adapted part of a merged linear layer.
 *
 * @module
 */

import { OptionError } from "../../errors.ts";
import { type BufferView, columnsOf, firstOf, type Matrix, rowsOf } from "../../gpu/buffers.ts";
import type { Program } from "../../gpu/program.ts";
import { submitOnce } from "../../gpu/submit_once.ts";
import type { PeftAdapter } from "../../io/peft.ts";
import { gemm } from "../../kernels/gemm/gemm.ts";
import { randomUniform } from "../../kernels/rows/random.ts";
import { lowRankGradient } from "../../kernels/gemm/low_rank_gradient.ts";
import type { LinearPart, LinearSpec } from "../../layers/linear_spec.ts";
import type { Parameter } from "../../layers/parameters.ts";
import { drawKey } from "../../numerics/random_key.ts";
import type { LoraShared } from "./shared.ts";
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
import { toMerged } from "../../layers/row_order.ts";
import type { BaseWeight } from "../../layers/storage/base_weight.ts";
import { type AdapterState, mergeAdapter, readAdapter } from "./adapter_state.ts";
import type { Mask } from "./dropout.ts";
import { Magnitudes, type PartFactors } from "./magnitudes.ts";
import { RoundedAdapter } from "./rounded_adapter.ts";

/** Operands of {@linkcode LoraAdapter.backward}. */
export interface AdapterBackward {
  /** The gradient of the layer's output, before magnitudes, rounded to this path's precision. */
  g: GemmOperand;
  /** The same in f32 [tokens, width]. */
  dOutput: Matrix;
  /** f32 [tokens, inFeatures]; null where A is frozen. */
  input: Matrix | null;
  /** f32 [tokens, inFeatures], added to; null where nothing below is trained. */
  dInput: Matrix | null;
}

/**
 * A and B of the adapted parts of a layer. Gradients of A and B are computed from f32 values in
 * every precision; on tensor cores these are rounded to f16, except in f32.
 */
export class LoraAdapter {
  readonly layout: AdapterLayout;
  /** f32 [layout.width, inFeatures]: the parts' A below each other, zero rows between. */
  readonly #a: { value: Matrix; gradient?: Matrix };
  /** A where it is not trained: this class frees it. */
  readonly #frozenA: Matrix | null = null;
  /** [rows, rank] of each adapted part, its rows in the order of the merged weight */
  readonly #b: Parameter[];
  /** Rounded copies that GEMMs read instead; null in f32. */
  readonly #roundedA: RoundedAdapter | null = null;
  readonly #roundedB: RoundedAdapter[] | null = null;
  /** x·Aᵀ of the last forward. */
  readonly #xA: RowBuffer;

  /** DoRA's magnitudes; null without. */
  readonly magnitudes: Magnitudes | null;
  /** What training drops of the input; null without dropout. */
  readonly mask: Mask | null;

  /** Null where the targets leave a layer out. */
  static create(shared: LoraShared, spec: LinearSpec): LoraAdapter | null {
    const layout = adapterLayout(spec, (part) => shared.rankOf(part));
    return layout.width > 0 ? new LoraAdapter(shared, spec, layout) : null;
  }

  private constructor(
    readonly shared: LoraShared,
    readonly spec: LinearSpec,
    layout: AdapterLayout,
  ) {
    const { context, settings: { trainA, adapterPrecision, useDora } } = shared;
    const { device, parameters } = context;
    const { name, inFeatures } = spec;
    const { width, parts } = layout;
    this.layout = layout;
    if (trainA) {
      this.#a = parameters.declare(`${name}.lora_A`, width, inFeatures, true);
    } else {
      this.#frozenA = device.matrix(width, inFeatures, "f32", `${name} frozen A`, "model");
      this.#a = { value: this.#frozenA };
    }
    this.#b = parts.map(({ part, rank }) =>
      parameters.declare(`${part.module}.lora_B`, part.rows, rank, true)
    );
    this.#xA = new RowBuffer(device, `${name} x·Aᵀ`);
    this.magnitudes = useDora ? new Magnitudes(context, spec, parts) : null;
    this.mask = shared.dropout?.mask() ?? null;
    if (adapterPrecision === "f32") return;
    const a = { rows: width, cols: inFeatures };
    this.#roundedA = new RoundedAdapter(device, a, adapterPrecision, "row", `${name} rounded A`);
    this.#roundedB = this.#b.map((b) => {
      if (needsScales(PRECISIONS[adapterPrecision].input)) expectRows(b);
      return new RoundedAdapter(device, b, adapterPrecision, "tensor", `rounded ${b.name}`);
    });
  }

  /** Reserves memory for x·Aᵀ of up to `tokens` tokens. */
  reserve(tokens: number): void {
    this.#xA.reserve(tokens, this.layout.width);
    this.magnitudes?.reserve(tokens);
  }

  /**
   * Initialises A and B: from a stored adapter, or a random A and a zero B; and magnitudes.
   *
   * @param base The layer's weight, which is loaded.
   */
  async load(base: BaseWeight): Promise<void> {
    const { context: { device, random, restoring }, settings: { adapter } } = this.shared;
    // PEFT's default: Kaiming uniform with a = √5, that is uniform in ±1/√inFeatures.
    const bound = 1 / Math.sqrt(this.spec.inFeatures);
    await submitOnce(device, (program) => {
      for (const [i, { part, start, rank }] of this.layout.parts.entries()) {
        const stored = adapter?.tensors.get(part.module);
        if (stored) {
          uploadRows(device, this.#a.value, start, stored.A);
          uploadRows(device, this.#b[i].value, 0, toMerged(part, stored.B));
        } else {
          const out = rowsOf(this.#a.value, start, rank);
          randomUniform(program, { key: drawKey(random), bound, out });
        }
      }
    });
    if (!this.magnitudes || restoring) return;
    const given = this.layout.parts.map(({ part }) => adapter?.tensors.get(part.module)?.magnitude);
    await this.magnitudes.load(given, base, this.#factors());
  }

  /** A, B and c of each adapted part. */
  #factors(): PartFactors[] {
    return this.layout.parts.map(({ part, start, rank }, i) => ({
      a: rowsOf(this.#a.value, start, rank),
      b: this.#b[i].value,
      scale: this.shared.scaleOf(part),
    }));
  }

  /**
   * Records what follows from A and B: their rounding for the GEMMs, with `trained` only of what an
   * optimizer step changes; and the factors of rows.
   */
  round(program: Program, which: "all" | "trained", base: BaseWeight): void {
    this.magnitudes?.record(program, base, this.#factors());
    if (which === "all" || !this.#frozenA) this.#roundedA?.record(program, this.#a.value);
    this.#roundedB?.forEach((rounded, i) => rounded.record(program, this.#b[i].value));
  }

  get #aOperand(): GemmOperand {
    return this.#roundedA?.operand ?? { matrix: this.#a.value };
  }

  #bOperand(i: number): GemmOperand {
    return this.#roundedB?.[i].operand ?? { matrix: this.#b[i].value };
  }

  /** c, times the factor of the layer's output. */
  #factor(part: LinearPart): number {
    return this.shared.scaleOf(part) * (this.spec.outputFactor ?? 1);
  }

  /** Records `output += outputFactor·c·(x·Aᵀ)·Bᵀ`. */
  forward(program: Program, x: GemmOperand, output: Matrix): void {
    const { xACodes } = this.shared;
    const { width, parts } = this.layout;
    const a = this.#aOperand;
    const xA = this.#xA.rows(output.rows);
    gemm(program, {
      layout: "nt",
      a: x.matrix,
      b: a.matrix,
      out: xA,
      rowScales: x.scales,
      columnScales: a.scales,
    });
    const { matrix, scales } = asOperand(program, xA, xACodes?.rows(output.rows, width));
    parts.forEach(({ part, start, rank }, i) => {
      const b = this.#bOperand(i);
      gemm(program, {
        layout: "nt",
        a: columnsOf(matrix, start, rank),
        b: b.matrix,
        out: columnsOf(output, part.start, part.rows),
        alpha: this.#factor(part),
        accumulate: true,
        rowScales: scales,
        columnScales: b.scales,
      });
    });
  }

  /** Records the gradients of A and B, added to theirs, and `dInput += outputFactor·c·(G·B)·A`. */
  backward(program: Program, { g, dOutput, input, dInput }: AdapterBackward): void {
    const { dxA: buffer, dxACodes } = this.shared;
    const { rows } = dOutput;
    const { width, parts } = this.layout;
    const xA = this.#xA.rows(rows);
    const dxA = buffer.rows(rows, width);
    const gradientScale = operandGradientScale(program, g);
    parts.forEach(({ part, start, rank }, i) => {
      const alpha = this.#factor(part);
      lowRankGradient(program, {
        a: columnsOf(dOutput, part.start, part.rows),
        b: columnsOf(xA, start, rank),
        out: this.#b[i].gradient,
        alpha,
        accumulate: true,
        gradientScale,
      });
      const b = this.#bOperand(i);
      gemm(program, {
        layout: "nn",
        a: columnsOf(g.matrix, part.start, part.rows),
        b: b.matrix,
        out: columnsOf(dxA, start, rank),
        alpha,
        rowScales: g.scales,
        columnScales: b.scales,
      });
    });
    const a = this.#aOperand;
    // This GEMM sums over A's rows, so their scales are divided out of dxA before it is rounded.
    const columnScales = a.scales && firstOf(a.scales, width);
    const target = dInput && dxACodes && { ...dxACodes.rows(rows, width), columnScales };
    const dxAOperand = asOperand(program, dxA, target);
    const { gradient } = this.#a;
    if (gradient) {
      lowRankGradient(program, {
        a: columnsOf(dxA),
        b: columnsOf(this.mask ? this.mask.dropped(program, input!) : input!),
        out: gradient,
        accumulate: true,
        gradientScale: operandGradientScale(program, dxAOperand),
      });
    }
    if (!dInput) return;
    const out = this.mask
      ? program.scratch(rows, dInput.cols, "gradient of the input of adapters")
      : dInput;
    gemm(program, {
      layout: "nn",
      a: dxAOperand.matrix,
      b: a.matrix,
      out,
      accumulate: out === dInput,
      rowScales: dxAOperand.scales,
    });
    this.mask?.addGradient(program, out, dInput);
  }

  /** A frozen A is not among the parameters, and starts from random numbers. */
  state(): [string, BufferView][] {
    return this.#frozenA ? [[`${this.spec.name}.frozen_A`, this.#frozenA]] : [];
  }

  /** The adapters by module, for a PEFT folder. */
  read(): Promise<PeftAdapter["tensors"]> {
    return readAdapter(this.#state());
  }

  /** The weight of part `index`, f32 [outFeatures, inFeatures], with its adapter, if it has one. */
  merge(index: number, weight: Float32Array<ArrayBuffer>): Promise<Float32Array<ArrayBuffer>> {
    return mergeAdapter(this.#state(), index, weight);
  }

  #state(): AdapterState {
    const { shared: { context: { device }, settings: { adapter: given } } } = this;
    const { spec, layout, magnitudes } = this;
    return { device, spec, layout, magnitudes, given, factors: this.#factors() };
  }

  /** Frees everything except the parameters. */
  free(): void {
    this.shared.context.device.free(this.#frozenA);
    this.#roundedA?.free();
    this.#roundedB?.forEach((rounded) => rounded.free());
    this.#xA.free();
    this.magnitudes?.free();
  }
}

/** B's row scales, all equal, also serve as the scales of its columns: there must be as many. */
function expectRows({ name, rows, cols: rank }: Parameter): void {
  if (rank <= rows) return;
  throw new OptionError(
    `Cannot adapt "${name}" with rank ${rank} as its weight has only ${rows} rows: ` +
      "choose a rank up to that",
  );
}
