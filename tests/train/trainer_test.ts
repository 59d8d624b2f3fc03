import {
  assert,
  assertAlmostEquals,
  assertEquals,
  assertNotEquals,
  assertRejects,
} from "@std/assert";
import { join } from "node:path";
import {
  Dataset,
  falqon,
  full,
  int8Lora,
  lora,
  type Method,
  Model,
  qlora,
  torchaoStyle,
  Trainer,
} from "../../mod.ts";
import { OptionError, TrainingError } from "../../src/errors.ts";
import { fromFloat32, toFloat32 } from "../../src/io/dtype.ts";
import type { Device } from "../../src/gpu/device.ts";
import { LOG_FILE } from "../../src/train/log.ts";
import type { TrainerOptions } from "../../src/train/options.ts";
import type { TrainingMetrics } from "../../src/train/metrics.ts";
import { sequenceArrays } from "../../src/model/token_buffers.ts";
import { device, expectAllFreed } from "../support/device.ts";
import { withFolder } from "../support/io.ts";
import { writeTinyModel } from "../support/tiny_model.ts";

const rows = Array.from({ length: 40 }, (_, i) => ({
  prompt: `What comes after ${"abcdefgh"[i % 8]}? `,
  completion: `It is ${"bcdefghi"[i % 8]}, number ${i % 5}.`,
}));

const METHODS: Record<string, () => Method> = {
  "requantize": () => falqon({ rank: 5, updateRule: "requantize" }),
  "requantize with pending rows": () => falqon({ rank: 5, topK: 3 }),
  "requantize in int8, not rotated, with pending rows": () =>
    falqon({ rank: 5, format: "int8", rotation: false, topK: 3 }),
  "accumulate": () => falqon({ rank: 5, updateRule: "accumulate", scaleGranularity: "tensor" }),
  "requantize in int8, rounded stochastically": () =>
    falqon({ rank: 5, format: "int8", updateRule: "requantize", rounding: "stochastic" }),
  "stochastic": () => falqon({ rank: 5, updateRule: "stochastic" }),
  "stochastic in int8": () => falqon({ rank: 5, format: "int8", updateRule: "stochastic" }),
  "stochastic, A trained too": () => falqon({ rank: 5, updateRule: "stochastic", trainA: true }),
  "int8, A trained too": () =>
    falqon({ rank: 5, format: "int8", updateRule: "stochastic", trainA: true }),
  "paper": () => falqon({ rank: 5, updateRule: "paper" }),
  "lora": () => lora({ rank: 5 }),
  "int8-lora with a frozen A": () => int8Lora({ rank: 5, trainA: false }),
  "torchao-style": () => torchaoStyle({ rank: 5 }),
  "qlora": () => qlora({ rank: 5 }),
  "full": () => full(),
};

/** Options of a run of 12 small steps on the tiny model. */
function tinyRun(model: Model, folder: string, method: Method): TrainerOptions {
  return {
    model,
    method,
    data: Dataset.from(join(folder, "train.jsonl")),
    batchSize: 2,
    sequenceLength: 32,
    gradAccumSteps: 2,
    steps: 12,
    learningRate: 3e-3,
    schedule: "cosine",
    warmupSteps: 2,
    optimizer: { weightDecay: 0.01 },
    seed: 3,
    logEvery: 4,
  };
}

/** Runs a test with a tiny model and its data in a temporary folder. */
async function withTinyModel(
  test: (folder: string, load: () => Promise<Model>, device: Device) => Promise<void>,
) {
  await withFolder(async (folder) => {
    await Deno.mkdir(join(folder, "model"));
    // Weights that BF16 holds exactly, so that saving in it loses nothing.
    const edit = (_: string, values: Float32Array) =>
      values.set(toFloat32(fromFloat32(Float32Array.from(values), "BF16"), "BF16"));
    await writeTinyModel(join(folder, "model"), { edit });
    const lines = rows.map((row) => JSON.stringify(row)).join("\n");
    await Deno.writeTextFile(join(folder, "train.jsonl"), lines);
    await using _ = expectAllFreed();
    await test(folder, () => Model.load(join(folder, "model"), { device }), device);
  });
}

