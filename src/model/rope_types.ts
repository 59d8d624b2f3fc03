/**
 * The rope types of transformers: the parameters that each of them reads.
 *
 * @module
 */

import type { JsonFields } from "../io/json.ts";
import { MOST, RANGES } from "./accepted_sizes.ts";
import type { RopePlan } from "./plan.ts";
import type { Llama3RopeScaling, LongRopeScaling, YarnRopeScaling } from "./rope_scaling.ts";

/** In what a family's rotary settings differ from LLaMA's. */
export interface RopeOptions {
  /** The base where the config has none. Default 10000. */
  readonly theta?: number;
  /** The field of config.json that holds the base of these layers. Default `rope_theta`. */
  readonly thetaField?: string;
  /**
   * Whether a `rope_scaling` without layer types is for these layers. Default true. Before
   * transformers 5, Gemma 3 and OLMo 3 meant only the layers of full attention by it.
   */
  readonly scaled?: boolean;
  /**
   * The part of a head that is turned where the config does not say. A family without this turns
   * whole heads.
   */
  readonly partialRotaryFactor?: number;
  /** Whether planes are components (2i, 2i + 1). Default false. */
  readonly interleaved?: boolean;
  /** Whether queries are scaled by `llama_4_scaling_beta`. Default false. */
  readonly queryScale?: boolean;
  /**
   * The length of the original context where the config has none. Default
   * `max_position_embeddings`.
   */
  readonly originalMaxPositionEmbeddings?: number;
  /** Whether `yarn` is an old name of `longrope`, as in the first files of Phi-3. Default false. */
  readonly yarnIsLongrope?: boolean;
  /** The parameters where the config has none: those of the family's class. */
  readonly absent?: Readonly<Record<string, unknown>>;
  /** Parameters on which the rotation of text does not depend, such as `mrope_section`. */
  readonly unused?: readonly string[];
}

/** What the readers of parameters share. */
export interface Context {
  /** The parameters. */
  rope: JsonFields;
  /** The config that they stand in. */
  fields: JsonFields;
  headDim: number;
  options: RopeOptions;
}

const ORIGINAL = "original_max_position_embeddings";
const PARTIAL = "partial_rotary_factor";

/** What a rope type decides. */
type Scaled = Pick<RopePlan, "scaling" | "rotatedDims" | "factor">;

/** The readers of each rope type. */
const TYPES: Readonly<Record<string, (context: Context) => Scaled>> = {
  default: (context) => ({ scaling: null, rotatedDims: rotatedDims(context), factor: 1 }),
  linear: (context) => {
    const scaling = { type: "linear", factor: stretch(context.rope) } as const;
    return { scaling, rotatedDims: rotatedDims(context), factor: 1 };
  },
  llama3: parseLlama3,
  yarn: parseYarn,
  longrope: parseLongrope,
  proportional: parseProportional,
};

/**
 * Reads the rope type and what belongs to it.
 *
 * @throws {ModelError} for another type, or bad parameters.
 */
export function parseScaling(context: Context): Scaled {
  const { rope, fields, options } = context;
  fields.has(ORIGINAL); // types without an original context ignore it
  const [newer, older] = [rope.raw("rope_type"), rope.raw("type")];
  let type = newer ?? older ?? "default";
  if (type === "su" || (type === "yarn" && options.yarnIsLongrope)) type = "longrope";
  if (typeof type !== "string" || !Object.hasOwn(TYPES, type)) {
    const field = rope.has("rope_type") ? "rope_type" : "type";
    const known = Object.keys(TYPES);
    const list = `${known.slice(0, -1).join(", ")} or ${known.at(-1)}`;
    throw rope.error(field, list, "choose a model with one of these");
  }
  return TYPES[type](context);
}

function parseLlama3(context: Context): Scaled {
  const { rope } = context;
  const lowFreqFactor = readFactor(rope, "low_freq_factor");
  const highFreqFactor = readFactor(rope, "high_freq_factor");
  if (highFreqFactor <= lowFreqFactor) {
    throw rope.error("high_freq_factor", `above low_freq_factor (${lowFreqFactor})`);
  }
  const scaling: Llama3RopeScaling = {
    type: "llama3",
    factor: stretch(rope),
    lowFreqFactor,
    highFreqFactor,
    originalMaxPositionEmbeddings: originalLength(context),
  };
  return { scaling, rotatedDims: rotatedDims(context), factor: 1 };
}

function parseYarn(context: Context): Scaled {
  const { rope } = context;
  const originalMaxPositionEmbeddings = originalLength(context);
  const factor = stretch(rope, ratio(context, originalMaxPositionEmbeddings));
  const betaFast = readFactor(rope, "beta_fast", 32);
  const betaSlow = readFactor(rope, "beta_slow", 1);
  if (betaFast < betaSlow) throw rope.error("beta_fast", `at least beta_slow (${betaSlow})`);
  const scaling: YarnRopeScaling = {
    type: "yarn",
    factor,
    betaFast,
    betaSlow,
    truncate: rope.boolean("truncate", true),
    originalMaxPositionEmbeddings,
  };
  return { scaling, rotatedDims: rotatedDims(context), factor: yarnFactor(rope, factor) };
}

