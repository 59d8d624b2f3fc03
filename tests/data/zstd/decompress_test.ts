/** Zstandard, against the runtime's compressor; the fuzz target `compressed` holds damaged files to its decompressor. */

import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { constants, zstdCompressSync } from "node:zlib";
import { Dataset } from "../../../src/data/dataset.ts";
import { decompressZstd, decompressZstdPage } from "../../../src/data/zstd/decompress.ts";
import { DataError } from "../../../src/errors.ts";
import { rawRows, withFile } from "../../support/data.ts";
import { randomGenerator } from "../../support/random.ts";

const random = randomGenerator(3);
/** Nothing, repeated, skewed, incompressible, and longer than a block and a window. */
const CONTENTS = [
  new Uint8Array(0),
  new TextEncoder().encode("a"),
  new Uint8Array(300_001),
  Uint8Array.from({ length: 3000 }, () => random() * 256),
  Uint8Array.from({ length: 200_003 }, () => 65 + random() ** 3 * 40),
  new TextEncoder().encode(
    Array.from({ length: 20_000 }, (_, i) => `row ${i * 7919 % 1001}`).join(),
  ),
];

function compress(content: Uint8Array, level: number, checksum = true): Uint8Array {
  const params = {
    [constants.ZSTD_c_compressionLevel]: level,
    [constants.ZSTD_c_checksumFlag]: Number(checksum),
    [constants.ZSTD_c_windowLog]: 15,
  };
  return Uint8Array.from(zstdCompressSync(content, { params }));
}

/** In pieces of one length. */
async function decompress(bytes: Uint8Array, piece: number): Promise<Uint8Array<ArrayBuffer>> {
  async function* pieces() {
    for (let at = 0; at < bytes.length; at += piece) yield bytes.subarray(at, at + piece);
  }
  const found = await Array.fromAsync(decompressZstd(pieces()));
  return new Uint8Array(await new Blob(found).arrayBuffer());
}

function bytes(hex: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.fromHex(hex.replaceAll(" ", ""));
}

Deno.test("what the runtime compresses is decompressed, at every level, in pieces of any length", async () => {
  for (const content of CONTENTS) {
    for (const [level, piece] of [[-5, 7919], [1, 1 << 18], [3, 1000], [12, 1 << 18]]) {
      const compressed = compress(content, level);
      assertEquals(await decompress(compressed, piece), content);
      assertEquals(decompressZstdPage(compressed, content.length), content);
    }
  }
  const two = new Uint8Array([...compress(CONTENTS[1], 3), ...compress(CONTENTS[5], 3, false)]);
  assertEquals((await decompress(two, 1)).length, 1 + CONTENTS[5].length);
});

Deno.test("a wrong checksum, a wrong length, a missing end and what is no frame are noticed", async () => {
  const compressed = compress(CONTENTS[4], 3);
  const damaged = compressed.slice();
  damaged[damaged.length - 1] ^= 1;
  await assertRejects(
    () => decompress(damaged, 1000),
    Error,
    "its checksum is that of other content",
  );
  // No block's own code notices this one: a literal that is stored as it is.
  const stored = compress(CONTENTS[3], 3);
  stored[1000] ^= 1;
  await assertRejects(() => decompress(stored, 1000), Error, "checksum");
  for (const length of [3, 6, 12, 100, compressed.length - 1]) {
    await assertRejects(
      () => decompress(compressed.subarray(0, length), 50),
      Error,
      "it ends within",
    );
  }
  const more = new Uint8Array([...compressed, 1, 2, 3, 4]);
  await assertRejects(() => decompress(more, 1000), Error, "what follows a frame is none");
  assertThrows(() => decompressZstdPage(compressed, 5), Error, "does not unfold to its 5 bytes");
});

Deno.test("what a small file claims costs neither memory nor time", async () => {
  // A window of 2 TB, one of 256 MiB; a dictionary; blocks of nothing behind a window of 128 MiB.
  const refusal = (content: Uint8Array) =>
    withFile("a.jsonl.zst", content, async (path) => {
      return (await assertRejects(() => rawRows(Dataset.from(path)), DataError)).message;
    });
  assertEquals(
    (await refusal(bytes("28b52ffd 00 f8 010000"))).replace(/.*zst: /, ""),
    "it needs a window of 2199023255552 bytes, and at most 134217728 are given to one; decompress it by " +
      "zstd -d --long=31",
  );
  await refusal(bytes("28b52ffd 00 90 010000"));
  assertEquals((await refusal(bytes("28b52ffd 01 50 07 010000"))).includes("dictionary"), true);
  const empty = new Uint8Array(6 + 3 * 50_000);
  empty.set(bytes("28b52ffd 00 88"));
  empty[empty.length - 3] = 1;
  assertEquals((await decompress(empty, 1 << 18)).length, 0);
  // Blocks of 128 KiB of spaces: 64 MiB from 2 kB, of which nothing is kept.
  const spaces = new Uint8Array(6 + 4 * 500);
  spaces.set(bytes("28b52ffd 00 38"));
  for (let at = 6; at < spaces.length; at += 4) spaces.set([2, 0, 0x10, 0x20], at);
  spaces[spaces.length - 4] |= 1;
  await withFile("a.jsonl.zst", spaces, async (path) => {
    assertEquals(await rawRows(Dataset.from(path)), []);
  });
});
