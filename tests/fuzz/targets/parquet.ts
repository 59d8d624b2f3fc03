/** Parquet files: metadata, pages and what they are compressed by. */

import { mutateBytes } from "../frame/mutate_bytes.ts";
import { showBytes } from "../frame/outcome.ts";
import type { FuzzRandom } from "../frame/random.ts";
import type { FuzzTarget } from "../frame/target.ts";
import { RowReader } from "../support/data_rows.ts";

const FIXTURES = new URL("../../data/fixtures/", import.meta.url);

/** Damage to the metadata alone, most of the time: what they say of pages is believed elsewhere. */
function damaged(random: FuzzRandom, files: readonly Uint8Array[]): Uint8Array {
  const file = random.pick(files);
  if (random.chance(0.2)) return mutateBytes(random, files);
  const footer = new DataView(file.buffer).getUint32(file.length - 8, true);
  const start = file.length - 8 - footer;
  const bytes = Uint8Array.from(file);
  const whole = random.chance(0.5); // the metadata, or the pages
  for (let count = random.few(0.6, 6); count > 0; count--) {
    const at = whole ? start + random.below(footer) : 4 + random.below(start - 4);
    bytes[at] = random.pick([
      bytes[at] ^ (1 << random.below(8)),
      random.below(256),
      random.pick([0, 0x7f, 0x80, 0xff]),
    ]);
    // A number of several bytes, whose last one has no high bit.
    if (random.chance(0.2)) bytes.fill(0xff, at, at + random.below(5));
  }
  return bytes;
}

export const target: FuzzTarget<Uint8Array> = {
  about: "Parquet",
  cost: "cheap",
  gate: 300,
  prepare: async () => {
    const files = await Promise.all(
      ["rows", "rows_lz4", "rows_snappy", "rows_none"].map((name) =>
        Deno.readFile(new URL(`${name}.parquet`, FIXTURES))
      ),
    );
    const reader = new RowReader();
    return {
      make: (random) => damaged(random, files),
      async run(bytes) {
        const { error } = await reader.read("rows.parquet", bytes, Infinity);
        if (error !== null) throw error;
      },
      show: showBytes,
      close: () => reader[Symbol.dispose](),
    };
  },
};
