/** The stochastic update in packed f16: how far it is from the rule, its range, and what is not finite. */

import { assert, assertEquals, assertRejects } from "@std/assert";
import { Program } from "../../../src/gpu/program.ts";
import { StepState } from "../../../src/gpu/step_state.ts";
import { updateRows, type UpdateRowsOptions } from "../../../src/kernels/falqon/falqon.ts";
import { FORMATS } from "../../../src/numerics/formats.ts";
import { FP8_NAN } from "../../../src/numerics/fp8.ts";
import * as oracle from "../../oracle/falqon_update.ts";
import { device } from "../../support/device.ts";
import { kernelsOf } from "../../support/dry_gpus.ts";
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
import { randomNormal } from "../../support/random.ts";

/** Quick to compile, with steps over, and workgroups of other shapes. */
const SMALL = { BM: 32, BN: 32, TM: 4, TN: 4, steps: 4 };
const TILES = [
  SMALL,
  { BM: 64, BN: 64, TM: 8, TN: 4, steps: 8 },
  { BM: 64, BN: 128, TM: 8, TN: 8, steps: 4 },
];

type Made = ReturnType<typeof makeUpdate>;

/**
 * Runs a step and its twin. `wrong`: the share of codes that are not the rule's; `sum` and `squares`: of what
 * values are off by, in code units; `moved`: by how many the rule moved each. None may be off by more than a step of the codes, or
 * where these are finer, than f16 sums can be.
 */
async function compare(update: Made, type: typeof TYPES[number], step: number, tile = SMALL) {
  const { merged, b } = update;
  const { outputs, inputs, rank } = merged;
  const values = FORMATS[type].codec.values();
  const before = merged.codes.slice();
  await runUpdate(update, "in place", step, tile);
  oracle.updateInPlace(merged, b, 0.5, { key: KEY, step });
  const got = await readCodes(update);
  const { rows, columns } = oracle.updateFactors(merged, 0.5);
  let [wrong, sum, squares, moved] = [0, 0, 0, 0];
  for (let at = 0; at < outputs * inputs; at++) {
    const [want, is] = [merged.codes[at], got[at]];
    moved += Math.abs(values[want] - values[before[at]]);
    if (want === is) continue;
    wrong++;
    const off = values[is] - values[want];
    sum += off;
    squares += off ** 2;
    const i = Math.floor(at / inputs);
    let size = 0;
    for (let j = 0; j < rank; j++) {
      const a = values[merged.codes[(outputs + j) * inputs + at % inputs]];
      size += Math.abs(b[i * rank + j] * columns[j] * rows[i] * a);
    }
    const isNext = Math.abs(ordinal(want, type) - ordinal(is, type)) === 1;
    assert(
      isNext || Math.abs(off) < 2 ** -8 * size,
      `row ${i}: ${values[is]}, not ${values[want]}`,
    );
  }
  const count = outputs * inputs;
  assertEquals(got.subarray(count), merged.codes.subarray(count), "A stays as it is");
  return { got, wrong: wrong / count, sum, squares, moved: moved / count };
}

for (const type of TYPES) {
  Deno.test(`updates of ${type} in packed f16 are the rule's but where a sum meets the threshold`, async () => {
    for (const shape of [...SHAPES, { outputs: 70, inputs: 200, rank: 64, wRow: 0 }]) {
      for (const tile of TILES) {
        const update = makeUpdate(shape, type, 0.1);
        const { got, wrong, moved } = await compare(update, type, 4, tile);
        assert(wrong <= 1e-3 * Math.max(1, moved), `${wrong} are wrong, where ${moved} are moved`);
        const again = makeUpdate(shape, type, 0.1);
        await runUpdate(again, "in place", 4, tile);
        assertEquals(await readCodes(again), got, "the same step gives the same bits");
      }
    }
  });

  Deno.test(`what packed f16 does to updates of ${type} has no side: changes arrive on average`, async () => {
    const shape = { outputs: 256, inputs: 512, rank: 64, wRow: 0 };
    // A fiftieth and a tenth of a code's step: less than a step of most codes; and B of one sign, of which sums grow.
    for (const size of [2e-4, 1e-3]) {
      for (const sign of [(v: number) => v, Math.abs]) {
        const update = makeUpdate(shape, type);
        const b = Float32Array.from(
          randomNormal(shape.outputs * shape.rank, 5),
          (v) => size * sign(v),
        );
        device.writeMatrix(update.part.b, b);
        let [sum, squares, wrong, moved] = [0, 0, 0, 0];
        for (const step of [1, 2, 3]) {
          const compared = await compare({ ...update, b }, type, step);
          update.merged.codes.set(compared.got);
          sum += compared.sum;
          squares += compared.squares;
          wrong += compared.wrong;
          moved += compared.moved;
        }
        // As codes that are off to either side by chance.
        assert(Math.abs(sum) < 4 * Math.sqrt(squares), `${sum} of squares ${squares}`);
        assert(wrong > 0 && wrong < 2e-3 * moved, `${wrong} are wrong of ${moved}`);
      }
    }
  });
}

