import { assert, assertEquals, assertRejects } from "@std/assert";
import { join } from "node:path";
import {
  Dataset,
  DeviceError,
  falqon,
  FileError,
  frozen,
  frozenFp8,
  full,
  lora,
  Model,
  ModelError,
  OptionError,
  Trainer,
  type TrainerOptions,
  TrainingError,
  type TrainingMetrics,
} from "../../mod.ts";
import { internalDevice } from "../../src/gpu/public_device.ts";
import { exists } from "../../src/io/exists.ts";
import { planMemory } from "../../src/train/memory.ts";
import { MOST_AHEAD } from "../../src/train/stepper.ts";
import { device } from "../support/device.ts";
import { withFolder } from "../support/io.ts";
import { writeTinyModel } from "../support/tiny_model.ts";

/** What a test is given. */
interface Scene {
  folder: string;
  /** Loads the tiny model anew. */
  load(): Promise<Model>;
  /** Bytes on the GPU. */
  bytes(): number;
  data: Dataset;
}

function withScene(test: (scene: Scene) => Promise<void>): Promise<void> {
  return withFolder(async (folder) => {
    const path = join(folder, "data.jsonl");
    await writeTinyModel(folder);
    const rows = Array.from({ length: 40 }, (_, i) => `{"text": "row ${i} of ${i * 7 % 11}"}\n`);
    await Deno.writeTextFile(path, rows.join(""));
    const load = () => Model.load(folder, { device });
    const data = Dataset.from(path);
    await test({ folder, load, bytes: () => device.allocatedBytes, data });
  });
}

/** Options of a run of six steps. */
function sixSteps(model: Model, data: Dataset): TrainerOptions {
  const shape = { batchSize: 2, sequenceLength: 24 };
  return { model, data, method: full(), ...shape, steps: 6, learningRate: 1e-3, logEvery: 1 };
}

async function losses(
  trainer: Trainer,
  visit: (metrics: TrainingMetrics) => void = () => {},
  signal?: AbortSignal,
): Promise<number[]> {
  const found: number[] = [];
  for await (const metrics of trainer.run({ signal })) {
    found.push(metrics.loss);
    visit(metrics);
  }
  return found;
}

Deno.test("train() runs to the end and gives the last metrics; then there is nothing left", () =>
  withScene(async ({ load, data }) => {
    using model = await load();
    using trainer = await Trainer.create(sixSteps(model, data));
    const want = await losses(trainer);
    using again = await Trainer.create(sixSteps(model, data));
    const last = await again.train();
    assertEquals([last!.step, last!.loss], [6, want[5]]);
    assertEquals(await again.train(), null);
  }));

Deno.test("stop() ends a run after the step at work; going on gives the same steps", () =>
  withScene(async ({ load, data, folder }) => {
    using model = await load();
    using whole = await Trainer.create(sixSteps(model, data));
    const want = await losses(whole);
    const outputDir = join(folder, "out");
    const options = { ...sixSteps(model, data), outputDir, saveEvery: 100 };
    using trainer = await Trainer.create(options);
    trainer.stop(); // nothing is at work: this ends nothing
    const first = await losses(trainer, ({ step }) => step === 4 && trainer.stop());
    assertEquals([trainer.step, first], [4, want.slice(0, 4)]);
    assert(await exists(join(outputDir, "checkpoint-4")));
    assertEquals(await losses(trainer), want.slice(4));
  }));

Deno.test("a signal ends a run with its reason, and no step is lost", () =>
  withScene(async ({ load, data, folder }) => {
    using model = await load();
    const outputDir = join(folder, "out");
    using whole = await Trainer.create(sixSteps(model, data));
    const want = await losses(whole);
    // Steps are only read back, and given, at the end: far behind where the signal ends the run.
    const endless = { steps: 1000, saveEvery: 1000, logEvery: 1000 };
    using trainer = await Trainer.create({ ...sixSteps(model, data), ...endless, outputDir });
    const stop = new AbortController();
    const reason = new Error("enough");
    const seen: number[] = [];
    const ended = losses(trainer, ({ loss }) => seen.push(loss), stop.signal);
    while (trainer.step < 2) await new Promise((resolve) => setTimeout(resolve, 1));
    stop.abort(reason);
    assertEquals(await ended.catch((error) => error), reason);
    assert(seen.length >= 2 && seen.length < 1000 && seen.length === trainer.step);
    const both = Math.min(6, seen.length);
    assertEquals(seen.slice(0, both), want.slice(0, both));
    const lines = (await Deno.readTextFile(join(outputDir, "training_log.jsonl"))).trim();
    assertEquals(lines.split("\n").length, seen.length);
    assert(await exists(join(outputDir, `checkpoint-${seen.length}`)));

    await assertRejects(() => trainer.evaluate(data, { signal: stop.signal }), Error, "enough");
    const saved = join(folder, "saved");
    await assertRejects(() => trainer.save(saved, { signal: stop.signal }), Error, "enough");
    assertEquals([...Deno.readDirSync(saved)], []);
    await trainer.save(saved);
    await assertRejects(() => Model.load(folder, { signal: stop.signal }), Error, "enough");
  }));

