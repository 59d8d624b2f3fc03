/**
 * Updates that recover what codes were before training, code by code: by a product of rank 1, whose sums are exact in every
 * kernel, all of them must give the codes of the CPU twin, which goes the two steps one after the other.
 */

import { assert, assertEquals } from "@std/assert";
import { FORMATS } from "../../../src/numerics/formats.ts";
import { FP8_NAN } from "../../../src/numerics/fp8.ts";
import * as oracle from "../../oracle/falqon_update.ts";
import { device } from "../../support/device.ts";
import { KEY, runUpdate, TYPES, uploadBytes } from "../../support/falqon_updates.ts";
import { fromPanels } from "../../support/panels.ts";
import { uploadMatrix, uploadVector } from "../../support/gpu.ts";
import { randomGenerator } from "../../support/random.ts";

const TILES = [
  { BM: 64, BN: 128, BK: 16, TM: 8, TN: 8 },
  { BM: 16, BN: 128, BK: 16, TM: 4, TN: 4 },
  // Tensor cores, emulated where there are none.
  { subgroups: 4, columns: 32, steps: 2 },
  { subgroups: 2, columns: 64, steps: 2 },
];

/** Each code meets so many thresholds by each pair of sums. */
const THRESHOLDS = 4;

/** Sums before and after a step, in code units: everywhere from far below a step of a code to far above all codes, and ties. */
function sums(type: typeof TYPES[number]): [number, number][] {
  const random = randomGenerator(3);
  const sized = (low: number, high: number) =>
    (random() < 0.5 ? -1 : 1) * 2 ** (low + (high - low) * random());
  const half = type === "e4m3" ? 2 ** -10 : 0.5; // of the smallest step
  const multiple = () => half * Math.round(sized(0, type === "e4m3" ? 18 : 9));
  const lowest = type === "e4m3" ? -14 : -5;
  return [
    [0, 0],
    [0, half],
    [-half, 0],
    [1e-20, -1e-20],
    [1000, 1000],
    [-1000, -1000],
    [1e6, -1e6],
    ...Array.from({ length: 40 }, (): [number, number] => [multiple(), multiple()]),
    ...Array.from({ length: 40 }, (): [number, number] => [sized(lowest, 9), sized(lowest, 9)]),
    ...Array.from({ length: 40 }, (): [number, number] => {
      const sum = sized(lowest, 9);
      return [sum, sum + sized(lowest, 2)];
    }),
  ];
}

for (const type of TYPES) {
  Deno.test(`every code of ${type} is recovered and written anew as the CPU twin does it, by sums of any size`, async () => {
    const pairs = sums(type);
    const [outputs, inputs] = [pairs.length + 1, 256 * THRESHOLDS];
    const codes = Uint8Array.from({ length: (outputs + 1) * inputs }, (_, i) => i % 256);
    codes.fill(FORMATS[type].codec.encode(Float32Array.of(1))[0], outputs * inputs);
    // The last row is asked for what is no number.
    const b = Float32Array.from([...pairs.map(([, after]) => after), NaN]);
    const change = Float32Array.from([...pairs.map(([before, after]) => after - before), 0]);
    const merged = {
      codes: codes.slice(),
      scales: new Float32Array(outputs + 1).fill(1),
      format: { name: type },
      outputs,
      inputs,
      rank: 1,
    };
    oracle.updateStochastic(merged, b, change, 1, { key: KEY, step: 1 });
    const wanted = merged.codes.subarray(0, pairs.length * inputs);
    const kept = wanted.filter((code, i) => code === codes[i]).length;
    assert(kept > 0.05 * wanted.length && kept < 0.9 * wanted.length, `${kept} stay`);

    for (const tile of TILES) {
      const weight = uploadBytes(codes, inputs, type);
      const part = {
        weight,
        wRow: 0,
        aRow: outputs,
        rows: outputs,
        rank: 1,
        rowFactors: uploadVector(device, new Float32Array(outputs).fill(1)).vector,
        columnFactors: uploadVector(device, Float32Array.of(1)).vector,
        b: uploadMatrix(device, b, outputs, 1).matrix,
      };
      const delta = uploadMatrix(device, change, outputs, 1).matrix;
      await runUpdate({ part }, { change: delta }, 1, tile);
      const bytes = new Uint8Array(await device.read(weight));
      const got = type === "int8" ? fromPanels(bytes, weight) : bytes; // rows are whole panels: no padding
      for (const [i, sums] of pairs.entries()) {
        const row = (of: Uint8Array) => of.subarray(i * inputs, (i + 1) * inputs);
        assertEquals(row(got), row(wanted), `${sums} with ${Object.values(tile)}`);
      }
      if (type === "int8") continue; // has no NaN
      const last = got.subarray(pairs.length * inputs, outputs * inputs);
      assert(last.every((code) => code === FP8_NAN), `a NaN is lost with ${Object.values(tile)}`);
    }
  });
}
