/**
 * Holds GGUF files against llama.cpp: the greedy tokens of tiny models, ours and those of the npm package
 * node-llama-cpp. It brings a compiled llama.cpp of some hundred MB, so it is no part of the tests. Once:
 *
 *     mkdir peer && cd peer && npm init -y && npm install node-llama-cpp@3.22.1
 *
 * and then `deno run -A scripts/llama_cpp.ts PEER [MODEL]`, with a model folder beside the tiny ones.
 *
 * @module
 */

import { join, resolve } from "node:path";
import { exportGguf, type GgufType, Model, requestDevice } from "../mod.ts";
import { writeTinyModel } from "../tests/support/tiny_model.ts";

const SIZES = {
  hidden_size: 64,
  num_attention_heads: 4,
  head_dim: 16,
  intermediate_size: 96,
};
const LLAMA3_ROPE = {
  rope_type: "llama3",
  factor: 8,
  low_freq_factor: 1,
  high_freq_factor: 4,
  original_max_position_embeddings: 16,
};
const YARN_ROPE = { rope_type: "yarn", factor: 4, original_max_position_embeddings: 16 };
const MODELS: Record<string, Record<string, unknown>> = {
  llama: {},
  "llama with biases": { attention_bias: true, mlp_bias: true },
  "llama 3": { rope_scaling: LLAMA3_ROPE },
  "llama with YaRN": { rope_scaling: YARN_ROPE },
  "llama with linear scaling": { rope_scaling: { rope_type: "linear", factor: 2 } },
  mistral: { model_type: "mistral", sliding_window: null },
  qwen2: { model_type: "qwen2", rope_scaling: YARN_ROPE },
  qwen3: { model_type: "qwen3", tie_word_embeddings: true },
  smollm3: { model_type: "smollm3", num_hidden_layers: 5 },
  granite: {
    model_type: "granite",
    attention_multiplier: 0.3,
    embedding_multiplier: 3,
    residual_multiplier: 0.22,
    logits_scaling: 4,
  },
};
const IDS = [1, 50, 70, 100, 101, 102, 30, 77, 99, 12, 14, 200];
const COUNT = 24;

/** Run by Node, as the package's binary is one for Node. */
const PEER = `
import { getLlama } from "node-llama-cpp";
const [path, ids, count] = JSON.parse(process.argv.at(-1));
const llama = await getLlama({ gpu: false, build: "never", logLevel: "error" });
const model = await llama.loadModel({ modelPath: path });
const sequence = (await model.createContext({ contextSize: 64 })).getSequence();
const found = [];
for await (const id of sequence.evaluate(ids, { temperature: 0 })) {
  if (found.push(id) === count) break;
}
console.log(JSON.stringify(found));
process.exit(0);
`;

const [peer, given] = Deno.args;
using device = await requestDevice();
const folder = await Deno.makeTempDir();
// In the folder of the package, where Node finds it.
const program = join(resolve(peer), "gguf_peer.mjs");
await Deno.writeTextFile(program, PEER);
let wrong = 0;
try {
  for (const [name, config] of Object.entries(MODELS)) {
    await writeTinyModel(folder, { config: { ...SIZES, ...config } });
    await compare(name, folder, "f32");
  }
  if (given) {
    for (const type of ["f32", "f16", "bf16", "q8_0", "q4_0"] as const) {
      await compare(`${given} ${type}`, given, type);
    }
  }
} finally {
  await Deno.remove(folder, { recursive: true });
  await Deno.remove(program);
}
Deno.exit(wrong > 0 ? 1 : 0);

async function compare(name: string, model: string, type: GgufType): Promise<void> {
  const path = join(folder, "model.gguf");
  await exportGguf(model, path, { type, overwrite: true });
  const ours: number[] = [];
  {
    using loaded = await Model.load(model, { device, onNotice: () => {} });
    const options = { maxNewTokens: COUNT, temperature: 0 };
    for await (const id of loaded.generateIds(IDS, options)) ours.push(id);
  }
  const { stdout, stderr } = await new Deno.Command("node", {
    args: [program, JSON.stringify([path, IDS, COUNT])],
    signal: AbortSignal.timeout(60_000),
  }).output();
  const text = new TextDecoder().decode(stdout).trim();
  const theirs: number[] = text === "" ? [] : JSON.parse(text.split("\n").at(-1)!);
  // It stops at "</s>" whatever the config says.
  const same = theirs.findIndex((id, i) => id !== ours[i]);
  const equal = theirs.length > 0 && same < 0;
  if (!equal && type !== "q4_0") wrong++;
  if (theirs.length === 0) console.error(new TextDecoder().decode(stderr));
  console.log(`${name}: ${equal ? "equal" : `differs at ${same}`}, ${theirs.length} tokens`);
}