Deno.test("a run that is read back rarely does not leave the GPU far behind, within a step neither", () =>
  withScene(async ({ load, data }) => {
    using model = await load();
    // Batches that were submitted when the GPU was waited for.
    const { queue } = internalDevice(device).gpu;
    const wait = queue.onSubmittedWorkDone;
    using steps = await Trainer.create({ ...sixSteps(model, data), steps: 70, logEvery: 1000 });
    let waits = 0;
    const step = () => steps.step;
    const at: number[] = [];
    queue.onSubmittedWorkDone = function () {
      waits++;
      at.push(step());
      return wait.call(this);
    };
    try {
      await steps.train();
      assertEquals(at, [MOST_AHEAD, 2 * MOST_AHEAD]);
      waits = 0;
      const group = { steps: 1, gradAccumSteps: 3 * MOST_AHEAD };
      using one = await Trainer.create({ ...sixSteps(model, data), ...group });
      waits = 0; // without those of setting up
      await one.train();
      assertEquals(waits, 2);
    } finally {
      queue.onSubmittedWorkDone = wait;
    }
  }));

Deno.test("Trainer.create frees what it made when it fails, and leaves the model usable", () =>
  withScene(async ({ load, data, folder, bytes }) => {
    using model = await load();
    const before = bytes();
    const logits = await model.logits([1, 2, 3]);
    const used = bytes();
    const options = sixSteps(model, data);
    const attempts: [Partial<TrainerOptions>, typeof FileError | typeof DeviceError, string][] = [
      [
        { data: Dataset.from(join(folder, "nothing")), method: falqon({ rank: 4 }) },
        FileError,
        "there is no such file",
      ],
      [
        { data: Dataset.from(join(folder, "nothing")), steps: undefined, schedule: "linear" },
        FileError,
        "there is no such file",
      ],
      [{ batchSize: 690_000, method: lora({ rank: 4 }) }, DeviceError, "reduce batchSize"],
    ];
    for (const [change, type, message] of attempts) {
      const create = () => Trainer.create({ ...options, ...change, onNotice: () => {} });
      await assertRejects(create, type, message);
      // The data is looked at before anything becomes of the model.
      assertEquals(bytes(), type === FileError ? used : before, message);
      assertEquals(await model.logits([1, 2, 3]), logits, "the model is as if never used");
    }
    const abort = AbortSignal.abort(new Error("not now"));
    await assertRejects(() => Trainer.create(options, { signal: abort }), Error, "not now");
    const late = new AbortController();
    const counting = Trainer.create({
      ...options,
      ...{ steps: undefined, schedule: "linear", onNotice: () => late.abort(new Error("later")) },
    }, { signal: late.signal });
    await assertRejects(() => counting, Error, "later");
    assertEquals(bytes(), before);
  }));

Deno.test("a second trainer or method on a model ends the first trainer in a sentence", () =>
  withScene(async ({ load, data, folder }) => {
    using model = await load();
    const outputDir = join(folder, "out");
    const ended = "as its model was disposed of, or put under another trainer or method";
    const expectEnded = async (trainer: Trainer) => {
      const uses: (() => Promise<unknown>)[] = [
        () => trainer.train(),
        () => losses(trainer),
        () => trainer.evaluate(data),
        () => trainer.save(join(folder, "saved")),
        () => trainer.checkpoint(),
      ];
      for (const use of uses) await assertRejects(use, TrainingError, ended);
      assert(!await exists(join(folder, "saved")));
    };
    using a = await Trainer.create({ ...sixSteps(model, data), outputDir });
    using b = await Trainer.create(sixSteps(model, data));
    await expectEnded(a);
    const want = await losses(b);
    using c = await Trainer.create(sixSteps(model, data));
    await model.use(frozenFp8());
    await expectEnded(b);
    await expectEnded(c);

    // In the middle of a run: the steps until then are given.
    using d = await Trainer.create(sixSteps(model, data));
    const seen: number[] = [];
    await assertRejects(
      async () => {
        for await (const { loss, step } of d.run()) {
          seen.push(loss);
          if (step === 3) await model.use(frozen());
        }
      },
      TrainingError,
      ended,
    );
    assertEquals(seen, want.slice(0, 3));
    assert((await model.logits([1, 2])).every(Number.isFinite), "the GPU is well");
  }));

