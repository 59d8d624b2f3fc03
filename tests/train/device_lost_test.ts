import {
  assert,
  assertEquals,
  assertMatch,
  assertRejects,
  assertStringIncludes,
} from "@std/assert";
import { join } from "node:path";
import {
  Dataset,
  DeviceError,
  DeviceLostError,
  lora,
  Model,
  OptionError,
  restartOnDeviceLost,
  Trainer,
} from "../../mod.ts";
import { breakAtSubmit, type FragileDevice, openFragile } from "../support/fragile_device.ts";
import { withFolder } from "../support/io.ts";
import { runCommand } from "../support/terminal.ts";
import { writeTinyModel } from "../support/tiny_model.ts";

const STEPS = 5;

/** A folder with a model and rows. */
function withModel(test: (folder: string) => Promise<void>): Promise<void> {
  return withFolder(async (folder) => {
    await Deno.mkdir(join(folder, "model"));
    await writeTinyModel(join(folder, "model"));
    const row = (i: number) => JSON.stringify({ prompt: `${i} and `, completion: `${i % 7}.` });
    const lines = (from: number, to: number) =>
      Array.from({ length: to - from }, (_, i) => row(from + i) + "\n").join("");
    await Deno.writeTextFile(join(folder, "train.jsonl"), lines(0, 30));
    await Deno.writeTextFile(join(folder, "held.jsonl"), lines(30, 34));
    await test(folder);
  });
}

/** Where an attempt is lost. */
type Moment =
  | "load"
  | "create"
  | "start"
  | "first"
  | "step"
  | "evaluating"
  | "saving"
  | "save"
  | "never";

/** One attempt, as a user of the library writes it. */
async function attempt(
  folder: string,
  output: string,
  from: object,
  moment: Moment,
): Promise<void> {
  await using device: FragileDevice = await openFragile();
  if (moment === "load") device.break();
  using model = await Model.load(join(folder, "model"), { device });
  if (moment === "load") await model.network();
  if (moment === "create") device.breaksAt = () => true; // it waits for the device at its end
  using trainer = await Trainer.create({
    model,
    data: Dataset.from(join(folder, "train.jsonl")),
    evalData: Dataset.from(join(folder, "held.jsonl")),
    method: lora({ rank: 3 }),
    batchSize: 2,
    sequenceLength: 24,
    steps: STEPS,
    learningRate: 1e-3,
    evalEvery: 2,
    saveEvery: 2,
    logEvery: 2,
    outputDir: output,
    onNotice: () => {},
    ...from,
  });
  if (moment === "start") device.break();
  if (moment === "first") device.breaksAt = () => trainer.step === 2; // its log has a line
  if (moment === "evaluating" || moment === "saving") {
    device.breaksAt = () => trainer.activity === moment && trainer.step === 4;
  }
  for await (const { step } of trainer.run()) {
    if (moment === "step" && step === 3) device.break();
  }
  if (moment === "save") device.breaksAt = () => true;
  await trainer.save(join(output, "adapter"), { overwrite: true });
}

/** What is left of a run: the log without times, the adapter, and the last checkpoint with their tensors. */
async function remains(output: string): Promise<Record<string, unknown>> {
  const text = await Deno.readTextFile(join(output, "training_log.jsonl"));
  const log = text.trim().split("\n").map((line) => {
    const { seconds: _, tokensPerSecond: __, waitShare: ___, ...rest } = JSON.parse(line);
    return Object.fromEntries(
      Object.entries(rest).filter(([name]) => !/second|wait|time/i.test(name)),
    );
  });
  const names = [...Deno.readDirSync(output)].map(({ name }) => name).sort();
  const adapter = await Deno.readFile(join(output, "adapter", "adapter_model.safetensors"));
  const state = await Deno.readFile(join(output, `checkpoint-${STEPS}`, "state.safetensors"));
  return { log, names, adapter, state };
}

Deno.test("a run whose GPU is lost at any moment goes on from what is kept, bit for bit", () =>
  withModel(async (folder) => {
    await attempt(folder, join(folder, "whole"), {}, "never");
    const output = join(folder, "out");
    const moments: Moment[] = [
      "load",
      "create",
      "start",
      "first",
      "step",
      "evaluating",
      "saving",
      "save",
    ];
    const notices: string[] = [];
    const froms: object[] = [];
    await restartOnDeviceLost((from) => {
      froms.push(from);
      return attempt(folder, output, from, moments.shift() ?? "never");
    }, { onNotice: (notice) => notices.push(notice), pause: 0, restarts: 4 });
    assertEquals(await remains(output), await remains(join(folder, "whole")));
    const at = (step: number) => ({ resumeFrom: join(output, `checkpoint-${step}`) });
    assertEquals(froms, [
      {},
      {},
      {},
      { overwrite: true },
      { overwrite: true },
      at(2),
      at(2),
      at(2),
      at(5),
    ]);
    const lost = "the GPU was lost ";
    const device = "on a new device";
    const kept = (step: number) => `going on from "${at(step).resumeFrom}" ${device}`;
    assertEquals(notices, [
      `${lost}before training: trying again ${device}, restart 1 of at most 4 from there`,
      `${lost}before training: trying again ${device}, restart 2 of at most 4 from there`,
      `${lost}after step 0: starting again at step 1 ${device}, restart 1 of at most 4 from there`,
      `${lost}after step 2: starting again at step 1 ${device}, steps 1 to 2 are done again, restart 2 of at most 4 from there`,
      `${lost}after step 4: ${
        kept(2)
      }, steps 3 to 4 are done again, restart 1 of at most 4 from there`,
      `${lost}after step 4: ${
        kept(2)
      }, steps 3 to 4 are done again, restart 2 of at most 4 from there`,
      `${lost}after step 4: ${
        kept(2)
      }, steps 3 to 4 are done again, restart 3 of at most 4 from there`,
      `${lost}after step 5: ${kept(5)}, restart 1 of at most 4 from there`,
    ]);
  }));

