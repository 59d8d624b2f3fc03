import { assert, assertEquals } from "@std/assert";
import { slabRows } from "../../src/layers/dense_table.ts";

const MIB = 2 ** 20;

Deno.test("a table that a binding holds is one slab, and others are split into as few as hold them", () => {
  const llama3 = { rows: 128256, cols: 2048, type: "f32" } as const;
  assertEquals(slabRows(1002 * MIB, llama3), [128256]);
  assertEquals(slabRows(1001 * MIB, llama3), [128128, 128]);
  assertEquals(slabRows(128 * MIB, llama3), [...Array(7).fill(16384), 13568]);
  const f16 = { ...llama3, type: "f16" } as const;
  assertEquals(slabRows(501 * MIB, f16), [128256]);
  assertEquals(slabRows(128 * MIB, f16), [32768, 32768, 32768, 29952]);
  const gemma3 = { rows: 262144, cols: 1152, type: "f16" } as const;
  assertEquals(slabRows(128 * MIB, gemma3), [58240, 58240, 58240, 58240, 29184]);
});

Deno.test("slabs hold all rows, and neither a slab nor its packed operand is beyond the limit", () => {
  for (const type of ["f32", "f16"] as const) {
    for (const cols of [1, 52, 64, 130]) {
      for (const rows of [1, 127, 128, 129, 257, 1000]) {
        for (const limit of [1 << 17, 1 << 18, 1 << 22]) {
          const slabs = slabRows(limit, { rows, cols, type });
          assertEquals(slabs.reduce((a, b) => a + b), rows);
          assert(slabs.slice(0, -1).every((count) => count % 128 === 0));
          const largest = Math.max(...slabs);
          const pitch = Math.ceil(cols / 16) * 16;
          const packed = Math.ceil(largest / 128) * 128 * Math.ceil(cols / 128) * 128 * 2;
          const stored = largest * pitch * (type === "f32" ? 4 : 2);
          assert(stored <= limit && (type === "f32" || packed <= limit), `${rows}×${cols} ${type}`);
        }
      }
    }
  }
});
