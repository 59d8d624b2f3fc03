/** NaN, infinity and ruin never pass for numbers: when a model is read, evaluated, trained and written. */

import { assert, assertEquals, assertRejects } from "@std/assert";
import { join } from "node:path";
import {
  DataError,
  Dataset,
  evaluate,
  falqon,
  findLearningRate,
  frozen,
  lora,
  mergeModel,
  type Method,
  Model,
  ModelError,
  OptionError,
  qlora,
  torchaoStyle,
  Trainer,
  type TrainerOptions,
  TrainingError,
} from "../../mod.ts";
import { DivergenceWatch } from "../../src/train/divergence.ts";
import { readPeftAdapter, writePeftAdapter } from "../../src/io/peft.ts";
import { SafetensorsFile } from "../../src/io/safetensors.ts";
import { exists } from "../../src/io/exists.ts";
import { device, expectAllFreed } from "../support/device.ts";
import { withFolder } from "../support/io.ts";
import { runCommand } from "../support/terminal.ts";
import { writeTinyModel } from "../support/tiny_model.ts";

const ROWS = Array.from({ length: 12 }, (_, i) => ({ text: `row ${i} of ${i * 7 % 11}` }));
const Q = "model.layers.0.self_attn.q_proj.weight";

async function withModel(
  edit: (name: string, values: Float32Array) => void,
  test: (folder: string, model: Model) => Promise<void>,
): Promise<void> {
  await withFolder(async (folder) => {
    await writeTinyModel(folder, { edit });
    await Deno.writeTextFile(
      join(folder, "rows.jsonl"),
      ROWS.map((row) => JSON.stringify(row)).join("\n"),
    );
    await using _ = expectAllFreed();
    using model = await Model.load(folder, { device, onNotice: () => {} });
    await test(folder, model);
  });
}

/** Options of a short run. */
function run(model: Model, method: Method): TrainerOptions {
  const shape = { batchSize: 2, sequenceLength: 24, logEvery: 1, steps: 6 };
  return { model, data: Dataset.from(ROWS), method, ...shape, onNotice: () => {} };
}

/** Overwrites bytes of a tensor of a file. */
async function poke(path: string, name: string, at: number, given: Uint8Array): Promise<void> {
  using file = await SafetensorsFile.open(path);
  const found = await file.read(name);
  const bytes = await Deno.readFile(path);
  const tensors = [...file.tensors];
  let offset = bytes.length - tensors.reduce((sum, [, { byteLength }]) => sum + byteLength, 0);
  for (const [other, { byteLength }] of tensors) {
    if (other === name) break;
    offset += byteLength;
  }
  assertEquals(bytes.subarray(offset, offset + found.length), found, "the place is right");
  bytes.set(given, offset + at);
  await Deno.writeFile(path, bytes);
}

/** The bytes of an f32. */
function bytesOf(value: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array(Float32Array.of(value).buffer);
}

Deno.test("a weight, a norm or an adapter with NaN or infinity is refused by name, under every method", async () => {
  const nan = new Float32Array(Uint32Array.of(0xffffffff).buffer);
  for (
    const [tensor, value, place] of [
      [Q, nan[0], "row 1, column 3 is NaN"],
      ["model.layers.1.input_layernorm.weight", Infinity, "row 0, column 3 is Infinity"],
      ["model.embed_tokens.weight", -Infinity, "row 1, column 3 is -Infinity"],
    ] as const
  ) {
    const edit = (name: string, values: Float32Array) => {
      if (name === tensor) values[name.includes("norm") ? 3 : 52 + 3] = value;
    };
    await withModel(edit, async (folder, model) => {
      const message = `Cannot use "${tensor}" of "${
        join(folder, "model.safetensors")
      }" as its element in ${place}`;
      const methods = tensor === Q
        ? [frozen(), frozen("fp8"), falqon({ rank: 4 }), qlora({ rank: 4 })]
        : [frozen("fp8")];
      for (const method of methods) {
        await assertRejects(() => model.use(method), ModelError, message);
      }
      await assertRejects(
        () => Trainer.create(run(model, falqon({ rank: 4 }))),
        ModelError,
        message,
      );
      await assertRejects(() => mergeModel(folder, join(folder, "merged")), ModelError, message);
      assert(!await exists(join(folder, "merged", "config.json")));
    });
  }
  await withModel(() => {}, async (folder, model) => {
    await model.use(lora({ rank: 2 }));
    await model.save(join(folder, "adapter"));
    await readPeftAdapter(join(folder, "adapter"));
    const path = join(folder, "adapter", "adapter_model.safetensors");
    const name = "base_model.model.model.layers.0.self_attn.q_proj.lora_B.weight";
    await poke(path, name, 12, Uint8Array.of(0xff, 0xff, 0xff, 0x7f));
    const read = readPeftAdapter(join(folder, "adapter"));
    await assertRejects(() => read, ModelError, `element 3 of its tensor "${name}" is NaN`);
    const { config } = await readPeftAdapter(join(folder, "adapter")).catch(() => ({
      config: { rank: 1, alpha: 1, targetModules: ["q_proj"], useRslora: false },
    }));
    const A = Float32Array.of(1, NaN);
    const tensors = new Map([["model.layers.0.self_attn.q_proj", {
      A,
      B: A,
      inFeatures: 2,
      outFeatures: 2,
    }]]);
    const write = () =>
      writePeftAdapter(join(folder, "other"), { config, tensors }, { baseModel: "x" });
    await assertRejects(write, ModelError, "as F32 as an element of it is NaN");
  });
});

