/**
 * The decoder of any plan in f64 with its backward pass, over a flat stream of packed documents.
 *
 * Every step returns its output together with a `backward` closure, so a block reads twice:
 * downwards as the forward, upwards as the backward. There is no autograd engine to trust.
 *
 * @module
 */

import { ModelError } from "../../src/errors.ts";
import type { ModelConfig } from "../../src/model/config.ts";
import type {
  AttentionPlan,
  LayerPlan,
  ModelPlan,
  NormPlan,
  QkNormPlan,
} from "../../src/model/plan.ts";
import type { DeltaNetPlan } from "../../src/model/delta_net_plan.ts";
import type { LinearRole, TensorRows } from "../../src/model/tensor_map.ts";
import { attention, attentionBackward, type AttentionShape } from "./attention.ts";
import { joinColumns, splitColumns } from "./columns.ts";
import {
  causalConv,
  causalConvBackward,
  deltaGates,
  deltaGatesBackward,
  deltaRule,
  deltaRuleBackward,
  gatedNorm,
  gatedNormBackward,
  l2Norm,
  l2NormBackward,
  outputGate,
  outputGateBackward,
} from "./delta_net.ts";
import { embed, embedBackward } from "./embedding.ts";
import { columnSums, linear, linearBackward } from "./linear.ts";
import { crossEntropy } from "./loss.ts";
import { rmsNorm, rmsNormBackward } from "./norm.ts";
import { plannedRotation } from "./rotation_plan.ts";
import { TokenInputs } from "./token_inputs.ts";
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
  /** By Hugging Face parameter name; a tied lm_head counts into the embedding. */
  gradients: Map<string, Float64Array>;
}

/** What a layer attends to, and the gradients of all layers that attend to it. */
interface KeyValues {
  k: Float64Array;
  v: Float64Array;
  dk: Float64Array;
  dv: Float64Array;
}

/** Stands in the place of those of a layer without attention. */
const [NO_KEYS]: KeyValues[] = [new Float64Array()].map((k) => ({ k, v: k, dk: k, dv: k }));

/** A model in f64. */
export class ReferenceModel {
  readonly #plan: ModelPlan;
  readonly #parameters: Map<string, Float64Array>;
  readonly #linears: LinearGroup;
  #gradients = new Map<string, Float64Array>();