async function collect(trainer: Trainer): Promise<TrainingMetrics[]> {
  const metrics: TrainingMetrics[] = [];
  for await (const entry of trainer.run()) metrics.push(entry);
  return metrics;
}

Deno.test("resuming from any checkpoint continues the loss curve bit for bit", async () => {
  await withTinyModel(async (folder, load) => {
    for (const [name, method] of Object.entries(METHODS)) {
      // One method goes on into the next epoch, and resumes twice.
      const [steps, checkpoints] = name === "requantize" ? [12, [5, 10]] : [7, [4]];
      const output = join(folder, name);
      using model = await load();
      const options = { ...tinyRun(model, folder, method()), steps };
      const whole = {
        ...options,
        outputDir: output,
        saveEvery: checkpoints[0],
        keepCheckpoints: 9,
      };
      let uninterrupted: TrainingMetrics[];
      {
        using trainer = await Trainer.create(whole);
        uninterrupted = await collect(trainer);
      }
      assertEquals(
        uninterrupted.map(({ step }) => step),
        [...Array(steps).keys()].map((i) => i + 1),
      );
      const losses = uninterrupted.map(({ loss }) => loss);
      assert(losses.every(Number.isFinite), name);
      for (const step of checkpoints) {
        using resumed = await Trainer.create({
          ...options,
          method: method(),
          resumeFrom: join(output, `checkpoint-${step}`),
        });
        const rest = await collect(resumed);
        assertEquals(rest.map(({ loss }) => loss), losses.slice(step), `${name} from step ${step}`);
        assertEquals(rest.at(-1)!.tokens, uninterrupted.at(-1)!.tokens);
      }
      const log = (await Deno.readTextFile(join(output, LOG_FILE))).trim().split("\n");
      assertEquals(log.map((line) => JSON.parse(line).loss), losses);
    }
  });
});

Deno.test("stochastic rounding draws what the checkpoint's run drew, whatever the seed of the resumed one", async () => {
  await withTinyModel(async (folder, load, device) => {
    using model = await load();
    const method = METHODS.stochastic();
    const outputDir = join(folder, "run");
    const key = async (options: Partial<TrainerOptions>) => {
      using trainer = await Trainer.create({ ...tinyRun(model, folder, method), ...options });
      if (options.outputDir) await trainer.checkpoint();
      const { layers } = await model.network();
      return new Uint32Array(await device.read(layers.state!().get("rounding_key")!));
    };
    const first = await key({ outputDir, seed: 3 });
    assertNotEquals(await key({ seed: 4 }), first);
    assertEquals(await key({ seed: 4, resumeFrom: outputDir }), first);
  });
});

Deno.test("what is saved evaluates as the trained model did", async () => {
  await withTinyModel(async (folder, load, device) => {
    const data = Dataset.from(join(folder, "train.jsonl"));
    const names = [
      "requantize with pending rows",
      "stochastic",
      "stochastic, A trained too",
      "paper",
    ];
    for (const name of [...names, "full"]) {
      using model = await load();
      using trainer = await Trainer.create(tinyRun(model, folder, METHODS[name]()));
      const before = await trainer.evaluate(data);
      await collect(trainer);
      const output = join(folder, `saved ${name}`);
      await trainer.save(output);
      const after = await trainer.evaluate(data);
      assert(name === "paper" || after.loss < before.loss - 0.05, `${name} learns`);
      using saved = await Model.load(output, { device });
      using again = await Trainer.create(tinyRun(saved, folder, METHODS[name]()));
      // The scales of FALQON's weights come back as reciprocals of reciprocals: off by an ulp at most.
      assertAlmostEquals((await again.evaluate(data)).loss, after.loss, 1e-4, name);
      const refused = `Cannot save to "${output}" as it holds a model`;
      await assertRejects(() => trainer.save(output), OptionError, refused);
      const left = [...Deno.readDirSync(output)].map(({ name }) => name).sort();
      assertEquals(left, ["config.json", "model.safetensors", "tokenizer.json"]);
    }
  });
});