Deno.test("codes of NaN and scales that are no positive numbers are refused by name", () =>
  withModel(() => {}, async (folder, model) => {
    await model.use(frozen("fp8"));
    const saved = join(folder, "fp8");
    const path = join(saved, "model.safetensors");
    const load = async () => {
      using coded = await Model.load(saved, { device, onNotice: () => {} });
      await coded.use(frozen("fp8"));
      await coded.use(falqon({ rank: 4, format: "int8" }));
    };
    const attempts: [string, number, Uint8Array, string][] = [
      [Q, 55, Uint8Array.of(0xff), "as its element in row 1, column 3 is the code 0xff, NaN"],
      ...[NaN, Infinity, 0, -1, 1e38].map((
        value,
      ): [string, number, Uint8Array, string] => [
        `${Q}_scale`,
        8,
        bytesOf(value),
        "as its value 2 is ",
      ]),
    ];
    for (const [name, at, bytes, message] of attempts) {
      await model.save(saved, { overwrite: true });
      await load();
      await poke(path, name, at, bytes);
      const error = await assertRejects(load, ModelError);
      assert(
        error.message.includes(`Cannot use "${name}"`) && error.message.includes(message),
        error.message,
      );
    }
  }));

Deno.test("a model whose loss is no number is told, not evaluated, trained or taken for the best", () => {
  // In range, but what it computes is not.
  const edit = (name: string, values: Float32Array) => {
    if (name === "lm_head.weight") values.fill(3e38);
  };
  return withModel(edit, async (folder, model) => {
    const data = Dataset.from(ROWS);
    const message =
      /Cannot compute the loss as that of a token is (NaN|-?Infinity), not a finite number/;
    const refused = async (use: () => Promise<unknown>) => {
      const error = await assertRejects(use, ModelError);
      assert(message.test(error.message), error.message);
    };
    const shape = { batchSize: 2, sequenceLength: 24 };
    await refused(() => evaluate(model, data, shape));
    const sequence = { inputIds: [1, 5, 6], labels: [1, 5, 6] };
    await refused(() => model.loss(sequence));
    await refused(() => model.lossAndGradients(sequence));
    const { code, out, err } = await runCommand(
      `eval --model ${folder} --data ${folder}/rows.jsonl --sequence-length 24`,
    );
    assertEquals([code, out], [1, ""]);
    assert(message.test(err), err);

    // Before the first step there is nothing to resume from, and no rate is to blame.
    const options = {
      ...run(model, lora({ rank: 2 })),
      outputDir: join(folder, "out"),
      saveEvery: 1,
    };
    {
      using trainer = await Trainer.create(options);
      const error = await assertRejects(
        () => trainer.train(),
        ModelError,
        "Cannot train as the loss of step 1, before anything is trained",
      );
      assert(!/resume|rate/.test(error.message), error.message);
      assert(!await exists(join(folder, "out", "checkpoint-1")));
    }
    const rates = { rates: [1e-3], steps: 2 };
    await assertRejects(
      () => findLearningRate(run(model, lora({ rank: 2 })), rates),
      ModelError,
      "before anything is trained",
    );
    using held = await Trainer.create({
      ...options,
      outputDir: join(folder, "held"),
      evalData: data,
    });
    await refused(() => held.train());
    assertEquals([held.best, held.step], [null, 0]);
  });
});

