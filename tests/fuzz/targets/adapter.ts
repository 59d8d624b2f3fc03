/**
 * An adapter's settings and tensors, read, and held against a model: what is accepted must have the shapes of the model's
 * tensors, by a list of these that owes nothing to the product's.
 */

import { FolderFiles } from "../support/adapter_files.ts";
import { readPeftAdapter } from "../../../src/io/peft.ts";
import { expectAdapter } from "../../../src/methods/lora/given_adapter.ts";
import { baseChanges } from "../../../src/methods/lora/base_changes.ts";
import { changedModel } from "../../../src/model/changed_model.ts";
import { parseModelConfig } from "../../../src/model/config.ts";
import { modelSpecs } from "../../../src/model/model_specs.ts";
import { mutateJsonText } from "../frame/mutate_json.ts";
import type { FuzzRandom } from "../frame/random.ts";
import { type FuzzTarget, Nonsense } from "../frame/target.ts";

const MODEL = {
  model_type: "llama",
  hidden_size: 8,
  intermediate_size: 12,
  vocab_size: 20,
  num_hidden_layers: 2,
  num_attention_heads: 2,
  num_key_value_heads: 1,
  head_dim: 8,
  max_position_embeddings: 64,
  rms_norm_eps: 1e-5,
  tie_word_embeddings: false,
};
/** The linear layers of a block of that model, as transformers has them. */
const WEIGHTS: Readonly<Record<string, readonly [rows: number, cols: number]>> = {
  "self_attn.q_proj": [16, 8],
  "self_attn.k_proj": [8, 8],
  "self_attn.v_proj": [8, 8],
  "self_attn.o_proj": [8, 16],
  "mlp.gate_proj": [12, 8],
  "mlp.up_proj": [12, 8],
  "mlp.down_proj": [8, 12],
};
const TABLES: Readonly<Record<string, readonly number[]>> = {
  "lm_head": [20, 8],
  "model.embed_tokens": [20, 8],
  "model.norm": [8],
  "model.layers.0.input_layernorm": [8],
  "model.layers.1.post_attention_layernorm": [8],
};
const SETTINGS = [
  { peft_type: "LORA", r: 2, lora_alpha: 4, target_modules: ["q_proj", "down_proj"] },
  { peft_type: "LORA", r: 2, lora_alpha: 4, target_modules: "all-linear", use_dora: true },
  {
    ...{
      peft_type: "LORA",
      r: 2,
      lora_alpha: 4,
      use_rslora: true,
      lora_dropout: 0.1,
      bias: "lora_only",
    },
    ...{
      rank_pattern: { "q_proj": 3 },
      alpha_pattern: { "layers.1.mlp.up_proj": 8 },
      modules_to_save: ["norm"],
    },
    ...{ trainable_token_indices: [3, 7], lora_bias: true, target_modules: ["q_proj"] },
  },
];

/** Tensors by name: their shapes. */
type Tensors = Map<string, number[]>;

interface Input {
  settings: string;
  tensors: Tensors;
  /** The value that all elements have. */
  value: number;
}

function make(random: FuzzRandom): Input {
  const chosen = random.pick(SETTINGS);
  const [isDora, isFirst] = [chosen === SETTINGS[1], chosen === SETTINGS[0]];
  const tensors: Tensors = new Map();
  const put = (name: string, shape: number[]) =>
    tensors.set(`base_model.model.${name}`, changedShape(random, shape));
  for (let count = 1 + random.few(0.6, 6); count > 0; count--) {
    const kind = random.pick(Object.keys(WEIGHTS));
    const module = `model.layers.${random.chance(0.02) ? 2 : random.below(2)}.${kind}`;
    const [rows, cols] = WEIGHTS[kind];
    const usual = !isDora && !isFirst && kind.endsWith("q_proj") ? 3 : 2;
    const rank = random.chance(0.02) ? random.pick([0, 1, 4]) : usual;
    put(`${module}.lora_A.weight`, [rank, cols]);
    if (!random.chance(0.02)) {
      put(`${module}.lora_B.weight`, [rows, random.chance(0.98) ? rank : 1]);
    }
    if (isDora !== random.chance(0.02)) put(`${module}.lora_magnitude_vector`, [rows]);
    if (random.chance(0.1)) put(`${module}.lora_B.bias`, [rows]);
    if (random.chance(0.1)) put(`${module}.bias`, [rows]);
  }
  if (random.chance(0.3)) {
    const table = random.pick(Object.keys(TABLES));
    for (let count = random.chance(0.1) ? 2 : 1; count > 0; count--) {
      const wrapped = random.pick(["", "", ".modules_to_save", ".base_layer"]);
      put(`${table}${wrapped}.weight`, [...TABLES[table]]);
    }
  }
  if (random.chance(0.1)) {
    put("model.embed_tokens.lora_embedding_A", [2, 20]);
    if (!random.chance(0.1)) put("model.embed_tokens.lora_embedding_B", [8, 2]);
  }
  if (random.chance(0.1)) put("model.embed_tokens.token_adapter.trainable_tokens_delta", [2, 8]);
  if (random.chance(0.02)) {
    put(random.pick(["x", "", "lm_head.lora_A", "model.lora_B.weight", "a.b.weight"]), [2]);
  }
  const settings = random.chance(0.4) ? mutateJsonText(random, [chosen]) : JSON.stringify(chosen);
  const value = random.chance(0.97) ? 0.1 : random.pick([0, -3e38, NaN, Infinity]);
  return { settings, tensors, value };
}

