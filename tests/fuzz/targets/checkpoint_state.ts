/**
 * `state.json` of a checkpoint, and the options in it as the command line takes them. Half of the inputs have a right checksum over
 * wrong values, to reach what is behind it.
 */

import { createHash } from "node:crypto";
import { join } from "node:path";
import { resumedOptions } from "../../../src/cli/run_folder.ts";
import { isJsonObject } from "../../../src/io/json.ts";
import { findCheckpoint } from "../../../src/train/checkpoint.ts";
import { dryRun } from "../../support/dry_run.ts";
import { withoutSync } from "../../support/recorded_disk.ts";
import { mutateJson, mutateJsonText } from "../frame/mutate_json.ts";
import { type FuzzTarget, Nonsense } from "../frame/target.ts";

const STEP = 6;
const OPTIONS = {
  batchSize: 2,
  sequenceLength: 40,
  learningRate: 0.01,
  steps: 6,
  saveEvery: "10m",
  schedule: "cosine",
  optimizer: { weightDecay: 0.1, beta1: 0.9 },
  rows: { packing: false, shuffleBuffer: 10 },
  packing: true,
  countUpdates: false,
};

interface Input {
  text: string;
  /** Whether the checksum was made again. */
  forged: boolean;
}

const checksumOf = (content: unknown) =>
  createHash("sha256").update(JSON.stringify(content)).digest("hex");

/** With the keys of objects in order. */
function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (!isJsonObject(value)) return value;
  return Object.fromEntries(Object.keys(value).sort().map((key) => [key, sorted(value[key])]));
}

/** With room for what is added. */
const isCount = (value: unknown) =>
  typeof value === "number" && value >= 0 && value <= 2 ** 52 && value % 1 === 0;

/** What is wrong with a state, in the view of this target alone. */
function nonsenseIn(state: Record<string, unknown>): string | null {
  const { step, tokens, position, options, evaluations = [], checksums } = state;
  if (step !== STEP || !isCount(tokens)) return "step or tokens";
  if (!isJsonObject(position) || !isJsonObject(options) || !isJsonObject(checksums ?? {})) {
    return "an object";
  }
  for (const name of ["epoch", "drawn", "row", "batch"]) if (!isCount(position[name])) return name;
  const { unusedColumns } = (position.statistics ?? {}) as Record<string, unknown>;
  if (Object.values(unusedColumns ?? {}).some((it) => !isCount(it))) return "unused columns";
  if ((position.batch as number) < STEP || position.row === 0) return "batch or row";
  const list = evaluations ?? [];
  if (!Array.isArray(list) || list.some((it) => !Number.isFinite(it?.loss))) return "evaluations";
  return null;
}

export const target: FuzzTarget<Input> = {
  about: "checkpoint folder, state.json and its options",
  cost: "cheap",
  async prepare(folder) {
    const sync = withoutSync();
    await dryRun(folder, { steps: STEP });
    const path = join(folder, `checkpoint-${STEP}`);
    const file = join(path, "state.json");
    const { checksum: _, ...dry } = JSON.parse(await Deno.readTextFile(file));
    const position = {
      ...dry.position,
      statistics: { ...dry.position.statistics, unusedColumns: { id: 3 } },
    };
    const content = {
      ...dry,
      position,
      options: OPTIONS,
      evaluations: [{ step: 0, loss: 4.5, tokens: 100 }, { step: 4, loss: 3.5, tokens: 100 }],
    };
    const sound = { ...content, checksum: checksumOf(content) };
    const saved = JSON.stringify(sorted(content));
    return {
      make(random) {
        if (random.chance(0.5)) return { text: mutateJsonText(random, [sound]), forged: false };
        const changed = mutateJson(random, [content]);
        const forged = isJsonObject(changed)
          ? { ...changed, checksum: checksumOf(changed) }
          : changed;
        return { text: JSON.stringify(forged), forged: true };
      },
      async run({ text, forged }) {
        await Deno.writeTextFile(file, text);
        const { state } = await findCheckpoint(path);
        const read = state as unknown as Record<string, unknown>;
        if (!forged && JSON.stringify(sorted(read)) !== saved) {
          throw new Nonsense("other values than were saved are accepted");
        }
        const wrong = nonsenseIn(read);
        if (wrong !== null) throw new Nonsense(`${wrong} of no checkpoint is accepted`);
        await resumedOptions(path, folder, {});
      },
      show: ({ text }) => text,
      close: () => sync[Symbol.dispose](),
    };
  },
};
