/**
 * A merged linear layer in eight bits with FALQON's adapters: its forward and backward passes.
 *
 * @module
 */

import { type BufferView, firstOf, type Matrix, rowsOf, type Vector } from "../../gpu/buffers.ts";
import type { Program } from "../../gpu/program.ts";
import type { StepState } from "../../gpu/step_state.ts";
import { gemm } from "../../kernels/gemm/gemm.ts";
import { inF32 } from "../../kernels/rows/widen.ts";
import { quantize, type Quantized, type QuantizedGradient } from "../../kernels/rows/quantize.ts";
import { biasOperand } from "../../layers/bias.ts";
import type { LinearSpec } from "../../layers/linear_spec.ts";
import type { WeightSource } from "../../layers/weight_source.ts";
import type { FalqonShared } from "./shared.ts";
import { GradientSketch } from "./gradient_sketch.ts";
import { addPending, recordPendingGradient } from "./pending.ts";
import { recordGradientOfA, recordGradientsOfB } from "./adapter_gradients.ts";
import { FalqonUpdate } from "./update.ts";
import { FalqonWeight } from "./weight.ts";
import type {
  DenseType,
  DenseWeight,
  Linear,
  LinearBackward,
  LinearForward,
} from "../../layers/method.ts";
import type { StoredPart } from "../../layers/saved.ts";
import { RowBuffer } from "../../gpu/row_buffer.ts";
import { type AdapterLayout, adapterLayout } from "../targets.ts";

/** `[W~; A~]` of a merged linear: all parts' W, then the A of each adapted part. */
export class FalqonLinear implements Linear {
  readonly layout: AdapterLayout;
  readonly #weight: FalqonWeight;
  /** One per adapted part: its B, and how B is written into the codes. */
  readonly updates: FalqonUpdate[];
  /** x·Aᵀ of the last forward, times the factor of the output: so is what its products add to that. */
  readonly #xA: RowBuffer;
  /** During gradient initialisation, one per adapted part. */
  #sketches: GradientSketch[] = [];

  constructor(
    readonly shared: FalqonShared,
    readonly spec: LinearSpec,
    readonly bias: DenseWeight | null,
  ) {
    const { context: { device }, settings: { rank }, targets } = shared;
    this.layout = adapterLayout(spec, ({ kind }) => targets.has(kind) ? rank : 0);
    this.#weight = new FalqonWeight(shared, spec, this.layout);
    this.#xA = new RowBuffer(device, `${spec.name} x·Aᵀ`);
    this.updates = this.layout.parts.map((part) => new FalqonUpdate(shared, this.#weight, part));
  }

  /** Codes [width + layout.width, inFeatures], or as many rows again where A is trained */
  get weight(): Matrix {
    return this.#weight.weight;
  }

  /** f32, one per row of codes: quantisation multiplied values by these */
  get scales(): Vector {
    return this.#weight.scales;
  }

  get rotation(): number {
    return this.#weight.rotation;
  }

  /**
   * dB is computed from the saved x·Aᵀ: the input is not kept, unless the gradient of W is sketched,
   * or that of A is made of codes with one scale for all tokens.
   */
  get backwardReadsInput(): boolean {
    return (this.#weight.a !== null && this.forwardReadsF32) || this.#sketches.length > 0;
  }

  /**
   * It is quantised, or widened for a sketch: so attention runs the same kernels for sketches as in
   * training, and none is compiled a second time.
   */
  get backwardTakesF16Input(): boolean {
    return !this.forwardReadsF32;
  }

  /** The gradient of A is made of the codes of the input. */
  get backwardReadsCodes(): boolean {
    return this.#weight.a !== null;
  }

  /** One scale for all tokens needs the whole matrix before any of it is quantised. */
  get forwardReadsF32(): boolean {
    return this.shared.settings.scaleGranularity === "tensor";
  }

  /** Pending rows are added to the output, which only f32 can take. */
  get preferredOutputType(): DenseType {
    return this.shared.context.device.tuning.f16Storage.activations && !this.#hasPending
      ? "f16"
      : "f32";
  }

  /** Records quantising an input that comes without codes. */
  #quantizedInput(program: Program, input: Matrix): Quantized {
    const codes = this.#inputCodes(input.rows);
    const granularity = this.shared.settings.scaleGranularity;
    quantize(program, { input, ...codes, granularity });
    return codes;
  }

  inputCodes(rows: number): Quantized | null {
    return this.shared.settings.scaleGranularity === "row" ? this.#inputCodes(rows) : null;
  }

  #inputCodes(rows: number): Quantized {
    const { rotation } = this;
    return { ...this.shared.input.rows(rows, this.spec.inFeatures), rotation };
  }

  gradientCodes(rows: number): QuantizedGradient | null {
    return this.#takesCodes ? this.#gradientCodes(rows) : null;
  }

  /** Apart from its codes, only dB reads the gradient; sketches read it in f32. */
  get preferredGradientType(): DenseType {
    const { gradients } = this.shared.context.device.tuning.f16Storage;
    return gradients && this.#takesCodes && this.#sketches.length === 0 ? "f16" : "f32";
  }

  /**
   * With pending rows this layer appends a term to the gradient, so it must quantise the gradient
   * itself.
   */
  get #takesCodes(): boolean {
    return this.shared.settings.scaleGranularity === "row" && !this.#hasPending;
  }

