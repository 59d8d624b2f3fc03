import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { createHash } from "node:crypto";
import { join } from "node:path";
import {
  DataError,
  Dataset,
  evaluate,
  falqon,
  FileError,
  findLearningRate,
  lora,
  type Method,
  Model,
  OptionError,
  Trainer,
  type TrainerOptions,
  TrainingError,
  type TrainingMetrics,
  type TriedRate,
  useCheckpoint,
} from "../../mod.ts";
import { exists } from "../../src/io/exists.ts";
import { DivergenceWatch } from "../../src/train/divergence.ts";
import { LOG_FILE } from "../../src/train/log.ts";
import { device, expectAllFreed } from "../support/device.ts";
import { withFolder } from "../support/io.ts";
import { writeTinyModel } from "../support/tiny_model.ts";

/** What a test is given: a folder with a model and rows in it. */
interface Scene {
  folder: string;
  output: string;
  model: Model;
  /** Options of a run of small steps into `output`, on the first 40 rows. */
  options: TrainerOptions;
}

const rowOf = (i: number) => ({
  prompt: `What comes after ${"abcdefgh"[i % 8]}? `,
  completion: `It is ${"bcdefghi"[i % 8]}, number ${i % 5}.`,
});
/** Rows in the same form with other answers: learning the form helps at first, then it gets worse. */
const wrongRow = (i: number) => ({
  prompt: `What comes after ${"abcdefgh"[i % 8]}? `,
  completion: `It is ${"hgfedcba"[i % 8]}, never ${i % 3}.`,
});
const lines = (first: number, count: number, row = rowOf) =>
  Array.from({ length: count }, (_, i) => JSON.stringify(row(first + i)) + "\n").join("");

function withScene(
  test: (scene: Scene) => Promise<void>,
  method: () => Method = () => lora({ rank: 3 }),
): Promise<void> {
  return withFolder(async (folder) => {
    await Deno.mkdir(join(folder, "model"));
    await writeTinyModel(join(folder, "model"));
    await Deno.writeTextFile(join(folder, "train.jsonl"), lines(0, 40));
    await Deno.writeTextFile(join(folder, "held.jsonl"), lines(40, 8));
    await Deno.writeTextFile(join(folder, "other.jsonl"), lines(40, 8, wrongRow));
    const output = join(folder, "out");
    await using _ = expectAllFreed();
    using model = await Model.load(join(folder, "model"), { device });
    const options = {
      model,
      data: Dataset.from(join(folder, "train.jsonl")),
      method: method(),
      batchSize: 2,
      sequenceLength: 40,
      steps: 6,
      learningRate: 1e-2,
      outputDir: output,
      onNotice: () => {},
    };
    await test({ folder, output, model, options });
  });
}

async function train(options: TrainerOptions): Promise<TrainingMetrics[]> {
  using trainer = await Trainer.create(options);
  return await Array.fromAsync(trainer.run());
}

const checkpoints = (folder: string) =>
  [...Deno.readDirSync(folder)].map(({ name }) => name).filter((it) => it.startsWith("checkpoint-"))
    .map((name) => Number(name.slice("checkpoint-".length))).sort((a, b) => a - b);

async function readLog(folder: string): Promise<Record<string, number>[]> {
  const text = await Deno.readTextFile(join(folder, LOG_FILE));
  return text.trim().split("\n").map((line) => JSON.parse(line));
}

Deno.test("a run with a folder saves a checkpoint where it ends, without being told", () =>
  withScene(async ({ output, options }) => {
    await train(options);
    assertEquals(checkpoints(output), [6]);
    await train({ ...options, overwrite: true, saveEvery: 0 });
    assertEquals(checkpoints(output), []);
    await train({ ...options, overwrite: true, saveEvery: 2, keepCheckpoints: 9 });
    assertEquals(checkpoints(output), [2, 4, 6]);
  }));

