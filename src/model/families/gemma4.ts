/**
 * Gemma 4, dense: the norms and the embedding of Gemma 3 without the offset of 1, values that are normed
 * too, layers of full attention with heads of their own whose keys may be their values, and a factor of
 * each block's output. The E models also have embeddings for each layer, and layers without keys and
 * values of their own.
 *
 * @module
 */

import type { JsonFields } from "../../io/json.ts";
import { MOST } from "../accepted_sizes.ts";
import type { LayerPlan, ModelPlan, NormPlan, TokenInputsPlan } from "../plan.ts";
import { decoder, linearTensors, qkNormTensors } from "./decoder.ts";
import {
  attentionBias,
  type LayerType,
  readHeadCount,
  readHiddenSize,
  readLayerTypes,
  windowOf,
} from "./decoder_fields.ts";
import { readCap } from "./gemma.ts";

const FULL: LayerType = "full_attention";

/** `model_type: "gemma4_text"`: the text model of Gemma 4. */
export function gemma4(fields: JsonFields): ModelPlan {
  refuseOthers(fields);
  const types = readTypes(fields);
  const headsOf = readHeads(fields, types);
  const shared = readShared(fields, types);
  const bias = attentionBias(fields);
  const keysAreValues = fields.boolean("attention_k_eq_v", false);
  const wide = fields.boolean("use_double_wide_mlp", false);
  const inputWidth = fields.integer("hidden_size_per_layer_input", 0, undefined, MOST.hidden);
  fields.raw("vocab_size_per_layer_input"); // of no meaning without the width
  const hiddenSize = readHiddenSize(fields);
  const plan = decoder(fields, {
    layerTypes: types,
    headDimOf: (type) => headsOf(types.indexOf(type as LayerType)).headDim,
    rope: (type) => {
      const absent = ROPE[type as LayerType];
      return { absent, theta: absent.rope_theta };
    },
    activation: { field: "hidden_activation" },
    layer: ({ attention, mlp, norms, ...rest }, index, block): LayerPlan => {
      const norm = (name: string): NormPlan => ({
        ...norms.attentionIn!,
        tensor: `${block}.${name}.weight`,
      });
      const { headDim, kvHeads } = headsOf(index);
      const sharedWith = shared(index);
      const width = wide && sharedWith !== undefined ? 2 * mlp.width : mlp.width;
      const { k, v, ...tensors } = linearTensors(block, {
        hiddenSize,
        intermediateSize: width,
        numHeads: attention.heads,
        numKeyValueHeads: kvHeads,
        headDim,
      });
      const own = sharedWith === undefined;
      const hasValues = own && !(keysAreValues && types[index] === FULL);
      return {
        ...rest,
        attention: {
          ...attention,
          headDim,
          kvHeads,
          scale: 1,
          window: windowOf(fields, types[index]),
          bias,
          qkNorm: {
            over: "head",
            weightOffset: 0,
            eps: norms.attentionIn!.eps,
            tensors: qkNormTensors(block),
            values: true,
          },
          ...(!own && { sharedWith }),
        },
        mlp: { ...mlp, width },
        norms: {
          attentionIn: norms.attentionIn,
          attentionOut: norm("post_attention_layernorm"),
          mlpIn: norm("pre_feedforward_layernorm"),
          mlpOut: norm("post_feedforward_layernorm"),
        },
        tensors: { ...tensors, ...(own && { k }), ...(hasValues && { v }) },
        ...(inputWidth > 0 && {
          tokenInput: {
            gate: `${block}.per_layer_input_gate.weight`,
            projection: `${block}.per_layer_projection.weight`,
            norm: norm("post_per_layer_input_norm"),
          },
        }),
        outputScale: `${block}.layer_scalar`,
      };
    },
  });
  return {
    ...plan,
    embedding: { ...plan.embedding, scale: Math.sqrt(hiddenSize) },
    head: { ...plan.head, softCap: readCap(fields, "final_logit_softcapping") },
    ...(inputWidth > 0 && { tokenInputs: readTokenInputs(fields, plan, inputWidth) }),
  };
}

/** What the class turns by where the config does not say. */
const ROPE = {
  sliding_attention: { rope_type: "default", rope_theta: 1e4 },
  full_attention: { rope_type: "proportional", partial_rotary_factor: 0.25, rope_theta: 1e6 },
} as const;