function changedShape(random: FuzzRandom, shape: number[]): number[] {
  if (!random.chance(0.02)) return shape;
  switch (random.below(5)) {
    case 0:
      return shape.toReversed();
    case 1:
      return [...shape, random.pick([1, 2])];
    case 2:
      return shape.slice(1);
    case 3:
      return [shape.reduce((product, size) => product * size, 1)];
    default:
      return shape.map((size) =>
        random.chance(0.5) ? size : random.pick([0, 1, 7, size + 1, 2 * size])
      );
  }
}

export const target: FuzzTarget<Input> = {
  about: "adapter_config.json and adapter_model.safetensors, against a model",
  cost: "cheap",
  gate: 300,
  prepare() {
    const config = parseModelConfig(MODEL, '"config.json"');
    const files = new FolderFiles();
    return {
      make,
      async run({ settings, tensors, value }) {
        files.write(settings, tensors, value);
        const adapter = await readPeftAdapter(files.folder);
        const { linears } = modelSpecs(config.plan);
        expectAdapter(adapter, linears);
        const changes = baseChanges(adapter, linears);
        const source = {
          rows: (_: string, [, cols]: readonly [number, number], __: number, count: number) =>
            Promise.resolve(new Float32Array(count * cols)),
          codes: () => Promise.resolve(null),
        };
        const changed = changedModel({ config, source }, changes, linears);
        for (const name of changes.keys()) {
          const [rows, cols] = shapeOf(name);
          const values = await changed.source.rows(name, [rows, cols], 0, rows);
          if (values.length !== rows * cols) {
            throw new Nonsense(`${name} has ${values.length} values`);
          }
        }
        expectShapes(tensors);
        if (!Number.isFinite(value)) throw new Nonsense(`all values are ${value}`);
      },
      show: ({ settings, tensors, value }) =>
        `${settings}\n${JSON.stringify([...tensors])} of ${value}`,
      close: () => files[Symbol.dispose](),
    };
  },
};

/** The shape of a tensor of the model; [1, n] for a vector. */
function shapeOf(name: string): [rows: number, cols: number] {
  const [, kind, what] = /^model\.layers\.[01]\.(.+)\.(weight|bias)$/.exec(name) ?? [];
  const weight = WEIGHTS[kind];
  if (weight) return what === "bias" ? [1, weight[0]] : [...weight];
  const table = TABLES[name.replace(/\.weight$/, "")] ??
    (/norm\.weight$/.test(name) ? [8] : undefined);
  if (!table) throw new Nonsense(`"${name}" is changed, which the model has not`);
  return table.length === 1 ? [1, table[0]] : [table[0], table[1]];
}

/** Every factor that was accepted has the shape that the model's weight asks for. */
function expectShapes(tensors: Tensors): void {
  for (const [name, shape] of tensors) {
    const [, layer, kind, factor] =
      /^base_model\.model\.model\.layers\.(\d+)\.([^.]+\.[^.]+)\.lora_(A|B|magnitude_vector|B\.bias)/
        .exec(name) ?? [];
    if (layer === undefined) continue;
    const weight = WEIGHTS[kind];
    const wanted = factor === "A"
      ? [shape[0], weight[1]]
      : factor === "B" && shape.length === 2
      ? [weight[0], shape[1]]
      : [weight[0]];
    const count = shape.reduce((product, size) => product * size, 1);
    const isRight = factor === "magnitude_vector"
      ? count === weight[0]
      : JSON.stringify(shape) === JSON.stringify(wanted);
    if (Number(layer) > 1 || !isRight) throw new Nonsense(`"${name}" of [${shape}] was accepted`);
    const other = tensors.get(name.replace("lora_A", "lora_B"));
    if (factor === "A" && other && (other[1] !== shape[0] || shape[0] === 0)) {
      throw new Nonsense(`"${name}" of [${shape}] beside [${other}] was accepted`);
    }
  }
}
