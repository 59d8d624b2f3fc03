import { assert, assertEquals, assertRejects } from "@std/assert";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { FileError } from "../../src/errors.ts";
import { copyFiles, fillFolder } from "../../src/inference/model_folder.ts";
import { writeFileAtomically } from "../../src/io/atomic.ts";
import { exists } from "../../src/io/exists.ts";
import { expectWritable } from "../../src/io/writable.ts";
import { findCheckpoint, listCheckpoints, restoreCheckpoint } from "../../src/train/checkpoint.ts";
import { contentsOf, dryNetwork, type DryRun, dryRun } from "../support/dry_run.ts";
import { withMemoryFolder } from "../support/io.ts";
import { randomGenerator } from "../support/random.ts";
import { runs as slowTestsRun } from "../support/slow.ts";
import {
  type Loss,
  LOSSES,
  randomLoss,
  RecordedDisk,
  withoutSync,
} from "../support/recorded_disk.ts";

const STEPS = 7;

/** What a run that nobody disturbs leaves. */
async function undisturbed(parent: string, run: DryRun, before?: DryRun) {
  const folder = join(parent, "undisturbed");
  await Deno.mkdir(folder);
  if (before) await dryRun(folder, before);
  await dryRun(folder, run);
  const contents = contentsOf(folder);
  await Deno.remove(folder, { recursive: true });
  return contents;
}

/** Calls `visit` with what every power cut during a recording leaves, each state once. */
async function everyPowerCut(
  parent: string,
  disk: RecordedDisk,
  visit: (folder: string, operations: number, how: string) => Promise<void>,
  least = 0,
): Promise<number> {
  const random = randomGenerator(14);
  const losses: [string, Loss][] = [
    ...Object.entries(LOSSES),
    ...Array.from(
      { length: slowTestsRun ? 60 : 3 },
      (_, i) => [`random ${i}`, randomLoss(random)] as [string, Loss],
    ),
  ];
  const seen = new Set<string>();
  using _ = withoutSync();
  for (;; disk.undo()) {
    for (const [name, loss] of losses) {
      const folder = join(parent, "cut");
      await Deno.mkdir(folder);
      disk.leave(loss, folder);
      const state = JSON.stringify(contentsOf(folder)) + [...Deno.readDirSync(folder)].length;
      if (!seen.has(`${disk.operations.length < least} ${state}`)) {
        seen.add(`${disk.operations.length < least} ${state}`);
        const how = `after ${disk.operations.length} operations (${
          disk.operations.at(-1)
        }), ${name}`;
        await visit(folder, disk.operations.length, how);
      }
      await Deno.remove(folder, { recursive: true });
    }
    if (disk.operations.length === 0) return seen.size;
  }
}

/** The step of the newest checkpoint, which is whole; 0 without one. */
async function newestStep(folder: string): Promise<number> {
  if ((await listCheckpoints(folder)).length === 0) return 0;
  const { network } = dryNetwork();
  const checkpoint = await findCheckpoint(folder);
  await restoreCheckpoint(checkpoint, network);
  return checkpoint.state.step;
}

/** Goes on with a run, which ends as the undisturbed one without a word. */
async function expectGoesOn(
  folder: string,
  wanted: Record<string, string>,
  how: string,
  more: Partial<DryRun> = {},
): Promise<void> {
  const told: string[] = [];
  try {
    await dryRun(folder, { steps: STEPS, onNotice: (notice) => told.push(notice), ...more });
  } catch (error) {
    throw new Error(`${how}: ${(error as Error).message}`, { cause: error });
  }
  const found = contentsOf(folder);
  const names = new Set([...Object.keys(found), ...Object.keys(wanted)]);
  assertEquals(told, [], how);
  assertEquals([...names].filter((name) => found[name] !== wanted[name]), [], how);
}

const visible = (contents: Record<string, string>) =>
  Object.fromEntries(Object.entries(contents).filter(([name]) => !name.startsWith("abandoned-")));

Deno.test("a power cut at any moment leaves the last checkpoint whole, and the run goes on bit for bit", () =>
  withMemoryFolder(async (parent) => {
    const wanted = await undisturbed(parent, { steps: STEPS });
    const folder = join(parent, "run");
    await Deno.mkdir(folder);
    /** Operations until each checkpoint was written. */
    const saved: [operations: number, step: number][] = [];
    using disk = new RecordedDisk(folder);
    const onSaved = (step: number) => saved.push([disk.operations.length, step]);
    await dryRun(join(folder, "out"), { steps: STEPS, onSaved });
    disk[Symbol.dispose]();
    assertEquals(saved.map(([, step]) => step), [2, 4, 6, 7]);
    const states = await everyPowerCut(parent, disk, async (cut, operations, how) => {
      const out = join(cut, "out");
      const least = saved.findLast(([count]) => count <= operations)?.[1] ?? 0;
      assert(await newestStep(out) >= least, `${how}: the checkpoint of step ${least} is gone`);
      await expectGoesOn(out, wanted, how);
    });
    assert(states > 100, `${states}`);
  }));