for (const type of TYPES) {
  Deno.test(`over many steps packed f16 recovers what ${type} codes were before training, and nothing adds up`, async () => {
    const shape = { outputs: 70, inputs: 200, rank: 64, wRow: 0 };
    const length = shape.outputs * shape.rank;
    const update = makeUpdate(shape, type, 0);
    const { merged, frozen, part } = update;
    const delta = uploadMatrix(device, new Float32Array(length), shape.outputs, shape.rank).matrix;
    const take = async (b: Float32Array, change: Float32Array, step: number) => {
      device.writeMatrix(part.b, Float32Array.from(b));
      device.writeMatrix(delta, Float32Array.from(change));
      await runUpdate(update, { change: delta }, step, SMALL);
      oracle.updateStochastic(merged, b, change, 0.5, { key: KEY, step });
    };
    const steps = walk(length, 20, 2e-3);
    for (const [i, { b, change }] of steps.entries()) await take(b, change, i + 1);
    const values = FORMATS[type].codec.values();
    const count = frozen.length;
    let [wrong, moved] = [0, 0];
    const got = await readCodes(update);
    for (let at = 0; at < count; at++) {
      if (got[at] !== merged.codes[at]) wrong++;
      moved += Math.abs(values[merged.codes[at]] - values[frozen[at]]);
    }
    assert(moved > 0.5 * count, `moved by ${moved / count}`);
    // Of int8 as many after twenty steps as after one. Of e4m3 more, where codes that were lost are guessed otherwise.
    const share = type === "int8" ? 1.5e-3 : 6e-3;
    assert(
      wrong < share * Math.max(count, moved),
      `${wrong} of ${count} are wrong, ${moved} moved`,
    );
    // A step that changes nothing leaves every code; one back to B = 0 gives those before training.
    const last = steps.at(-1)!.b;
    await take(last, new Float32Array(length), 21);
    const still = (await readCodes(update)).filter((code, at) => code !== got[at]).length;
    await take(new Float32Array(length), last.map((v) => -v), 22);
    const returned = await readCodes(update);
    const lost = (codes: Uint8Array) => frozen.filter((code, at) => code !== codes[at]).length;
    // e4m3 loses codes where they came into larger steps, by the rule as well.
    const allowed = type === "int8" ? 0 : 1.1 * lost(merged.codes) + 5;
    assert(
      lost(returned) <= allowed,
      `${lost(returned)} are lost, ${lost(merged.codes)} by the rule`,
    );
    assert(still <= (type === "int8" ? 0 : 0.01 * count), `${still} of ${count} moved`);
  });
}

for (const type of TYPES) {
  Deno.test(`sums of ${type} in packed f16 stay in range, however large and different coefficients are`, async () => {
    const shape = { outputs: 40, inputs: 100, rank: 64, wRow: 0 };
    const { rank } = shape;
    const largest = type === "int8" ? 127 : 0x7e;
    for (const size of [1e-4, 2 ** -90, 2 ** 90]) {
      const update = makeUpdate(shape, type);
      const { merged, part } = update;
      // A as large as can be, all of one sign in each column.
      const codes = merged.codes.slice();
      const [plus, minus] = [largest, type === "int8" ? 256 - largest : largest | 0x80];
      for (let at = shape.outputs * shape.inputs; at < codes.length; at++) {
        codes[at] = at % 3 === 0 ? minus : plus;
      }
      part.weight = uploadBytes(codes, shape.inputs, type);
      merged.codes.set(codes);
      // Rows that ask for nothing, for all alike, for one thing, and for what is far apart.
      const b = Float32Array.from({ length: shape.outputs * rank }, (_, at) => {
        const [i, j] = [Math.floor(at / rank), at % rank];
        const kind = i % 4;
        return kind === 0
          ? 0
          : kind === 1
          ? size
          : kind === 2
          ? (j === 7 ? -size : 0)
          : size * 2 ** (-2 * (j % 20));
      });
      device.writeMatrix(part.b, b);
      const { got } = await compare({ ...update, b }, type, 3);
      for (let i = 0; i < shape.outputs; i += 4) {
        const row = [i * shape.inputs, (i + 1) * shape.inputs] as const;
        const zero = (code: number) => type === "e4m3" && code === 0x80 ? 0 : code; // -0 + 0 is 0
        assertEquals(got.slice(...row).map(zero), codes.slice(...row).map(zero));
      }
    }
  });
}

/** Quiet NaNs: as hosts and most GPUs write them, and with all bits set, as NVIDIA's do. */
const NANS = [0x7fc00000, 0x7fffffff, 0xffffffff];

