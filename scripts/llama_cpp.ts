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
/** What models of text are held to. */
const STORY =
  "Once upon a time there was a little girl named Lily. She had a red ball, and she loved to play " +
  "with it in the park. One day the ball rolled down the hill and into the water, and";

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
      const ours = await compute(folder, IDS);
      await compare(llama, name, { from: folder, ours, type: "f32" }, tolerance);
    }
    for (const tokenizer of tokenizers?.split(",") ?? []) await compareCuts(llama, tokenizer);
    for (const model of given) {
      await compareTexts(llama, model);
      const [ids] = await (await Tokenizer.load(model)).encodeBatch([STORY]);
      const ours = await compute(model, [...ids]);
      for (const type of ["f32", "f16", "bf16", "q8_0", "q4_0"] as const) {
        const what = { from: model, ours, type };
        await compare(llama, `${model} ${type}`, what, TOLERANCES[type]);
      }
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}
Deno.exit(wrong > 0 ? 1 : 0);

/** What a model computes here. */
interface Ours {
  ids: readonly number[];
  logits: Float32Array;
  tokens: readonly number[];
  /** Standard deviation of all logits. */
  deviation: number;
}

async function compute(from: string, ids: readonly number[]): Promise<Ours> {
  using model = await Model.load(from, { device, onNotice: () => {} });
  const logits = await model.logits(ids);
  const options = { maxNewTokens: COUNT, temperature: 0 };
  const tokens = await Array.fromAsync(model.generateIds(ids, options));
  const mean = logits.reduce((sum, x) => sum + x, 0) / logits.length;
  const variance = logits.reduce((sum, x) => sum + (x - mean) ** 2, 0) / logits.length;
  return { ids, logits, tokens, deviation: Math.sqrt(variance) };
}

async function compare(
  llama: LlamaCpp,
  name: string,
  { from, ours, type }: { from: string; ours: Ours; type: GgufType },
  tolerance: number | null,
): Promise<void> {
  const path = `${folder}/model.gguf`;
  const { byteLength } = await exportGguf(from, path, {
    type,
    overwrite: true,
    onNotice: () => {},
  });
  const theirs = await llama.run({ path, ids: ours.ids, count: COUNT });
  const most = theirs.logits.reduce(
    (most, x, i) => Math.max(most, Math.abs(x - ours.logits[i])),
    0,
  );
  const same = theirs.tokens.findIndex((id, i) => id !== ours.tokens[i]);
  const off = most / ours.deviation;
  const complete = theirs.logits.length === ours.logits.length;
  const bad = !complete || tolerance !== null && !(off <= tolerance);
  if (bad) wrong++;
  const losses = [ours.logits, theirs.logits].map((logits) => lossOf(logits, ours.ids).toFixed(6));
  console.log(
    `${bad ? "WRONG " : ""}${name}: ${byteLength} bytes, logits off by ${most.toExponential(1)}, ` +
      `${off.toExponential(1)} of their deviation; loss ${losses[0]} here, ${
        losses[1]
      } there; greedy tokens ` +
      (same < 0 ? `equal, ${theirs.tokens.length}` : `differ at ${same}`),
  );
}

/** The mean loss of ids, each by the logits of those before it. */
function lossOf(logits: ArrayLike<number>, ids: readonly number[]): number {
  const size = logits.length / ids.length;
  let sum = 0;
  for (let t = 1; t < ids.length; t++) {
    const row = Array.from({ length: size }, (_, i) => logits[(t - 1) * size + i]);
    const most = row.reduce((a, b) => Math.max(a, b), -Infinity);
    const total = row.reduce((sum, x) => sum + Math.exp(x - most), 0);
    sum += Math.log(total) + most - row[ids[t]];
  }
  return sum / (ids.length - 1);
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