  /**
   * Wraps parameters without copying them.
   *
   * @param config Sizes and constants.
   * @param parameters By Hugging Face name, row-major.
   * @param linears Replaces the linear layers of every block, without their biases; by default they are
   *   dense and have gradients of their own.
   */
  constructor(
    { plan }: Pick<ModelConfig, "plan">,
    parameters: Map<string, Float64Array>,
    linears?: LinearGroup,
  ) {
    this.#plan = plan;
    this.#parameters = parameters;
    this.#linears = linears ??
      eachLinear((name, x, rows) => this.#dense(`${name}.weight`, x, rows));
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
    const { hiddenSize, embedding, layers, finalNorm, head } = this.#plan;
    const rows = tokens.inputIds.length;
    const table = this.#parameter(embedding.tensor);
    let x = times(embed(table, tokens.inputIds, hiddenSize), embedding.scale);
    const inputs = this.#plan.tokenInputs &&
      new TokenInputs(this.#plan.tokenInputs, layers.length, x, tokens.inputIds, {
        parameter: (name) => this.#parameter(name),
        accumulate: (name, gradient) => this.#accumulate(name, gradient),
        dense: (name, x) => this.#dense(name, x, rows),
        norm: (plan, x) => this.#norm(plan, x),
      });
    const keyValues: KeyValues[] = [];
    const steps: Differentiable[] = [];
    const apply = (step: (x: Float64Array) => Differentiable) => {
      const done = step(x);
      steps.push(done);
      x = done.y;
    };
    layers.forEach((layer, index) => {
      apply((x) => this.#residual(layer, "attention", x, tokens, keyValues));
      apply((x) => this.#residual(layer, "mlp", x, tokens, keyValues));
      const { tokenInput, outputScale } = layer;
      if (tokenInput) apply((x) => inputs!.branch(tokenInput, layer.mlp.activation, index, x));
      if (outputScale) {
        const [scale] = this.#parameter(outputScale);
        apply((x) => ({ y: times(x, scale), backward: (dy) => times(dy, scale) }));
      }
    });
    apply((x) => this.#norm(finalNorm, x));
    apply((x) => this.#dense(head.tensor, x, rows));
    apply((x) => ({ y: times(x, head.scale), backward: (dy) => times(dy, head.scale) }));
    apply((x) => softCapped(x, head.softCap));
    return {
      y: x,
      backward: (dy) => {
        const dStream = steps.reduceRight((gradient, step) => step.backward(gradient), dy);
        const dx = inputs ? add(dStream, inputs.backward()) : dStream;
        const gradient = this.#gradient(embedding.tensor);
        embedBackward(gradient, times(dx, embedding.scale), tokens.inputIds, hiddenSize);
      },
    };
  }

  /** x + scale · norm(branch(norm(x))), where each norm may be none. */
  #residual(
    layer: LayerPlan,
    branch: "attention" | "mlp",
    x: Float64Array,
    tokens: TokenStream,
    keyValues: KeyValues[],
  ): Differentiable {
    const { norms, residualScale } = layer;
    const [before, behind] = branch === "attention"
      ? [norms.attentionIn, norms.attentionOut]
      : [norms.mlpIn, norms.mlpOut];
    const first = this.#norm(before, x);
    const second = branch === "attention"
      ? this.#mixer(layer, first.y, tokens, keyValues)
      : this.#mlp(layer, first.y, tokens.inputIds.length);
    const third = this.#norm(behind, second.y);
    return {
      y: add(x, times(third.y, residualScale)),
      backward: (dy) => {
        const dBranch = third.backward(times(dy, residualScale));
        return add(dy, first.backward(second.backward(dBranch)));
      },
    };
  }

  /** @param keyValues Those of the layers before; this layer's are appended. */
  #mixer(
    layer: LayerPlan,
    x: Float64Array,
    tokens: TokenStream,
    keyValues: KeyValues[],
  ): Differentiable {
    if (layer.attention) return this.#attention(layer, layer.attention, x, tokens, keyValues);
    keyValues.push(NO_KEYS);
    return this.#deltaNet(layer, layer.deltaNet!, x, tokens);
  }

  #attention(
    layer: LayerPlan,
    plan: AttentionPlan,
    x: Float64Array,
    tokens: TokenStream,
    keyValues: KeyValues[],
  ): Differentiable {
    const { heads, kvHeads, headDim, scale, softCap, window, qkNorm, bias, sharedWith } = plan;
    const gated = plan.outputGate;
    const { positions, documentStart } = tokens;
    const rows = positions.length;
    const shape: AttentionShape = {
      numHeads: heads,
      numKeyValueHeads: kvHeads,
      headDim,
      scale,
      softCap,
      documentStart: Array.from(
        documentStart,
        (start, t) => window === null ? start : Math.max(start, t - window + 1),
      ),
    };
    const rotation = plannedRotation(plan, tokens);
    const roles: LinearRole[] = gated ? ["q", "z", "k", "v"] : ["q", "k", "v"];
    const projections = this.#project(layer, roles, bias.qkv, x, rows);
    const [rawQ, rawK, rawV = rawK] = projections.ys.filter((_, i) => roles[i] !== "z");
    const z = gated ? projections.ys[1] : null;
    const normedQ = this.#qkNorm(qkNorm, "q", rawQ, headDim, rows);
    const q = rotation?.turn(normedQ.y, "q") ?? normedQ.y;
    let backwardKeyValues: (() => Float64Array[]) | null = null;
    if (sharedWith === undefined) {
      const normedK = this.#qkNorm(qkNorm, "k", rawK, headDim, rows);
      const normedV = this.#valueNorm(qkNorm, rawV, headDim);
      const k = rotation?.turn(normedK.y, "k") ?? normedK.y;
      const own: KeyValues = {
        k,
        v: normedV.y,
        dk: new Float64Array(k.length),
        dv: new Float64Array(k.length),
      };
      keyValues.push(own);
      backwardKeyValues = () => {
        const dk = normedK.backward(rotation?.turnBack(own.dk, "k") ?? own.dk);
        const dv = normedV.backward(own.dv);
        return rawV === rawK ? [add(dk, dv)] : [dk, dv];
      };
    } else {
      keyValues.push(keyValues[sharedWith]);
    }
    const { k, v, ...gradients } = keyValues.at(-1)!;
    const output = attention(q, k, v, shape);
    const o = this.#project(layer, ["o"], bias.o, z ? outputGate(output.out, z) : output.out, rows);
    return {
      y: o.ys[0],
      backward: (dy) => {
        const dGated = o.backward([dy]);
        const gate = z && outputGateBackward(dGated, output.out, z);
        const { dq, dk, dv } = attentionBackward(gate?.dx ?? dGated, q, k, v, output, shape);
        addScaled(gradients.dk, 0, 1, dk, 0, dk.length);
        addScaled(gradients.dv, 0, 1, dv, 0, dv.length);
        return projections.backward([
          normedQ.backward(rotation?.turnBack(dq, "q") ?? dq),
          ...(gate ? [gate.dz] : []),
          ...backwardKeyValues?.() ?? [],
        ]);
      },
    };
  }

  #deltaNet(
    layer: LayerPlan,
    plan: DeltaNetPlan,
    x: Float64Array,
    { documentStart, inputIds }: TokenStream,
  ): Differentiable {
    const { keyDim, keyHeads, valueDim, valueHeads, convWidth: width, eps, tensors } = plan;
    const rows = inputIds.length;
    const projections = this.#project(layer, ["q", "k", "v", "z", "a", "b"], false, x, rows);
    const [z, a, b] = projections.ys.slice(3);
    const widths = [keyHeads * keyDim, keyHeads * keyDim, valueHeads * valueDim];
    const merged = joinColumns(projections.ys.slice(0, 3), rows);
    const convShape = { channels: merged.length / rows, width, documentStart };
    const [conv, aLog, dtBias, norm] = [tensors.conv, tensors.aLog, tensors.dtBias, tensors.norm]
      .map((name) => this.#parameter(name));
    const [rawQ, rawK, v] = splitColumns(causalConv(merged, conv, convShape), widths);
    const queryScale = keyDim ** -0.5;
    const gates = deltaGates(a, b, aLog, dtBias);
    const shape = { keyHeads, keyDim, valueHeads, valueDim, documentStart };
    const q = l2Norm(rawQ, keyDim, queryScale);
    const inputs = { q, k: l2Norm(rawK, keyDim), v, ...gates };
    const output = deltaRule(inputs, shape);
    const o = this.#project(layer, ["o"], false, gatedNorm(output.out, z, norm, eps), rows);
    return {
      y: o.ys[0],
      backward: (dy) => {
        const gated = gatedNormBackward(o.backward([dy]), output.out, z, norm, eps);
        const d = deltaRuleBackward(gated.dx, inputs, output, shape);
        const { da, db, dALog, dDtBias } = deltaGatesBackward(d, a, b, aLog, dtBias);
        const dConvolved = joinColumns([
          l2NormBackward(d.q, rawQ, keyDim, queryScale),
          l2NormBackward(d.k, rawK, keyDim),
          d.v,
        ], rows);
        const { dx, dWeight } = causalConvBackward(dConvolved, merged, conv, convShape);
        this.#accumulate(tensors.norm, gated.dWeight);
        this.#accumulate(tensors.aLog, dALog);
        this.#accumulate(tensors.dtBias, dDtBias);
        this.#accumulate(tensors.conv, dWeight);
        return projections.backward([...splitColumns(dx, widths), gated.dz, da, db]);
      },
    };
  }

  #mlp(layer: LayerPlan, x: Float64Array, rows: number): Differentiable {
    const { bias, activation } = layer.mlp;
    const projections = this.#project(layer, ["gate", "up"], bias, x, rows);
    const [gate, up] = projections.ys;
    const down = this.#project(layer, ["down"], bias, swiglu(gate, up, activation), rows);
    return {
      y: down.ys[0],
      backward: (dy) => {
        const { dGate, dUp } = swigluBackward(down.backward([dy]), gate, up, activation);
        return projections.backward([dGate, dUp]);
      },
    };
  }

