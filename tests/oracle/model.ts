/**
 * The LLaMA decoder in f64 with its backward pass, over a flat stream of packed documents.
 *
 * Every step returns its output together with a `backward` closure, so a block reads twice:
 * downwards as the forward, upwards as the backward. There is no autograd engine to trust.
 *
 * @module
 */

import { ModelError } from "../../src/errors.ts";
import type { ModelConfig } from "../../src/model/config.ts";
import { attention, attentionBackward, type AttentionShape } from "./attention.ts";
import { joinColumns, splitColumns } from "./columns.ts";
import { embed, embedBackward } from "./embedding.ts";
import { linear, linearBackward } from "./linear.ts";
import { crossEntropy } from "./loss.ts";
import { rmsNorm, rmsNormBackward } from "./norm.ts";
import { applyRope, inverseFrequencies } from "./rope.ts";
import { swiglu, swigluBackward } from "./swiglu.ts";
import type { TokenStream } from "./token_stream.ts";
import { add, addScaled } from "./vector.ts";

/** An output and the function that turns its gradient into that of the input. */
export interface Differentiable {
  /** The output. */
  y: Float64Array;
  /** From dL/dy to dL/dx; gradients of parameters are gathered on the way. */
  backward(dy: Float64Array): Float64Array;
}

/** The same for several linear layers that read one input: q, k and v, or gate and up. */
export interface LinearGroupOutput {
  /** The output of each layer. */
  ys: Float64Array[];
  /** From the gradients of all outputs to the gradient of the common input. */
  backward(dys: Float64Array[]): Float64Array;
}

/**
 * Computes the linear layers that share the input `x`. They come as a group because a method
 * may quantise x, and in the backward their gradients, once for all of them.
 *
 * @param names Module names, such as `model.layers.0.self_attn.q_proj`.
 * @param x `[rows, inputs]`.
 * @param rows Tokens of the stream.
 */
export type LinearGroup = (
  names: readonly string[],
  x: Float64Array,
  rows: number,
) => LinearGroupOutput;

/**
 * Makes a {@linkcode LinearGroup} of a function that computes one layer.
 *
 * @param layer From a module name and its input to its output and backward.
 * @returns The group function; the input's gradients are summed.
 */
export function eachLinear(
  layer: (name: string, x: Float64Array, rows: number) => Differentiable,
): LinearGroup {
  return (names, x, rows) => {
    const layers = names.map((name) => layer(name, x, rows));
    return {
      ys: layers.map((layer) => layer.y),
      backward: (dys) => layers.map((layer, i) => layer.backward(dys[i])).reduce(add),
    };
  };
}

/**
 * Makes a {@linkcode LinearGroup} of a function that computes all layers of a group as one, their
 * weights stacked and their outputs side by side.
 *
 * @param layer From the module names and the common input to the joint output and its backward.
 * @param outputsOf Outputs of a module.
 * @returns The group function.
 */
export function mergedLinears(
  layer: (names: readonly string[], x: Float64Array, rows: number) => Differentiable,
  outputsOf: (name: string) => number,
): LinearGroup {
  return (names, x, rows) => {
    const merged = layer(names, x, rows);
    return {
      ys: splitColumns(merged.y, names.map(outputsOf)),
      backward: (dys) => merged.backward(joinColumns(dys, rows)),
    };
  };
}

/** What {@linkcode ReferenceModel.lossAndGradients} returns. */
export interface LossAndGradients {
  /** Mean −log p over the targets, in nats. */
  loss: number;
  /** Number of targets. */
  count: number;
  /** By Hugging Face parameter name; a tied lm_head counts into `model.embed_tokens.weight`. */
  gradients: Map<string, Float64Array>;
}

/** A LLaMA model in f64. */
export class ReferenceModel {
  readonly #config: ModelConfig;
  readonly #parameters: Map<string, Float64Array>;
  readonly #linears: LinearGroup;
  readonly #inverseFrequencies: ArrayLike<number>;
  readonly #lmHead: string;
  #gradients = new Map<string, Float64Array>();

