/** Updates that round stochastically: the kernels against the CPU twin, and what they are for. */

import {
  assert,
  assertAlmostEquals,
  assertEquals,
  assertNotEquals,
  assertThrows,
} from "@std/assert";
import { Program } from "../../../src/gpu/program.ts";
import { StepState } from "../../../src/gpu/step_state.ts";
import { updateRows } from "../../../src/kernels/falqon/falqon.ts";
import { FORMATS } from "../../../src/numerics/formats.ts";
import { FP8_NAN } from "../../../src/numerics/fp8.ts";
import * as oracle from "../../oracle/falqon_update.ts";
import { device } from "../../support/device.ts";
import {
  KEY,
  makeUpdate,
  ordinal,
  readCodes,
  runUpdate,
  SHAPES,
  TYPES,
  uploadBytes,
  walk,
} from "../../support/falqon_updates.ts";
import { runOnce, uploadMatrix, uploadVector } from "../../support/gpu.ts";

const EXACT = { BM: 64, BN: 128, BK: 16, TM: 8, TN: 8 };
const FEW_ROWS = { BM: 16, BN: 128, BK: 16, TM: 4, TN: 4 };
/** Tensor cores, emulated where there are none. */
const MATRIX = { subgroups: 4, columns: 32, steps: 2 };
const WIDE_MATRIX = { subgroups: 2, columns: 64, steps: 2 };

for (const type of TYPES) {
  Deno.test(`stochastic updates of ${type} are bit-equal to their CPU transcription, in place and from a base`, async () => {
    for (const shape of SHAPES) {
      for (const tile of [EXACT, FEW_ROWS]) {
        const update = makeUpdate(shape, type);
        const { merged, base, frozen, b } = update;
        for (const step of [1, 2, 3, 1000]) {
          await runUpdate(update, "in place", step, tile);
          oracle.updateInPlace(merged, b, 0.5, { key: KEY, step });
          assertEquals(await readCodes(update), merged.codes, `step ${step} of ${shape.outputs}`);
        }
        assertNotEquals(merged.codes.subarray(0, frozen.length), frozen);
        await runUpdate(update, base, 5, tile);
        const flushed = new Float32Array(b.length);
        const rounding = { key: KEY, step: 5 };
        oracle.updateRequantize(merged, frozen, b, flushed, 0.5, Infinity, rounding);
        assertEquals(await readCodes(update), merged.codes, `base, ${shape.outputs}`);
      }
    }
  });

  Deno.test(`on tensor cores stochastic updates of ${type} are the rule's but where a sum meets the threshold`, async () => {
    for (const shape of SHAPES) {
      for (
        const [inPlace, tile] of [[true, MATRIX], [true, WIDE_MATRIX], [false, MATRIX]] as const
      ) {
        const update = makeUpdate(shape, type, 0.1);
        const { merged, base, frozen, b } = update;
        await runUpdate(update, inPlace ? "in place" : base, 4, tile);
        const rounding = { key: KEY, step: 4 };
        if (inPlace) oracle.updateInPlace(merged, b, 0.5, rounding);
        else {
          const flushed = new Float32Array(b.length);
          oracle.updateRequantize(merged, frozen, b, flushed, 0.5, Infinity, rounding);
        }
        const got = await readCodes(update);
        const steps = got.map((code, i) =>
          Math.abs(ordinal(code, type) - ordinal(merged.codes[i], type))
        );
        assert(Math.max(...steps) <= 1);
        const wrong = steps.filter((step) => step > 0).length;
        assert(wrong <= 1e-4 * steps.length, `${wrong} of ${steps.length} codes differ`);
        const again = makeUpdate(shape, type, 0.1);
        await runUpdate(again, inPlace ? "in place" : again.base, 4, tile);
        assertEquals(await readCodes(again), got, "the same step gives the same bits");
      }
    }
  });
}

Deno.test("another step, key or tensor has other thresholds; the same ones again the same", async () => {
  const shape = SHAPES[0];
  const outcome = async (step: number, key: typeof KEY) => {
    const update = makeUpdate(shape);
    await runUpdate(update, "in place", step, EXACT, key);
    return await readCodes(update);
  };
  const first = await outcome(7, KEY);
  assertEquals(await outcome(7, KEY), first);
  for (
    const [step, key] of [[8, KEY], [7, { ...KEY, low: 1 }], [7, { ...KEY, high: 1 }]] as const
  ) {
    const changed = (await outcome(step, key)).filter((code, i) => code !== first[i]).length;
    assert(changed > 0.01 * first.length, `${changed} codes differ`);
  }
});