Deno.test("restarts end where they come no further, and other errors are not their business", async () => {
  const lost = (step: number | null, kept: number | null) =>
    Object.assign(new DeviceLostError("Cannot continue: lost"), {
      step,
      kept: kept === null ? null : { step: kept, folder: `out/checkpoint-${kept}` },
    });
  const run = async (losses: DeviceLostError[], restarts?: number) => {
    const froms: object[] = [];
    const error = await assertRejects(() =>
      restartOnDeviceLost((from) => {
        froms.push(from);
        return Promise.reject(losses.length > 1 ? losses.shift()! : losses[0]);
      }, { restarts, pause: 0, onNotice: () => {} }), DeviceLostError);
    return { froms, message: error.message };
  };
  // Steps without a checkpoint are no progress.
  const { froms, message } = await run([lost(5, null), lost(7, null), lost(9, null)]);
  const again = { overwrite: true };
  assertEquals(froms, [{}, again, again, again]);
  assertStringIncludes(
    message,
    "lost; it was restarted 3 times in a row without coming any further",
  );
  // A checkpoint is; and a loss while loading keeps where to begin.
  const from = (step: number) => ({ resumeFrom: `out/checkpoint-${step}` });
  assertEquals(
    (await run([lost(5, null), lost(7, 6), lost(null, null), lost(9, 8), lost(9, 8)], 1)).froms,
    [{}, again, from(6)],
  );
  assertEquals(
    (await run([lost(7, 6), lost(9, 8), lost(9, 8)], 1)).froms,
    [{}, from(6), from(8)],
  );
  // What was never begun may not replace another's run.
  assertEquals((await run([lost(null, null)], 2)).froms, [{}, {}, {}]);
  assertEquals((await run([lost(3, 2)], 0)).message, "Cannot continue: lost");
  const other = new DeviceError("no memory left");
  const error = await assertRejects(() => restartOnDeviceLost(() => Promise.reject(other)));
  assert(error === other);
  await assertRejects(
    () => restartOnDeviceLost(() => Promise.resolve(), { restarts: -1 }),
    OptionError,
  );
});

Deno.test("every command ends with a sentence where the GPU is lost, and leaves nothing half-written", () =>
  withModel(async (folder) => {
    const [model, rows] = [join(folder, "model"), join(folder, "train.jsonl")];
    const shape = "--batch-size 2 --sequence-length 24";
    const train = `train --model ${model} --data ${rows} ${shape} --steps 3 --method lora --rank 3`;
    const out = join(folder, "out");
    const commands: Record<string, string> = {
      train: `${train} --output-dir ${out} --save-every 2 --log-every 1`,
      find: `${train} --find-learning-rate`,
      eval: `eval --model ${model} --data ${rows} ${shape}`,
      generate: `generate --model ${model} --max-new-tokens 3 --prompt word`,
    };
    for (const [name, line] of Object.entries(commands)) {
      const run = async (n: number) => {
        using broken = breakAtSubmit(n);
        const { code, err } = await runCommand(line);
        return { code, err, count: broken.count };
      };
      // Early, and at the last work that there is.
      const { count } = name === "find" ? { count: 2 } : await run(0);
      await Deno.remove(out, { recursive: true }).catch(() => {});
      for (const n of new Set([name === "eval" ? count : 2, count])) {
        const { code, err } = await run(n);
        assertEquals(code, 1, `${name} lost at submit ${n} of ${count}: ${err}`);
        assertMatch(err, /(^|\n)error: Cannot continue as the GPU was lost \([^\n]*\n$/, name);
        const left = [...Deno.readDirSync(folder)].map(({ name }) => name).sort();
        const expected = ["held.jsonl", "model", "train.jsonl"];
        if (name === "train" && n === count) {
          assertStringIncludes(
            err,
            `; step 3 is kept in "${out}/checkpoint-3", to go on from by --resume-from\n`,
          );
          const files = [...Deno.readDirSync(out)].map(({ name }) => name).sort();
          const names = [
            "checkpoint-2",
            "checkpoint-3",
            "training_log.jsonl",
            "training_options.json",
          ];
          assertEquals(files, names);
          expected.splice(2, 0, "out");
          await Deno.remove(out, { recursive: true });
        }
        assertEquals(left, expected, name);
      }
    }
  }));

Deno.test("train --on-device-lost restart goes on by itself, and its log is that of one run", () =>
  withModel(async (folder) => {
    const train = `train --model ${join(folder, "model")} --data ${join(folder, "train.jsonl")} ` +
      "--batch-size 2 --sequence-length 24 --steps 3 --rank 3 --save-every 2 --log-every 1";
    const run = async (output: string, n: number) => {
      using broken = breakAtSubmit(n);
      const result = await runCommand(
        `${train} --on-device-lost restart --output-dir ${join(folder, output)}`,
      );
      return { ...result, count: broken.count };
    };
    const { count } = await run("whole", 0);
    const { code, out, err } = await run("out", count);
    assertEquals(code, 0, err);
    assertStringIncludes(out, "trained 3 steps in ");
    assertStringIncludes(
      err,
      `warning: the GPU was lost after step 3: going on from "${folder}/out/checkpoint-3" on a new device, ` +
        "restart 1 of at most 3 from there\n",
    );
    const model = (name: string) => Deno.readFile(join(folder, name, "model.safetensors"));
    assertEquals(await model("out"), await model("whole"));
  }));