  /**
   * Wraps parameters without copying them.
   *
   * @param config Sizes and constants.
   * @param parameters By Hugging Face name, row-major.
   * @param linears Replaces the seven linear layers of every block; by default they are dense
   *   and have gradients of their own.
   */
  constructor(
    config: ModelConfig,
    parameters: Map<string, Float64Array>,
    linears?: LinearGroup,
  ) {
    this.#config = config;
    this.#parameters = parameters;
    this.#linears = linears ??
      eachLinear((name, x, rows) => this.#dense(`${name}.weight`, x, rows));
    const { ropeTheta: theta, ropeScaling: scaling, headDim } = config;
    this.#inverseFrequencies = inverseFrequencies({ theta, scaling }, headDim);
    this.#lmHead = config.tieWordEmbeddings ? "model.embed_tokens.weight" : "lm_head.weight";
  }

  /**
   * Computes the logits.
   *
   * @param tokens The stream.
   * @returns `[tokens, vocabSize]`.
   */
  logits(tokens: TokenStream): Float64Array {
    return this.#forward(tokens).y;
  }

  /**
   * Computes the mean loss and the gradient of every parameter.
   *
   * @param tokens The stream.
   * @param targets Next-token targets, one a token (see `shiftLabels`).
   * @returns The loss, the number of targets and the gradients.
   */
  lossAndGradients(tokens: TokenStream, targets: ArrayLike<number>): LossAndGradients {
    this.#gradients = new Map();
    const { y, backward } = this.#forward(tokens);
    const { lossSum, count, dLogits } = crossEntropy(y, targets, 1);
    backward(dLogits.map((d) => d / count));
    return { loss: lossSum / count, count, gradients: this.#gradients };
  }

  #forward(tokens: TokenStream): { y: Float64Array; backward(dy: Float64Array): void } {
    const { numLayers, hiddenSize } = this.#config;
    const table = "model.embed_tokens.weight";
    let x = embed(this.#parameter(table), tokens.inputIds, hiddenSize);
    const steps: Differentiable[] = [];
    const apply = (step: Differentiable) => {
      steps.push(step);
      x = step.y;
    };
    for (let i = 0; i < numLayers; i++) apply(this.#block(`model.layers.${i}`, x, tokens));
    apply(this.#norm("model.norm.weight", x));
    apply(this.#dense(this.#lmHead, x, tokens.inputIds.length));
    return {
      y: x,
      backward: (dy) => {
        const dx = steps.reduceRight((gradient, step) => step.backward(gradient), dy);
        embedBackward(this.#gradient(table), dx, tokens.inputIds, hiddenSize);
      },
    };
  }

  #block(prefix: string, x: Float64Array, tokens: TokenStream): Differentiable {
    const attended = this.#attention(prefix, x, tokens);
    const h = add(x, attended.y);
    const mlp = this.#mlp(prefix, h, tokens.inputIds.length);
    return {
      y: add(h, mlp.y),
      backward: (dy) => {
        const dh = add(dy, mlp.backward(dy));
        return add(dh, attended.backward(dh));
      },
    };
  }

  #attention(prefix: string, x: Float64Array, tokens: TokenStream): Differentiable {
    const shape: AttentionShape = { ...this.#config, documentStart: tokens.documentStart };
    const { positions } = tokens;
    const rows = positions.length;
    const rotation = { positions, inverseFrequencies: this.#inverseFrequencies };
    const norm = this.#norm(`${prefix}.input_layernorm.weight`, x);
    const projections = this.#linears(
      ["q_proj", "k_proj", "v_proj"].map((name) => `${prefix}.self_attn.${name}`),
      norm.y,
      rows,
    );
    const q = applyRope(projections.ys[0], positions, rotation.inverseFrequencies);
    const k = applyRope(projections.ys[1], positions, rotation.inverseFrequencies);
    const v = projections.ys[2];
    const output = attention(q, k, v, shape);
    const o = this.#linears([`${prefix}.self_attn.o_proj`], output.out, rows);
    return {
      y: o.ys[0],
      backward: (dy) => {
        const dOut = o.backward([dy]);
        const { dq, dk, dv } = attentionBackward(dOut, q, k, v, output, shape, rotation);
        return norm.backward(projections.backward([dq, dk, dv]));
      },
    };
  }

  #mlp(prefix: string, x: Float64Array, rows: number): Differentiable {
    const norm = this.#norm(`${prefix}.post_attention_layernorm.weight`, x);
    const projections = this.#linears(
      [`${prefix}.mlp.gate_proj`, `${prefix}.mlp.up_proj`],
      norm.y,
      rows,
    );
    const [gate, up] = projections.ys;
    const down = this.#linears([`${prefix}.mlp.down_proj`], swiglu(gate, up), rows);
    return {
      y: down.ys[0],
      backward: (dy) => {
        const { dGate, dUp } = swigluBackward(down.backward([dy]), gate, up);
        return norm.backward(projections.backward([dGate, dUp]));
      },
    };
  }

  #norm(name: string, x: Float64Array): Differentiable {
    const weight = this.#parameter(name);
    const eps = this.#config.rmsNormEps;
    return {
      y: rmsNorm(x, weight, eps),
      backward: (dy) => {
        const { dx, dWeight } = rmsNormBackward(dy, x, weight, eps);
        this.#accumulate(name, dWeight);
        return dx;
      },
    };
  }

  #dense(name: string, x: Float64Array, rows: number): Differentiable {
    const weight = this.#parameter(name);
    return {
      y: linear(x, weight, rows),
      backward: (dy) => {
        const { dx, dWeight } = linearBackward(dy, x, weight, rows);
        this.#accumulate(name, dWeight);
        return dx;
      },
    };
  }

  #parameter(name: string): Float64Array {
    const parameter = this.#parameters.get(name);
    if (!parameter) {
      throw new ModelError(
        `Cannot run the model: it has no parameter "${name}" among its ${this.#parameters.size}; ` +
          `load every tensor the config asks for`,
      );
    }
    return parameter;
  }

  #accumulate(name: string, gradient: Float64Array): void {
    addScaled(this.#gradient(name), 0, 1, gradient, 0, gradient.length);
  }

  #gradient(name: string): Float64Array {
    let gradient = this.#gradients.get(name);
    if (!gradient) {
      gradient = new Float64Array(this.#parameter(name).length);
      this.#gradients.set(name, gradient);
    }
    return gradient;
  }
}
