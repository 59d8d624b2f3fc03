/**
 * The merged weight of a FALQON layer, `[W~; A~]`: all parts' W, then the A of each adapted part, as codes with scales;
 * where A is trained, `[W~; A~; ΔA~]`. How it is loaded, how its A starts, and how it is read.
 *
 * @module
 */

import { type Matrix, rowsOf, type Vector } from "../../gpu/buffers.ts";
import type { Program } from "../../gpu/program.ts";
import { submitOnce } from "../../gpu/submit_once.ts";
import { quantize } from "../../kernels/rows/quantize.ts";
import type { LinearPart, LinearSpec } from "../../layers/linear_spec.ts";
import { outFeaturesOf } from "../../layers/row_order.ts";
import type { StoredPart } from "../../layers/saved.ts";
import type { Parameter } from "../../layers/parameters.ts";
import { QuantizedWeight, VANISHING_SCALE } from "../../layers/storage/quantized_weight.ts";
import type { WeightSource } from "../../layers/weight_source.ts";
import { rotationBlock } from "../../numerics/hadamard.ts";
import type { AdapterLayout, AdapterPart } from "../targets.ts";
import { meldedAdapter, normalAdapter, randomAdapter, representable } from "./adapter_init.ts";
import type { FalqonShared } from "./shared.ts";
import type { MergedWeight } from "./merged_weight.ts";

/** `[W~; A~]` of a merged linear layer, or `[W~; A~; ΔA~]`. */
export class FalqonWeight implements MergedWeight {
  /** The block by which rows are rotated, and with them the layer's inputs; 1 for none. */
  readonly rotation: number;
  /**
   * f32 [layout.width, inFeatures]: A where it is trained, the parts' A below each other as their codes
   * are, not rotated; zero rows between.
   */
  readonly a: Parameter | null;
  readonly #shared: FalqonShared;
  readonly #layout: AdapterLayout;
  readonly #quantized: QuantizedWeight;

  constructor(shared: FalqonShared, readonly spec: LinearSpec, layout: AdapterLayout) {
    const { context: { device, parameters }, settings, formats } = shared;
    const { weightGranularity, headroom, rotation, trainA } = settings;
    this.#shared = shared;
    this.#layout = layout;
    this.rotation = rotation ? rotationBlock(spec.inFeatures) : 1;
    const { width } = layout;
    this.a = trainA && width > 0
      ? parameters.declare(`${spec.name}.falqon_A`, width, spec.inFeatures, true)
      : null;
    this.#quantized = new QuantizedWeight(device, spec, formats.input, {
      granularity: weightGranularity,
      headroom,
      furtherRows: this.a ? 2 * width : width,
      rotation: this.rotation,
    });
  }

  /** Codes [width + layout.width, inFeatures], or as many rows again where A is trained */
  get weight(): Matrix {
    return this.#quantized.codes;
  }

  /** Rows of all A together. */
  get adapterRows(): number {
    return this.#layout.width;
  }

  /** f32, one per row of codes: quantisation multiplied values by these */
  get scales(): Vector {
    return this.#quantized.scales;
  }

  /** Reads `count` scales from row `first` on. */
  readScales(first: number, count: number): Promise<Float32Array<ArrayBuffer>> {
    return this.#quantized.readScales(first, count);
  }

  /** Quantises W from a model's files, and the A that its adapters start with. */
  async load(source: WeightSource): Promise<void> {
    const { context: { device, random }, settings: { rank, init } } = this.#shared;
    for (const [index, part] of this.spec.parts.entries()) {
      const adapted = this.#layout.parts.find((candidate) => candidate.index === index);
      const error = await this.#quantized.loadPart(part, source, !!adapted && init === "melded");
      if (!adapted) continue;
      let melded: Float32Array<ArrayBuffer> | null = null;
      try {
        melded = error && await meldedAdapter(device, error, rank, random);
      } finally {
        device.free(error);
      }
      const a = melded && this.#upload(melded);
      // The error is that of rotated rows, and so is this A, which is to be rotated only once.
      if (a) await this.#quantized.rotate(a);
      await this.writeAdapter(adapted, a);
    }
  }

  /**
   * Quantises A, f32 [rank, inFeatures], into the rows below the weights, to be rotated as they are,
   * and frees it; null: a random A.
   */
  async writeAdapter({ part, start }: AdapterPart, given: Matrix | null): Promise<void> {
    const { context: { device }, settings: { scaleGranularity } } = this.#shared;
    const input = given ?? await this.#randomAdapter(part);
    const { a } = this;
    try {
      if (a) {
        await submitOnce(device, (program) => {
          program.copy(input, rowsOf(a.value, start, input.rows));
          this.#encode(program, a.value, this.spec.width);
        });
        return;
      }
      await this.#quantized.rotate(input);
      let scales: Float32Array<ArrayBuffer> | null = null;
      if (scaleGranularity === "tensor") {
        const [shared] = await this.readScales(part.start, 1);
        scales = new Float32Array(input.rows).fill(shared);
        const a = representable(await device.readMatrix(input), shared, this.#shared.formats.input);
        device.writeMatrix(input, Float32Array.from(a));
      }
      await this.#quantized.quantizeRows(this.spec.width + start, input, { scales });
    } finally {
      device.free(input);
    }
  }

  /**
   * Records making A~ anew after a step of the optimizer, which left A's change in its gradient, and
   * ΔA~ from that; does nothing where A is not trained.
   */
  roundAdapters(program: Program): void {
    if (!this.a) return;
    const { value, gradient, rows } = this.a;
    this.#encode(program, value, this.spec.width);
    this.#encode(program, gradient, this.spec.width + rows);
  }

  /** Records writing rows from `first` on, one scale each. */
  #encode(program: Program, input: Matrix, first: number): void {
    const { rotation, weight: codes, scales } = this;
    const place = { codes, scales, firstRow: first, firstScale: first };
    quantize(program, {
      input,
      ...place,
      granularity: "row",
      rotation,
      vanishing: VANISHING_SCALE,
    });
  }

  /** Part `index` as a quantised model's file holds it. */
  async stored(index: number): Promise<StoredPart> {
    const part = this.spec.parts[index];
    const { codes, valueScales } = await this.#quantized.readStored(part);
    return { codes, scales: valueScales };
  }

  /** Part `index` as numbers, f32 [outFeatures, inFeatures]. */
  readPart(index: number): Promise<Float32Array<ArrayBuffer>> {
    return this.#quantized.readPart(this.spec.parts[index]);
  }

  /** Frees its buffers. */
  free(): void {
    this.#quantized.free();
  }

  async #randomAdapter(part: LinearPart): Promise<Matrix> {
    const rows = outFeaturesOf(part);
    const { context: { device, random }, settings: { rank, init } } = this.#shared;
    const { inFeatures } = this.spec;
    if (init === "gradient") return await normalAdapter(device, rows, inFeatures, rank, random);
    const chosen = init === "kaiming" ? init : "random-orthogonal";
    return this.#upload(randomAdapter(chosen, rows, inFeatures, rank, random));
  }

  /** Uploads an A [rank, inFeatures]. */
  #upload(a: Float32Array<ArrayBuffer>): Matrix {
    const { context: { device }, settings: { rank } } = this.#shared;
    const matrix = device.matrix(rank, this.spec.inFeatures, "f32", "A to quantise", "model");
    device.writeMatrix(matrix, a);
    return matrix;
  }
}
