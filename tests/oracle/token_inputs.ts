/**
 * Per-layer embeddings of a model in f64: what every block reads of the tokens besides the stream, and the
 * branch that takes it in.
 *
 * @module
 */

import type { MlpPlan, NormPlan, TokenInputPlan, TokenInputsPlan } from "../../src/model/plan.ts";
import { joinColumns, splitColumns } from "./columns.ts";
import { embed, embedBackward } from "./embedding.ts";
import type { Differentiable } from "./model.ts";
import { swiglu, swigluBackward } from "./swiglu.ts";
import { add, addScaled } from "./vector.ts";

/** The parameters of the model, and the layers that it is made of. */
interface Layers {
  parameter(name: string): Float64Array;
  accumulate(name: string, gradient: Float64Array): void;
  dense(name: string, x: Float64Array): Differentiable;
  norm(plan: NormPlan, x: Float64Array): Differentiable;
}

/** The inputs of all blocks for one stream of tokens. */
export class TokenInputs {
  readonly #plan: TokenInputsPlan;
  readonly #ids: ArrayLike<number>;
  readonly #layers: Layers;
  readonly #cols: number;
  readonly #projected: Differentiable;
  readonly #normed: Differentiable;
  /** By block, `[tokens, width]`. */
  readonly #inputs: Float64Array[];
  readonly #gradients: Float64Array[];

  /** @param embedded `[tokens, hiddenSize]`: the scaled embedding. */
  constructor(
    plan: TokenInputsPlan,
    count: number,
    embedded: Float64Array,
    ids: ArrayLike<number>,
    layers: Layers,
  ) {
    this.#plan = plan;
    this.#ids = ids;
    this.#layers = layers;
    const { width, table, projection, norm, scale } = plan;
    this.#cols = count * width;
    const rows = embed(layers.parameter(table.tensor), ids, this.#cols);
    this.#projected = layers.dense(projection.tensor, embedded);
    this.#normed = layers.norm(norm, this.#projected.y.map((x) => x * projection.scale));
    const sum = this.#normed.y.map((x, i) => scale * (x + table.scale * rows[i]));
    this.#inputs = splitColumns(sum, Array.from({ length: count }, () => width));
    this.#gradients = this.#inputs.map(({ length }) => new Float64Array(length));
  }

  /** x + norm(projection(activation(gate(x)) · input of block `index`)). */
  branch(
    plan: TokenInputPlan,
    activation: MlpPlan["activation"],
    index: number,
    x: Float64Array,
  ): Differentiable {
    const gate = this.#layers.dense(plan.gate, x);
    const input = this.#inputs[index];
    const projection = this.#layers.dense(plan.projection, swiglu(gate.y, input, activation));
    const normed = this.#layers.norm(plan.norm, projection.y);
    return {
      y: add(x, normed.y),
      backward: (dy) => {
        const dHidden = projection.backward(normed.backward(dy));
        const { dGate, dUp } = swigluBackward(dHidden, gate.y, input, activation);
        addScaled(this.#gradients[index], 0, 1, dUp, 0, dUp.length);
        return add(dy, gate.backward(dGate));
      },
    };
  }

  /** The gradient of the embedding, once the branches have theirs. */
  backward(): Float64Array {
    const { table, projection, scale } = this.#plan;
    const dSum = joinColumns(this.#gradients, this.#ids.length).map((d) => d * scale);
    const dTable = new Float64Array(this.#layers.parameter(table.tensor).length);
    embedBackward(dTable, dSum.map((d) => d * table.scale), this.#ids, this.#cols);
    this.#layers.accumulate(table.tensor, dTable);
    return this.#projected.backward(this.#normed.backward(dSum).map((d) => d * projection.scale));
  }
}
