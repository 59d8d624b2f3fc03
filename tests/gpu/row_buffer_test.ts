import { assertEquals, assertThrows } from "@std/assert";
import { RowBuffer } from "../../src/gpu/row_buffer.ts";
import { device } from "../support/device.ts";

Deno.test("saved rows have room up to their pitch, and make no other for what fits", () => {
  const room = new RowBuffer(device, "room");
  room.reserve(3, 21);
  const { buffer } = room.rows(3);
  room.reserve(2, 32);
  const { cols, pitch, size } = room.rows(2, 32);
  assertEquals({ cols, pitch, size }, { cols: 32, pitch: 32, size: 256 });
  assertEquals(room.rows(1, 30).buffer, buffer);
  for (const [rows, wanted] of [[4, 21], [3, 33]]) {
    assertThrows(() => room.rows(rows, wanted), RangeError, '"room" has room for 3×21');
  }
});
