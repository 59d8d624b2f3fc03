import { assertEquals, assertThrows } from "@std/assert";
import { defaultLearningRate, falqon, full, type Model, OptionError } from "../../mod.ts";
import type { SaveInterval } from "../../mod.ts";
import { flattenOptions, groupOptions } from "../../src/train/option_groups.ts";
import { parseSaveInterval, SaveSchedule } from "../../src/train/save_interval.ts";
import { resolveOptions, type UnresolvedOptions } from "../../src/train/options.ts";

const model = { config: { maxPositionEmbeddings: 64, hiddenSize: 64 } } as Model;
const resolve = (given: Partial<UnresolvedOptions>, notices: string[] = []) =>
  resolveOptions({ model, ...given }, (notice) => notices.push(notice));

Deno.test("options have defaults by group; what is given wins, undefined does not", () => {
  const { optimizer, rows, ...flat } = resolve({
    optimizer: { weightDecay: 0.1, eps: undefined },
    rows: { packing: false },
    learningRate: undefined,
  });
  assertEquals(optimizer, {
    weightDecay: 0.1,
    maxGradNorm: 1,
    beta1: 0.9,
    beta2: 0.999,
    eps: 1e-8,
  });
  assertEquals(rows, {
    packing: false,
    shuffle: true,
    shuffleBuffer: 10_000,
    trainOnPrompt: false,
    skipBadRows: false,
  });
  assertEquals([flat.learningRate, flat.epochs, "steps" in flat], [0.01, 1, false]);
  const stepped = resolve({ steps: 5 });
  assertEquals([stepped.steps, "epochs" in stepped], [5, false]);
});

Deno.test("the default learning rate follows from sweeps, by width and method", () => {
  const rate = (hiddenSize: number, learningRateFactor?: number) =>
    defaultLearningRate({ hiddenSize }, { learningRateFactor });
  assertEquals([rate(64), rate(576), rate(4096)], [0.01, 0.003, 3e-4]);
  assertEquals([rate(16), rate(2048), rate(8192)], [0.01, 6.8e-4, 1.3e-4]);
  const widths = [64, 96, 200, 576, 900, 2048, 4096, 5120];
  const rates = widths.map((width) => rate(width));
  assertEquals(rates, rates.toSorted((a, b) => b - a));
  assertEquals(defaultLearningRate({ hiddenSize: 4096 }, full()), 3e-5);
  assertEquals(defaultLearningRate({ hiddenSize: 64 }, falqon({ updateRule: "paper" })), 0.1);
  assertEquals(resolve({ method: full() }).learningRate, 0.001);
});

Deno.test("checkpoints are saved by default, every ten minutes, where there is a folder", () => {
  assertEquals([resolve({}).saveEvery, resolve({ outputDir: "out" }).saveEvery], [0, "10m"]);
  const words = ["0", "12", 7, "epoch", "10m", "1.5h", "90s"];
  assertEquals(words.map(parseSaveInterval), [0, 12, 7, "epoch", "10m", "1.5h", "90s"]);
  for (const word of ["", "-1", "1.5", "0m", "m", "10 m", "epochs", null, 1.5]) {
    assertEquals(parseSaveInterval(word), undefined, `${word}`);
  }
  let now = 0;
  const real = performance.now;
  using _ = { [Symbol.dispose]: () => performance.now = real };
  performance.now = () => now;
  const due = (interval: SaveInterval) => {
    const schedule = new SaveSchedule(interval, 0);
    const found: number[] = [];
    for (let step = 1; step <= 12; step++) {
      now += 30_000;
      if (!schedule.isDue(step, Math.floor(step / 5))) continue;
      schedule.saved(Math.floor(step / 5));
      found.push(step);
    }
    return found;
  };
  assertEquals(due(4), [4, 8, 12]);
  assertEquals(due("epoch"), [5, 10]);
  assertEquals(due("2m"), [4, 8, 12]);
  assertEquals(due(0), []);
});

Deno.test("earlier, flat spellings are taken, each with a hint", () => {
  const notices: string[] = [];
  const flat = resolve({ weightDecay: 0.1, packing: false, countUpdates: true }, notices);
  const grouped = resolve({
    optimizer: { weightDecay: 0.1 },
    rows: { packing: false },
    updateStats: true,
  });
  assertEquals(flat, grouped);
  assertEquals(notices, [
    "weightDecay belongs into optimizer: { weightDecay }",
    "packing belongs into rows: { packing }",
    "countUpdates is called updateStats now",
  ]);
  assertThrows(
    () => resolve({ eps: 1e-6, optimizer: { eps: 1e-7 } }),
    OptionError,
    "Cannot use eps beside optimizer: { eps } as they are one: give the latter",
  );
});

Deno.test("names that nobody reads are refused, in groups too", () => {
  const cases: [Record<string, unknown>, string][] = [
    [{ lerningRate: 1 }, 'There is no option "lerningRate" of Trainer.create: it has model, data'],
    [{ optimizer: { weightdecay: 1 } }, 'There is no option "weightdecay" of optimizer: it has w'],
    [{ rows: { batchSize: 1 } }, 'There is no option "batchSize" of rows: it has packing'],
  ];
  for (const [given, message] of cases) assertThrows(() => resolve(given), OptionError, message);
});

Deno.test("no hint goes to what is no function", () => {
  const onNotice = 5 as unknown as () => void;
  assertThrows(
    () => resolveOptions({ model, countUpdates: true, onNotice }, onNotice),
    OptionError,
    "Cannot use onNotice 5: give a function",
  );
});

Deno.test("values out of range are refused before anything is made", () => {
  const cases: [Partial<UnresolvedOptions>, string][] = [
    [{ schedule: "square" as "linear" }, 'Cannot use schedule "square": give one of constant'],
    [{ warmupSteps: -1 }, "Cannot use warmupSteps -1: give a whole number of at least 0"],
    [{ optimizer: { beta1: 1 } }, "Cannot use beta1 1: give a finite number from 0 to below 1"],
    [{ warmupRatio: 1 }, "Cannot use warmupRatio 1: give a finite number from 0 to below 1"],
    [{ warmupRatio: 0.1, warmupSteps: 2 }, "Cannot use warmupSteps and warmupRatio together"],
    [{ epochs: 0 }, "Cannot use epochs 0: give a number above 0"],
    [{ epochs: Infinity }, "Cannot use epochs Infinity: give a number above 0"],
    [{ saveEvery: "10x" as "10m" }, 'Cannot use saveEvery "10x": give a number of steps, a time'],
    [{ saveEvery: -1 }, "Cannot use saveEvery -1: give a number of steps, a time"],
    [{ saveEvery: "epoch" }, "Cannot save checkpoints as there is no outputDir: give one"],
    [{ earlyStoppingPatience: 2 }, "Cannot stop early as the held-out loss is not computed"],
    [{ logEvery: 1025 }, "Cannot use logEvery 1025: give a whole number from 1 to 1024"],
    [{ sequenceLength: 65 }, "use a sequenceLength of at most 64"],
  ];
  for (const [given, message] of cases) assertThrows(() => resolve(given), OptionError, message);
});

Deno.test("flat and grouped options become each other, those of older checkpoints too", () => {
  const { steps: _, ...options } = resolve({ steps: 7, optimizer: { beta2: 0.98 } });
  assertEquals(groupOptions(flattenOptions({ ...options })), { ...options });
  const older = { batchSize: 2, steps: null, epochs: 3, weightDecay: 0.1, countUpdates: false };
  assertEquals(flattenOptions(older), {
    batchSize: 2,
    epochs: 3,
    weightDecay: 0.1,
    updateStats: false,
  });
});
