/**
 * A merged linear layer in FP8 with FALQON's adapters.
 *
 * @module
 */

import {
  type BufferView,
  columnsOf,
  ELEMENT_BYTES,
  firstOf,
  type Matrix,
  pitchOf,
  rowsOf,
  type Vector,
} from "../gpu/buffers.ts";
import { Program } from "../gpu/program.ts";
import { gemm } from "../kernels/gemm.ts";
import {
  dequantize,
  quantize,
  type Quantized,
  type QuantizedGradient,
} from "../kernels/quantize.ts";
import type { LinearPart, LinearSpec } from "../model/linear_spec.ts";
import type { StoredFp8, WeightSource } from "../model/weight_source.ts";
import { representable } from "../reference/falqon_weight.ts";
import {
  leadingDirections,
  meldedAdapter,
  normalAdapter,
  randomAdapter,
  randomMatrix,
  sketchRows,
} from "./falqon_adapter.ts";
import type { FalqonLayers } from "./falqon.ts";
import { FalqonUpdate } from "./falqon_update.ts";
import type { Linear, LinearBackward, LinearForward } from "./method.ts";
import { SavedRows } from "./saved_rows.ts";
import { type AdapterLayout, adapterLayout, type AdapterPart } from "./targets.ts";
import { loadMatrix, weightName } from "./upload.ts";

/** The gradient of the weight of one part, seen through a random projection. */
interface Sketch {
  adapter: AdapterPart;
  /** f32 [sketch rows, part rows] */
  omega: Matrix;
  /** f32 [sketch rows, inFeatures] */
  sum: Matrix;
}

/** `[W~; A~]` of a merged linear: all parts' W, then the A of each adapted part. */
export class FalqonLinear implements Linear {
  readonly layout: AdapterLayout;
  /** e4m3 codes [width + layout.width, inFeatures] */
  readonly weight: Matrix;
  /** f32 [width + layout.width]: what codes were multiplied by on the way in */
  readonly scales: Vector;
  /** One an adapted part: its B and how that reaches the codes. */
  readonly updates: FalqonUpdate[];
  /** x·Aᵀ of the last forward. */
  readonly #low: SavedRows;
  /** While A is calibrated, one an adapted part. */
  #sketches: Sketch[] = [];

  constructor(readonly layers: FalqonLayers, readonly spec: LinearSpec) {
    const { context: { device }, settings: { rank, targets } } = layers;
    this.layout = adapterLayout(spec, rank, targets);
    const rows = spec.width + this.layout.width;
    this.weight = device.matrix(rows, spec.inFeatures, "e4m3", `${spec.name} FP8 weight`);
    this.scales = device.vector(rows, "f32", `${spec.name} scales`);
    this.#low = new SavedRows(device, `${spec.name} x·Aᵀ`);
    this.updates = this.layout.parts.map((part) => new FalqonUpdate(this, part));
  }

  /** dB comes from the saved x·Aᵀ: the input need not be kept, unless the gradient of W is sketched. */
  get needsInput(): boolean {
    return this.#sketches.length > 0;
  }

  /** One scale of all tokens takes a look at the whole matrix before any of it is quantised. */
  get readsInput(): boolean {
    return this.layers.settings.scaling === "tensor";
  }

  inputCodes(rows: number): Quantized | null {
    return this.layers.settings.scaling === "row" ? this.#inputCodes(rows) : null;
  }

