/**
 * One adapted part of a merged weight: its B, and how B is written into the codes.
 *
 * @module
 */

import type { BufferView, Matrix, Vector } from "../../gpu/buffers.ts";
import type { Device } from "../../gpu/device.ts";
import type { Program } from "../../gpu/program.ts";
import type { StepState } from "../../gpu/step_state.ts";
import { submitOnce } from "../../gpu/submit_once.ts";
import type { AdaptedPart, Selection, UpdateBase } from "../../kernels/falqon/adapted_part.ts";
import { measureUpdate, updateRows } from "../../kernels/falqon/falqon.ts";
import { markFlushed, scoreRows, selectRows } from "../../kernels/falqon/selection.ts";
import { copyCodes } from "../../kernels/rows/copy_codes.ts";
import type { Parameter } from "../../layers/parameters.ts";
import { outFeaturesOf } from "../../layers/row_order.ts";
import type { MergedWeight } from "./merged_weight.ts";
import { ProductUpdate } from "./product_update.ts";
import { Residue } from "./residue.ts";
import type { FalqonSettings } from "./settings.ts";
import type { FalqonShared } from "./shared.ts";
import type { TensorRandom } from "./rounding_random.ts";
import { NO_COUNTS, type UpdateCounts } from "./update_counts.ts";
import type { AdapterPart } from "../targets.ts";

/** The B of one adapted part, and what its update rule keeps. */
export class FalqonUpdate {
  /** f32 [rows, rank]: the buffer of changes, or the master. */
  readonly b: Parameter;
  /** B − B_flushed, f32 [rows, rank]; null where every step writes all rows. */
  pendingB: Matrix | null = null;
  readonly #device: Device;
  readonly #settings: FalqonSettings;
  readonly #rowFactors: Vector;
  readonly #columnFactors: Vector;
  /** The codes before training, [rows, inputs]: what `requantize` starts rows from. */
  readonly #reference: Matrix | null = null;
  /** The B that each row was last written with. */
  #flushed: Matrix | null = null;
  readonly #selection: Selection | null = null;
  #scores: Vector | null = null;
  readonly #residue: Residue | null = null;
  #statistics: Vector | null = null;
  readonly #random: TensorRandom | null;
  /** Where A is trained as well. */
  readonly product: ProductUpdate | null;