  /**
   * The projections of `roles`, which read one input: each stored tensor is one linear layer, of whose
   * outputs a role has those of its rows.
   */
  #project(
    { tensors }: LayerPlan,
    roles: readonly LinearRole[],
    bias: boolean,
    x: Float64Array,
    rows: number,
  ): LinearGroupOutput {
    const stored = roles.filter((role) => tensors[role]);
    const names = [...new Set(stored.map((role) => tensors[role]!.name))];
    const of = (name: string) =>
      stored.map((role) => tensors[role]!).filter((rows) => rows.name === name);
    const layers = this.#linears(names.map((name) => name.replace(/\.weight$/, "")), x, rows);
    const outputs = layers.ys.map((y, i) =>
      bias ? addRow(y, this.#parameter(biasName(names[i]))) : y
    );
    const blocks = outputs.map((y, i) => of(names[i]).map((part) => columnsOf(part, y, rows)));
    return {
      ys: blocks.flat(),
      backward: (dys) => {
        let next = 0;
        const joined = names.map((name, i) => {
          const dy = new Float64Array(outputs[i].length);
          for (const part of of(name)) addColumns(part, dys[next++], dy, rows);
          return dy;
        });
        if (bias) {
          joined.forEach((dy, i) => this.#accumulate(biasName(names[i]), columnSums(dy, rows)));
        }
        return layers.backward(joined);
      },
    };
  }

  /** RMSNorm of every head, or of all heads of a token. */
  #qkNorm(
    plan: QkNormPlan | null,
    of: "q" | "k",
    x: Float64Array,
    headDim: number,
    rows: number,
  ): Differentiable {
    if (!plan) return { y: x, backward: (dy) => dy };
    const width = plan.over === "head" ? headDim : x.length / rows;
    const weight = this.#parameter(plan.tensors[of]);
    if (weight.length !== width) throw new TypeError(`${plan.tensors[of]}: ${weight.length}`);
    return this.#norm({ ...plan, kind: "rms", tensor: plan.tensors[of] }, x);
  }

  /** RMSNorm of every head of values, without a weight. */
  #valueNorm(plan: QkNormPlan | null, x: Float64Array, headDim: number): Differentiable {
    if (!plan?.values) return { y: x, backward: (dy) => dy };
    const ones = new Float64Array(headDim).fill(1);
    return {
      y: rmsNorm(x, ones, plan.eps),
      backward: (dy) => rmsNormBackward(dy, x, ones, plan.eps).dx,
    };
  }

  #norm(plan: NormPlan | null, x: Float64Array): Differentiable {
    if (!plan) return { y: x, backward: (dy) => dy };
    const { tensor, eps, weightOffset } = plan;
    const weight = this.#parameter(tensor).map((w) => w + weightOffset);
    return {
      y: rmsNorm(x, weight, eps),
      backward: (dy) => {
        const { dx, dWeight } = rmsNormBackward(dy, x, weight, eps);
        this.#accumulate(tensor, dWeight);
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

/** The outputs of a stored tensor that are those of a role. */
function columnsOf(part: TensorRows, y: Float64Array, rows: number): Float64Array {
  const width = y.length / rows;
  return Float64Array.from(
    { length: rows * part.rows },
    (_, i) => y[Math.floor(i / part.rows) * width + columnIn(part, i % part.rows)],
  );
}

/** The inverse of {@linkcode columnsOf}. */
function addColumns(part: TensorRows, dy: Float64Array, all: Float64Array, rows: number): void {
  const width = all.length / rows;
  dy.forEach((d, i) => all[Math.floor(i / part.rows) * width + columnIn(part, i % part.rows)] += d);
}

function columnIn({ firstRow, heads }: TensorRows, i: number): number {
  return firstRow + (heads ? Math.floor(i / heads.of) * heads.every + i % heads.of : i);
}

function biasName(weight: string): string {
  return weight.replace(/\.weight$/, ".bias");
}

function times(x: Float64Array, factor: number): Float64Array {
  return factor === 1 ? x : x.map((value) => value * factor);
}

function addRow(x: Float64Array, row: Float64Array): Float64Array {
  return x.map((value, i) => value + row[i % row.length]);
}

/** c · tanh(x / c). */
function softCapped(x: Float64Array, cap: number | null): Differentiable {
  if (cap === null) return { y: x, backward: (dy) => dy };
  const y = x.map((value) => cap * Math.tanh(value / cap));
  return { y, backward: (dy) => dy.map((d, i) => d * (1 - (y[i] / cap) ** 2)) };
}
