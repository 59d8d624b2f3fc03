/**
 * A source that has the rows of a linear layer in the order of the merged weight.
 *
 * @module
 */

import { type Matrix, rowsOf } from "../gpu/buffers.ts";
import type { Program } from "../gpu/program.ts";
import { gridByRow } from "../numerics/scale_grid.ts";
import { type OrderedRows, outFeaturesOf, toMerged } from "./row_order.ts";
import type { Raw16, StoredCodes, WeightSource } from "./weight_source.ts";

/** Rows between two that are wanted which are read with them: less than a head has. */
const SKIPPED = 256;
/** In place of a row of the tensor: there is none. */
const NONE = -1;

/** The same source, or one that reads the tensor of a part as [part.rows, cols], gaps zero. */
export function mergedSource(part: OrderedRows, source: WeightSource): WeightSource {
  return part.order ? new OrderedSource(part, source) : source;
}

type Shape = readonly [rows: number, cols: number];

class OrderedSource implements WeightSource {
  readonly raw16?: WeightSource["raw16"];
  readonly fill?: WeightSource["fill"];
  readonly #part: OrderedRows;
  readonly #source: WeightSource;
  /** By row of the merged weight: that of the tensor. */
  readonly #stored: Int32Array;

  constructor(part: OrderedRows, source: WeightSource) {
    this.#part = part;
    this.#source = source;
    this.#stored = new Int32Array(part.rows).fill(NONE);
    part.order!.forEach((row, i) => this.#stored[row] = i);
    if (source.raw16) this.raw16 = (...args) => this.#raw16(...args);
    if (source.fill) this.fill = (...args) => this.#fill(...args);
  }

  async rows(name: string, shape: Shape, first: number, count: number) {
    const cols = shape[1];
    const values = new Float32Array(count * cols);
    for (const run of this.#runs(first, count)) {
      this.#place(values, first, run, await this.#source.rows(name, this.#shape(shape), ...run));
    }
    return values;
  }

  async codes(name: string, shape: Shape): Promise<StoredCodes | null> {
    const own = this.#shape(shape);
    const stored = await this.#source.codes(name, own);
    if (!stored) return null;
    const { scales, block } = gridByRow(stored.grid, own);
    return {
      ...stored,
      codes: toMerged(this.#part, stored.codes),
      grid: { scales: toMerged(this.#part, scales, 1), block },
    };
  }

  async #raw16(name: string, shape: Shape, first: number, count: number): Promise<Raw16 | null> {
    const bytes = new Uint8Array(2 * count * shape[1]);
    let dtype: Raw16["dtype"] | null = null;
    for (const run of this.#runs(first, count)) {
      const raw = await this.#source.raw16!(name, this.#shape(shape), ...run);
      if (!raw) return null;
      dtype = raw.dtype;
      this.#place(bytes, first, run, raw.bytes);
    }
    return dtype && { dtype, bytes };
  }

  #fill(program: Program, name: string, out: Matrix): void {
    this.#source.fill!(program, name, out);
    for (let row = 0; row < out.rows; row++) {
      if (this.#stored[row] === NONE) program.clear(rowsOf(out, row, 1));
    }
  }

  #shape([, cols]: Shape): Shape {
    return [outFeaturesOf(this.#part), cols];
  }

  /** What to read of the tensor for `count` rows from `first` on: first rows and counts. */
  #runs(first: number, count: number): [first: number, count: number][] {
    const wanted = this.#stored.slice(first, first + count).filter((row) => row !== NONE).sort();
    const runs: [number, number][] = [];
    for (const row of wanted) {
      const last = runs.at(-1);
      if (last && row - (last[0] + last[1]) <= SKIPPED) last[1] = row - last[0] + 1;
      else runs.push([row, 1]);
    }
    return runs;
  }

  /** Puts what was read of the tensor into packed rows of the merged weight from `first` on. */
  #place<T extends Float32Array | Uint8Array>(
    target: T,
    first: number,
    [from, count]: [number, number],
    read: T,
  ): void {
    const size = read.length / count;
    for (let i = 0; i * size < target.length; i++) {
      const row = this.#stored[first + i] - from;
      if (row < 0 || row >= count) continue;
      target.set(read.subarray(row * size, (row + 1) * size), i * size);
    }
  }
}