Deno.test("training A as well learns faster than only B at the same rate", async () => {
  await withTinyModel(async (folder, load) => {
    for (const format of ["fp8", "int8"] as const) {
      const losses = async (trainA: boolean) => {
        using model = await load();
        const method = falqon({ rank: 5, format, updateRule: "stochastic", trainA });
        using trainer = await Trainer.create(tinyRun(model, folder, method));
        return (await collect(trainer)).map(({ loss }) => loss);
      };
      const [onlyB, both] = [await losses(false), await losses(true)];
      // In the first step B is zero, so A has no gradient, and nothing else differs.
      assertAlmostEquals(both[1], onlyB[1], 0.01);
      const end = (losses: number[]) => losses.slice(-3).reduce((sum, loss) => sum + loss / 3, 0);
      assert(end(both) < end(onlyB) - 0.05, `${format}: ${end(both)} against ${end(onlyB)}`);
    }
  });
});

Deno.test("gradient checkpointing and a longer sequence between steps change nothing", async () => {
  await withTinyModel(async (folder, load) => {
    const names = ["requantize", "stochastic in int8", "int8, A trained too", "torchao-style"];
    for (const name of [...names, "qlora", "full"]) {
      using model = await load();
      const options = { ...tinyRun(model, folder, METHODS[name]()), steps: 7 };
      const run = async (extra: Partial<TrainerOptions>, interrupt: boolean) => {
        using trainer = await Trainer.create({ ...options, ...extra, method: METHODS[name]() });
        const losses: number[] = [];
        for await (const { loss, step } of trainer.run()) {
          losses.push(loss);
          if (interrupt && step === 4) {
            await model.tokenLosses(sequenceArrays(new Uint8Array(200).fill(7)));
          }
        }
        return losses;
      };
      const plain = await run({}, false);
      assertEquals(await run({ gradientCheckpointing: true }, false), plain, name);
      assertEquals(await run({}, true), plain, name);
    }
  });
});

Deno.test("a loss that is not finite ends the run and keeps the step before", async () => {
  await withTinyModel(async (folder, load) => {
    using model = await load();
    const options = tinyRun(model, folder, full());
    const output = join(folder, "diverging");
    // The first steps are sound; then the learning rate throws the weights out of f32's range.
    using trainer = await Trainer.create({
      ...options,
      outputDir: output,
      saveEvery: 2,
      schedule: "linear",
      learningRate: 1e37,
      warmupSteps: 6,
      optimizer: { maxGradNorm: 0 },
      logEvery: 1,
    });
    await assertRejects(() => collect(trainer), TrainingError, "Cannot continue after step");
    const log = (await Deno.readTextFile(join(output, LOG_FILE))).trim().split("\n");
    assert(log.length >= 1 && log.every((line) => Number.isFinite(JSON.parse(line).loss)));
  });
});

Deno.test("bad options are refused before anything is written", async () => {
  await withTinyModel(async (folder, load) => {
    using model = await load();
    const options = tinyRun(model, folder, lora({ rank: 4 }));
    const refused: [Partial<TrainerOptions>, string][] = [
      [{ sequenceLength: 0 }, "Cannot use sequenceLength 0: give a whole number of at least 2"],
      [{ sequenceLength: 65 }, "Cannot train on rows of 65 tokens as the model was made for 64"],
      [{ steps: 0 }, "Cannot use steps 0"],
      [{ learningRate: NaN }, "Cannot use learningRate NaN"],
      [{ beta2: 1 }, "Cannot use beta2 1: give a finite number from 0 to below 1"],
      [{ evalEvery: 5 }, "there is no evalData"],
      [{ saveEvery: 5 }, "there is no outputDir"],
    ];
    for (const [change, message] of refused) {
      await assertRejects(() => Trainer.create({ ...options, ...change }), OptionError, message);
    }
    const output = join(folder, "used");
    {
      using trainer = await Trainer.create({ ...options, outputDir: output, steps: 1 });
      await collect(trainer);
    }
    const again = () => Trainer.create({ ...options, outputDir: output });
    await assertRejects(again, OptionError, "as it holds another run");
  });
});