function refuseOthers(fields: JsonFields): void {
  if (fields.boolean("enable_moe_block", false)) {
    throw fields.error("enable_moe_block", "false", "choose a dense model of Gemma 4");
  }
  for (const name of ["num_experts", "top_k_experts", "moe_intermediate_size"]) fields.raw(name);
  // Images may be seen whole; text is read in order.
  const bidirectional = fields.raw("use_bidirectional_attention") ?? "vision";
  if (bidirectional !== "vision") {
    throw fields.error(
      "use_bidirectional_attention",
      '"vision" or absent',
      "choose a model whose tokens attend to earlier ones only",
    );
  }
}

/** Every sixth layer is of full attention by default, and the last one always. */
function readTypes(fields: JsonFields): readonly LayerType[] {
  const types = readLayerTypes(fields, (i) => (i + 1) % 6 === 0 ? FULL : "sliding_attention");
  return [...types.slice(0, -1), FULL];
}

/** Heads of a layer. */
interface Heads {
  headDim: number;
  kvHeads: number;
}

/** The overrides that a layer may have, as `per_layer_config` names them, and the largest of each. */
const OVERRIDES = { head_dim: MOST.headDim, num_key_value_heads: MOST.heads };

/**
 * Reads the heads of each layer: those of `per_layer_config`, or in older files those that all layers of
 * full attention have.
 */
function readHeads(fields: JsonFields, types: readonly LayerType[]): (layer: number) => Heads {
  const usual = {
    headDim: fields.integer("head_dim", 1, undefined, MOST.headDim),
    kvHeads: fields.integer("num_key_value_heads", 1, undefined, MOST.heads),
  };
  const global = {
    headDim: fields.integer("global_head_dim", 1, 512, MOST.headDim),
    kvHeads: fields.integer("num_global_key_value_heads", 1, usual.kvHeads, MOST.heads),
  };
  if (!fields.boolean("attention_k_eq_v", false)) global.kvHeads = usual.kvHeads;
  const perLayer = fields.has("per_layer_config") ? fields.object("per_layer_config") : null;
  const heads = types.map((type, layer): Heads => {
    if (!perLayer) return type === FULL ? global : usual;
    if (!perLayer.has(`${layer}`)) return usual;
    const own = perLayer.object(`${layer}`);
    const [headDim, kvHeads] = Object.entries(OVERRIDES).map(([name, most]) =>
      own.has(name) && own.integer(name, 1, undefined, most)
    );
    const [other] = own.unclaimed();
    if (other !== undefined) {
      throw own.error(other, "absent", `only ${Object.keys(OVERRIDES).join(" and ")} may`);
    }
    return { headDim: headDim || usual.headDim, kvHeads: kvHeads || usual.kvHeads };
  });
  const [stray] = perLayer?.unclaimed() ?? [];
  if (stray !== undefined) throw perLayer!.error(stray, "absent, as there is no such layer");
  const count = readHeadCount(fields);
  for (const [layer, { headDim, kvHeads }] of heads.entries()) {
    const first = heads[types.indexOf(types[layer])];
    if (headDim !== first.headDim) {
      throw fields.error("per_layer_config", "of one head_dim for all layers of a type");
    }
    if (count % kvHeads !== 0) {
      const name = perLayer ? "per_layer_config" : "num_global_key_value_heads";
      throw fields.error(name, `of key heads that divide num_attention_heads (${count})`);
    }
  }
  return (layer) => heads[layer];
}

/** The last layers attend to the keys and values of the last layer of their type before them. */
function readShared(
  fields: JsonFields,
  types: readonly LayerType[],
): (layer: number) => number | undefined {
  const first = types.length - fields.integer("num_kv_shared_layers", 0, 0, MOST.layers);
  const own = types.slice(0, Math.max(first, 0));
  if (types.slice(own.length).some((type) => !own.includes(type))) {
    throw fields.error(
      "num_kv_shared_layers",
      "so few that a layer of each type before them has keys and values",
    );
  }
  return (layer) => layer < first ? undefined : own.lastIndexOf(types[layer]);
}

function readTokenInputs(
  fields: JsonFields,
  { vocabSize, hiddenSize, finalNorm }: ModelPlan,
  width: number,
): TokenInputsPlan {
  const rows = fields.integer("vocab_size_per_layer_input", 1, undefined, MOST.vocabulary);
  if (rows < vocabSize) {
    throw fields.error("vocab_size_per_layer_input", `at least vocab_size (${vocabSize})`);
  }
  return {
    width,
    table: {
      tensor: "model.embed_tokens_per_layer.weight",
      vocabSize: rows,
      scale: Math.sqrt(width),
    },
    projection: {
      tensor: "model.per_layer_model_projection.weight",
      scale: 1 / Math.sqrt(hiddenSize),
    },
    norm: { ...finalNorm, tensor: "model.per_layer_projection_norm.weight" },
    scale: Math.SQRT1_2,
  };
}
