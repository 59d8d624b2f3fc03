/** Data files compressed by gzip and Zstandard, against the runtime's decompressors, which read whole files. */

import { constants, gunzipSync, gzipSync, zstdCompressSync, zstdDecompressSync } from "node:zlib";
import { join, mutateBytes } from "../frame/mutate_bytes.ts";
import { showBytes } from "../frame/outcome.ts";
import { FuzzRandom } from "../frame/random.ts";
import { type FuzzTarget, Nonsense } from "../frame/target.ts";
import { linesOf } from "../oracle/rows.ts";
import { expectRows, RowReader } from "../support/data_rows.ts";

interface Input {
  bytes: Uint8Array;
  /** Whether nothing was changed. */
  isSound: boolean;
  most: number;
}

/** Rows, of which some repeat and some do not. */
function content(random: FuzzRandom): Uint8Array {
  const word = () =>
    random.pick(["one", "two", "日本", "x".repeat(random.below(300)), String(random.uniform())]);
  const rows = Array.from(
    { length: random.below(30) },
    () => JSON.stringify({ text: Array.from({ length: random.below(12) }, word).join(" ") }),
  );
  return new TextEncoder().encode(rows.join("\n"));
}

/** One or two streams in a row. */
function compressed(random: FuzzRandom): Uint8Array {
  const isZstd = random.chance(0.7);
  const stream = () => {
    const bytes = content(random);
    if (!isZstd) return gzipSync(bytes, { level: random.below(10) });
    const params = {
      [constants.ZSTD_c_compressionLevel]: random.pick([-5, 1, 3, 7, 12, 19]),
      [constants.ZSTD_c_checksumFlag]: random.below(2),
      [constants.ZSTD_c_contentSizeFlag]: random.below(2),
      [constants.ZSTD_c_windowLog]: random.between(10, 14),
      [constants.ZSTD_c_strategy]: random.between(1, 9),
    };
    return zstdCompressSync(bytes, { params });
  };
  const first = Uint8Array.from(stream());
  if (!isZstd || random.chance(0.7)) return first;
  const skipped = Uint8Array.of(0x50 + random.below(16), 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3);
  return join(first, ...random.chance(0.5) ? [skipped] : [], stream());
}

/** What the runtime makes of bytes: of Zstandard it reads the first frame alone; null if it refuses them. */
function reference(bytes: Uint8Array): Uint8Array | null {
  try {
    return bytes[0] === 0x1f
      ? gunzipSync(bytes, { maxOutputLength: 1 << 28 })
      : zstdDecompressSync(bytes, { maxOutputLength: 1 << 28 });
  } catch {
    return null;
  }
}

export const target: FuzzTarget<Input> = {
  about: "gzip, Zstandard",
  cost: "cheap",
  prepare: () => {
    const reader = new RowReader();
    // To compress takes longer than all the rest.
    const files = Array.from({ length: 300 }, (_, i) => compressed(new FuzzRandom(i, 0)));
    return {
      make: (random) => {
        const bytes = random.pick(files);
        const isSound = random.chance(0.2);
        return {
          bytes: isSound ? bytes : mutateBytes(random, [bytes, bytes, random.pick(files)]),
          isSound,
          most: random.pick([1, 7, 100, 1000]),
        };
      },
      async run({ bytes, isSound, most }) {
        const { rows, error } = await reader.read("rows.jsonl", bytes, most).catch((error) => {
          if (isSound) throw new Nonsense(`it is sound, but refused: ${error.message}`);
          throw error;
        });
        const isCompressed = (bytes[0] === 0x1f && bytes[1] === 0x8b) ||
          (bytes[0] === 0x28 && bytes[1] === 0xb5 && bytes[2] === 0x2f && bytes[3] === 0xfd);
        if (isCompressed) {
          const expected = reference(bytes);
          if (expected === null) throw new Nonsense("the runtime refuses it");
          // The last row of a first frame may go on in the next.
          const whole = linesOf(expected).slice(0, -1);
          expectRows(rows.slice(0, whole.length), whole);
        }
        if (error !== null) throw error;
      },
      show: ({ bytes, most, isSound }) =>
        `${showBytes(bytes)}\nin pieces of ${most}${isSound ? ", sound" : ""}`,
      close: () => reader[Symbol.dispose](),
    };
  },
};
