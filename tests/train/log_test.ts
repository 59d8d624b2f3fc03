import { assert, assertEquals, assertRejects } from "@std/assert";
import { join } from "node:path";
import { FileError } from "../../src/errors.ts";
import { LOG_FILE, TrainingLog } from "../../src/train/log.ts";
import { withFolder } from "../support/io.ts";

const line = (step: number) => JSON.stringify({ step, loss: 4 / step }) + "\n";
const SOUND = `{"step":0,"evalLoss":5}\n${[1, 2, 3, 4, 5].map(line).join("")}`;

/** Opens a log for the steps after 4, appends step 5, and gives its steps and what was said. */
async function goOn(
  folder: string,
  text: string | null,
): Promise<{ steps: unknown[]; told: string[] }> {
  const path = join(folder, LOG_FILE);
  if (text !== null) await Deno.writeTextFile(path, text);
  const told: string[] = [];
  using log = await TrainingLog.open(folder, 4, (notice) => told.push(notice));
  await log.append([{ step: 5, loss: 1 }]);
  await log.sync();
  const lines = (await Deno.readTextFile(path)).trim().split("\n").map((it) => JSON.parse(it));
  return { steps: lines.map(({ step, missing }) => missing ? `${step} missing` : step), told };
}

Deno.test("a log goes on after a step; what a crash left behind of later ones goes without a word", () =>
  withFolder(async (folder) => {
    for (const text of [SOUND, SOUND + '{"step":6,"lo', SOUND + "\0\0\0\0"]) {
      assertEquals(await goOn(folder, text), { steps: [0, 1, 2, 3, 4, 5], told: [] });
    }
    assertEquals([...Deno.readDirSync(folder)].length, 1);
  }));

Deno.test("a damaged log is kept, its hole is in the log, and it is said once", () =>
  withFolder(async (folder) => {
    const path = join(folder, LOG_FILE);
    const cases: [text: string, steps: unknown[], damage: string][] = [
      [
        SOUND.replace(line(2), "\0\0\0\n"),
        [0, 1, "2 missing", 3, 4, 5],
        "line 3 is no entry of a log",
      ],
      [
        SOUND.replace(line(3), ""),
        [0, 1, 2, "3 missing", 4, 5],
        "line 4 has step 4 where 3 comes next",
      ],
      [SOUND.replace(line(3), line(2)), [0, 1, 2, "3 missing", 4, 5], "line 4 has step 2 where 3"],
      [SOUND + line(4), [0, 1, 2, 3, 4, 5], "line 7 has step 4 where 5 comes next"],
      ...[-1, 2 ** 31, Number.MAX_SAFE_INTEGER].map((step): [string, unknown[], string] => [
        SOUND.replace('"step":1', `"step":${step}`),
        [0, "1 missing", 2, 3, 4, 5],
        "line 2 is no entry",
      ]),
      [line(1) + line(2), [1, 2, "3 missing", "4 missing", 5], "it ends before step 3 of 4"],
    ];
    for (const [i, [text, steps, damage]] of cases.entries()) {
      const { told, ...found } = await goOn(folder, text);
      assertEquals(found.steps, steps, damage);
      const kept = join(folder, `training_log.damaged-${i + 1}.jsonl`);
      assertEquals(told, [
        `"${path}" is damaged (${
          told[0]?.match(/damaged \((.*?)\): /)?.[1]
        }): it is kept as "${kept}", ` +
        'and the log goes on with the lines that are whole, and "missing" for each step without one',
      ]);
      assert(told[0].includes(damage), told[0]);
      assertEquals(await Deno.readTextFile(kept), text);
      assertEquals((await goOn(folder, null)).told, [], "it is said once");
    }
    await Deno.remove(path);
    const gone = await goOn(folder, null);
    assertEquals(gone.steps, ["1 missing", "2 missing", "3 missing", "4 missing", 5]);
    assertEquals(gone.told.length, 1);
    assert(gone.told[0].startsWith(`there is no "${path}"`), gone.told[0]);
  }));

Deno.test("a log that is no file is refused, and does not wait for somebody to write it", () =>
  withFolder(async (folder) => {
    await Deno.symlink("/dev/zero", join(folder, LOG_FILE));
    await assertRejects(() => TrainingLog.open(folder, 4, () => {}), FileError, "no plain file");
  }));