Deno.test("a checkpoint for each epoch; a part of an epoch; a warm-up by share", () =>
  withScene(async ({ output, options }) => {
    const epochs = { ...options, steps: undefined, overwrite: true, keepCheckpoints: 9 };
    const steps: Record<string, number> = {};
    for (const count of [0.5, 1, 2.5]) {
      const metrics = await train({ ...epochs, epochs: count, saveEvery: "epoch" });
      steps[count] = metrics.length;
      if (count === 2.5) assertEquals(checkpoints(output).length, 3);
    }
    assertEquals(steps["0.5"], Math.ceil(steps["1"] / 2));
    assert(Math.abs(steps["2.5"] - 2.5 * steps["1"]) <= 1, JSON.stringify(steps));
    const share = await train({ ...options, overwrite: true, warmupRatio: 0.5 });
    const given = await train({ ...options, overwrite: true, warmupSteps: 3 });
    assertEquals(share.map(({ learningRate }) => learningRate), given.map((it) => it.learningRate));
    const counted = await train({ ...epochs, epochs: 0.5, steps: 3, warmupRatio: 0.5 });
    assertEquals(counted.length, 3);
  }));

Deno.test("the held-out loss is logged before, during and after; the best checkpoint stays and comes back", () =>
  withScene(async ({ folder, output, options }) => {
    const evalData = Dataset.from(join(folder, "other.jsonl"));
    const high = { ...options, evalData, evalEvery: 2, steps: 13, learningRate: 0.05 };
    using trainer = await Trainer.create({ ...high, keepCheckpoints: 1, saveEvery: 1 });
    await trainer.train();
    const { evaluations, best } = trainer;
    assertEquals(evaluations.map(({ step }) => step), [0, 2, 4, 6, 8, 10, 12, 13]);
    const least = Math.min(...evaluations.slice(1).map(({ loss }) => loss));
    assertEquals(best!.loss, least);
    assert(best!.step < 12, JSON.stringify(evaluations));
    assertEquals(checkpoints(output), [best!.step, 13]);
    const logged = (await readLog(output)).filter(({ evalLoss }) => evalLoss !== undefined);
    assertEquals(
      logged.map(({ step, evalLoss }) => [step, evalLoss]),
      evaluations.map(({ step, loss }) => [step, loss]),
    );

    assertEquals(await trainer.restoreBest(), best);
    assertEquals(trainer.step, best!.step);
    const again = await trainer.evaluate(evalData);
    assert(Math.abs(again.loss - least) < 1e-6, `${again.loss}, ${least}`);
    // It goes on from there, and the log is that of what was done.
    const rest = await Array.fromAsync(trainer.run());
    assertEquals(rest[0].step, best!.step + 1);
    const steps = (await readLog(output)).filter(({ loss }) => loss !== undefined);
    assertEquals(steps.map(({ step }) => step), Array.from({ length: 13 }, (_, i) => i + 1));
  }, () => falqon({ rank: 3, format: "int8" })));

Deno.test("early stopping ends a run after evaluations that are no better, resumed ones too", () =>
  withScene(async ({ folder, options }) => {
    const evalData = Dataset.from(join(folder, "other.jsonl"));
    const high = { ...options, evalData, evalEvery: 2, steps: 60, learningRate: 0.05 };
    const patient = { ...high, earlyStoppingPatience: 3 };
    using trainer = await Trainer.create(patient);
    await trainer.train();
    const { best, step, stoppedEarly } = trainer;
    assertEquals([stoppedEarly, step - best!.step], [true, 6]);
    assert(step < 60);
    using resumed = await Trainer.create({ ...patient, resumeFrom: options.outputDir });
    assertEquals([await resumed.train(), resumed.best], [null, best]);
  }));

