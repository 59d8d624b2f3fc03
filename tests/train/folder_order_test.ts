import { assertEquals } from "@std/assert";
import { join } from "node:path";
import { findCheckpoint, listCheckpoints } from "../../src/train/checkpoint.ts";
import { bringBack, tidyFolder } from "../../src/train/folder_order.ts";
import { contentsOf, dryRun } from "../support/dry_run.ts";
import { withFolder } from "../support/io.ts";

const STEPS = { steps: 7 };

Deno.test("what a killed run left half done is finished or taken away, and the user's files stay", () =>
  withFolder(async (folder) => {
    await dryRun(folder, STEPS);
    const wanted = contentsOf(folder);
    // Killed between stepping aside and coming into place, with more of what kills leave.
    for (const name of [".checkpoint-7.old", ".checkpoint-7.tmp"]) {
      await Deno.mkdir(join(folder, name));
      for (const file of ["state.json", "state.safetensors"]) {
        await Deno.copyFile(join(folder, "checkpoint-7", file), join(folder, name, file));
      }
    }
    await Deno.remove(join(folder, "checkpoint-7"), { recursive: true });
    for (const name of [".removed", ".checkpoint-9.tmp", ".saving"]) {
      await Deno.mkdir(join(folder, name));
      await Deno.writeTextFile(join(folder, name, "state.json"), "half");
    }
    for (const name of [".training_log.jsonl.tmp", ".training_options.json.tmp", ".lock"]) {
      await Deno.writeTextFile(join(folder, name), "half");
    }
    const own = { ".notes.tmp": "mine", ".removed.txt": "mine", "checkpoint-x.old": "mine" };
    for (const [name, text] of Object.entries(own)) {
      await Deno.writeTextFile(join(folder, name), text);
    }
    await dryRun(folder, STEPS);
    assertEquals(contentsOf(folder), { ...wanted, ...own });
    await tidyFolder(join(folder, "not there"));
  }));

Deno.test("a checkpoint that stepped aside is found by those who only read", () =>
  withFolder(async (folder) => {
    await dryRun(folder, STEPS);
    await Deno.rename(join(folder, "checkpoint-7"), join(folder, ".checkpoint-7.old"));
    await bringBack(folder);
    assertEquals((await findCheckpoint(folder)).state.step, 7);
    await bringBack(join(folder, "not there"));
  }));

Deno.test("a folder is a checkpoint only under a name that a run gives", () =>
  withFolder(async (folder) => {
    const most = 2 ** 31 - 1;
    const others = ["007", most + 1, Number.MAX_SAFE_INTEGER, "9".repeat(200), "-1", "1e3", ""];
    for (const step of [12, 0, 3, most, ...others]) {
      await Deno.mkdir(join(folder, `checkpoint-${step}`));
    }
    assertEquals(await listCheckpoints(folder), [0, 3, 12, most]);
  }));