Deno.test("a NaN in the change makes its row of e4m3 NaN in packed f16, no other", async () => {
  for (const [nan, recovers] of NANS.flatMap((nan) => [[nan, false], [nan, true]] as const)) {
    const update = makeUpdate(SHAPES[0], "e4m3", 0);
    const { outputs, rank, inputs } = SHAPES[0];
    const b = new Float32Array(outputs * rank);
    new Uint32Array(b.buffer)[7 * rank + 5] = nan;
    device.writeMatrix(update.part.b, b);
    const { b: change } = update.part;
    await runUpdate(update, recovers ? { change } : "in place", 1, SMALL);
    const want = update.merged.codes.map((code, at) =>
      Math.floor(at / inputs) === 7 ? FP8_NAN : code
    );
    assertEquals(await readCodes(update, false), want, `${nan.toString(16)} ${recovers}`);
  }
});

Deno.test("a coefficient in packed f16 that is NaN, infinite or near it tells that the step is not finite", async () => {
  const infinite = [0x7f800000, 0xff800000, 0x71800000, 0xf1800001]; // and 2^100
  for (const type of TYPES) {
    for (const bits of [0, 0x717fffff, 1, 0x80000000, ...NANS, ...infinite]) {
      const { outputs, rank } = SHAPES[0];
      const { part } = makeUpdate(SHAPES[0], type, 0);
      part.rowFactors = uploadVector(device, new Float32Array(outputs).fill(1)).vector;
      part.columnFactors = uploadVector(device, new Float32Array(rank).fill(1)).vector;
      const b = new Float32Array(outputs * rank);
      new Uint32Array(b.buffer)[(outputs - 1) * rank + rank - 1] = bits;
      device.writeMatrix(part.b, b);
      using state = new StepState(device, { beta1: 0, beta2: 0 });
      const { results } = state;
      state.begin({ step: 1, learningRate: 0, targetCount: 1 });
      for (const base of ["in place", { change: part.b }] as const) {
        device.write(results, Uint32Array.of(1, 2, 3, 1)); // the last: finite
        const how = { part, base, selection: null, results, tile: SMALL };
        await runOnce(
          device,
          (program) => updateRows(program, { ...how, rounding: { key: KEY, state } }),
        );
        const got = [...new Uint32Array(await device.read(results))].slice(0, 4);
        const isFinite = (bits & 0x7fffffff) < 0x71800000;
        assertEquals(got, [1, 2, 3, Number(isFinite)], `${type} ${bits.toString(16)}`);
      }
    }
  }
});

Deno.test("packed f16 is chosen for a step of 16 to 64 directions alone, and refuses others", async () => {
  const usual = device.tuning;
  device.tuning = { ...usual, packedUpdate: true };
  using state = new StepState(device, { beta1: 0, beta2: 0 });
  const rounding = { key: KEY, state };
  const kernelOf = (rank: number, change: Partial<UpdateRowsOptions> = {}, rows = 70) => {
    const part = {
      weight: device.matrix(rows + rank, 20, "int8", "weight"),
      ...{ wRow: 0, aRow: rows, rows, rank },
      rowFactors: device.vector(rows, "f32", "row factors"),
      columnFactors: device.vector(rank, "f32", "column factors"),
      b: device.matrix(rows, rank, "f32", "b"),
    };
    return kernelsOf(async () => {
      using program = new Program(device);
      await updateRows(program, { part, base: "in place", selection: null, rounding, ...change });
    });
  };
  const expectKernel = async (name: string, ...of: Parameters<typeof kernelOf>) =>
    assertEquals([...(await kernelOf(...of)).keys()], [name]);
  const codes = device.matrix(70, 20, "int8", "base");
  const rows = device.vector(20, "u32", "selected rows");
  const selection = { rows, count: 20 };
  await expectKernel("falqon_update_half", 64);
  await expectKernel("falqon_update_half", 16);
  const change = device.matrix(70, 64, "f32", "change");
  await expectKernel("falqon_update_half", 64, { base: { change } });
  await expectKernel("falqon_update", 65);
  await expectKernel("falqon_update", 15);
  await expectKernel("falqon_update", 16, {}, 63);
  await expectKernel("falqon_update", 16, { rounding: undefined });
  await expectKernel("falqon_update", 16, { base: { codes, row: 0 } });
  await expectKernel("falqon_update", 16, { selection, rounding: undefined });
  device.tuning = usual;
  const message = "packed f16 writes all rows, in place and rounded stochastically, without change";
  const others = [{ rounding: undefined }, { base: { codes, row: 0 } }];
  for (const other of others) {
    await assertRejects(() => kernelOf(16, { ...other, tile: SMALL }), RangeError, message);
  }
  await assertRejects(() => kernelOf(65, { tile: SMALL }), RangeError, "ranks up to 64, not 65");
});
