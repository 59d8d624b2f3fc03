/**
 * The merged weight of a FALQON layer, `[W~; A~]`: all parts' W, then the A of each adapted part, as codes with scales.
 * How it is loaded, how its A starts, and how it is read.
 *
 * @module
 */

import type { Matrix, Vector } from "../../gpu/buffers.ts";
import type { LinearPart, LinearSpec } from "../../layers/linear_spec.ts";
import type { StoredPart } from "../../layers/method.ts";
import { QuantizedWeight } from "../../layers/storage/quantized_weight.ts";
import type { WeightSource } from "../../layers/weight_source.ts";
import { rotationBlock } from "../../numerics/hadamard.ts";
import type { AdapterLayout, AdapterPart } from "../targets.ts";
import { meldedAdapter, normalAdapter, randomAdapter, representable } from "./adapter_init.ts";
import type { FalqonShared } from "./shared.ts";
import type { MergedWeight } from "./update.ts";

/** `[W~; A~]` of a merged linear layer. */
export class FalqonWeight implements MergedWeight {
  /** The block by which rows are rotated, and with them the layer's inputs; 1 for none. */
  readonly rotation: number;
  readonly #shared: FalqonShared;
  readonly #layout: AdapterLayout;
  readonly #quantized: QuantizedWeight;

  constructor(shared: FalqonShared, readonly spec: LinearSpec, layout: AdapterLayout) {
    const { context: { device }, settings, formats } = shared;
    const { scaleGranularity, headroom, rotation } = settings;
    this.#shared = shared;
    this.#layout = layout;
    this.rotation = rotation ? rotationBlock(spec.inFeatures) : 1;
    this.#quantized = new QuantizedWeight(device, spec, formats.input, {
      granularity: scaleGranularity,
      headroom,
      furtherRows: layout.width,
      rotation: this.rotation,
    });
  }

  /** Codes [width + layout.width, inFeatures] */
  get weight(): Matrix {
    return this.#quantized.codes;
  }

  /** f32 [width + layout.width]: quantisation multiplied values by these */
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
      const melded = error && await meldedAdapter(device, error, rank, random);
      device.free(error);
      await this.writeAdapter(adapted, melded && this.#upload(melded));
    }
  }

  /**
   * Quantises A, f32 [rank, inFeatures], into the rows below the weights, rotated as they are, and
   * frees it; null: a random A.
   */
  async writeAdapter({ part, start }: AdapterPart, given: Matrix | null): Promise<void> {
    const { context: { device }, settings: { scaleGranularity } } = this.#shared;
    const input = given ?? await this.#randomAdapter(part);
    await this.#quantized.rotate(input);
    let shared: number | null = null;
    if (scaleGranularity === "tensor") {
      [shared] = await this.readScales(part.start, 1);
      const a = representable(await device.readMatrix(input), shared, this.#shared.formats.input);
      device.writeMatrix(input, Float32Array.from(a));
    }
    await this.#quantized.quantizeRows(this.spec.width + start, input, { scale: shared });
    device.free(input);
  }

  /** Part `index` as a quantised model's file holds it. */
  async stored(index: number): Promise<StoredPart> {
    const part = this.spec.parts[index];
    const { codes, valueScales } = await this.#quantized.readStored(part);
    const perRow = this.#shared.settings.scaleGranularity === "row";
    return { codes, scales: perRow ? valueScales : valueScales.slice(0, 1) };
  }

  /** Part `index` as numbers, f32 [rows, inFeatures]. */
  readPart(index: number): Promise<Float32Array<ArrayBuffer>> {
    return this.#quantized.readPart(this.spec.parts[index]);
  }

  /** Frees its buffers. */
  free(): void {
    this.#quantized.free();
  }

  async #randomAdapter({ rows }: LinearPart): Promise<Matrix> {
    const { context: { device, random }, settings: { rank, init } } = this.#shared;
    const { inFeatures } = this.spec;
    if (init === "gradient") return await normalAdapter(device, rows, inFeatures, rank, random);
    const chosen = init === "kaiming" ? init : "random-orthogonal";
    return this.#upload(randomAdapter(chosen, rows, inFeatures, rank, random));
  }

  /** Uploads an A [rank, inFeatures]. */
  #upload(a: Float32Array<ArrayBuffer>): Matrix {
    const { context: { device }, settings: { rank } } = this.#shared;
    const matrix = device.matrix(rank, this.spec.inFeatures, "f32", "A to quantise");
    device.writeMatrix(matrix, a);
    return matrix;
  }
}
