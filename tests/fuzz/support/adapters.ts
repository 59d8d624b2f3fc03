/**
 * Folders of adapters, changed: settings as JSON, tensors of other shapes, dtypes, names and values.
 *
 * @module
 */

import { mutateBytes } from "../frame/mutate_bytes.ts";
import { mutateJsonText } from "../frame/mutate_json.ts";
import type { FuzzRandom } from "../frame/random.ts";
import { safetensorsBytes } from "../targets/safetensors_file.ts";

/** The files of an adapter. */
export interface AdapterFiles {
  config: string;
  weights: Uint8Array;
}

/** A linear layer that an adapter may be for. */
export interface AdaptedModule {
  name: string;
  inFeatures: number;
  outFeatures: number;
}

const CONFIG = {
  peft_type: "LORA",
  base_model_name_or_path: "base",
  r: 4,
  lora_alpha: 8,
  lora_dropout: 0.0,
  bias: "none",
  target_modules: ["q_proj", "v_proj"],
  task_type: "CAUSAL_LM",
  use_rslora: false,
  use_dora: false,
  rank_pattern: {},
  alpha_pattern: {},
  modules_to_save: null,
  init_lora_weights: true,
  fan_in_fan_out: false,
};
const CONFIGS = [
  CONFIG,
  { ...CONFIG, use_rslora: true, rank_pattern: { "layers.0.self_attn.q_proj": 2 } },
  { ...CONFIG, use_dora: true, alpha_pattern: { v_proj: 16 } },
  { ...CONFIG, target_modules: "all-linear", lora_bias: true, modules_to_save: ["lm_head"] },
];
const BYTES: Readonly<Record<string, number>> = {
  F32: 4,
  F16: 2,
  BF16: 2,
  I64: 8,
  U8: 1,
  F8_E4M3: 1,
};
const VALUES = [0, 1, -1, 0.5, 1e-30, 1e30, NaN, Infinity];

/** An adapter for some of the modules, with a few faults or none. */
export function makeAdapter(random: FuzzRandom, modules: readonly AdaptedModule[]): AdapterFiles {
  const index = random.below(CONFIGS.length);
  const seed: Record<string, unknown> = CONFIGS[index];
  const config = random.chance(0.5) ? mutateJsonText(random, [seed], 0.1) : JSON.stringify(seed);
  const header: Record<string, unknown> = {};
  const data: number[] = [];
  const faulty = random.chance(0.6);
  const tensor = (name: string, shape: number[]) => {
    const fault = faulty && random.chance(0.15) ? random.below(6) : -1;
    if (fault === 0) return;
    const dtype = fault === 1 ? random.pick(Object.keys(BYTES)) : "F32";
    const sizes = fault === 2
      ? random.pick([
        shape.toReversed(),
        [...shape, 1],
        shape.map((n) => n + random.between(-1, 1)),
        [0],
        [],
      ])
        .map((size) => Math.max(0, size))
      : shape;
    const stored = fault === 3
      ? random.pick([
        name.replace("base_model.model.", ""),
        `${name}x`,
        name.replace("lora_", "loha_"),
        name.replace("0", "99"),
      ])
      : name;
    const bytes = sizes.reduce((a, b) => a * b, BYTES[dtype]);
    const values = Float32Array.from(
      { length: Math.ceil(bytes / 4) },
      () => fault === 4 ? random.pick(VALUES) : random.uniform() - 0.5,
    );
    header[stored] = { dtype, shape: sizes, data_offsets: [data.length, data.length + bytes] };
    data.push(...new Uint8Array(values.buffer, 0, bytes));
  };
  for (const { name, inFeatures, outFeatures } of modules) {
    if (random.chance(0.3)) continue;
    const rank = index === 1 && name.endsWith("layers.0.self_attn.q_proj") ? 2 : 4;
    tensor(`base_model.model.${name}.lora_A.weight`, [rank, inFeatures]);
    tensor(`base_model.model.${name}.lora_B.weight`, [outFeatures, rank]);
    if (index === 2) tensor(`base_model.model.${name}.lora_magnitude_vector`, [outFeatures]);
    if (index === 3 && random.chance(0.3)) {
      tensor(`base_model.model.${name}.lora_B.bias`, [outFeatures]);
    }
  }
  const weights = safetensorsBytes(header, Uint8Array.from(data));
  return { config, weights: random.chance(0.1) ? mutateBytes(random, [weights]) : weights };
}