  constructor(
    shared: Pick<FalqonShared, "context" | "settings" | "random">,
    readonly linear: MergedWeight,
    readonly adapter: AdapterPart,
  ) {
    const { context: { device, parameters }, settings } = shared;
    const { inFeatures } = linear.spec;
    const { part: { module, rows } } = adapter;
    const { rank, topK, updateRule } = settings;
    this.#device = device;
    this.#settings = settings;
    this.#random = shared.random?.tensor() ?? null;
    this.b = parameters.declare(`${module}.falqon_B`, rows, rank, true);
    this.#rowFactors = device.vector(rows, "f32", `${module} row factors`, "model");
    this.product = settings.trainA ? new ProductUpdate(device, this.b, settings.loraScale) : null;
    const columns = this.product?.rank ?? rank;
    this.#columnFactors = device.vector(columns, "f32", `${module} column factors`, "model");
    const count = Math.min(topK ?? rows, rows);
    if (updateRule === "requantize") {
      this.#reference = device.matrix(
        rows,
        inFeatures,
        linear.weight.type,
        `${module} reference codes`,
        "model",
      );
    }
    if (topK !== null) {
      this.#selection = {
        rows: device.vector(count, "u32", `${module} selected rows`, "model"),
        count,
      };
      this.#trackPending();
    }
    if (updateRule === "accumulate") {
      this.#residue = new Residue(device, { module, count, inputs: inFeatures, rank });
    }
  }

  /**
   * Starts from the current codes and scales of the linear layer: B is zero, and what stays fixed
   * is computed once.
   *
   * @param scales All scales of the layer: reading them back costs a round trip, so this is done
   * once for many parts.
   */
  async begin(scales: Float32Array<ArrayBuffer>): Promise<void> {
    const { linear, adapter: { part, start } } = this;
    const { rank, loraScale } = this.#settings;
    const first = linear.spec.width + start;
    const w = scales.subarray(part.start, part.start + part.rows);
    const a = scales.subarray(first, first + rank);
    // The scales of an A that is trained change: its factor comes divided by them.
    const [unit, columns] = this.product
      ? [1, new Float32Array(this.product.rank).fill(1)]
      : [w[0], a.map((scale) => loraScale * w[0] / scale)];
    this.#device.write(this.#rowFactors, w.map((scale) => scale / unit));
    this.#device.write(this.#columnFactors, columns);
    await submitOnce(this.#device, (program) => {
      program.clear(this.b.value);
      if (this.product) program.clear(this.product.largest);
      if (this.#reference) {
        const from = { codes: linear.weight, first: part.start };
        copyCodes(program, from, { codes: this.#reference, first: 0 }, part.rows);
      }
      if (this.#flushed) program.clear(this.#flushed);
      if (this.pendingB) program.clear(this.pendingB);
    });
    await this.#residue?.begin(this.#part());
  }

  /** Records the update rule, after the optimizer's change of B. */
  record(program: Program, state: StepState): void {
    this.#findPending(program);
    const { linear, adapter } = this;
    const part = this.product?.record(program, linear, adapter, this.#part()) ?? this.#part();
    const rows = {
      part,
      base: this.#base(),
      selection: this.#selection,
      rounding: this.#random ? { key: this.#random.key, state } : undefined,
    };
    if (this.#statistics) {
      const pending = this.pendingB ?? part.b;
      measureUpdate(program, { ...rows, pending, statistics: this.#statistics });
    }
    updateRows(program, { ...rows, change: this.#residue?.change, results: state.results });
    const { updateRule } = this.#settings;
    if (updateRule === "paper") program.clear(this.b.value);
    else if (this.#residue) this.#residue.record(program, part, this.#selection!);
    else this.#markFlushed(program);
  }

  /** Records that all pending rows are written. */
  recordFlush(program: Program): void {
    // The other rules, and requantize of all rows, leave nothing pending.
    if (!this.#reference || !this.#selection) return;
    updateRows(program, { part: this.#part(), base: this.#base(), selection: null });
    if (this.#flushed) {
      program.copy(this.b.value, this.#flushed);
      program.clear(this.pendingB!);
    }
  }

  /** Makes updates recorded from now on count what they do. */
  count(): void {
    const { rows, module } = this.adapter.part;
    this.#statistics ??= this.#device.vector(4 * rows, "f32", `${module} statistics`, "model");
    if (this.#settings.updateRule !== "stochastic") this.#trackPending();
  }

  /** Reads what the last update did; zeros before the first. */
  async counts(): Promise<UpdateCounts> {
    const { start, rows } = this.adapter.part;
    const codes = outFeaturesOf(this.adapter.part) * this.linear.spec.inFeatures;
    const counts = { ...NO_COUNTS, codes };
    if (!this.#statistics) return counts;
    const values = new Float32Array(await this.#device.read(this.#statistics));
    const scales = await this.linear.readScales(start, rows);
    for (let i = 0; i < rows; i++) {
      counts.codesChanged += values[4 * i];
      counts.clamps += values[4 * i + 1];
      counts.intendedSquared += values[4 * i + 2] / scales[i] ** 2;
      counts.realizedDotIntended += values[4 * i + 3] / scales[i] ** 2;
    }
    return counts;
  }

  /** What a checkpoint needs besides the linear's codes and the flat parameters. */
  state(): [string, BufferView][] {
    const { module } = this.adapter.part;
    const named: [string, BufferView | null][] = [
      [`${module}.row_factors`, this.#rowFactors],
      [`${module}.column_factors`, this.#columnFactors],
      [`${module}.reference_codes`, this.#reference],
      [`${module}.flushed_B`, this.#flushed],
      [`${module}.pending_B`, this.pendingB],
      [`${module}.largest_B`, this.product?.largest ?? null],
      [`${module}.gram_inverse`, this.#residue?.stored ?? null],
    ];
    return named.filter((entry): entry is [string, BufferView] => entry[1] !== null);
  }

  free(): void {
    this.#residue?.free();
    this.#device.free(
      this.product?.largest,
      this.pendingB,
      this.#rowFactors,
      this.#columnFactors,
      this.#reference,
      this.#flushed,
      this.#selection?.rows,
      this.#scores,
      this.#statistics,
    );
  }

  #part(): AdaptedPart {
    const { linear, adapter: { part, start } } = this;
    return {
      weight: linear.weight,
      wRow: part.start,
      aRow: linear.spec.width + start,
      rows: part.rows,
      rank: this.#settings.rank,
      rowFactors: this.#rowFactors,
      columnFactors: this.#columnFactors,
      b: this.b.value,
    };
  }

  #base(): UpdateBase {
    if (this.#reference) return { codes: this.#reference, row: 0 };
    // Under `stochastic` the optimizer leaves there what it changed B by.
    const recovers = this.#settings.updateRule === "stochastic" && !this.product;
    return recovers ? { change: this.b.gradient } : "in place";
  }

  /**
   * Allocates what finding the pending rows needs. Only a master that is never zeroed needs to know
   * what was written.
   */
  #trackPending(): void {
    const { rows, module } = this.adapter.part;
    this.#scores ??= this.#device.vector(rows, "f32", `${module} scores`, "model");
    if (!this.#reference) return;
    const { rank } = this.#settings;
    this.#flushed ??= this.#device.matrix(rows, rank, "f32", `${module} flushed B`, "model");
    this.pendingB ??= this.#device.matrix(rows, rank, "f32", `${module} pending B`, "model");
  }

  #findPending(program: Program): void {
    if (!this.#scores) return;
    const pending = this.#flushed ? { flushed: this.#flushed, delta: this.pendingB! } : undefined;
    scoreRows(program, { b: this.b.value, scores: this.#scores, pending });
    if (this.#selection) selectRows(program, this.#scores, this.#selection);
  }

  #markFlushed(program: Program): void {
    if (!this.#flushed) return;
    const [b, flushed, delta] = [this.b.value, this.#flushed, this.pendingB!];
    if (this.#selection) {
      markFlushed(program, { b, selection: this.#selection, flushed, delta });
    } else {
      program.copy(b, flushed);
      program.clear(delta);
    }
  }
}