Deno.test("a trainer that was disposed of, or is running, refuses to run", () =>
  withScene(async ({ load, data }) => {
    using model = await load();
    const trainer = await Trainer.create(sixSteps(model, data));
    for await (const { step } of trainer.run()) {
      if (step === 1) await assertRejects(() => trainer.train(), TrainingError, "it is running");
    }
    trainer[Symbol.dispose]();
    for (const use of [() => trainer.train(), () => trainer.evaluate(data)]) {
      await assertRejects(use, TrainingError, "Cannot use this trainer as it was disposed of");
    }
    assert((await model.logits([1, 2])).every(Number.isFinite), "the model stays");
    const orphan = await Trainer.create(sixSteps(model, data));
    model[Symbol.dispose]();
    await assertRejects(() => orphan.train(), TrainingError, "as its model was disposed of");
    orphan[Symbol.dispose]();
    const sequence = { inputIds: [1, 2, 3], labels: [1, 2, 3] };
    const uses: (() => Promise<unknown>)[] = [
      () => model.logits([1, 2]),
      () => model.loss(sequence),
      () => model.lossAndGradients(sequence),
      () => Array.fromAsync(model.generate("x")),
      () => model.use(frozen()),
      () => model.save("nowhere"),
      () => Trainer.create(sixSteps(model, data)),
    ];
    for (const use of uses) {
      await assertRejects(
        use,
        ModelError,
        "Cannot use this model as it was disposed of: load it again",
      );
    }
  }));

Deno.test("trainers that are made at the same time: one has the model, the other ends, nothing is left", () =>
  withScene(async ({ load, data, bytes }) => {
    const before = bytes();
    {
      using model = await load();
      const both = [0, 1].map(() => Trainer.create(sixSteps(model, data)));
      const made = await Promise.allSettled(both);
      const trainers = made.filter((result) => result.status === "fulfilled").map(({ value }) =>
        value
      );
      const errors = made.filter((result) => result.status === "rejected").map(({ reason }) =>
        reason
      );
      for (const error of errors) assert(error instanceof TrainingError, `${error}`);
      const trained = await Promise.allSettled(trainers.map((trainer) => trainer.train()));
      for (const result of trained) {
        if (result.status === "rejected") {
          assert(result.reason instanceof TrainingError, `${result.reason}`);
        }
      }
      assertEquals(trained.filter(({ status }) => status === "fulfilled").length, 1);
      for (const trainer of trainers) trainer[Symbol.dispose]();
      const late = model.use(frozenFp8());
      model[Symbol.dispose]();
      await assertRejects(() => late, Error);
    }
    assertEquals(bytes(), before);
  }));

Deno.test("methods that do not train are refused, with those that do", () =>
  withScene(async ({ load, data }) => {
    using model = await load();
    const logits = await model.logits([1, 2, 3]);
    for (const method of [frozen(), frozen("f16"), frozenFp8()]) {
      const message =
        `Cannot train with ${method.name} as it has nothing to train: choose a method ` +
        "that trains (falqon, lora, fp8-lora, int8-lora, torchao-style, qlora, full)";
      const create = () => Trainer.create({ ...sixSteps(model, data), method });
      await assertRejects(create, OptionError, message);
      const { config } = model;
      const shape = { batchSize: 1, sequenceLength: 8, gradientCheckpointing: false };
      await assertRejects(() => planMemory({ config, method, ...shape }), OptionError, message);
    }
    assertEquals(await model.logits([1, 2, 3]), logits);
  }));

Deno.test("counting the steps of a schedule is announced, with what came out", () =>
  withScene(async ({ load, data }) => {
    using model = await load();
    const { steps: _, ...open } = sixSteps(model, data);
    const notices: string[] = [];
    const onNotice = (notice: string) => void notices.push(notice);
    using counted = await Trainer.create({ ...open, schedule: "linear", epochs: 2, onNotice });
    assertEquals(notices.length, 2);
    assert(notices[0].includes("the data is tokenised 2 times to count them"), notices[0]);
    assert(notices[1].startsWith(`counted ${counted.totalSteps} steps in `), notices[1]);
    const last = await counted.train();
    assertEquals(last!.step, counted.totalSteps);
    using constant = await Trainer.create({ ...open, onNotice });
    assertEquals([constant.totalSteps, notices.length], [null, 2]);
  }));

Deno.test("a model without a device opens one, and closes it", () =>
  withScene(async ({ folder }) => {
    const model = await Model.load(folder);
    const { device } = model;
    assert((await model.logits([1, 2])).every(Number.isFinite));
    assert(device.allocatedBytes > 0);
    model[Symbol.dispose]();
    assertEquals(device.allocatedBytes, 0);
    assertEquals((await internalDevice(device).gpu.lost).reason, "destroyed");
  }));
