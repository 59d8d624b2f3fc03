/** Event files: the records that TensorBoard reads, taken apart again by a reader of its own. */

import { assertEquals, assertRejects } from "@std/assert";
import { FileError } from "../../src/errors.ts";
import { crc32c, EventFile } from "../../src/io/event_file.ts";
import { withFolder } from "../support/io.ts";

/** A message by the numbers of its fields; what is bytes stays so. */
function fields(bytes: Uint8Array): [number, number | Uint8Array][] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const out: [number, number | Uint8Array][] = [];
  let at = 0;
  const varint = () => {
    let value = 0;
    for (let shift = 1;; shift *= 128) {
      const byte = bytes[at++];
      value += (byte & 127) * shift;
      if (byte < 128) return value;
    }
  };
  while (at < bytes.length) {
    const key = varint();
    const [field, wire] = [key >> 3, key & 7];
    if (wire === 0) out.push([field, varint()]);
    else if (wire === 1) out.push([field, view.getFloat64((at += 8) - 8, true)]);
    else if (wire === 5) out.push([field, view.getFloat32((at += 4) - 4, true)]);
    else {
      const length = varint();
      out.push([field, bytes.subarray(at, at += length)]);
    }
  }
  return out;
}

function find(bytes: Uint8Array, ...path: number[]): number | Uint8Array | undefined {
  const [first, ...rest] = path;
  const found = fields(bytes).find(([field]) => field === first)?.[1];
  return rest.length === 0 || found === undefined ? found : find(found as Uint8Array, ...rest);
}

/** The events of a file, whose lengths are as they say. */
function events(bytes: Uint8Array<ArrayBuffer>): Uint8Array[] {
  const view = new DataView(bytes.buffer);
  const out: Uint8Array[] = [];
  let at = 0;
  while (at < bytes.length) {
    const length = Number(view.getBigUint64(at, true));
    out.push(bytes.subarray(at + 12, at + 12 + length));
    at += length + 16;
  }
  assertEquals(at, bytes.length);
  return out;
}

const words = (value: unknown) => new TextDecoder().decode(value as Uint8Array);

Deno.test("CRC-32C has the values of RFC 3720", () => {
  assertEquals(crc32c(new Uint8Array(32)), 0x8a9136aa);
  assertEquals(crc32c(new Uint8Array(32).fill(255)), 0x62a8ab43);
  assertEquals(crc32c(Uint8Array.from({ length: 32 }, (_, i) => i)), 0x46dd794e);
});

Deno.test("an event file has its version, the step it goes on from, numbers and texts", () =>
  withFolder(async (folder) => {
    using file = await EventFile.open(`${folder}/runs/a`, { after: 300, now: () => 1.5e12 });
    await file.scalars(301, { "train/loss": 2.5, "eval/loss": NaN });
    await file.text(301, "sample/1", "Grüße\n");
    const bytes = await Deno.readFile(file.path);
    const [version, session, scalars, text] = events(bytes);
    assertEquals(find(version, 1), 1.5e9);
    assertEquals(words(find(version, 3)), "brain.Event:2");
    assertEquals([find(session, 2), find(session, 7, 1)], [301, 1]);
    const values = fields(find(scalars, 5) as Uint8Array).map(([, value]) => value as Uint8Array);
    assertEquals(values.map((value) => words(find(value, 1))), ["train/loss", "eval/loss"]);
    assertEquals(values.map((value) => find(value, 2)), [2.5, NaN]);
    assertEquals(words(find(text, 5, 1, 8, 8)), "Grüße\n");
    assertEquals([find(text, 5, 1, 8, 1), find(text, 5, 1, 8, 2, 2, 1)], [7, 1]);
    assertEquals(words(find(text, 5, 1, 9, 1, 1)), "text");
    // The masked checksum of the length of the first record, 0x18 or so: by the format's rule.
    const crc = crc32c(bytes.subarray(0, 8));
    const masked = ((crc >>> 15 | crc << 17) + 0xa282ead8) >>> 0;
    assertEquals(new DataView(bytes.buffer).getUint32(8, true), masked);
    await Deno.writeTextFile(`${folder}/file`, "");
    await assertRejects(() => EventFile.open(`${folder}/file`), FileError);
  }));