  #gradientCodes(rows: number): QuantizedGradient {
    const width = this.gradientWidth;
    return {
      ...this.shared.gradient.rows(rows, width),
      columnScales: firstOf(this.scales, width),
    };
  }

  /** Columns of the widest sketch. */
  get sketchWidth(): number {
    return Math.max(0, ...this.#sketches.map(({ width }) => width));
  }

  /** Columns of the quantised gradient: with pending rows, those of the adapters count too. */
  get gradientWidth(): number {
    return this.spec.width + (this.#hasPending ? this.layout.width : 0);
  }

  get #hasPending(): boolean {
    return this.shared.settings.pending && this.layout.width > 0;
  }

  reserve(tokens: number): void {
    this.#xA.reserve(tokens, this.layout.width);
  }

  async load(source: WeightSource): Promise<void> {
    const { restoring } = this.shared.context;
    if (restoring) return;
    await this.#weight.load(source);
    if (this.updates.length > 0) {
      await this.begin(await this.#weight.readScales(0, this.scales.length));
    }
  }

  /** Starts the updates from the codes as they are now; `scales` are all of the layer's. */
  async begin(scales: Float32Array<ArrayBuffer>): Promise<void> {
    for (const update of this.updates) await update.begin(scales);
  }

  forward(program: Program, { input, codes: filled, output, addend }: LinearForward): void {
    const { settings } = this.shared;
    const { rows } = output;
    const x = filled ?? this.#quantizedInput(program, input!);
    const xA = this.layout.width > 0 ? this.#xA.rows(rows) : undefined;
    gemm(program, {
      layout: "nt",
      a: x.codes,
      b: rowsOf(this.weight, 0, this.spec.width + this.layout.width),
      out: output,
      secondOutput: xA,
      rowScales: x.scales,
      columnScales: this.scales,
      ...biasOperand(this),
      addend,
      alpha: this.spec.outputFactor,
    });
    if (this.#hasPending) addPending(program, this.updates, settings, xA!, output);
  }

  backward(program: Program, io: LinearBackward): void {
    const { dOutput, codes: filled, input, inputCodes, dInput } = io;
    const x = this.#sketches.length > 0 ? inF32(program, input!) : null;
    for (const sketch of this.#sketches) {
      const projected = this.shared.gSketch.rows(dOutput.rows, sketch.width);
      sketch.add(program, dOutput, x!, projected);
    }
    const { a } = this.#weight;
    const g = filled || dInput || a ? this.#gradientCodes(dOutput.rows) : null;
    if (g && !filled) {
      const { gPending, settings } = this.shared;
      const trailingColumns = this.#hasPending
        ? gPending.rows(dOutput.rows, this.layout.width)
        : undefined;
      if (trailingColumns) {
        recordPendingGradient(program, this.updates, settings, dOutput, trailingColumns);
      }
      quantize(program, {
        input: dOutput,
        trailingColumns,
        ...g,
        granularity: settings.scaleGranularity,
      });
    }
    if (this.updates.length > 0) {
      const { loraScale } = this.shared.settings;
      const xA = this.#xA.rows(dOutput.rows);
      const gradients = { dOutput, codes: g, xA, loraScale };
      const scale = recordGradientsOfB(program, this.updates, gradients);
      if (a) {
        const x = inputCodes ?? this.#quantizedInput(program, input!);
        recordGradientOfA(program, this.#weight, this.updates, { g: g!, scale, x, a });
      }
    }
    if (!g || !dInput) return;
    gemm(program, {
      layout: "nn",
      a: g.codes,
      b: rowsOf(this.weight, 0, this.gradientWidth),
      out: dInput,
      rowScales: g.scales,
      alpha: this.spec.outputFactor,
    });
  }

  /** Starts to sketch the gradient of W; passes recorded from now on add to the sketch. */
  async beginSketch(random: () => number): Promise<void> {
    const { context: { device }, settings: { rank } } = this.shared;
    for (const adapter of this.layout.parts) {
      this.#sketches.push(
        await GradientSketch.begin(device, adapter, this.spec.inFeatures, rank, random),
      );
    }
  }

  /** The sketched gradients, one per adapted part. */
  get sketches(): Matrix[] {
    return this.#sketches.map(({ sum }) => sum);
  }

  /** Takes the leading directions of the sketches, whose Gram matrices are given, as the new A. */
  async endSketch(grams: readonly Float64Array[]): Promise<void> {
    for (const [i, sketch] of this.#sketches.entries()) {
      const a = await sketch.end(grams[i], this.shared.settings.rank);
      await this.#weight.writeAdapter(sketch.adapter, a);
    }
    this.#sketches = [];
  }

  update(program: Program, state: StepState): void {
    this.#weight.roundAdapters(program);
    for (const update of this.updates) update.record(program, state);
  }

  flush(program: Program): void {
    for (const update of this.updates) update.recordFlush(program);
  }

  /** Everything that cannot be recomputed bit for bit. */
  state(): [string, BufferView][] {
    const { name } = this.spec;
    return [
      [`${name}.codes`, this.weight],
      [`${name}.scales`, this.scales],
      ...this.updates.flatMap((update) => update.state()),
    ];
  }

  stored(index: number): Promise<StoredPart> {
    return this.#weight.stored(index);
  }

  readWeight(index: number): Promise<Float32Array<ArrayBuffer>> {
    return this.#weight.readPart(index);
  }

  free(): void {
    this.#weight.free();
    for (const update of this.updates) update.free();
    for (const sketch of this.#sketches) sketch.free();
    this.#xA.free();
  }
}
