/**
 * A gated delta net in f64, step by step, with the gradient of every step: the recurrence goes token by
 * token, and its gradient back through all states, which are kept.
 *
 * @module
 */

import { dot } from "./vector.ts";

const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));
const silu = (x: number) => x * sigmoid(x);
const siluSlope = (x: number) => sigmoid(x) * (1 + x * (1 - sigmoid(x)));
const softplus = (x: number) => x > 30 ? x : Math.log1p(Math.exp(x));

/** The channels of a convolution, and where documents begin. */
export interface ConvShape {
  channels: number;
  /** Tokens that the convolution sees, the last one the token itself. */
  width: number;
  /** For each token, where its document begins. */
  documentStart: ArrayLike<number>;
}

/** Before the activation: every channel by itself over the last tokens of its document. */
function convSums(
  x: Float64Array,
  weight: Float64Array,
  { channels, width, documentStart }: ConvShape,
) {
  const sums = new Float64Array(x.length);
  for (let t = 0; t < documentStart.length; t++) {
    for (let back = 0; back < width && t - back >= documentStart[t]; back++) {
      for (let c = 0; c < channels; c++) {
        sums[t * channels + c] += weight[c * width + width - 1 - back] *
          x[(t - back) * channels + c];
      }
    }
  }
  return sums;
}

/**
 * SiLU of a causal convolution of each channel.
 *
 * @param x `[tokens, channels]`.
 * @param weight `[channels, width]`.
 */
export function causalConv(x: Float64Array, weight: Float64Array, shape: ConvShape): Float64Array {
  return convSums(x, weight, shape).map(silu);
}

/** Backward of {@linkcode causalConv}. */
export function causalConvBackward(
  dy: Float64Array,
  x: Float64Array,
  weight: Float64Array,
  shape: ConvShape,
): { dx: Float64Array; dWeight: Float64Array } {
  const { channels, width, documentStart } = shape;
  const dSums = convSums(x, weight, shape).map((sum, i) => dy[i] * siluSlope(sum));
  const [dx, dWeight] = [new Float64Array(x.length), new Float64Array(weight.length)];
  for (let t = 0; t < documentStart.length; t++) {
    for (let back = 0; back < width && t - back >= documentStart[t]; back++) {
      for (let c = 0; c < channels; c++) {
        const [at, tap] = [(t - back) * channels + c, c * width + width - 1 - back];
        dx[at] += weight[tap] * dSums[t * channels + c];
        dWeight[tap] += x[at] * dSums[t * channels + c];
      }
    }
  }
  return { dx, dWeight };
}

/** Added to the sum of squares of a query or key. */
const L2_EPS = 1e-6;

/** Rows of `length` components divided by their norm, times `scale`. */
export function l2Norm(x: Float64Array, length: number, scale = 1): Float64Array {
  return x.map((value, i) => {
    const start = i - i % length;
    return scale * value / Math.sqrt(dot(x, start, x, start, length) + L2_EPS);
  });
}

/** Backward of {@linkcode l2Norm}. */
export function l2NormBackward(dy: Float64Array, x: Float64Array, length: number, scale = 1) {
  return x.map((value, i) => {
    const start = i - i % length;
    const inverse = 1 / Math.sqrt(dot(x, start, x, start, length) + L2_EPS);
    return scale * (inverse * dy[i] - value * inverse ** 3 * dot(x, start, dy, start, length));
  });
}

/** The gates of a delta net: `[tokens, heads]` each. */
export interface Gates {
  /** log of what the state is multiplied by: at most 0. */
  logDecay: Float64Array;
  /** How far the state is corrected: from 0 to 1. */
  beta: Float64Array;
}

/** @param a, b `[tokens, heads]`; aLog, dtBias `[heads]`. */
export function deltaGates(
  a: Float64Array,
  b: Float64Array,
  aLog: Float64Array,
  dtBias: Float64Array,
): Gates {
  const heads = aLog.length;
  return {
    logDecay: a.map((value, i) => -Math.exp(aLog[i % heads]) * softplus(value + dtBias[i % heads])),
    beta: b.map(sigmoid),
  };
}