Deno.test("what becomes NaN between layers is not made a number by rounding it", () => {
  // Scores overflow: queries and keys are in range, their products are not.
  const edit = (name: string, values: Float32Array) => {
    if (/layers.0.self_attn.[qk]_proj/.test(name)) {
      values.forEach((value, i) => values[i] = value * 1e25);
    }
  };
  return withModel(edit, async (_, model) => {
    const shape = { batchSize: 2, sequenceLength: 24 };
    {
      await model.use(frozen("fp8"));
      await assertRejects(
        () => evaluate(model, Dataset.from(ROWS), shape),
        ModelError,
        "as that of a token is NaN",
      );
      await assertRejects(
        () => Array.fromAsync(model.generateIds([5, 6])),
        ModelError,
        "not a finite number",
      );
    }
    const methods = [falqon({ rank: 4, format: "int8" }), torchaoStyle({ rank: 4 })];
    for (const method of methods) {
      using trainer = await Trainer.create(run(model, method));
      await assertRejects(() => trainer.train(), ModelError, "before anything is trained, is NaN");
    }
  });
});

Deno.test("sequences and rows beyond the context, and ids and labels that are none, are refused", () =>
  withModel(() => {}, async (folder, model) => {
    const ids = Array.from({ length: 65 }, (_, i) => 3 + i);
    const long =
      "Cannot run a sequence of 65 tokens as the model was made for 64 (max_position_embeddings)";
    const sequence = { inputIds: ids, labels: ids };
    await assertRejects(() => model.logits(ids), OptionError, long);
    await assertRejects(() => model.loss(sequence), OptionError, long);
    await assertRejects(() => model.lossAndGradients(sequence), OptionError, long);
    const data = Dataset.from(ROWS);
    const rows =
      "Cannot evaluate rows of 65 tokens as the model was made for 64: use a sequenceLength of at most 64";
    await assertRejects(() => evaluate(model, data, { sequenceLength: 65 }), OptionError, rows);
    const command = `eval --model ${folder} --data ${folder}/rows.jsonl --sequence-length 65`;
    const { code, out, err } = await runCommand(command);
    const inFlags = rows.replace("sequenceLength", "--sequence-length");
    assertEquals([code, out, err.includes(inFlags)], [1, "", true], err);
    assertEquals((await model.logits(ids.slice(1))).length, 64 * 269);

    for (const id of [1.5, NaN, -1, 269, 2 ** 32 + 5]) {
      const bad = [4, id, 6];
      await assertRejects(() => model.logits(bad), DataError, "at position 1 of the sequence");
      await assertRejects(
        () => model.loss({ inputIds: bad, labels: [1, 2, 3] }),
        DataError,
        "at position 1",
      );
    }
    for (const label of [1.5, NaN, 269, -100.5, Infinity]) {
      const labelled = { inputIds: [4, 5, 6], labels: [4, 5, label] };
      const message =
        `Cannot use token id ${label} at position 2 of the labels as the model has 269 tokens`;
      await assertRejects(() => model.loss(labelled), DataError, message);
      await assertRejects(() => model.lossAndGradients(labelled), DataError, message);
    }
    assert(Number.isFinite(await model.loss({ inputIds: [4, 5, 6], labels: [-100, 5, -100] })));
  }));

Deno.test("a learning rate that destroys a model ends in words, and nothing ruined is kept", () =>
  withFolder(async (folder) => {
    const examples = new URL("../../examples/tiny/", import.meta.url).pathname;
    using model = await Model.load(join(examples, "model"), { device }); // trained: it has something to lose
    const data = Dataset.from(join(examples, "instructions_train.jsonl"));
    const outputDir = join(folder, "out");
    const method = falqon({ rank: 4, format: "int8" });
    const options = {
      ...run(model, method),
      data,
      outputDir,
      saveEvery: 1,
      overwrite: true,
      steps: 4,
    };
    for (const learningRate of [10, 1e36]) {
      using trainer = await Trainer.create({ ...options, learningRate });
      const error = await assertRejects(() => trainer.train(), TrainingError);
      const [, shown] = /rate \(([^)]+)\)/.exec(error.message)!;
      assertEquals(Number(shown), learningRate, error.message);
      // The first step is evaluated before it changes anything.
      const kept = [...Deno.readDirSync(outputDir)].filter(({ name }) => name.startsWith("check"));
      assert(kept.every(({ name }) => name === "checkpoint-1"), `${kept.map(({ name }) => name)}`);
    }
    const rates = { rates: [10], steps: 4 };
    await assertRejects(() => findLearningRate(options, rates), OptionError, "destroyed the model");
    for (const learningRate of [1e38, 1e300, Infinity]) {
      const create = () => Trainer.create({ ...options, learningRate });
      const message = `Cannot use learningRate ${learningRate}: give a`;
      await assertRejects(create, OptionError, message);
    }
  }));

