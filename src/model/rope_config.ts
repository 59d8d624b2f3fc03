/**
 * The rotary position embedding a configuration asks for. Position `p` turns the pair `(i,
 * i + headDim / 2)` of each query and key by the angle `p · inverseFrequency[i]`.
 *
 * @module
 */

import { isJsonObject, type JsonFields } from "../io/json.ts";

/** Every angle is divided by `factor`, which stretches the context by as much. */
export interface LinearRopeScaling {
  /** Which scaling this is. */
  readonly type: "linear";
  /** The divisor, at least 1. */
  readonly factor: number;
}

/**
 * The scaling of Llama 3.1: frequencies that turn fast within the original context stay, slow
 * ones are divided by `factor`, those between are interpolated.
 */
export interface Llama3RopeScaling {
  /** Which scaling this is. */
  readonly type: "llama3";
  /** The divisor of the slow frequencies, at least 1. */
  readonly factor: number;
  /** Frequencies with fewer turns in the original context than this are slow. */
  readonly lowFreqFactor: number;
  /** Frequencies with more turns in the original context than this are fast. */
  readonly highFreqFactor: number;
  /** The length of the original context in tokens. */
  readonly originalMaxPositionEmbeddings: number;
}

/** How rotary frequencies are scaled; null leaves them as they are. */
export type RopeScaling = null | LinearRopeScaling | Llama3RopeScaling;

/** The part of a model configuration that the rotary embedding depends on. */
export interface RopeConfig {
  /** Components of an attention head; even. */
  readonly headDim: number;
  /** The base of the frequencies. */
  readonly ropeTheta: number;
  /** How the frequencies are scaled. */
  readonly ropeScaling: RopeScaling;
}

/** The rotary settings of a config. */
type Rope = Pick<RopeConfig, "ropeTheta" | "ropeScaling">;

/** The fields that hold rotary settings, before transformers 5 and since. */
const HOLDERS = ["rope_scaling", "rope_parameters"];

/**
 * Reads the rotary settings of a Hugging Face config, as spelled before transformers 5
 * (`rope_theta` and `rope_scaling`) and since (`rope_parameters`). Every field in them is read, or
 * refused.
 *
 * @throws {ModelError} for a rope type other than default, linear and llama3, bad parameters,
 * parameters by layer type, or two spellings that disagree.
 */
export function parseRope(fields: JsonFields): Rope {
  expectWholeHeads(fields);
  const holders = HOLDERS.filter((name) => fields.has(name));
  if (holders.length === 0) return { ropeTheta: readTheta(fields, fields), ropeScaling: null };
  const [rope, other] = holders.map((name) => parseHolder(fields.object(name), name, fields));
  if (other && JSON.stringify(rope) !== JSON.stringify(other)) {
    throw fields.error(
      HOLDERS[0],
      `the same as ${HOLDERS[1]}, or absent`,
      "remove the one that the model was not trained with",
    );
  }
  return rope;
}

function parseHolder(rope: JsonFields, name: string, fields: JsonFields): Rope {
  const nested = Object.entries(rope.json).find(([, value]) => isJsonObject(value));
  if (nested) {
    throw fields.error(
      name,
      "one set of parameters for all layers",
      `it has a set of its own for ${nested[0]}, which is not supported, so choose a model whose ` +
        "layers all rotate alike",
    );
  }
  expectWholeHeads(rope);
  const parsed = { ropeTheta: readTheta(rope, fields), ropeScaling: parseScaling(rope, fields) };
  for (const left of rope.unclaimed()) {
    const value = rope.json[left];
    // What other rope types have, and this one has not.
    if (value !== null && value !== false && value !== 1 && !CONTEXT.test(left)) {
      throw rope.error(left, "absent", `no model with this rope_type has it, so correct the file`);
    }
  }
  return parsed;
}

/** The length of a context may stand beside the parameters of any type: it changes nothing. */
const CONTEXT = /max_position_embeddings$/;

function readTheta(rope: JsonFields, fields: JsonFields): number {
  return rope.positive("rope_theta", fields.positive("rope_theta", 10000));
}

function expectWholeHeads(holder: JsonFields): void {
  if (holder.positive("partial_rotary_factor", 1) !== 1) {
    throw holder.error("partial_rotary_factor", "1", "choose a model that rotates whole heads");
  }
}

function parseScaling(rope: JsonFields, fields: JsonFields): RopeScaling {
  const [newer, older] = [rope.raw("rope_type"), rope.raw("type")];
  const type = newer ?? older ?? "default";
  if (type === "default") return null;
  if (type !== "linear" && type !== "llama3") {
    const field = rope.has("rope_type") ? "rope_type" : "type";
    throw rope.error(field, "default, linear or llama3", "choose a model with one of these");
  }
  const factor = rope.positive("factor");
  if (factor < 1) throw rope.error("factor", "at least 1");
  if (type === "linear") return { type, factor };

  const lowFreqFactor = rope.positive("low_freq_factor");
  const highFreqFactor = rope.positive("high_freq_factor");
  if (highFreqFactor <= lowFreqFactor) {
    throw rope.error("high_freq_factor", `above low_freq_factor (${lowFreqFactor})`);
  }
  const originalMaxPositionEmbeddings = rope.has("original_max_position_embeddings")
    ? rope.integer("original_max_position_embeddings", 1)
    : fields.integer("max_position_embeddings", 1);
  return { type, factor, lowFreqFactor, highFreqFactor, originalMaxPositionEmbeddings };
}

/**
 * The inverse frequencies of the rotary embedding, in radians per token: `[headDim / 2]`, computed
 * in float64 and rounded once. The llama3 scaling is that of transformers.
 */
export function ropeInverseFrequencies(config: RopeConfig): Float32Array<ArrayBuffer> {
  const { headDim, ropeTheta, ropeScaling } = config;
  const frequencies = new Float32Array(headDim / 2);
  for (let i = 0; i < frequencies.length; i++) {
    frequencies[i] = scaleFrequency(ropeTheta ** (-2 * i / headDim), ropeScaling);
  }
  return frequencies;
}

function scaleFrequency(frequency: number, scaling: RopeScaling): number {
  if (scaling === null) return frequency;
  const slow = frequency / scaling.factor;
  if (scaling.type === "linear") return slow;
  const { lowFreqFactor, highFreqFactor, originalMaxPositionEmbeddings } = scaling;
  const turns = originalMaxPositionEmbeddings * frequency / (2 * Math.PI);
  const weight = (turns - lowFreqFactor) / (highFreqFactor - lowFreqFactor);
  const fast = Math.min(Math.max(weight, 0), 1);
  return (1 - fast) * slow + fast * frequency;
}
