/** Options as programs without types give them: every one of every function is tried with values of every kind. */

import { assert, assertEquals, assertThrows } from "@std/assert";
import {
  Dataset,
  falqon,
  FalqonError,
  frozen,
  lora,
  type Model,
  OptionError,
  torchaoStyle,
} from "../../mod.ts";
import { resolveLoaderOptions } from "../../src/data/options.ts";
import { createSampler } from "../../src/inference/sampling.ts";
import { METHODS } from "../../src/methods/registry.ts";
import { groupedNames } from "../../src/train/option_groups.ts";
import { PLAIN_NAMES, resolveOptions } from "../../src/train/options.ts";
import { checkBatch } from "../../src/checks.ts";

const model = { config: { maxPositionEmbeddings: 64, hiddenSize: 64 } } as Model;

const NUMBERS = [
  ...[NaN, Infinity, -Infinity, -1, -0, 0, 0.5, 1, 1.5, 1e-320, 1e300, 2 ** 31, 2 ** 32, 2 ** 53],
];
const CIRCLE: unknown[] = [];
CIRCLE.push(CIRCLE);
const OTHERS = [
  ...["", "x", "5", "true", "__proto__", "constructor", "x".repeat(100_000), null, true, false],
  ...[[], {}, [1], ["x"], [null], { toString: 1 }, Object.create(null), CIRCLE, 5n, Symbol("x")],
  ...[() => 1, new Array(1e6), new Float32Array(3), new Date(NaN), new Proxy({}, {})],
];
const VALUES: readonly unknown[] = [...NUMBERS, ...OTHERS];

/** Options, and what reads them. */
const READERS: Readonly<
  Record<string, [names: readonly string[], read: (given: object) => unknown]>
> = {
  "Trainer.create": [
    [
      ...PLAIN_NAMES,
      ...["model", "data", "method", "evalData", "outputDir", "overwrite", "resumeFrom"],
      ...["resumeAnyway", "resumeFallback", "onNotice"],
    ],
    (given) => resolveOptions({ model, ...given }),
  ],
  optimizer: [
    groupedNames("optimizer"),
    (given) => resolveOptions({ model, optimizer: given }),
  ],
  rows: [groupedNames("rows"), (given) => resolveOptions({ model, rows: given })],
  falqon: [[...Object.keys(METHODS[0].options), "headroom", "denseType"], falqon],
  lora: [
    ["rank", "alpha", "targetModules", "trainA", "adapter", "dropout", "rslora", "dora", "base"],
    lora,
  ],
  "torchaoStyle with": [["rank", "alpha", "dropout"], torchaoStyle],
  loader: [
    ["batchSize", "sequenceLength", "shuffleBuffer", "seed", "epochs", "vocabSize"],
    (given) => resolveLoaderOptions({ batchSize: 1, sequenceLength: 8, ...given }),
  ],
  sampler: [["temperature", "topP", "seed"], (given) => createSampler(given)],
  "Dataset.from": [
    ["separator", "columns", "format"],
    (given) => Dataset.from("x.jsonl", given),
  ],
};

for (const [reader, [names, read]] of Object.entries(READERS)) {
  Deno.test(`${reader} takes values of its own kinds only, and names what it refuses`, () => {
    for (const name of names) {
      let refused = 0;
      for (const value of VALUES) {
        try {
          read({ [name]: value });
        } catch (error) {
          assert(error instanceof FalqonError, `${name} ${Deno.inspect(value)}: ${error}`);
          assert(error.message.length < 2000, `${name}: ${error.message.length} characters`);
          assert(!/\[object|undefined|is not a function/.test(error.message), error.message);
          refused++;
        }
      }
      const any = ["separator", "columns"].includes(name); // texts of any kind; objects without keys
      assert(refused >= (any ? 1 : 10), `${name}: only ${refused} are refused`);
    }
    for (const options of [null, "x", 5, [], () => 1]) {
      if (!["falqon", "lora"].includes(reader)) continue;
      assertThrows(() => read(options as object), OptionError);
    }
  });
}

Deno.test("what is no source of rows, and no base, is refused", () => {
  const refused = VALUES.filter((value) => {
    try {
      Dataset.from(value as string);
      return false;
    } catch (error) {
      assert(error instanceof FalqonError, `${Deno.inspect(value)}: ${error}`);
      return true;
    }
  });
  assert(refused.length > 20);
  for (const address of ["https://", "http://[", "file://host/x"]) {
    assertThrows(() => Dataset.from(address), FalqonError);
  }
  for (const value of VALUES) assertThrows(() => frozen(value as "f32"), OptionError);
});

Deno.test("a micro-batch has as many tokens as a GPU may take", () => {
  checkBatch(2 ** 15, 512);
  for (const [rows, length] of [[2 ** 15 + 1, 512], [2 ** 53 - 1, 512], [1, 2 ** 30]]) {
    assertThrows(
      () => checkBatch(rows, length),
      OptionError,
      `Cannot use batchSize ${rows} with sequenceLength ${length} as no GPU takes more than 16777216`,
    );
  }
  const { gradAccumSteps } = resolveOptions({
    model,
    sequenceLength: 64,
    gradAccumSteps: 4_000_000,
  });
  assertEquals(gradAccumSteps, 4_000_000);
  assertThrows(
    () => resolveOptions({ model, sequenceLength: 64, gradAccumSteps: 5_000_000 }),
    OptionError,
    "Cannot use gradAccumSteps 5000000 as a step then has 5120000000 tokens",
  );
});