Deno.test("a run does not go on with another model, tokenizer or data without being told to", () =>
  withScene(async ({ folder, output, options }) => {
    await train({ ...options, steps: 2 });
    const resumed = { ...options, resumeFrom: output };
    const data = join(folder, "train.jsonl");
    const original = await Deno.readTextFile(data);
    const refuse = (want: string, change: Partial<TrainerOptions> = {}) =>
      assertRejects(() => train({ ...resumed, ...change }), OptionError, want);

    await Deno.writeTextFile(data, original.replace("number 4", "number 3"));
    await refuse("train.jsonl has other rows than the run was started with");
    await Deno.writeTextFile(data, original);
    await refuse("or is read or split otherwise", { data: options.data.split(0.1).train });
    // The same rows under another name are the same.
    await Deno.copyFile(data, join(folder, "moved.jsonl"));
    await train({ ...resumed, steps: 3, data: Dataset.from(join(folder, "moved.jsonl")) });

    const tokenizer = join(folder, "model/tokenizer.json");
    const text = await Deno.readTextFile(tokenizer);
    await Deno.writeTextFile(tokenizer, text + "\n");
    await refuse("tokenizer.json is another than the run was started with");
    await Deno.writeTextFile(tokenizer, text);

    const evalData = Dataset.from(join(folder, "held.jsonl"));
    const held = { ...options, outputDir: join(folder, "evaluated"), evalData, steps: 2 };
    await train(held);
    const others = {
      resumeFrom: held.outputDir,
      evalData: Dataset.from(join(folder, "other.jsonl")),
    };
    await assertRejects(
      () => train({ ...held, ...others }),
      OptionError,
      "the held-out rows are others",
    );

    const chatTemplate = "{% for m in messages %}{{ m.content }}{% endfor %}";
    using chosen = await Model.load(join(folder, "model"), { device, chatTemplate });
    await refuse("the chat template or the special tokens are others", { model: chosen });
    const inMemory = (count: number) =>
      Dataset.from(Array.from({ length: count }, (_, i) => rowOf(i)));
    const memory = { ...resumed, resumeFrom: undefined, overwrite: true, data: inMemory(9) };
    await train({ ...memory, outputDir: join(folder, "memory"), steps: 2 });
    const again = {
      ...memory,
      outputDir: undefined,
      saveEvery: 0,
      resumeFrom: join(folder, "memory"),
    };
    await assertRejects(
      () => train({ ...again, data: inMemory(8) }),
      OptionError,
      "the data has other rows than the run was started with",
    );
    assertEquals((await train({ ...again, overwrite: undefined, steps: 3 })).length, 1);

    await Deno.mkdir(join(folder, "other"));
    const edit = (name: string, values: Float32Array) => {
      if (name.endsWith("o_proj.weight")) values[0] += 1;
    };
    await writeTinyModel(join(folder, "other"), { edit });
    using other = await Model.load(join(folder, "other"), { device });
    await refuse("the model has other weights or another config.json", { model: other });
    const metrics = await train({ ...resumed, model: other, resumeAnyway: true });
    assertEquals(metrics.map(({ step }) => step), [4, 5, 6]);
  }));

