import type { Matrix } from "../gpu/buffers.ts";
import { linearGrid, type Program } from "../gpu/program.ts";
import { integerDeviation, type RandomKey } from "../reference/random.ts";
import { expectMatrix } from "./shapes.ts";

/** Threads of a workgroup. */
const THREADS = 256;

/** What {@linkcode randomNormal} writes. */
export interface RandomNormalOptions {
  /** Which numbers: another key gives others. */
  key: RandomKey;
  mean: number;
  /** Standard deviation. */
  deviation: number;
  /** f32 or f16 [rows, cols] */
  out: Matrix;
}

/** Records `out[r][c] = mean + deviation · z(r · cols + c)`; the twin is `normalValues` of src/reference/random.ts. */
export function randomNormal(
  program: Program,
  { key, mean, deviation, out }: RandomNormalOptions,
): void {
  const { rows, cols, pitch, type } = out;
  expectMatrix("randomNormal", "out", out, { rows, cols, types: ["f32", "f16"] });
  const vectors = pitch / 4;
  program.dispatch(
    program.device.kernel("random_normal", { F16: type === "f16", THREADS }),
    { out },
    {
      rows,
      cols,
      vectors,
      key_low: key.low,
      key_high: key.high,
      mean,
      step: deviation / integerDeviation,
    },
    linearGrid(rows * vectors, THREADS),
  );
}
