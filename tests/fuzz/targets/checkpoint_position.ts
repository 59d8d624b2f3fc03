/** The position of a checkpoint, and the data from there on: it comes from the data, whatever the position says. */

import { Dataset } from "../../../src/data/dataset.ts";
import { DirectLoader } from "../../../src/data/direct_loader.ts";
import type { Batch, LoaderPosition } from "../../../src/data/types.ts";
import { mutateJson } from "../frame/mutate_json.ts";
import { type FuzzTarget, Nonsense } from "../frame/target.ts";

/** Tokens of each row: its number, so often. */
const ROWS = Array.from({ length: 30 }, (_, i) => Array<number>(2 + i % 5).fill(i + 1));
const MOST_BATCHES = 200;

const SETTINGS = [
  { packing: true, shuffle: true },
  { packing: false, shuffle: true },
  { packing: false, shuffle: false },
].map((options) => ({
  ...{ batchSize: 2, sequenceLength: 8, epochs: 2, shuffleBuffer: 7, seed: 3 },
  ...{ trainOnPrompt: true, skipBadRows: false, vocabSize: 64 },
  ...options,
}));

interface Input {
  setting: number;
  position: unknown;
}

export const target: FuzzTarget<Input> = {
  about: "position of a checkpoint, data replayed",
  cost: "cheap",
  async prepare() {
    const data = Dataset.from(ROWS.map((ids) => ({ input_ids: ids })));
    const loaders = SETTINGS.map((options) => new DirectLoader(data, null, options));
    const batches: Batch[][] = [];
    for (const loader of loaders) batches.push(await Array.fromAsync(loader.batches()));
    const positions = batches.map((list) =>
      list.map(({ position }) => JSON.parse(JSON.stringify(position)))
    );
    return {
      make(random) {
        const setting = random.below(SETTINGS.length);
        const seeds = [random.pick(positions[setting])];
        return { setting, position: random.chance(0.02) ? seeds[0] : mutateJson(random, seeds) };
      },
      async run({ setting, position }) {
        const given = position as LoaderPosition;
        let batch = null;
        let count = 0;
        for await (batch of loaders[setting].batches(given)) {
          if (++count > MOST_BATCHES) {
            throw new Nonsense(`more than ${MOST_BATCHES} batches are left`);
          }
          check(batch, given.batch + count);
        }
        const same = positions[setting].findIndex((it) =>
          JSON.stringify(it) === JSON.stringify(position)
        );
        if (same < 0) return;
        const rest = batches[setting].slice(same + 1);
        if (count !== rest.length || !sameIds(batch, rest.at(-1) ?? null)) {
          throw new Nonsense(`${count} batches after a sound position, not its ${rest.length}`);
        }
      },
    };
  },
};

function sameIds(a: Batch | null, b: Batch | null): boolean {
  return a?.inputIds.join() === b?.inputIds.join();
}

/** Every document of a batch is a row of the data. */
function check({ inputIds, documentStart, documentEnd, position }: Batch, number: number): void {
  if (position.batch !== number) throw new Nonsense(`batch ${position.batch} is number ${number}`);
  for (let at = 0; at < inputIds.length; at = Math.max(at + 1, documentEnd[at])) {
    const ids = [...inputIds.subarray(documentStart[at], documentEnd[at])];
    if (ids[0] > 0 && ids.join() !== ROWS[ids[0] - 1]?.join()) {
      throw new Nonsense(`${ids} is no row`);
    }
  }
}