Deno.test("what cannot be resumed says why, and which checkpoint is whole", () =>
  withScene(async ({ folder, output, options }) => {
    const resume = (resumeFrom: string) => train({ ...options, resumeFrom });
    const nothing = join(folder, "nope");
    await assertRejects(() => resume(nothing), FileError, "there is no such folder");
    await assertRejects(() => resume(join(folder, "model")), FileError, "it holds no checkpoint");

    await train({ ...options, saveEvery: 3 });
    const tensors = join(output, "checkpoint-6/state.safetensors");
    const bytes = await Deno.readFile(tensors);
    bytes[bytes.length - 5] ^= 0x40;
    await Deno.writeFile(tensors, bytes);
    const damaged = await assertRejects(() => resume(output), FileError, "the checksum of");
    const older =
      `Cannot resume from "${join(output, "checkpoint-6")}" as it is damaged: go on from ` +
      `"${join(output, "checkpoint-3")}", the newest whole one before it`;
    assert(damaged.message.startsWith(older), damaged.message);
    await Deno.truncate(tensors, 1000);
    await assertRejects(() => resume(output), FileError, older);
    await Deno.remove(tensors);
    await assertRejects(() => resume(output), FileError, older);
    const state = join(output, "checkpoint-6/state.json");
    const text = await Deno.readTextFile(state);
    const { options: _, ...rest } = JSON.parse(text);
    await Deno.writeTextFile(state, JSON.stringify(rest));
    await assertRejects(
      () => resume(output),
      FileError,
      "options is missing and must be an object",
    );
    // Counts that leave no room for what is added.
    for (const [name, most] of [["step", 2 ** 31 - 1], ["tokens", 2 ** 52], ["batch", 2 ** 52]]) {
      const counted = new RegExp(`"${name}": \\d+`);
      await Deno.writeTextFile(state, text.replace(counted, `"${name}": ${Number(most) + 1}`));
      const wanted = `${name} is ${Number(most) + 1} and must be a whole number from 0 to ${most}`;
      const of = wanted.replace("batch is", "batch of the position is");
      await assertRejects(() => resume(output), FileError, of);
    }
    await Deno.writeTextFile(state, text.replace('"learningRate": 0.01', '"learningRate": 0.02'));
    await assertRejects(() => resume(output), FileError, "the checksum of its state.json is wrong");

    // Told so, it goes on from the older one; what comes after that is set aside with its log.
    const notices: string[] = [];
    const onNotice = (notice: string) => notices.push(notice);
    const told = { ...options, onNotice, resumeFrom: output, resumeFallback: true, steps: 4 };
    const before = await readLog(output);
    assertEquals((await train(told)).map(({ step }) => step), [4]);
    assert(
      notices[0].endsWith(`goes on from "${join(output, "checkpoint-3")}" instead`),
      notices[0],
    );
    const aside = join(output, "abandoned-1");
    assert(notices[1].startsWith(`checkpoint 6 comes after step 3, from which`), notices[1]);
    assert(notices[1].includes(`set aside in "${aside}"`), notices[1]);
    assertEquals([checkpoints(output), checkpoints(aside)], [[3, 4], [6]]);
    assertEquals(await readLog(aside), before);
    assertEquals((await readLog(output)).map(({ step }) => step), [1, 2, 3, 4]);
    assertEquals(notices.length, 2);
  }));

Deno.test("one run at a time writes into a folder, and a later trainer takes an idle one's place", () =>
  withScene(async ({ output, options, folder }) => {
    using trainer = await Trainer.create({ ...options, saveEvery: 2 });
    const run = trainer.run();
    for (let i = 0; i < 3; i++) await run.next(); // after checkpoint 2, at work
    using other = await Model.load(join(folder, "model"), { device });
    const second = { ...options, model: other, overwrite: true };
    const refused = await assertRejects(() => train(second), OptionError);
    assertEquals(
      refused.message,
      `Cannot train into "${output}" as another run writes there (a trainer of this process): choose ` +
        "another outputDir, or wait until it has ended",
    );
    await run.return();
    assertEquals((await train({ ...options, model: other, resumeFrom: output })).length, 4);
    await assertRejects(
      () => trainer.checkpoint(),
      TrainingError,
      "a later trainer writes there now",
    );
    assertEquals(checkpoints(output), [2, 6]);
    assert(!await exists(join(output, ".lock")));
  }));

Deno.test("a folder that cannot be written is refused before anything is made", () =>
  withScene(async ({ folder, options }) => {
    const file = join(folder, "train.jsonl");
    for (const outputDir of [file, join(file, "out")]) {
      const error = await assertRejects(() => train({ ...options, outputDir }), FileError);
      assertEquals(
        error.message,
        `Cannot write to "${outputDir}" as "${file}" is a file: give the path of a folder`,
      );
    }
    const outputDir = join(folder, "deep/er");
    const bad = Dataset.from(join(folder, "nothing.jsonl"));
    await assertRejects(() => train({ ...options, outputDir, data: bad }), FileError);
    assert(!await exists(join(folder, "deep")), "nothing is left of asking");
  }));

Deno.test("a checkpoint runs as the model that it is of", () =>
  withScene(async ({ folder, output, options, model }) => {
    const held = Dataset.from(join(folder, "held.jsonl"));
    const evalData = { evalData: held, evalEvery: 3 };
    await train({ ...options, ...evalData });
    const { evalLoss: want } = (await readLog(output)).find(({ step }) => step === 3)!;
    const shape = { batchSize: 2, sequenceLength: 40 };
    assertEquals(await useCheckpoint(model, options.method, join(output, "checkpoint-3")), 3);
    assert(Math.abs((await evaluate(model, held, shape)).loss - want) < 1e-6);
    await assertRejects(
      () => useCheckpoint(model, falqon({ rank: 3 }), output),
      OptionError,
      "under falqon as it was trained by lora",
    );
  }));