Deno.test("going on from an older checkpoint loses none of the abandoned line, whatever is cut", () =>
  withMemoryFolder(async (parent) => {
    const [first, second] = [{ steps: 8 }, { steps: 9, from: 6, rate: 3 }];
    const wanted = visible(await undisturbed(parent, second, first));
    const folder = join(parent, "run");
    await Deno.mkdir(folder);
    using disk = new RecordedDisk(folder);
    const output = join(folder, "out");
    await dryRun(output, first);
    const [begun, abandoned] = [disk.operations.length, contentsOf(output)];
    const told: string[] = [];
    await dryRun(output, { ...second, onNotice: (notice) => told.push(notice) });
    disk[Symbol.dispose]();
    assertEquals(told.length, 1);
    assert(
      told[0].startsWith("checkpoint 8 comes after step 6, from which this run goes on"),
      told[0],
    );
    await everyPowerCut(parent, disk, async (cut, operations, how) => {
      if (operations < begun) return;
      const out = join(cut, "out");
      const left = contentsOf(out);
      const isThere = (name: string) =>
        Object.entries(left).some(([path, text]) =>
          /^(abandoned-\d+\/)?checkpoint-8\//.test(path) && path.endsWith(name) &&
          text === abandoned[`checkpoint-8/${name}`]
        );
      assert(isThere("state.json") && isThere("state.safetensors"), `${how}: ${Object.keys(left)}`);
      const from = (await listCheckpoints(out)).includes(6) ? 6 : undefined;
      await dryRun(out, { ...second, from });
      const found = visible(contentsOf(out));
      const names = new Set([...Object.keys(found), ...Object.keys(wanted)]);
      assertEquals([...names].filter((name) => found[name] !== wanted[name]), [], how);
    });
  }));

Deno.test("a power cut while a model is saved leaves no folder that looks like one and is none", () =>
  withMemoryFolder(async (parent) => {
    const original = join(parent, "original");
    await Deno.mkdir(original);
    await Deno.writeTextFile(join(original, "tokenizer.json"), "tokens");
    const folder = join(parent, "run");
    await Deno.mkdir(folder);
    using disk = new RecordedDisk(folder);
    const output = join(folder, "model");
    const save = (text: string) =>
      fillFolder(output, { marker: "config.json", overwrite: true }, async (staging) => {
        await Deno.mkdir(staging);
        await copyFiles(original, staging);
        await writeFileAtomically(join(staging, "model.safetensors"), `weights of ${text}`);
        await writeFileAtomically(join(staging, "config.json"), `config of ${text}`);
      });
    await save("the first");
    const firstSaved = disk.operations.length;
    await save("the second");
    const allSaved = disk.operations.length;
    disk[Symbol.dispose]();
    let models = 0;
    await everyPowerCut(parent, disk, (cut, operations, how) => {
      const at = join(cut, "model");
      const found = existsSync(at) ? contentsOf(at) : {};
      const which = found["config.json"]?.slice("config of ".length);
      if (which === undefined) {
        assert(operations !== firstSaved && operations < allSaved, `${how}: there is no model`);
        return Promise.resolve();
      }
      models++;
      const { "model.safetensors": weights, "tokenizer.json": tokens } = found;
      assertEquals([weights, tokens], [`weights of ${which}`, "tokens"], how);
      return Promise.resolve();
    });
    assert(models > 10, `${models}`);
  }));

Deno.test("asking whether a folder can be written leaves nothing, also on a full disk", () =>
  withMemoryFolder(async (folder) => {
    await expectWritable(join(folder, "deep/out"));
    for (const operation of [0, 1]) {
      using disk = new RecordedDisk(folder);
      disk.failAt(operation);
      const full = await assertRejects(() => expectWritable(join(folder, "out")), FileError);
      assert(full.message.includes("the disk is full; free some space"), full.message);
    }
    assertEquals([...Deno.readDirSync(folder)], []);
  }));

Deno.test("on a disk that is full at any moment a run ends in a sentence, and goes on when there is room", () =>
  withMemoryFolder(async (parent) => {
    const wanted = await undisturbed(parent, { steps: STEPS });
    using _ = withoutSync();
    let failures = 0;
    for (let operation = 0;; operation++) {
      const folder = join(parent, `${operation}`);
      await Deno.mkdir(folder);
      const output = join(folder, "out");
      const before = failures;
      {
        using disk = new RecordedDisk(folder);
        disk.failAt(operation);
        try {
          await dryRun(output, { steps: STEPS });
        } catch (error) {
          failures++;
          const how = `operation ${operation}, after ${disk.operations.at(-1)}`;
          assert(error instanceof FileError, `${how}: ${error}`);
          assert(error.message.includes("the disk is full"), `${how}: ${error.message}`);
        }
        if (disk.operations.length < operation) break;
      }
      const left = await exists(output) ? Object.keys(contentsOf(output)) : [];
      // What was to be removed may be left: under this name it goes with the next removal.
      const failed = failures > before;
      const hidden = left.filter((name) =>
        failed ? /^\.(?!removed)|\/\./.test(name) : /^\.(?!lock)/.test(name)
      );
      assertEquals(hidden, [], `operation ${operation}`);
      await expectGoesOn(output, wanted, `operation ${operation}`);
      await Deno.remove(folder, { recursive: true });
    }
    assert(failures > 50, `${failures}`);
  }));