Deno.test("parameters that are no numbers are neither a checkpoint nor an adapter", () =>
  withModel(() => {}, async (folder, model) => {
    const outputDir = join(folder, "out");
    using trainer = await Trainer.create({
      ...run(model, lora({ rank: 2 })),
      outputDir,
      saveEvery: 100,
    });
    await trainer.train();
    const [{ values }] = (await model.network()).parameters.segments;
    device.write(values!, bytesOf(NaN), 8);
    await Deno.remove(join(outputDir, "checkpoint-6"), { recursive: true });
    const message = "Cannot write a checkpoint as the parameters have a value that is NaN";
    await assertRejects(() => trainer.checkpoint(), TrainingError, message);
    await assertRejects(() => trainer.save(join(folder, "adapter")), ModelError, "is NaN");
    const left = [...Deno.readDirSync(outputDir)].map(({ name }) => name);
    assert(!left.some((name) => name.startsWith("check")), `${left}`);
    assert(!await exists(join(folder, "adapter", "adapter_model.safetensors")));
  }));

Deno.test("a model is lost where its losses stay at those of one that knows nothing", () => {
  const lost = (losses: number[], ending: boolean) => {
    const watch = new DivergenceWatch(512); // one that knows nothing has 6.24
    losses.forEach((loss, i) => watch.look([{ step: i + 1, loss, learningRate: 1 }], () => {}));
    return watch.error(ending, null)?.message ?? null;
  };
  const bad = Array(18).fill(7.5);
  assertEquals(lost([2.5, ...bad], false), null, "it may come back");
  assertEquals(
    lost([2.5, ...bad, 8], false),
    "Cannot use the model after step 20 as its loss rose from 2.50 to 8.00, where a model that knows " +
      "nothing has 6.24: the learning rate (1.0) is too high for this model; start again with a lower one",
  );
  assert(lost([2.5, 2.4, 9, 8], true) !== null, "no step follows");
  assert(lost([6.3, 14.2, 13.7, 12.3, 9.3, 19.8], true) !== null, "most are high");
  assertEquals(
    lost([2.5, ...Array(15).fill(9), ...Array(5).fill(3)], false),
    null,
    "it has come back",
  );
  for (
    const kept of [[2.5], [9], [2.5, 4.4, 4.4], [6.3, 9, 9, 9, 9], [2.5, 9, 9, 4, 9, 3], [
      2.5,
      9,
      9,
      9,
      9,
      3,
    ], []]
  ) {
    assertEquals(lost(kept, true), null, `${kept}`);
  }
});

Deno.test("whatever allocation fails, Trainer.create frees everything", () =>
  withModel(() => {}, async (_, model) => {
    const before = device.allocatedBytes;
    const allocate = device.createBuffer;
    let [calls, failing] = [0, 0];
    device.createBuffer = (...args) => {
      if (++calls === failing) throw new Error(`no memory for "${args[2]}"`);
      return allocate.apply(device, args);
    };
    try {
      for (const init of ["kaiming", "gradient"] as const) {
        const options = { ...run(model, falqon({ rank: 4, init })), gradientCheckpointing: true };
        for (failing = 1;; failing = Math.ceil(failing * 1.35)) {
          calls = 0;
          try {
            using _ = await Trainer.create(options);
            break;
          } catch (error) {
            assert((error as Error).message.startsWith("no memory"), `${error}`);
          }
          assertEquals(device.allocatedBytes, before, `after failing at buffer ${failing}`);
        }
        assert(failing > 60, `${failing} buffers`);
      }
    } finally {
      device.createBuffer = allocate;
    }
  }));