for (const type of TYPES) {
  Deno.test(`a change of zero leaves every code of ${type} as it is`, async () => {
    const [rows, inputs] = [65, 256];
    // No code of NaN, no -128, and no -0 of e4m3: adding zero makes that 0, of the same value.
    const odd = type === "e4m3" ? [0x7f, 0xff, 0x80] : [0x80];
    const codes = Uint8Array.from({ length: (rows + 1) * inputs }, (_, i) => (i + (i >> 8)) % 256)
      .map((code) => odd.includes(code) ? 0 : code);
    const weight = uploadBytes(codes, inputs, type);
    const part = {
      weight,
      wRow: 0,
      aRow: rows,
      rows,
      rank: 1,
      rowFactors: uploadVector(device, new Float32Array(rows).fill(1)).vector,
      columnFactors: uploadVector(device, Float32Array.of(1)).vector,
      b: uploadMatrix(device, new Float32Array(rows), rows, 1).matrix,
    };
    for (const tile of [EXACT, MATRIX]) {
      for (const step of [1, 2, 3]) await runUpdate({ part }, "in place", step, tile);
      assertEquals(await readCodes({ part }), codes);
    }
  });
}

/** Quiet NaNs: as hosts and most GPUs write them, and with all bits set, as NVIDIA's do. */
const NANS = [0x7fc00000, 0x7fffffff, 0xffffffff];

for (const nan of NANS) {
  Deno.test(`a NaN of bits ${nan.toString(16)} in the change makes its row NaN, no other`, async () => {
    for (const tile of [EXACT, MATRIX]) {
      const shape = SHAPES[0];
      const update = makeUpdate(shape, "e4m3", 0);
      const b = new Float32Array(shape.outputs * shape.rank);
      new Uint32Array(b.buffer)[7 * shape.rank + 5] = nan;
      device.writeMatrix(update.part.b, b);
      await runUpdate(update, "in place", 1, tile);
      const want = update.merged.codes.map((code, i) =>
        Math.floor(i / shape.inputs) === 7 ? FP8_NAN : code
      );
      assertEquals(await readCodes(update, false), want, "subgroups" in tile ? "MATRIX" : "EXACT");
    }
  });
}

Deno.test("a coefficient that is NaN, infinite or near it tells that the step is not finite; others do not", async () => {
  const infinite = [0x7f800000, 0xff800000, 0x71800000, 0xf1800001]; // and 2^100
  for (const type of TYPES) {
    for (const tile of [EXACT, MATRIX]) {
      for (const bits of [0, 0x717fffff, 1, 0x80000000, ...NANS, ...infinite]) {
        for (const rounded of [true, false]) {
          const shape = SHAPES[0];
          const { part, base } = makeUpdate(shape, type, 0);
          part.rowFactors = uploadVector(device, new Float32Array(shape.outputs).fill(1)).vector;
          part.columnFactors = uploadVector(device, new Float32Array(shape.rank).fill(1)).vector;
          const b = new Float32Array(shape.outputs * shape.rank);
          new Uint32Array(b.buffer)[(shape.outputs - 1) * shape.rank + shape.rank - 1] = bits;
          device.writeMatrix(part.b, b);
          using state = new StepState(device, { beta1: 0, beta2: 0 });
          const given = Uint32Array.of(1, 2, 3, 1); // the last: finite
          device.write(state.results, given);
          state.begin({ step: 1, learningRate: 0, targetCount: 1 });
          const { results } = state;
          const rounding = rounded ? { key: KEY, state } : undefined;
          await runOnce(
            device,
            (program) =>
              updateRows(program, {
                part,
                base: rounded ? "in place" : base,
                selection: null,
                rounding,
                tile,
                results,
              }),
          );
          const isFinite = (bits & 0x7fffffff) < 0x71800000;
          const got = [...new Uint32Array(await device.read(results))].slice(0, 4);
          assertEquals(got, [1, 2, 3, Number(isFinite)], `${type} ${bits.toString(16)} ${rounded}`);
        }
      }
    }
  }
});

