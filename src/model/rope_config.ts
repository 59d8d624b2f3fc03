/**
 * The rotary position embedding that a configuration asks for.
 *
 * @module
 */

import { isJsonObject, JsonFields } from "../io/json.ts";
import { RANGES } from "./accepted_sizes.ts";
import type { RopePlan } from "./plan.ts";
import { type Context, originalLength, parseScaling, type RopeOptions } from "./rope_types.ts";

/** The fields that hold rotary settings, before transformers 5 and since. */
const HOLDERS = ["rope_scaling", "rope_parameters"];

/**
 * Reads the rotary settings of a Hugging Face config, as spelled before transformers 5
 * (`rope_theta` and `rope_scaling`) and since (`rope_parameters`). Every field in them is read, or
 * refused.
 *
 * @param headDim Components of a head; even.
 * @param layerType Picks the parameters where the config has some for each layer type; those
 * without layer types are for all layers.
 * @throws {ModelError} for an unknown rope type, bad parameters, or two spellings that disagree.
 */
export function parseRope(
  fields: JsonFields,
  headDim: number,
  layerType?: string,
  options: RopeOptions = {},
): RopePlan {
  const holders = HOLDERS.filter((name) => fields.has(name));
  const sets = holders.map((name) => findSet(fields, name, layerType, options));
  if (holders.length === 0) {
    sets.push(
      new JsonFields(options.absent ?? {}, `the default of rope_parameters in ${fields.where}`),
    );
  }
  const [plan, other] = sets.map((rope) => parseSet({ rope, fields, headDim, options }));
  if (other && JSON.stringify(plan) !== JSON.stringify(other)) {
    throw fields.error(
      HOLDERS[0],
      `the same as ${HOLDERS[1]}, or absent`,
      "remove the one that the model was not trained with",
    );
  }
  return plan;
}

/** The parameters for a layer type in one of the fields that hold them. */
function findSet(
  fields: JsonFields,
  name: string,
  layerType: string | undefined,
  { scaled = true }: RopeOptions,
): JsonFields {
  const holder = fields.object(name);
  const entries = Object.entries(holder.json);
  const keyed = entries.find(([, value]) => isJsonObject(value));
  if (!keyed) return scaled ? holder : new JsonFields({}, holder.where);
  if (layerType === undefined) {
    throw fields.error(
      name,
      "one set of parameters for all layers",
      `it has a set of its own for ${keyed[0]}, but layers of this model_type have no types, so ` +
        "restore the model_type that the model was published with",
    );
  }
  const stray = entries.find(([, value]) => value !== null && !isJsonObject(value));
  if (stray) {
    throw holder.error(stray[0], `the parameters of a layer type, like ${keyed[0]} beside it`);
  }
  if (!holder.has(layerType)) {
    throw holder.error(layerType, "the parameters of the layers of this type, which the model has");
  }
  return holder.object(layerType);
}

function parseSet(context: Context): RopePlan {
  const { rope, fields, options } = context;
  const { theta = 10000, thetaField = "rope_theta", interleaved = false, unused = [] } = options;
  const plan = {
    theta: rope.positive(
      "rope_theta",
      fields.positive(thetaField, theta, RANGES.ropeTheta),
      RANGES.ropeTheta,
    ),
    ...parseScaling(context),
    interleaved,
    queryScale: parseQueryScale(context),
  };
  for (const left of rope.unclaimed()) {
    const value = rope.json[left];
    // What other rope types have, and this one has not.
    if (value === null || value === false || value === 1) continue;
    if (NEUTRAL.test(left) || unused.includes(left)) continue;
    throw rope.error(left, "absent", `no model with this rope_type has it, so correct the file`);
  }
  return plan;
}

/** May stand beside the parameters of any type, and changes nothing: lengths of contexts, history. */
const NEUTRAL = /max_position_embeddings$|^finetuned$/;

function parseQueryScale(context: Context): RopePlan["queryScale"] {
  const { rope, options } = context;
  if (!options.queryScale || !rope.has("llama_4_scaling_beta")) return null;
  const beta = rope.positive("llama_4_scaling_beta", undefined, RANGES.factor);
  return { beta, originalMaxPositionEmbeddings: originalLength(context) };
}