Deno.test("a run that goes on in another folder takes its log along, and leaves the first as it is", () =>
  withScene(async ({ folder, output, options }) => {
    await train({ ...options, saveEvery: 2, keepCheckpoints: 9 });
    const before = await readLog(output);
    const outputDir = join(folder, "other/out");
    const resumeFrom = join(output, "checkpoint-4");
    await train({ ...options, outputDir, resumeFrom, learningRate: 1e-3 });
    assertEquals([checkpoints(output), checkpoints(outputDir)], [[2, 4, 6], [6]]);
    assertEquals(await readLog(output), before);
    const log = await readLog(outputDir);
    assertEquals(log.slice(0, 4), before.slice(0, 4));
    const rates = log.slice(4).map(({ step, learningRate }) => [step, Math.fround(learningRate)]);
    assertEquals(rates, [[5, Math.fround(1e-3)], [6, Math.fround(1e-3)]]);
    assert(!await exists(join(output, ".lock")) && !await exists(join(output, "abandoned-1")));
  }));

Deno.test("what a checkpoint's numbers mean stays, and what computes otherwise is said", () =>
  withScene(async ({ output, options, model }) => {
    await train({ ...options, steps: 2 });
    const notices: string[] = [];
    const resumed = { ...options, resumeFrom: output, onNotice: (it: string) => notices.push(it) };
    const refuse = (method: Method, want: string, more: Partial<TrainerOptions> = {}) =>
      assertRejects(() => train({ ...resumed, method, ...more }), OptionError, want);
    // As bytes, codes of int8 fit where those of FP8 are expected.
    await refuse(
      falqon({ rank: 3, format: "fp8", updateRule: "requantize" }),
      'format of falqon was "int8" and is "fp8" now: give what it was',
      { resumeAnyway: true },
    );
    await assertRejects(
      () => useCheckpoint(model, falqon({ rank: 3, updateRule: "requantize" }), output),
      OptionError,
      'format of falqon was "int8"',
    );
    const other = falqon({ rank: 3, format: "int8", updateRule: "requantize", alpha: 8 });
    await refuse(other, "loraScale of falqon was 5.33");
    assertEquals(notices, []);

    const state = join(output, "checkpoint-2/state.json");
    const { checksum: _, madeBy: __, ...older } = JSON.parse(await Deno.readTextFile(state));
    const madeBy = { version: "0.0.9", kernels: "0", gpu: "Another GPU", provider: "dawn" };
    const content = { ...older, madeBy };
    const checksum = createHash("sha256").update(JSON.stringify(content)).digest("hex");
    await Deno.writeTextFile(state, JSON.stringify({ ...content, checksum }));
    await train({ ...resumed, method: other, resumeAnyway: true, steps: 3 });
    assert(
      /^the run goes on by version \S+ instead of 0\.0\.9 and on .+ instead of Another GPU \(dawn\): its losses may differ/
        .test(notices[0]),
      notices[0],
    );
    assertEquals(notices.length, 1);
  }, () => falqon({ rank: 3, format: "int8", updateRule: "requantize" })));

Deno.test("a chat template that names the date is told the day on which the run began", () =>
  withScene(async ({ folder, output, options, model: { folder: path } }) => {
    const template =
      "{{ strftime_now('%d %b %Y') }}{% for m in messages %}{{ m.content }}{% endfor %}";
    using model = await Model.load(path, { device, chatTemplate: template });
    const file = join(folder, "chat.jsonl");
    const rows = [0, 1, 2, 3].map((i) => ({
      messages: [{ role: "user", content: `say ${i}` }, { role: "assistant", content: `so ${i}` }],
    }));
    await Deno.writeTextFile(file, rows.map((row) => JSON.stringify(row) + "\n").join(""));
    const chat = { ...options, model, data: Dataset.from(file), batchSize: 1 };
    const losses = (await train(chat)).map(({ loss }) => loss);
    await train({ ...chat, overwrite: true, steps: 3 });
    const state = join(output, "checkpoint-3/state.json");
    const { checksum: _, ...content } = JSON.parse(await Deno.readTextFile(state));
    assertEquals(content.date, new Date().toLocaleDateString("sv-SE"));
    const resumed = { ...chat, resumeFrom: output };
    assertEquals((await train(resumed)).map(({ loss }) => loss), losses.slice(3));
    // Begun on another day, its rows are others.
    const other = { ...content, date: "2001-02-03" };
    const checksum = createHash("sha256").update(JSON.stringify(other)).digest("hex");
    await Deno.remove(join(output, "checkpoint-6"), { recursive: true });
    await Deno.writeTextFile(state, JSON.stringify({ ...other, checksum }));
    const [first, ...rest] = (await train(resumed)).map(({ loss }) => loss);
    assert(first !== losses[3] && rest.length === 2);
  }));