for (const type of TYPES) {
  Deno.test(`a thousand changes of a thousandth of a step of ${type} arrive, which rounding to nearest would lose`, async () => {
    const [rows, inputs, count] = [64, 180, 1000];
    // Codes of 256, where e4m3 has steps of 32, or of 100.
    const [start, step] = type === "e4m3" ? [256, 32] : [100, 1];
    const values = new Float32Array((rows + 1) * inputs).fill(start);
    values.fill(1, rows * inputs);
    const { codec } = FORMATS[type];
    const part = {
      weight: uploadBytes(codec.encode(values), inputs, type),
      wRow: 0,
      aRow: rows,
      rows,
      rank: 1,
      rowFactors: uploadVector(device, new Float32Array(rows).fill(1)).vector,
      columnFactors: uploadVector(device, Float32Array.of(1)).vector,
      b: uploadMatrix(device, new Float32Array(rows).fill(step / count), rows, 1).matrix,
    };
    using state = new StepState(device, { beta1: 0, beta2: 0 });
    using program = new Program(device);
    const rounding = { key: KEY, state };
    updateRows(program, { part, base: "in place", selection: null, rounding });
    await program.prepare();
    for (let step = 1; step <= count; step++) {
      state.begin({ step, learningRate: 0, targetCount: 1 });
      program.run();
    }
    const codes = (await readCodes({ part })).subarray(0, rows * inputs);
    const moved = Array.from(codes, (code) => (codec.values()[code] - start) / step);
    const mean = moved.reduce((sum, x) => sum + x, 0) / moved.length;
    // Rare independent events would happen once on average, with variance 1. These are spread evenly over the steps.
    assertAlmostEquals(mean, 1, 5 / Math.sqrt(moved.length));
    const variance = moved.reduce((sum, x) => sum + (x - mean) ** 2, 0) / moved.length;
    assert(variance < 0.5, `variance ${variance}`);
    assert(moved.every((x) => x >= 0 && x <= 2), "every code by at most one more");
  });
}

Deno.test("stochastic rounding of selected rows is refused", () => {
  const { part } = makeUpdate(SHAPES[2]);
  using program = new Program(device);
  const state = new StepState(device, { beta1: 0, beta2: 0 });
  const selection = { rows: device.vector(2, "u32", "selected rows"), count: 2 };
  assertThrows(
    () => updateRows(program, { part, base: "in place", selection, rounding: { key: KEY, state } }),
    RangeError,
    "stochastic rounding writes all rows, not a selection",
  );
});

for (const type of TYPES) {
  Deno.test(`over many steps ${type} codes are bit-equal to their CPU transcription, which recovers what they were before training`, async () => {
    for (const shape of SHAPES) {
      for (const tile of [EXACT, FEW_ROWS]) {
        const update = makeUpdate(shape, type, 0);
        const { merged, frozen, part } = update;
        const steps = walk(shape.outputs * shape.rank, 6, 0.01);
        const delta = uploadMatrix(device, steps[0].change, shape.outputs, shape.rank).matrix;
        for (const [i, { b, change }] of steps.entries()) {
          device.writeMatrix(part.b, b);
          device.writeMatrix(delta, change);
          await runUpdate(update, { change: delta }, i + 1, tile);
          oracle.updateStochastic(merged, b, change, 0.5, { key: KEY, step: i + 1 });
          assertEquals(await readCodes(update), merged.codes, `step ${i} of ${shape.outputs}`);
        }
        assertNotEquals(merged.codes.subarray(0, frozen.length), frozen);
      }
    }
  });

  Deno.test(`on tensor cores they are so but where a sum meets the threshold, and a step that changes nothing leaves every code of ${type}`, async () => {
    for (const shape of SHAPES) {
      for (const tile of [MATRIX, WIDE_MATRIX]) {
        const update = makeUpdate(shape, type, 0);
        const { merged, part } = update;
        const steps = walk(shape.outputs * shape.rank, 3, 0.05);
        const delta = uploadMatrix(device, steps[0].change, shape.outputs, shape.rank).matrix;
        for (const [i, { b, change }] of steps.entries()) {
          device.writeMatrix(part.b, b);
          device.writeMatrix(delta, change);
          await runUpdate(update, { change: delta }, i + 1, tile);
          oracle.updateStochastic(merged, b, change, 0.5, { key: KEY, step: i + 1 });
        }
        const got = await readCodes(update);
        const off = got.map((code, i) =>
          Math.abs(ordinal(code, type) - ordinal(merged.codes[i], type))
        );
        assert(Math.max(...off) <= 2);
        const wrong = off.filter((steps) => steps > 0).length;
        assert(wrong <= 3e-4 * off.length, `${wrong} of ${off.length} codes differ`);
        device.writeMatrix(delta, new Float32Array(shape.outputs * shape.rank));
        await runUpdate(update, { change: delta }, 4, tile);
        const moved = (await readCodes(update)).filter((code, i) => code !== got[i]).length;
        // What e4m3 has lost between codes of two sizes is guessed, and then may be rounded otherwise.
        assert(moved <= (type === "int8" ? 0 : 0.01 * got.length), `${moved} of ${got.length}`);
      }
    }
  });
}

Deno.test("codes before training are not recovered without thresholds", () => {
  const { part } = makeUpdate(SHAPES[2]);
  using program = new Program(device);
  assertThrows(
    () => updateRows(program, { part, base: { change: part.b }, selection: null }),
    RangeError,
    "codes before training are recovered from thresholds",
  );
});
