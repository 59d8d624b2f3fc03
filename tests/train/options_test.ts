import { assertEquals, assertThrows } from "@std/assert";
import { type Model, OptionError } from "../../mod.ts";
import { flattenOptions, groupOptions } from "../../src/train/option_groups.ts";
import { resolveOptions, type UnresolvedOptions } from "../../src/train/options.ts";

const model = { config: { maxPositionEmbeddings: 64 } } as Model;
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
  assertEquals([flat.learningRate, flat.epochs, "steps" in flat], [2e-4, 1, false]);
  const stepped = resolve({ steps: 5 });
  assertEquals([stepped.steps, "epochs" in stepped], [5, false]);
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

Deno.test("values out of range are refused before anything is made", () => {
  const cases: [Partial<UnresolvedOptions>, string][] = [
    [{ schedule: "square" as "linear" }, 'Cannot use schedule "square": give one of constant'],
    [{ warmupSteps: -1 }, "Cannot use warmupSteps -1: give a whole number of at least 0"],
    [{ optimizer: { beta1: 1 } }, "Cannot use beta1 1: give a finite number from 0 to below 1"],
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