/** The factor of cosines and sines, which sharpens attention in a long context. */
function yarnFactor(rope: JsonFields, stretch: number): number {
  const sharpness = (weight: number) => 0.1 * weight * Math.log(stretch) + 1;
  const weight = (name: string) => rope.raw(name) === 0 ? 0 : readFactor(rope, name, NaN);
  const [mscale, allDim] = [weight("mscale"), weight("mscale_all_dim")];
  // Where one of the two is absent or 0, the other one counts as absent too.
  const usual = mscale && allDim ? sharpness(mscale) / sharpness(allDim) : sharpness(1);
  return readFactor(rope, "attention_factor", usual);
}

function parseLongrope(context: Context): Scaled {
  const { rope } = context;
  const dims = rotatedDims(context);
  const originalMaxPositionEmbeddings = originalLength(context, 2);
  const factors = (name: string) => readFactors(rope, name, dims / 2);
  const scaling: LongRopeScaling = {
    type: "longrope",
    shortFactors: factors("short_factor"),
    longFactors: factors("long_factor"),
    originalMaxPositionEmbeddings,
  };
  const stretched = rope.has("factor")
    ? readFactor(rope, "factor")
    : ratio(context, originalMaxPositionEmbeddings)();
  const usual = stretched <= 1
    ? 1
    : Math.sqrt(1 + Math.log(stretched) / Math.log(originalMaxPositionEmbeddings));
  return { scaling, rotatedDims: dims, factor: readFactor(rope, "attention_factor", usual) };
}

function parseProportional({ rope, headDim }: Context): Scaled {
  const part = rope.positive(PARTIAL, 1);
  const turnedPlanes = Math.floor(part * headDim / 2);
  if (part > 1 || turnedPlanes === 0) throw rope.error(PARTIAL, partOf(headDim));
  const scaling = { type: "proportional", factor: stretch(rope, () => 1), turnedPlanes } as const;
  return { scaling, rotatedDims: headDim, factor: 1 };
}

/** How many components of a head are turned. */
function rotatedDims({ rope, fields, headDim, options: { partialRotaryFactor } }: Context): number {
  const holder = rope.has(PARTIAL) ? rope : fields;
  const part = holder.positive(PARTIAL, partialRotaryFactor ?? 1);
  if (fields.has(PARTIAL) && fields.json[PARTIAL] !== part) {
    throw fields.error(PARTIAL, `the same as in ${rope.where} (${part})`);
  }
  if (partialRotaryFactor === undefined && part !== 1) {
    throw holder.error(PARTIAL, "1", "models of this model_type rotate whole heads");
  }
  if (part === 1) return headDim;
  const dims = Math.floor(headDim * part);
  if (part > 1 || dims === 0 || dims % 2 !== 0) throw holder.error(PARTIAL, partOf(headDim));
  return dims;
}

function partOf(headDim: number): string {
  return `at most 1, and a part of the head size (${headDim}) that is even`;
}

/** `factor`, at least 1. */
function stretch(rope: JsonFields, absent?: () => number): number {
  const factor = rope.has("factor") || !absent ? readFactor(rope, "factor") : absent();
  if (factor < 1) throw rope.error("factor", "at least 1");
  return factor;
}

/** How much longer the context is than the original one. */
function ratio({ fields }: Context, originalLength: number): () => number {
  return () => readLength(fields, "max_position_embeddings") / originalLength;
}

/** Reads the length of the original context. It may stand in the parameters, or beside them. */
export function originalLength({ rope, fields, options }: Context, min = 1): number {
  if (!rope.has(ORIGINAL)) {
    return fields.has(ORIGINAL)
      ? readLength(fields, ORIGINAL, min)
      : options.originalMaxPositionEmbeddings ?? readLength(fields, "max_position_embeddings", min);
  }
  const length = readLength(rope, ORIGINAL, min);
  if (fields.has(ORIGINAL) && fields.json[ORIGINAL] !== length) {
    throw fields.error(ORIGINAL, `the same as in ${rope.where} (${length}), or absent`);
  }
  return length;
}

function readFactor(rope: JsonFields, name: string, absent?: number): number {
  return rope.positive(name, absent, RANGES.factor);
}

function readLength(fields: JsonFields, name: string, min = 1): number {
  return fields.integer(name, min, undefined, MOST.tokens);
}

function readFactors(rope: JsonFields, name: string, count: number): number[] {
  const value = rope.raw(name);
  const numbers: unknown[] = Array.isArray(value) ? value : [];
  const [least, most] = RANGES.factor;
  const isFactor = (x: unknown) => typeof x === "number" && x >= least && x <= most;
  if (numbers.length !== count || !numbers.every(isFactor)) {
    const wanted = `${count} numbers from ${least} to ${most}, one for each plane that turns`;
    throw rope.error(name, wanted);
  }
  return numbers as number[];
}
