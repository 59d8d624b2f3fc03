import { assertEquals, assertThrows } from "@std/assert";
import { RowBuffer } from "../../src/gpu/row_buffer.ts";
import { device } from "../support/device.ts";

Deno.test("a row buffer serves rows up to its pitch, and keeps its memory where that is enough", () => {
  const saved = new RowBuffer(device, "rows");
  saved.reserve(3, 21);
  const { buffer } = saved.rows(3);
  saved.reserve(2, 32);
  const { cols, pitch, size } = saved.rows(2, 32);
  assertEquals({ cols, pitch, size }, { cols: 32, pitch: 32, size: 256 });
  assertEquals(saved.rows(1, 30).buffer, buffer);
  for (const [rows, wanted] of [[4, 21], [3, 33]]) {
    assertThrows(() => saved.rows(rows, wanted), RangeError, "3×21 are reserved");
  }
});
