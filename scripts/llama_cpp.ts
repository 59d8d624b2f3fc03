/**
 * Holds GGUF files against llama.cpp itself, as the npm package node-llama-cpp brings it: logits and greedy
 * tokens of a tiny model of each family, and of model folders that are named, in each type of file, with
 * the token ids of texts that tokenizers differ on. The package has some hundred MB, so it is no part of the
 * tests. Once:
 *
 *     mkdir peer && cd peer && npm init -y && npm install --ignore-scripts node-llama-cpp@3.22.1
 *
 * and then `deno run -A scripts/llama_cpp.ts PEER [MODEL…]`; `--families gemma,phi3` takes the families whose
 * names have one of these, `--tokenizers FOLDER,…` compares token ids of tokenizers without a model: those of
 * byte-level BPE also with every other way to cut texts that files have a name for. It exits with 1 where something differs by more than it may.
 *
 * @module
 */

import { parseArgs } from "@std/cli/parse-args";
import { exportGguf, type GgufType, Model, requestDevice } from "../mod.ts";
import { NAMED_PATTERNS } from "../src/io/gguf/pre_tokenizers.ts";
import { Tokenizer } from "../src/io/tokenizer.ts";
import { LlamaCpp } from "../tests/support/llama_cpp.ts";
import { GGUF_FAMILIES, TEXTS } from "../tests/support/gguf_families.ts";
import { writeTinyModel } from "../tests/support/tiny_model.ts";

/** What a logit may be off by, over the standard deviation of all logits; null: it is only said. */
const TOLERANCES: Readonly<Record<GgufType, number | null>> = {
  f32: 1e-4,
  f16: 0.01,
  bf16: 0.05,
  q8_0: 0.5,
  q4_0: null,
};
const IDS = Array.from({ length: 40 }, (_, i) => i === 0 ? 1 : (i * 37 + i * i) % 200 + 5);
const COUNT = 16;

const { _: [peer, ...given], families = "", tokenizers } = parseArgs(Deno.args, {
  string: ["_", "families", "tokenizers"],
}) as { _: string[]; families?: string; tokenizers?: string };
if (!peer) {
  console.error(
    "Give the folder in which node-llama-cpp is installed: see the head of this script",
  );
  Deno.exit(2);
}
using device = await requestDevice();
const folder = await Deno.makeTempDir();
let wrong = 0;
{
  await using llama = await LlamaCpp.start(peer);
  try {
    for (const [name, { config, tolerance }] of Object.entries(GGUF_FAMILIES)) {
      if (!families.split(",").some((part) => name.includes(part))) continue;
      await writeTinyModel(folder, { config });
      await compare(llama, name, folder, "f32", tolerance);
    }
    for (const tokenizer of tokenizers?.split(",") ?? []) await compareCuts(llama, tokenizer);
    for (const model of given) {
      await compareTexts(llama, model);
      for (const type of ["f32", "f16", "bf16", "q8_0", "q4_0"] as const) {
        await compare(llama, `${model} ${type}`, model, type, TOLERANCES[type]);
      }
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}
Deno.exit(wrong > 0 ? 1 : 0);

async function compare(
  llama: LlamaCpp,
  name: string,
  from: string,
  type: GgufType,
  tolerance: number | null,
): Promise<void> {
  const path = `${folder}/model.gguf`;
  await exportGguf(from, path, { type, overwrite: true, onNotice: () => {} });
  const theirs = await llama.run({ path, ids: IDS, count: COUNT });
  using model = await Model.load(from, { device, onNotice: () => {} });
  const ours = await model.logits(IDS);
  const mean = ours.reduce((sum, x) => sum + x, 0) / ours.length;
  const deviation = Math.sqrt(ours.reduce((sum, x) => sum + (x - mean) ** 2, 0) / ours.length);
  const most = theirs.logits.reduce((most, x, i) => Math.max(most, Math.abs(x - ours[i])), 0);
  const options = { maxNewTokens: COUNT, temperature: 0 };
  const tokens = await Array.fromAsync(model.generateIds(IDS, options));
  const same = theirs.tokens.findIndex((id, i) => id !== tokens[i]);
  const off = most / deviation;
  const bad = theirs.logits.length !== ours.length || tolerance !== null && !(off <= tolerance);
  if (bad) wrong++;
  console.log(
    `${bad ? "WRONG " : ""}${name}: logits off by ${most.toExponential(1)}, ` +
      `${off.toExponential(1)} of their deviation; greedy tokens ` +
      (same < 0 ? `equal, ${theirs.tokens.length}` : `differ at ${same}`),
  );
}

/** A tokenizer, as it is and as it would be if it cut texts in other ways. */
async function compareCuts(llama: LlamaCpp, from: string): Promise<void> {
  const json = JSON.parse(await Deno.readTextFile(`${from}/tokenizer.json`));
  const ids = [...Object.values<number>(json.model.vocab), ...json.added_tokens.map(idOf)];
  const vocab_size = ids.reduce((most, id) => Math.max(most, id), 0) + 1;
  await writeTinyModel(folder, { config: { hidden_size: 32, head_dim: 8, vocab_size } });
  for (const name of ["tokenizer.json", "tokenizer_config.json"]) {
    await Deno.copyFile(`${from}/${name}`, `${folder}/${name}`);
  }
  await compareTexts(llama, from, folder);
  if (json.model.byte_fallback) return;
  for (const { name, pattern, whole } of NAMED_PATTERNS) {
    json.model.ignore_merges = whole;
    const split = {
      type: "Split",
      pattern: { Regex: pattern },
      behavior: "Isolated",
      invert: false,
    };
    json.pre_tokenizer = { type: "Sequence", pretokenizers: [split, byteLevel(false)] };
    await Deno.writeTextFile(`${folder}/tokenizer.json`, JSON.stringify(json));
    await compareTexts(llama, `${from} as ${name}`, folder);
  }
  json.model.ignore_merges = false;
  const digits = { type: "Digits", individual_digits: true };
  for (const steps of [[byteLevel(true)], [digits, byteLevel(true)]]) {
    json.pre_tokenizer = { type: "Sequence", pretokenizers: steps };
    await Deno.writeTextFile(`${folder}/tokenizer.json`, JSON.stringify(json));
    await compareTexts(llama, `${from} as ${steps.length > 1 ? "smollm" : "gpt-2"}`, folder);
  }
}

function idOf({ id }: { id: number }): number {
  return id;
}

function byteLevel(use_regex: boolean) {
  return { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex };
}

async function compareTexts(llama: LlamaCpp, name: string, from = name): Promise<void> {
  const path = `${folder}/texts.gguf`;
  const notices: string[] = [];
  await exportGguf(from, path, {
    type: "q8_0",
    overwrite: true,
    onNotice: (notice) => notices.push(notice),
  });
  const tokenizer = await Tokenizer.load(from);
  const { texts } = await llama.run({ path, texts: TEXTS });
  const encoded = await tokenizer.encodeBatch(TEXTS);
  const differing = TEXTS.filter((_, i) => String(texts[i]) !== String([...encoded[i]]));
  // What a notice says may differ.
  if (differing.length > 0 && notices.length === 0) wrong++;
  console.log(
    `${name}: ${TEXTS.length - differing.length} of ${TEXTS.length} texts have the same ids`,
  );
  for (const text of differing) console.log(`  not ${JSON.stringify(text)}`);
  for (const notice of notices) console.log(`  notice: ${notice}`);
}
