/**
 * Which architecture of llama.cpp computes a plan. What of a plan it does not compute has to be refused:
 * the file would load, and say something plausible and wrong.
 *
 * @module
 */

import { ModelError } from "../errors.ts";
import { GGUF_ARCHITECTURES, type GgufArchitecture } from "./gguf_architectures.ts";
import type {
  AttentionLayerPlan,
  AttentionPlan,
  LayerPlan,
  ModelPlan,
  NormPlan,
  RopePlan,
} from "./plan.ts";
import type { TensorRows } from "./tensor_map.ts";

/**
 * The architecture that computes a plan.
 *
 * @throws {ModelError} if none does.
 */
export function ggufArchitecture(modelType: string, plan: ModelPlan): GgufArchitecture {
  const known = Object.hasOwn(GGUF_ARCHITECTURES, modelType) ? GGUF_ARCHITECTURES[modelType] : null;
  if (!known) {
    throw new ModelError(
      `Cannot export a model of type "${modelType}" as GGUF: those of ${
        Object.keys(GGUF_ARCHITECTURES).join(", ")
      } can be; convert its folder with llama.cpp's convert_hf_to_gguf.py`,
    );
  }
  const wrong = firstDifference(known, plan);
  if (wrong !== null) {
    throw new ModelError(
      `Cannot export this model of type "${modelType}" as GGUF as it has ${wrong}, which llama.cpp's ` +
        `architecture "${known.name}" has not: use its folder with another tool`,
    );
  }
  return known;
}

/** What a plan has that an architecture cannot compute, in words; null for nothing. */
function firstDifference(arch: GgufArchitecture, plan: ModelPlan): string | null {
  const { embedding, head, finalNorm, layers, hiddenSize } = plan;
  const root = Math.sqrt(hiddenSize);
  if (arch.rootScale ? differs(embedding.scale, root) : !arch.scales && embedding.scale !== 1) {
    return `an embedding multiplied by ${embedding.scale}`;
  }
  if (!arch.scales && head.scale !== 1) return `logits multiplied by ${head.scale}`;
  if (arch.softCaps !== (head.softCap !== null)) {
    return head.softCap === null ? "no cap of logits" : "a cap of logits";
  }
  if (arch.head === "tied" && !head.tied) return "a head that is not the embedding";
  if (!isNorm(finalNorm, plan)) return "another last norm";
  if (arch.windows !== null && ggufWindowPeriod(plan) === null) {
    return "windows in layers that no period tells";
  }
  for (const [index, layer] of layers.entries()) {
    const wrong = layerDifference(arch, layer, index, plan);
    if (wrong !== null) return `${wrong} in layer ${index}`;
  }
  return null;
}

/**
 * The n where every n-th layer sees all tokens before it and the others a window; one more than there are
 * layers where all have windows, and null where none is.
 */
export function ggufWindowPeriod({ layers }: ModelPlan): number | null {
  for (let period = 1; period <= layers.length + 1; period++) {
    const fits = layers.every(({ attention }, index) =>
      (attention?.window === null) === ((index + 1) % period === 0)
    );
    if (fits) return period;
  }
  return null;
}

/** The rotation that a file's keys tell: that of the layers without a window, where there are some. */
export function ggufRope({ layers }: ModelPlan): RopePlan | null {
  const turned = layers.filter(({ attention }) => attention?.rope);
  const whole = turned.find(({ attention }) => attention!.window === null);
  return (whole ?? turned[0])?.attention?.rope ?? null;
}

function layerDifference(
  arch: GgufArchitecture,
  layer: LayerPlan,
  index: number,
  plan: ModelPlan,
): string | null {
  const { attention, mlp, norms, tensors } = layer;
  if (!attention) return "a delta net";
  if (layer.parallel) return "branches side by side";
  if (layer.tokenInput || layer.outputScale || attention.sharedWith !== undefined) {
    return "inputs, keys or factors of its own";
  }
  if (!arch.scales && layer.residualScale !== 1) return `branches times ${layer.residualScale}`;
  if (mlp.bias && !arch.biases.includes("mlp")) return "biases of the MLP";
  if (mlp.activation !== arch.activation) return `the activation ${mlp.activation}`;
  for (const [place, name] of Object.entries(arch.norms)) {
    const norm = norms[place as keyof LayerPlan["norms"]];
    if (name === null ? norm !== null : !norm || !isNorm(norm, plan)) return "other norms";
  }
  const { q, k, v, gate, up } = tensors;
  if (!k || !v) return "keys that are values";
  const together = { qkv: [q, k, v], gateUp: [gate, up] };
  for (const parts of arch.merged) {
    if (!areOne(together[parts])) return "weights that are stored apart";
  }
  return attentionDifference(arch, { ...layer, attention }, index, plan);
}