/** Backward of {@linkcode deltaGates}. */
export function deltaGatesBackward(
  { logDecay: dLogDecay, beta: dBeta }: Gates,
  a: Float64Array,
  b: Float64Array,
  aLog: Float64Array,
  dtBias: Float64Array,
) {
  const heads = aLog.length;
  const [dALog, dDtBias] = [new Float64Array(heads), new Float64Array(heads)];
  const { logDecay } = deltaGates(a, b, aLog, dtBias);
  const da = a.map((value, i) => {
    const h = i % heads;
    const d = -dLogDecay[i] * Math.exp(aLog[h]) * sigmoid(value + dtBias[h]);
    dALog[h] += dLogDecay[i] * logDecay[i];
    dDtBias[h] += d;
    return d;
  });
  const db = b.map((value, i) => dBeta[i] * sigmoid(value) * (1 - sigmoid(value)));
  return { da, db, dALog, dDtBias };
}

/** The heads of a delta rule, and where documents begin. */
export interface DeltaShape {
  /** Query and key heads; each serves consecutive value heads. */
  keyHeads: number;
  keyDim: number;
  valueHeads: number;
  valueDim: number;
  documentStart: ArrayLike<number>;
}

/** What a delta rule reads. */
export interface DeltaInputs extends Gates {
  /** `[tokens, keyHeads · keyDim]`. */
  q: Float64Array;
  /** `[tokens, keyHeads · keyDim]`. */
  k: Float64Array;
  /** `[tokens, valueHeads · valueDim]`. */
  v: Float64Array;
}

/** What {@linkcode deltaRule} returns. */
export interface DeltaOutput {
  /** `[tokens, valueHeads · valueDim]`. */
  out: Float64Array;
  /** The state before each token, already decayed, by value head and token: `[keyDim, valueDim]`. */
  decayed: Float64Array[][];
  /** The state after each token. */
  states: Float64Array[][];
}

/**
 * The gated delta rule: S ← decay·S; S += k·(beta·(v − Sᵀk))ᵀ; out = Sᵀq.
 *
 * @param initial By value head, what the state is before token 0, whose document it continues.
 */
export function deltaRule(
  { q, k, v, logDecay, beta }: DeltaInputs,
  shape: DeltaShape,
  initial?: Float64Array[],
): DeltaOutput {
  const { keyDim, valueHeads, valueDim, documentStart } = shape;
  const out = new Float64Array(v.length);
  const [decayed, states]: Float64Array[][][] = [[], []];
  for (let head = 0; head < valueHeads; head++) {
    [decayed[head], states[head]] = [[], []];
    let state = initial?.[head] ?? new Float64Array(keyDim * valueDim);
    for (let t = 0; t < documentStart.length; t++) {
      const gate = t * valueHeads + head;
      const [key, value] = [keyAt(shape, t, head), gate * valueDim];
      const fresh = documentStart[t] === t && !(t === 0 && initial);
      const before = state.map((s) => fresh ? 0 : s * Math.exp(logDecay[gate]));
      state = before.slice();
      for (let j = 0; j < valueDim; j++) {
        let known = 0;
        for (let i = 0; i < keyDim; i++) known += before[i * valueDim + j] * k[key + i];
        const change = beta[gate] * (v[value + j] - known);
        for (let i = 0; i < keyDim; i++) {
          state[i * valueDim + j] += k[key + i] * change;
          out[value + j] += state[i * valueDim + j] * q[key + i];
        }
      }
      decayed[head].push(before);
      states[head].push(state);
    }
  }
  return { out, decayed, states };
}

