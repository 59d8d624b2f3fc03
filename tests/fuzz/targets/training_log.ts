/** `training_log.jsonl` when a run goes on after step 4: every step has its line, and what was missing is said. */

import { join } from "node:path";
import { FileError } from "../../../src/errors.ts";
import { LOG_FILE, TrainingLog } from "../../../src/train/log.ts";
import { withoutSync } from "../../support/recorded_disk.ts";
import { mutateBytes } from "../frame/mutate_bytes.ts";
import { mutateLines, mutateText } from "../frame/mutate_text.ts";
import { type FuzzTarget, Nonsense } from "../frame/target.ts";

const STEP = 4;
const LINES = [
  { step: 0, evalLoss: 4.5 },
  ...[1, 2, 3, 4, 5, 6].map((step) => ({
    ...{ step, loss: 4 / step, learningRate: 1e-3, gradNorm: 1, tokens: 50 * step },
    ...step === 4 ? { evalLoss: 3.5 } : {},
  })),
];
const SOUND = LINES.map((line) => JSON.stringify(line) + "\n").join("");

export const target: FuzzTarget<Uint8Array> = {
  about: "training_log.jsonl on resume",
  cost: "cheap",
  prepare(folder) {
    const sync = withoutSync();
    const path = join(folder, LOG_FILE);
    const encoder = new TextEncoder();
    return {
      make(random) {
        if (random.chance(0.4)) return mutateBytes(random, [encoder.encode(SOUND)]);
        const text = random.chance(0.5) ? mutateLines(random, SOUND) : mutateText(random, [SOUND]);
        return encoder.encode(text);
      },
      async run(bytes) {
        await Deno.writeFile(path, bytes);
        const told: string[] = [];
        {
          using log = await TrainingLog.open(folder, STEP, (notice) => told.push(notice));
          await log.append([LINES[5]]);
        }
        const lines = (await Deno.readTextFile(path)).split("\n").slice(0, -1).map((line) =>
          JSON.parse(line)
        );
        const ofSteps = lines.filter((line) => line.loss !== undefined || line.missing);
        if (ofSteps.map(({ step }) => step).join() !== "1,2,3,4,5") {
          throw new Nonsense(`the log has the steps ${ofSteps.map(({ step }) => step)}`);
        }
        const [notice] = told;
        if (told.length > 1) throw new Nonsense(`it is told ${told.length} times`);
        const isMissing = ofSteps.some(({ missing }) => missing);
        if (isMissing && told.length === 0) throw new Nonsense("a step is missing without a word");
        for (const { name } of [...Deno.readDirSync(folder)]) {
          if (name === LOG_FILE) continue;
          const kept = await Deno.readFile(join(folder, name));
          await Deno.remove(join(folder, name));
          if (kept.join() !== bytes.join()) {
            throw new Nonsense("the damaged log is not kept as it was");
          }
          if (told.length === 0) throw new Nonsense("a copy is kept without a word");
          told.pop();
        }
        if (told.length > 0) throw new Nonsense("the damaged log is not kept");
        const next = await TrainingLog.open(folder, STEP + 1, (notice) => told.push(notice));
        next[Symbol.dispose]();
        if (told.length > 0) throw new Nonsense("it is told again the next time");
        // Nothing is refused: what is said counts as refused in the table.
        if (notice !== undefined) throw new FileError(notice);
      },
      close: () => sync[Symbol.dispose](),
    };
  },
};