function attentionDifference(
  arch: GgufArchitecture,
  { attention }: AttentionLayerPlan,
  index: number,
  plan: ModelPlan,
): string | null {
  const { heads, headDim, scale, softCap, qkNorm, bias, window } = attention;
  const first = plan.layers[0].attention!;
  if (arch.wholeHeads && heads * headDim !== plan.hiddenSize) {
    return `heads that are ${heads * headDim} wide together beside a width of ${plan.hiddenSize}`;
  }
  const wide = plan.layers.length === arch.wideScaleAt;
  const divisor = wide ? Math.floor(plan.hiddenSize / heads) : headDim;
  if (!arch.scales && differs(scale, divisor ** -0.5)) return `scores times ${scale}`;
  if (arch.softCaps !== (softCap !== null)) {
    return softCap === null ? "no cap of scores" : "a cap of scores";
  }
  if (attention.outputGate) return "a gate of the output of attention";
  const fits = qkNorm?.over === arch.qkNorm && qkNorm?.eps === plan.finalNorm.eps && !qkNorm.values;
  if (arch.qkNorm ? !fits : qkNorm !== null) return "other norms of queries and keys";
  for (const kind of ["qkv", "o"] as const) {
    if (bias[kind] && !arch.biases.includes(kind)) return `biases of ${kind}`;
  }
  if (arch.windows === null ? window !== first.window : window !== null && other(window, plan)) {
    return "another window";
  }
  return stillDifference(arch, attention, index, plan);
}

/** Whether a window is not that of the first layer that has one. */
function other(window: number, { layers }: ModelPlan): boolean {
  const first = layers.find(({ attention }) => attention?.window != null);
  return first?.attention?.window !== window;
}

function stillDifference(
  arch: GgufArchitecture,
  { rope, window, headDim }: AttentionPlan,
  index: number,
  plan: ModelPlan,
): string | null {
  const told = ggufRope(plan);
  if (told === null && arch.mayStandStill) return null;
  const still = arch.stillEvery > 0 && (index + 1) % arch.stillEvery === 0;
  if (still !== (rope === null)) return still ? "rotation" : "no rotation";
  if (rope === null) return null;
  const local = window !== null && plan.layers.some(({ attention }) => attention?.window === null);
  const expected: RopePlan = { ...told!, scaling: null, factor: 1 };
  const same = !local || arch.windows === "alike" || arch.windows === null
    ? equal(rope, told)
    : equal(rope, arch.windows === "ownBase" ? { ...expected, theta: rope.theta } : expected);
  if (!same) return "another rotation";
  if (rope.rotatedDims !== headDim && !arch.partialRotation) return "rotation of a part of a head";
  if (rope.interleaved && !arch.neighbours) return "rotation of neighbouring components";
  return ropeDifference(arch, rope);
}

function ropeDifference(arch: GgufArchitecture, rope: RopePlan): string | null {
  const { scaling, factor, queryScale } = rope;
  if (queryScale) {
    const yarn = scaling?.type === "yarn" && scaling;
    const length = queryScale.originalMaxPositionEmbeddings;
    if (!arch.queryScale || !yarn || yarn.originalMaxPositionEmbeddings !== length) {
      return "queries scaled by their positions";
    }
  }
  if (scaling && !arch.scalings.includes(scaling.type)) {
    return `rope scaling of type ${scaling.type}`;
  }
  if (scaling?.type === "longrope") return null;
  if (scaling?.type !== "yarn") return factor === 1 ? null : `rotations times ${factor}`;
  const { betaFast, betaSlow, truncate } = scaling;
  // What llama.cpp multiplies by where a file says nothing else.
  const usualFactor = arch.plainYarn ? 1 : 1 + 0.1 * Math.log(scaling.factor);
  const usual = betaFast === 32 && betaSlow === 1 && truncate && !differs(factor, usualFactor);
  return usual ? null : "rope scaling of type yarn with other settings than usual";
}

/** Whether parts are all rows of one tensor, one after another. */
function areOne(parts: readonly TensorRows[]): boolean {
  let row = 0;
  return parts.every(({ name, firstRow, rows, heads }) => {
    const follows = name === parts[0].name && firstRow === row && !heads;
    row += rows;
    return follows;
  });
}

function isNorm({ kind, eps }: NormPlan, { finalNorm }: ModelPlan): boolean {
  return kind === "rms" && eps === finalNorm.eps;
}

function equal(a: unknown, b: unknown): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}

function differs(a: number, b: number): boolean {
  return Math.abs(a - b) > 1e-6 * Math.abs(b);
}
