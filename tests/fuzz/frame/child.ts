/**
 * The process that runs the inputs of a target. `campaign.ts` starts it, and ends it where an input does not end.
 *
 * Before each input it notes in a file what it is at, with the sums of all inputs before, so that nothing is lost with
 * it. What it finds it writes to its standard output, one line of JSON each.
 *
 * @module
 */

import { FuzzRandom } from "./random.ts";
import { placeOf, tryInput } from "./outcome.ts";
import { type Job, Note, NOTE_LENGTH } from "./note.ts";
import { loadTarget } from "./target.ts";

/** Of one place and one outcome so many are told; the others are only counted. */
const TOLD_OF_A_PLACE = 2;

async function main({ module, folder, note, seed, from, to }: Job): Promise<void> {
  const fuzzing = await (await loadTarget(module)).prepare(folder);
  using file = Deno.openSync(note, { write: true });
  const state = new Float64Array(NOTE_LENGTH);
  const bytes = new Uint8Array(state.buffer);
  const told = new Map<string, number>();
  const encoder = new TextEncoder();
  const save = () => {
    file.seekSync(0, Deno.SeekMode.Start);
    file.writeSync(bytes);
  };
  for (let index = from; index < to; index++) {
    state[Note.index] = index;
    state[Note.started]++;
    save();
    const start = performance.now();
    const input = fuzzing.make(new FuzzRandom(seed, index));
    const { outcome, error, problem } = await tryInput(fuzzing, input);
    const took = performance.now() - start;
    state[Note[outcome]]++;
    if (took > state[Note.slowest]) {
      state[Note.slowest] = took;
      state[Note.slowestIndex] = index;
    }
    if (outcome === "accepted" || outcome === "named") continue;
    const kind = `${outcome} ${placeOf(error)} ${problem.replace(/\d+|"[^"]*"/g, "").slice(0, 60)}`;
    const count = told.get(kind) ?? 0;
    told.set(kind, count + 1);
    if (count >= TOLD_OF_A_PLACE) continue;
    const finding = { index, outcome, problem: problem.slice(0, 500), place: placeOf(error) };
    Deno.stdout.writeSync(encoder.encode(`${JSON.stringify(finding)}\n`));
  }
  await fuzzing.close?.();
  state[Note.done] = 1;
  save();
}

if (import.meta.main) await main(JSON.parse(Deno.args[0]));