  #inputCodes(rows: number): Quantized {
    const { xCodes, xScales } = this.layers;
    const codes = xCodes.rows(rows, this.spec.inFeatures);
    return { codes, scales: asVector(xScales.rows(1, rows)) };
  }

  /** Pending rows continue the gradient by a term that this layer computes: then it quantises by itself. */
  gradientCodes(rows: number): QuantizedGradient | null {
    const fused = this.layers.settings.scaling === "row" && !this.#hasPending;
    return fused ? this.#gradientCodes(rows) : null;
  }

  #gradientCodes(rows: number): QuantizedGradient {
    const { gCodes, gScales } = this.layers;
    return {
      codes: gCodes.rows(rows, this.gradientWidth),
      scales: asVector(gScales.rows(1, rows)),
      columnScales: firstOf(this.scales, this.gradientWidth),
    };
  }

  /** Columns of the widest sketch. */
  get sketchWidth(): number {
    return Math.max(0, ...this.#sketches.map(({ omega }) => omega.rows));
  }

  /** Columns of the quantised gradient: with pending rows, those of the adapters count too. */
  get gradientWidth(): number {
    return this.spec.width + (this.#hasPending ? this.layout.width : 0);
  }

  get #hasPending(): boolean {
    return this.layers.settings.pending && this.layout.width > 0;
  }

  reserve(tokens: number): void {
    this.#low.reserve(tokens, this.layout.width);
  }

  async load(source: WeightSource): Promise<void> {
    const { device, restoring } = this.layers.context;
    if (restoring) return;
    device.write(this.scales, new Float32Array(this.scales.length).fill(1));
    for (const [index, part] of this.spec.parts.entries()) {
      const shape = [part.rows, this.spec.inFeatures] as const;
      const stored = await source.fp8(weightName(part), shape);
      const adapted = this.layout.parts.find((candidate) => candidate.index === index);
      if (stored) {
        this.#writeStored(part, stored);
        if (adapted) await this.#writeAdapter(adapted, null);
      } else {
        await this.#quantizePart(part, source, adapted);
      }
    }
    if (this.updates.length > 0) await this.begin(await this.readScales(0, this.scales.length));
  }

  /** Starts the updates from the codes as they are now; `scales` are all of the layer's. */
  async begin(scales: Float32Array<ArrayBuffer>): Promise<void> {
    for (const update of this.updates) await update.begin(scales);
  }

  /** Takes codes as they are in the file; its scales multiply on the way out, ours on the way in. */
  #writeStored(part: LinearPart, { codes, valueScales }: StoredFp8): void {
    const { device } = this.layers.context;
    const { cols, pitch } = this.weight;
    const padded = new Uint8Array(part.rows * pitch);
    for (let r = 0; r < part.rows; r++) {
      padded.set(codes.subarray(r * cols, (r + 1) * cols), r * pitch);
    }
    device.write(this.weight, padded, part.start * pitch);
    device.write(this.scales, valueScales.map((scale) => 1 / scale), 4 * part.start);
  }

  async #quantizePart(
    part: LinearPart,
    source: WeightSource,
    adapted: AdapterPart | undefined,
  ): Promise<void> {
    const { context: { device, random }, settings } = this.layers;
    const { rank, init, scaling } = settings;
    const original = device.matrix(part.rows, this.spec.inFeatures, "f32", "weight to quantise");
    const error = device.matrix(part.rows, this.spec.inFeatures, "f32", "quantisation error");
    const scales = device.vector(part.rows, "f32", "scales");
    try {
      await loadMatrix(device, weightName(part), part.rows, source, original);
      using program = new Program(device);
      const codes = rowsOf(this.weight, part.start, part.rows);
      quantize(program, { input: original, codes, scales, granularity: scaling });
      program.copy(
        { ...scales, size: 4 * part.rows },
        { ...this.scales, offset: 4 * part.start, size: 4 * part.rows },
      );
      if (adapted && init === "melded") {
        dequantize(program, { codes, scales, out: error, subtract: original });
      }
      (await program.prepare()).run();
      if (adapted) {
        const melded = init === "melded" ? await meldedAdapter(device, error, rank, random) : null;
        await this.#writeAdapter(adapted, melded && this.#upload(melded));
      }
    } finally {
      device.free(original, error, scales);
    }
  }

  /** Quantises A, f32 [rank, inFeatures], below the weights and frees it; a random one where none is given. */
  async #writeAdapter({ part, start }: AdapterPart, given: Matrix | null): Promise<void> {
    const { context: { device }, settings: { rank, scaling } } = this.layers;
    const { width } = this.spec;
    const input = given ?? await this.#randomAdapter(part);
    const scales = device.vector(rank, "f32", "scales of A");
    if (scaling === "tensor") {
      const [shared] = await this.readScales(part.start, 1);
      const a = representable(await device.readMatrix(input), shared);
      device.writeMatrix(input, Float32Array.from(a));
      device.write(scales, new Float32Array(rank).fill(shared));
    }
    using program = new Program(device);
    const codes = rowsOf(this.weight, width + start, rank);
    const granularity = scaling === "tensor" ? "given" : "row";
    quantize(program, { input, codes, scales, granularity });
    const size = 4 * rank;
    program.copy({ ...scales, size }, { ...this.scales, offset: 4 * (width + start), size });
    (await program.prepare()).run();
    device.free(input, scales);
  }

  async #randomAdapter({ rows }: LinearPart): Promise<Matrix> {
    const { context: { device, random }, settings: { rank, init } } = this.layers;
    const { inFeatures } = this.spec;
    if (init === "gradient") return await normalAdapter(device, rows, inFeatures, rank, random);
    const chosen = init === "kaiming" ? init : "random-orthogonal";
    return this.#upload(randomAdapter(chosen, rows, inFeatures, rank, random));
  }

  /** Puts an A [rank, inFeatures] on the GPU. */
  #upload(a: Float32Array<ArrayBuffer>): Matrix {
    const { context: { device }, settings: { rank } } = this.layers;
    const matrix = device.matrix(rank, this.spec.inFeatures, "f32", "A to quantise");
    device.writeMatrix(matrix, a);
    return matrix;
  }

  /** Reads `count` scales from row `first` on. */
  async readScales(first: number, count: number): Promise<Float32Array<ArrayBuffer>> {
    const view = { ...this.scales, offset: 4 * first, size: 4 * count };
    return new Float32Array(await this.layers.context.device.read(view));
  }

  forward(program: Program, { input, codes: filled, output, addend }: LinearForward): void {
    const { settings } = this.layers;
    const { rows } = output;
    const x = filled ?? this.#inputCodes(rows);
    if (!filled) quantize(program, { input: input!, ...x, granularity: settings.scaling });
    const low = this.layout.width > 0 ? this.#low.rows(rows) : undefined;
    gemm(program, {
      layout: "nt",
      a: x.codes,
      b: this.weight,
      out: output,
      tail: low,
      rowScales: x.scales,
      columnScales: this.scales,
      addend,
    });
    if (!this.#hasPending) return;
    for (const { adapter: { part, start }, delta } of this.updates) {
      gemm(program, {
        layout: "nt",
        a: columnsOf(low!, start, settings.rank),
        b: delta!,
        out: columnsOf(output, part.start, part.rows),
        alpha: settings.factor,
        accumulate: true,
      });
    }
  }

  backward(program: Program, { dOutput, codes: filled, input, dInput }: LinearBackward): void {
    this.#gradientOfB(program, dOutput);
    for (const sketch of this.#sketches) this.#addToSketch(program, sketch, dOutput, input!);
    if (!dInput) return;
    const g = filled ?? this.#gradientCodes(dOutput.rows);
    if (!filled) {
      const tail = this.#hasPending ? this.#pendingGradient(program, dOutput) : undefined;
      quantize(program, {
        input: dOutput,
        tail,
        ...g,
        granularity: this.layers.settings.scaling,
      });
    }
    gemm(program, {
      layout: "nn",
      a: g.codes,
      b: rowsOf(this.weight, 0, this.gradientWidth),
      out: dInput,
      rowScales: g.scales,
    });
  }

  /** dB += c · Gᵀ·(x·Aᵀ) */
  #gradientOfB(program: Program, dOutput: Matrix): void {
    const { rank, factor } = this.layers.settings;
    for (const { adapter: { part, start }, b } of this.updates) {
      gemm(program, {
        layout: "tn",
        a: columnsOf(dOutput, part.start, part.rows),
        b: columnsOf(this.#low.rows(dOutput.rows), start, rank),
        out: b.gradient,
        alpha: factor,
        accumulate: true,
      });
    }
  }

  /** Begins to sketch the gradient of W: Ω·(Gᵀ·x) for a random Ω has the row space of Gᵀ·x, without its size. */
  async beginSketch(random: () => number): Promise<void> {
    const { context: { device }, settings: { rank } } = this.layers;
    const { inFeatures } = this.spec;
    for (const adapter of this.layout.parts) {
      const { rows } = adapter.part;
      const width = sketchRows(rank, rows, inFeatures);
      const omega = await randomMatrix(device, width, rows, 1, random);
      const sum = device.matrix(width, inFeatures, "f32", "sketched gradient");
      this.#sketches.push({ adapter, omega, sum });
    }
  }

  /** sum += (G·Ωᵀ)ᵀ·x */
  #addToSketch(program: Program, sketch: Sketch, dOutput: Matrix, input: Matrix): void {
    const { adapter: { part }, omega, sum } = sketch;
    const projected = this.layers.gSketch.rows(dOutput.rows, omega.rows);
    const a = columnsOf(dOutput, part.start, part.rows);
    gemm(program, { layout: "nt", a, b: omega, out: projected });
    gemm(program, { layout: "tn", a: projected, b: input, out: sum, accumulate: true });
  }

  /** The gradients that were sketched, one an adapted part. */
  get sketches(): Matrix[] {
    return this.#sketches.map(({ sum }) => sum);
  }

  /** Takes the leading directions of the sketches, whose Gram matrices are given, as the new A. */
  async endSketch(grams: readonly Float64Array[]): Promise<void> {
    const { context: { device }, settings: { rank } } = this.layers;
    const sketches = this.#sketches;
    this.#sketches = [];
    for (const [i, { adapter, omega, sum }] of sketches.entries()) {
      await this.#writeAdapter(adapter, await leadingDirections(device, sum, grams[i], rank));
      device.free(omega, sum);
    }
  }

  /** c · G·(B − B_flushed): the gradient that the pending rows send through A. */
  #pendingGradient(program: Program, dOutput: Matrix): Matrix {
    const { gPending, settings: { rank, factor } } = this.layers;
    const out = gPending.rows(dOutput.rows, this.layout.width);
    for (const { adapter: { part, start }, delta } of this.updates) {
      gemm(program, {
        layout: "nn",
        a: columnsOf(dOutput, part.start, part.rows),
        b: delta!,
        out: columnsOf(out, start, rank),
        alpha: factor,
      });
    }
    return out;
  }

  update(program: Program): void {
    for (const update of this.updates) update.record(program);
  }

  flush(program: Program): void {
    for (const update of this.updates) update.recordFlush(program);
  }

  /** Everything that a later session cannot make again bit for bit. */
  state(): [string, BufferView][] {
    const { name } = this.spec;
    return [
      [`${name}.codes`, this.weight],
      [`${name}.scales`, this.scales],
      ...this.updates.flatMap((update) => update.state()),
    ];
  }

  /** Part `index` as it would be stored: codes [rows, inFeatures] and the scales that multiply on the way out. */
  async readFp8(index: number): Promise<StoredFp8> {
    const { device } = this.layers.context;
    const { start, rows } = this.spec.parts[index];
    const { cols, pitch } = this.weight;
    const padded = new Uint8Array(await device.read(rowsOf(this.weight, start, rows)));
    const codes = new Uint8Array(rows * cols);
    for (let r = 0; r < rows; r++) {
      codes.set(padded.subarray(r * pitch, r * pitch + cols), r * cols);
    }
    const scales = await this.readScales(start, rows);
    return { codes, valueScales: scales.map((scale) => 1 / scale) };
  }

  async readWeight(index: number): Promise<Float32Array<ArrayBuffer>> {
    const { device } = this.layers.context;
    const { start, rows } = this.spec.parts[index];
    const scales = device.vector(rows, "f32", "scales");
    device.write(scales, await this.readScales(start, rows));
    const out = device.matrix(rows, this.spec.inFeatures, "f32", "decoded weight");
    using program = new Program(device);
    dequantize(program, { codes: rowsOf(this.weight, start, rows), scales, out });
    (await program.prepare()).run();
    const values = await device.readMatrix(out);
    device.free(scales, out);
    return values;
  }

  free(): void {
    this.layers.context.device.free(this.weight, this.scales);
    for (const update of this.updates) update.free();
    this.#low.free();
  }
}

/** A one-row matrix as a vector. */
function asVector({ buffer, offset, cols }: Matrix): Vector {
  const size = pitchOf(cols) * ELEMENT_BYTES.f32;
  return { buffer, offset, size, length: cols, type: "f32" };
}
