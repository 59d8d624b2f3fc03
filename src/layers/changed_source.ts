/**
 * A source some of whose tensors are others than in the model's files: what an adapter brings besides
 * the factors of linear layers, such as an embedding or biases.
 *
 * @module
 */

import { readMatrixValues } from "./load.ts";
import { ModelError } from "../errors.ts";
import type { TensorChanges } from "./tensor_changes.ts";
import type { Raw16, StoredCodes, WeightSource } from "./weight_source.ts";

/** Where the old values of a tensor are. */
export interface OldTensors {
  /** Tensors that have no values in the files, such as new biases: their old values are zeros. */
  readonly absent: ReadonlySet<string>;
  /** Tensors whose old values are those of another, such as a head that was the embedding. */
  readonly aliases: ReadonlyMap<string, string>;
}

type Shape = readonly [rows: number, cols: number];

/** The weights of a source with changes. */
export class ChangedSource implements WeightSource {
  readonly fill?: WeightSource["fill"];
  /** The changed tensor read last, kept because its ranges are read one after another. */
  #last: { name: string; values: Float32Array<ArrayBuffer> } | null = null;

  constructor(
    readonly source: WeightSource,
    readonly changes: TensorChanges,
    readonly old: OldTensors,
  ) {
    // Weights that a GPU makes up have no values to change.
    if (source.fill) this.fill = source.fill.bind(source);
  }

  async rows(
    name: string,
    shape: Shape,
    first: number,
    count: number,
  ): Promise<Float32Array<ArrayBuffer>> {
    const { source, old } = this;
    const change = this.changes.get(name);
    const alias = old.aliases.get(name) ?? name;
    if (!change) return await source.rows(alias, shape, first, count);
    if (this.#last?.name !== name) {
      const [rows, cols] = [change.shape[0] ?? shape[0], change.shape[1]];
      if (rows !== shape[0] || cols !== shape[1]) {
        throw new ModelError(
          `Cannot use the adapter as its "${name}" is [${change.shape}] where the model's is ` +
            `[${shape}]: it was made for another model, so load it with that one`,
        );
      }
      const values = old.absent.has(name) || !change.readsOld
        ? new Float32Array(rows * cols)
        : await readMatrixValues(source, alias, shape);
      this.#last = { name, values: finite(name, change.apply(values)) };
    }
    const cols = shape[1];
    return this.#last!.values.slice(first * cols, (first + count) * cols);
  }

  async codes(name: string, shape: Shape): Promise<StoredCodes | null> {
    if (this.changes.has(name)) return null;
    return await this.source.codes(this.old.aliases.get(name) ?? name, shape);
  }

  async raw16(name: string, shape: Shape, first: number, count: number): Promise<Raw16 | null> {
    if (this.changes.has(name)) return null;
    const alias = this.old.aliases.get(name) ?? name;
    return await this.source.raw16?.(alias, shape, first, count) ?? null;
  }

  leavesUnquantized(name: string): boolean {
    return this.changes.has(name) || (this.source.leavesUnquantized?.(name) ?? false);
  }

  onRounded(name: string): void {
    this.source.onRounded?.(name);
  }
}

/** Refuses what is no number: factors may be, and their product not. */
function finite(name: string, values: Float32Array<ArrayBuffer>): Float32Array<ArrayBuffer> {
  const wrong = values.findIndex((value) => !Number.isFinite(value));
  if (wrong < 0) return values;
  throw new ModelError(
    `Cannot use the adapter as it makes element ${wrong} of "${name}" ${
      values[wrong]
    }: its values leave ` +
      "the range of f32, so it is damaged, or its training diverged; use an earlier checkpoint of it",
  );
}
