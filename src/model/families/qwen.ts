/**
 * Qwen: LLaMA's decoder with biases of queries, keys and values (2, 2.5), or norms of queries and
 * keys (3); in 3.5 most layers are gated delta nets, and the output of attention is gated.
 *
 * @module
 */

import type { JsonFields } from "../../io/json.ts";
import { MOST } from "../accepted_sizes.ts";
import type { AttentionLayerPlan, LayerPlan, ModelPlan, NormPlan } from "../plan.ts";
import { decoder, fusedRows, qkNormTensors } from "./decoder.ts";
import { attentionBias, type LayerType, readLayerTypes, windowOf } from "./decoder_fields.ts";

/** `model_type: "qwen2"`: Qwen 2 and 2.5, the R1 distills of Qwen. */
export function qwen2(fields: JsonFields): ModelPlan {
  const layerTypes = windowedFromLayer(fields);
  return decoder(fields, {
    layerTypes,
    layer: ({ attention, ...layer }, index) => ({
      ...layer,
      attention: {
        ...attention,
        bias: { qkv: true, o: false },
        window: windowOf(fields, layerTypes[index]),
      },
    }),
  });
}

/** `model_type: "qwen3"`: the dense models of Qwen 3. */
export function qwen3(fields: JsonFields): ModelPlan {
  const layerTypes = windowedFromLayer(fields);
  const bias = attentionBias(fields);
  return decoder(fields, {
    layerTypes,
    layer: ({ attention, ...layer }, index, block) => ({
      ...layer,
      attention: {
        ...attention,
        bias,
        window: windowOf(fields, layerTypes[index]),
        qkNorm: {
          over: "head",
          weightOffset: 0,
          eps: layer.norms.attentionIn!.eps,
          tensors: qkNormTensors(block),
        },
      },
    }),
  });
}

/** `model_type: "qwen3_5_text"`: the dense models of Qwen 3.5. */
export function qwen3_5(fields: JsonFields): ModelPlan {
  const interval = fields.integer("full_attention_interval", 1, 4);
  const types = readLayerTypes(
    fields,
    (i) => (i + 1) % interval === 0 ? "full_attention" : "linear_attention",
    ["full_attention", "linear_attention"],
  );
  if (!types.includes("full_attention")) {
    throw fields.error("layer_types", "full_attention for one layer at least");
  }
  for (const [name, value] of [["hidden_act", "silu"], ["attn_output_gate", true]] as const) {
    // The gates of delta nets and of attention are these whatever the config says.
    if (fields.has(name) && fields.raw(name) !== value) {
      throw fields.error(name, `${value}`, "choose a model with the gates of Qwen 3.5");
    }
  }
  fields.raw("mamba_ssm_dtype"); // the type that states are computed in: always f32 here
  const bias = attentionBias(fields);
  const deltaNet = readDeltaNet(fields);
  const plan = decoder(fields, {
    rope: { partialRotaryFactor: 0.25, unused: ["mrope_section", "mrope_interleaved"] },
    layer: (layer, index, block) => {
      const { norms } = layer;
      const changed = {
        ...layer,
        attention: { ...layer.attention, bias },
        norms: { ...norms, attentionIn: offset(norms.attentionIn!), mlpIn: offset(norms.mlpIn!) },
      };
      return types[index] === "full_attention"
        ? withOutputGate(changed, block)
        : withDeltaNet(changed, deltaNet, block);
    },
  });
  return { ...plan, finalNorm: offset(plan.finalNorm) };
}

function offset(norm: NormPlan): NormPlan {
  return { ...norm, weightOffset: 1 };
}

/** Attention whose queries are stored with what gates its output, head by head. */
function withOutputGate(layer: AttentionLayerPlan, block: string): LayerPlan {
  const { attention, norms, tensors } = layer;
  const heads = { of: attention.headDim, every: 2 * attention.headDim };
  return {
    ...layer,
    attention: {
      ...attention,
      outputGate: true,
      qkNorm: {
        over: "head",
        weightOffset: 1,
        eps: norms.attentionIn!.eps,
        tensors: qkNormTensors(block),
      },
    },
    tensors: {
      ...tensors,
      q: { ...tensors.q, heads },
      z: { ...tensors.q, firstRow: attention.headDim, heads },
    },
  };
}

/** The sizes of the delta nets. */
function readDeltaNet(fields: JsonFields) {
  const keyHeads = fields.integer("linear_num_key_heads", 1, undefined, MOST.heads);
  const valueHeads = fields.integer("linear_num_value_heads", 1, undefined, MOST.heads);
  if (valueHeads % keyHeads !== 0) {
    throw fields.error(
      "linear_num_value_heads",
      `a multiple of linear_num_key_heads (${keyHeads})`,
    );
  }
  return {
    keyHeads,
    keyDim: fields.integer("linear_key_head_dim", 1, undefined, MOST.headDim),
    valueHeads,
    valueDim: fields.integer("linear_value_head_dim", 1, undefined, MOST.headDim),
    convWidth: fields.integer("linear_conv_kernel_dim", 1, undefined, MOST.convWidth),
  };
}

/** A layer with a delta net in place of attention. */
function withDeltaNet(
  { norms, tensors, ...layer }: AttentionLayerPlan,
  sizes: ReturnType<typeof readDeltaNet>,
  block: string,
): LayerPlan {
  const { keyHeads, keyDim, valueHeads, valueDim } = sizes;
  const tensor = (path: string) => `${block}.linear_attn.${path}`;
  const rows = (path: string, rows: number) => ({ name: tensor(path), firstRow: 0, rows });
  const values = valueHeads * valueDim;
  const keys = rows("", keyHeads * keyDim);
  const mixed = { ...tensors, q: keys, k: keys, v: rows("", values) };
  return {
    ...layer,
    norms,
    attention: null,
    deltaNet: {
      ...sizes,
      eps: norms.attentionIn!.eps,
      tensors: {
        conv: tensor("conv1d.weight"),
        dtBias: tensor("dt_bias"),
        aLog: tensor("A_log"),
        norm: tensor("norm.weight"),
      },
    },
    tensors: {
      ...mixed,
      ...fusedRows(mixed, tensor("in_proj_qkv.weight"), "q", "k", "v"),
      z: rows("in_proj_z.weight", values),
      a: rows("in_proj_a.weight", valueHeads),
      b: rows("in_proj_b.weight", valueHeads),
      o: rows("out_proj.weight", tensors.o.rows),
    },
  };
}

/** Layers from `max_window_layers` on have the window, where it is used at all. */
function windowedFromLayer(fields: JsonFields): readonly LayerType[] {
  const uses = fields.boolean("use_sliding_window", false);
  const first = fields.integer("max_window_layers", 0, 28);
  const types = readLayerTypes(
    fields,
    (i) =>
      uses && fields.has("sliding_window") && i >= first ? "sliding_attention" : "full_attention",
  );
  fields.raw("sliding_window"); // read, and of no meaning where it is not used
  return uses ? types : types.map(() => "full_attention");
}
