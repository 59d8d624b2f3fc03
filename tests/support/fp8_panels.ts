/** FP8 codes in panels, as `gemm_fp8_tensor.wgsl` takes them. */

import { type Matrix, PANEL, roundUp } from "../../src/gpu/buffers.ts";
import type { Device } from "../../src/gpu/device.ts";

/** How four codes lie in a word: `gemm_fp8_tensor.wgsl` explains it. */
export type CodeOrder = "bytes" | "lanes";

/**
 * Uploads codes [rows, cols] in panels; columns behind the last are zero.
 *
 * @param behind What rows behind the last hold, and must not count.
 */
export function uploadFp8Panels(
  device: Device,
  codes: Uint8Array,
  { rows, cols, type, order, behind = 0x7f }: {
    rows: number;
    cols: number;
    type: "e4m3" | "e5m2";
    order: CodeOrder;
    behind?: number;
  },
): Matrix {
  const pitch = roundUp(cols, PANEL.cols);
  const view = device.allocate(roundUp(rows, PANEL.rows) * pitch, "FP8 codes in panels");
  const words = new Uint32Array(view.size / 4);
  const four = new Uint8Array(4);
  for (let r = 0; r < roundUp(rows, PANEL.rows); r++) {
    const panel = (r >> 7) * (pitch / 64) * 2048 + (r & 127) * 16;
    for (let c = 0; c < pitch; c += 4) {
      for (let i = 0; i < 4; i++) {
        four[i] = c + i >= cols ? 0 : r < rows ? codes[r * cols + c + i] : behind;
      }
      words[panel + (c >> 6) * 2048 + ((c & 63) >> 2)] = wordOf(four, type, order);
    }
  }
  device.write(view, words);
  return { ...view, rows, cols, pitch, type };
}

function wordOf([c0, c1, c2, c3]: Uint8Array, type: "e4m3" | "e5m2", order: CodeOrder): number {
  if (order === "bytes") return (c0 | c1 << 8 | c2 << 16 | c3 << 24) >>> 0;
  const lane = (first: number, other: number) =>
    type === "e5m2"
      ? first << 8 | other
      : (first & 0x80) << 8 | (other & 0x80) << 7 | (first & 0x7f) << 7 | other & 0x7f;
  return (lane(c0, c2) | lane(c1, c3) << 16) >>> 0;
}
