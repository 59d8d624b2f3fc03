/** Runs of models whose branches are normed behind, or scaled: every method learns, saves and goes on. */

import { assert, assertEquals } from "@std/assert";
import { join } from "node:path";
import {
  Dataset,
  falqon,
  type FalqonOptions,
  full,
  int8Lora,
  lora,
  type Method,
  Model,
  qlora,
  torchaoStyle,
  Trainer,
} from "../../mod.ts";
import { device, expectAllFreed } from "../support/device.ts";
import { withFolder } from "../support/io.ts";
import { POST_NORM, SANDWICH, SCALED, writeTinyModel } from "../support/tiny_model.ts";

const TEXT = '{"text":"abcdefghijklmnop"}\n{"text":"ponmlkji"}\n'.repeat(12);
const STEPS = 10;

/** Every update rule, and the other ways to store weights. In int8, `paper` rounds steps as small as these away. */
const RULES = [
  ...["paper", "accumulate", "requantize", "stochastic"].map((rule) => ["fp8", rule]),
  ...["accumulate", "requantize", "stochastic"].map((rule) => ["int8", rule]),
] as [FalqonOptions["format"], FalqonOptions["updateRule"]][];
const METHODS: Record<string, () => Method> = {
  ...Object.fromEntries(
    RULES.map(([format, updateRule]) => [
      `falqon in ${format}, ${updateRule}`,
      () => falqon({ rank: 5, format, updateRule }),
    ]),
  ),
  "falqon in int8, A trained too": () =>
    falqon({ rank: 5, format: "int8", updateRule: "stochastic", trainA: true }),
  "falqon with pending rows": () => falqon({ rank: 5, topK: 3 }),
  "lora": () => lora({ rank: 5 }),
  "int8-lora": () => int8Lora({ rank: 5 }),
  "torchao-style": () => torchaoStyle({ rank: 5 }),
  "qlora": () => qlora({ rank: 5 }),
  "full": () => full(),
};

/** Those that read what is around a branch in different ways. */
const SOME = [
  ...["falqon in fp8, requantize", "falqon in int8, stochastic", "falqon in int8, A trained too"],
  ...["falqon with pending rows", "torchao-style", "qlora", "full"],
];

/** Trains a tiny model by methods; each run is gone on with from its half as well, blocks computed again. */
async function runs(folder: string, names: readonly string[]): Promise<void> {
  const path = join(folder, "data.jsonl");
  await Deno.writeTextFile(path, TEXT);
  const data = () => Dataset.from(path);
  for (const name of names) {
    const method = METHODS[name];
    await using _ = expectAllFreed();
    const learningRate = name === "full" ? 2e-3 : 1e-2;
    const options = {
      batchSize: 2,
      sequenceLength: 32,
      steps: STEPS,
      learningRate,
      seed: 1,
      schedule: "constant",
      optimizer: { weightDecay: 0 },
    } as const;
    using model = await Model.load(folder, { device });
    const outputDir = join(folder, `run of ${name}`);
    using trainer = await Trainer.create({
      model,
      method: method(),
      data: data(),
      ...options,
      outputDir,
      saveEvery: STEPS / 2,
    });
    const before = (await trainer.evaluate(data())).loss;
    const losses: number[] = [];
    for await (const { loss } of trainer.run()) losses.push(loss);
    const after = (await trainer.evaluate(data())).loss;
    assert(after < before - 0.03, `${name}: ${before} to ${after}`);

    using other = await Model.load(folder, { device });
    using again = await Trainer.create({
      model: other,
      method: method(),
      data: data(),
      ...options,
      resumeFrom: join(outputDir, `checkpoint-${STEPS / 2}`),
      gradientCheckpointing: true,
    });
    const rest: number[] = [];
    for await (const { loss } of again.run()) rest.push(loss);
    assertEquals(rest, losses.slice(STEPS / 2), name);
    assertEquals((await again.evaluate(data())).loss, after, name);
  }
}

Deno.test("models with norms before and behind their branches train by every method, and go on where they stopped", () =>
  withFolder(async (folder) => {
    await writeTinyModel(folder, { config: SANDWICH });
    await runs(folder, Object.keys(METHODS));
  }));

Deno.test("models with norms behind their branches only train, and go on where they stopped", () =>
  withFolder(async (folder) => {
    await writeTinyModel(folder, { config: POST_NORM });
    await runs(folder, SOME);
  }));

Deno.test("models with scaled branches train, and go on where they stopped", () =>
  withFolder(async (folder) => {
    await writeTinyModel(folder, { config: SCALED });
    await runs(folder, SOME);
  }));

Deno.test("a model of norms by 1 + weight that was trained in full is saved as its w", () =>
  withFolder(async (folder) => {
    await writeTinyModel(folder, { config: SANDWICH });
    const path = join(folder, "data.jsonl");
    await Deno.writeTextFile(path, TEXT);
    using model = await Model.load(folder, { device });
    using trainer = await Trainer.create({
      model,
      method: full(),
      data: Dataset.from(path),
      batchSize: 2,
      sequenceLength: 32,
      steps: 3,
      learningRate: 1e-2,
    });
    for await (const _ of trainer.run());
    const { loss } = await trainer.evaluate(Dataset.from(path));
    const saved = join(folder, "saved");
    await trainer.save(saved);
    using opened = await Model.load(saved, { device });
    using evaluation = await Trainer.create({
      model: opened,
      method: full(),
      data: Dataset.from(path),
      batchSize: 2,
      sequenceLength: 32,
      steps: 1,
    });
    assertEquals((await evaluation.evaluate(Dataset.from(path))).loss, loss);
  }));
