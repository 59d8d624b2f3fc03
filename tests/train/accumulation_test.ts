import { assert, assertEquals } from "@std/assert";
import { Dataset, falqon, lora, type Method, Model, Trainer } from "../../mod.ts";
import { initBatchCount } from "../../src/train/gradient_init.ts";
import { device } from "../support/device.ts";
import { withFolder } from "../support/io.ts";
import { writeTinyModel } from "../support/tiny_model.ts";

const SPLITS = [[4, 1], [2, 2], [1, 4]] as const;

/** Losses of a few steps on the same rows, for each way to split a step of four rows. */
async function lossesBySplit(
  method: () => Method,
  steps: number,
  learningRate: number,
): Promise<number[][]> {
  const losses: number[][] = [];
  await withFolder(async (folder) => {
    await writeTinyModel(folder);
    const rows = Array.from({ length: 60 }, (_, i) => ({
      prompt: `What comes after ${"abcdefgh"[i % 8]}? `,
      completion: `It is ${"bcdefghi"[i % 8]}${", surely".repeat(i % 4)}.`,
    }));
    for (const [batchSize, gradAccumSteps] of SPLITS) {
      using model = await Model.load(folder, { device });
      using trainer = await Trainer.create({
        model,
        data: Dataset.from(rows),
        method: method(),
        batchSize,
        gradAccumSteps,
        sequenceLength: 48,
        steps,
        learningRate,
        logEvery: 1,
      });
      const found: number[] = [];
      for await (const { loss } of trainer.run()) found.push(loss);
      losses.push(found);
    }
  });
  return losses;
}

function spread(losses: number[][]): number {
  const [first, ...others] = losses;
  return Math.max(
    ...others.flatMap((other) => other.map((loss, i) => Math.abs(loss - first[i]))),
  );
}

Deno.test("gradient initialisation takes whole steps, however they are split", () => {
  const rows = (tokens: number, steps: number) => initBatchCount(tokens, steps) * tokens;
  for (const length of [16, 100, 512, 3000, 9000]) {
    const want = rows(4 * length, 1);
    assertEquals([rows(2 * length, 2), rows(length, 4)], [want, want]);
  }
});

Deno.test("losses do not depend on how a step is split into micro-batches", async () => {
  const methods: Record<string, () => Method> = {
    "lora": () => lora({ rank: 4 }),
    "falqon in int8": () => falqon({ rank: 4, format: "int8", denseType: "f32" }),
    "falqon in FP8": () => falqon({ rank: 4, denseType: "f32" }),
  };
  for (const [name, method] of Object.entries(methods)) {
    const losses = await lossesBySplit(method, 4, 5e-3);
    assert(losses[0][3] < losses[0][0] - 1, name);
    assert(spread(losses) < 5e-6, `${name}: ${JSON.stringify(losses)}`); // of 4 to 7
  }
});