/** Backward of {@linkcode deltaRule} without an initial state. */
export function deltaRuleBackward(
  dOut: Float64Array,
  inputs: DeltaInputs,
  { decayed, states }: DeltaOutput,
  shape: DeltaShape,
): DeltaInputs {
  const { q, k, v, beta, logDecay } = inputs;
  const { keyDim, valueHeads, valueDim, documentStart } = shape;
  const like = (x: Float64Array) => new Float64Array(x.length);
  const d = { q: like(q), k: like(k), v: like(v), logDecay: like(logDecay), beta: like(beta) };
  for (let head = 0; head < valueHeads; head++) {
    let dState = new Float64Array(keyDim * valueDim);
    for (let t = documentStart.length - 1; t >= 0; t--) {
      const gate = t * valueHeads + head;
      const [key, value] = [keyAt(shape, t, head), gate * valueDim];
      const [before, state] = [decayed[head][t], states[head][t]];
      const dBefore = new Float64Array(keyDim * valueDim);
      for (let j = 0; j < valueDim; j++) {
        let [known, dChange] = [0, 0];
        for (let i = 0; i < keyDim; i++) {
          const at = i * valueDim + j;
          d.q[key + i] += state[at] * dOut[value + j];
          dState[at] += q[key + i] * dOut[value + j];
          dChange += dState[at] * k[key + i];
          known += before[at] * k[key + i];
        }
        const error = v[value + j] - known;
        d.beta[gate] += dChange * error;
        const dError = dChange * beta[gate];
        d.v[value + j] = dError;
        for (let i = 0; i < keyDim; i++) {
          const at = i * valueDim + j;
          d.k[key + i] += dState[at] * beta[gate] * error - before[at] * dError;
          dBefore[at] = dState[at] - k[key + i] * dError;
        }
      }
      // A document begins with zeros, which no decay changes.
      for (let at = 0; at < dBefore.length; at++) d.logDecay[gate] += dBefore[at] * before[at];
      const begins = documentStart[t] === t;
      dState = dBefore.map((value) => begins ? 0 : value * Math.exp(logDecay[gate]));
    }
  }
  return d;
}

function keyAt({ keyHeads, keyDim, valueHeads }: DeltaShape, t: number, head: number): number {
  return (t * keyHeads + Math.floor(head * keyHeads / valueHeads)) * keyDim;
}

/**
 * RMSNorm of every head, times its weight and SiLU of a gate.
 *
 * @param x, z `[rows, length]`; weight `[length]`.
 */
export function gatedNorm(x: Float64Array, z: Float64Array, weight: Float64Array, eps: number) {
  const length = weight.length;
  return x.map((value, i) =>
    value * inverseRms(x, i - i % length, length, eps) * weight[i % length] * silu(z[i])
  );
}

/** Backward of {@linkcode gatedNorm}. */
export function gatedNormBackward(
  dy: Float64Array,
  x: Float64Array,
  z: Float64Array,
  weight: Float64Array,
  eps: number,
) {
  const length = weight.length;
  const dWeight = new Float64Array(length);
  const dNormed = dy.map((d, i) => d * silu(z[i]) * weight[i % length]);
  const dz = dy.map((d, i) => {
    const normed = x[i] * inverseRms(x, i - i % length, length, eps);
    dWeight[i % length] += d * silu(z[i]) * normed;
    return d * normed * weight[i % length] * siluSlope(z[i]);
  });
  const dx = x.map((value, i) => {
    const start = i - i % length;
    const inverse = inverseRms(x, start, length, eps);
    return inverse * dNormed[i] -
      value * inverse ** 3 * dot(x, start, dNormed, start, length) / length;
  });
  return { dx, dz, dWeight };
}

function inverseRms(x: Float64Array, start: number, length: number, eps: number): number {
  return 1 / Math.sqrt(dot(x, start, x, start, length) / length + eps);
}

/** x · sigmoid(z). */
export function outputGate(x: Float64Array, z: Float64Array): Float64Array {
  return x.map((value, i) => value * sigmoid(z[i]));
}

/** Backward of {@linkcode outputGate}. */
export function outputGateBackward(dy: Float64Array, x: Float64Array, z: Float64Array) {
  const dx = dy.map((d, i) => d * sigmoid(z[i]));
  return { dx, dz: dx.map((d, i) => d * x[i] * (1 - sigmoid(z[i]))) };
}