Deno.test("findLearningRate tries rates from the same start, and goes on at an end", () =>
  withScene(async ({ output, options }) => {
    const seen: TriedRate[] = [];
    const steps: string[] = [];
    const { learningRate, tried } = await findLearningRate(options, {
      rates: [1e-4, 1e-2],
      steps: 4,
      onStep: ({ tried, step }) => steps.push(`${tried}:${step}`),
      onTried: (entry) => seen.push(entry),
    });
    assertEquals([learningRate, seen], [1e-2, tried]);
    assertEquals(steps, [0, 1].flatMap((rate) => [1, 2, 3, 4].map((step) => `${rate}:${step}`)));
    const repeated = await findLearningRate(options, { rates: [1e-2], steps: 4 });
    assertEquals(repeated.tried[0].loss, tried[1].loss);
    assert(!await exists(output), "nothing is written");

    const low = { ...options, learningRate: 1e-4 };
    const found = await findLearningRate(low, { steps: 4 });
    const rates = found.tried.map(({ learningRate }) => learningRate);
    assertEquals(rates, [1e-5, 3.2e-5, 1e-4, 3.2e-4, 1e-3, 3.2e-3, 0.01, 0.032]);
    assertEquals(found.learningRate, 0.032);
    await assertRejects(() => findLearningRate(options, { rates: [] }), OptionError, "give some");
    const bad = Dataset.from([{ text: 1 } as Record<string, unknown>]);
    await assertRejects(() => findLearningRate({ ...options, data: bad }), DataError);
  }));

Deno.test("a loss that rises without becoming infinite is noticed, once", () => {
  const told = (losses: number[]) => {
    const notices: string[] = [];
    const watch = new DivergenceWatch(512);
    losses.forEach((loss, i) =>
      watch.look([{ step: i + 1, loss, learningRate: 1e6 }], (notice) => notices.push(notice))
    );
    return notices;
  };
  const [notice, ...more] = told([6.3, 12.6, 17.8, 19, 20, 21, 21.2, 21, 21]);
  assertEquals(more, []);
  assert(notice.startsWith("the loss rose from 6.30 to 15.14 until step 5: the learning rate"));
  assert(notice.includes("(1.0e+6) is too high"), notice);
  assertEquals(told([6.3, 7, 8, 7.5, 7, 6.5, 5, 4, 9, 3, 2]), []);
  assertEquals(told([0.01, 0.2, 0.4, 0.3, 0.3, 0.2, 0.3]), []);
});

Deno.test("a run whose last losses are those of a lost model ends in an error; one of a few steps only far above", () => {
  const ends = (losses: number[]) => {
    const watch = new DivergenceWatch(512);
    losses.forEach((loss, i) => watch.look([{ step: i + 1, loss, learningRate: 1e6 }], () => {}));
    return watch.error(true, null)?.message ?? null;
  };
  assertEquals(ends([3.16, 5.17]), null); // above the first by 2 nats: it may only overshoot
  assertMatch(ends([3.16, 17])!, /after step 2 as its loss rose from 3.16 to 17.00/);
  assertMatch(ends([3.16, 4, 4.5, 5.4, 5.3, 5.2])!, /after step 6/);
  assertEquals(ends([3.16, 5.4, 5.3, 5.2, 4.5, 4]), null);
});
