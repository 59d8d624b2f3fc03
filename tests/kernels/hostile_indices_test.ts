/**
 * Values that no host would give for indices: kernels form no index out of range from them, whatever else they compute.
 * It matters on Dawn, where nothing checks indices; docs/DAWN.md has the table of bounds that is tested here. On any
 * device check_bounds.ts compares every index; guard_pages.ts sees what is written beside buffers by kernels that it cannot
 * change, on a GPU without checks.
 */

import { hostile, matrixOf, u32s } from "../support/hostile.ts";
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { columnsOf, type Vector } from "../../src/gpu/buffers.ts";
import { Kernel } from "../../src/gpu/kernel.ts";
import { Program } from "../../src/gpu/program.ts";
import { StepState } from "../../src/gpu/step_state.ts";
import { appendToCache, attentionDecode } from "../../src/kernels/attention/decode.ts";
import { qkNorm } from "../../src/kernels/attention/qk_norm.ts";
import { rope } from "../../src/kernels/attention/rope.ts";
import { uploadRopeFrequencies } from "../../src/kernels/attention/rope_angles.ts";
import { selectRows } from "../../src/kernels/falqon/selection.ts";
import { recordMetrics } from "../../src/kernels/optimizer/metrics.ts";
import { crossEntropy, crossEntropyLoss } from "../../src/kernels/rows/cross_entropy.ts";
import { embed, embedBackward } from "../../src/kernels/rows/embedding.ts";
import {
  dequantizeNf4,
  nf4Weight,
  quantizeNf4,
  uploadNf4Tables,
} from "../../src/kernels/rows/nf4.ts";
import * as attentionTwin from "../oracle/attention.ts";
import { relativeError } from "../oracle/compare.ts";
import { device } from "../support/device.ts";
import { filled, readVector, runOnce, uploadMatrix, uploadVector } from "../support/gpu.ts";
import { randomValues } from "../support/random.ts";
import { withChecks } from "../support/check_bounds.ts";

Deno.test("the checks see an index beyond a buffer and beyond an array of a workgroup, and the guard pages a write", async () => {
  const body = (statement: string) => `
    @group(0) @binding(0) var<storage, read_write> values: array<u32>;
    @group(0) @binding(1) var<storage, read> at: array<u32>;
    var<workgroup> tile: array<array<u32, 3>, 2 + 2>;
    @compute @workgroup_size(1) fn main() {
      ${statement}
    }`;
  const broken: Record<string, string> = {
    "values[at[0]] = 1u; // [": "values has the index 9 of 4",
    "values[at[at[1]]] = 1u;": "values has the index 9 of 4",
    "tile[at[0]][0] = 1u; values[0] = tile[0][0];": "tile has the index 9 of 4",
    "tile[3][min(at[0], 3u)] = 1u; values[0] = tile[0][0];": "tile[…] has the index 3 of 3",
    "values[0] = at[i32(at[1]) - 5];": "at has the index 4294967291 of 4",
  };
  const run = async (statement: string, values: Vector) => {
    const kernel = new Kernel(
      device.gpu,
      "broken",
      withChecks("broken", body(statement), "storage|workgroup"),
    );
    using program = new Program(device);
    program.dispatch(kernel, { values, at: u32s([9, 0, 0, 0]) }, {}, [1]);
    await program.prepare();
    program.run();
    await device.finish();
  };
  for (const [statement, finding] of Object.entries(broken)) {
    const values = device.vector(4, "u32", "values");
    const error = await assertRejects(() => run(statement, values), RangeError);
    assertStringIncludes(error.message, `broken: ${finding}`);
  }
  await run("values[at[1]] = tile[3][2];", device.vector(4, "u32", "values"));
  const view = device.vector(4, "u32", "guarded");
  device.gpu.queue.writeBuffer(view.buffer, view.offset + view.size + 8, new Uint32Array(1));
  await assertRejects(
    () => device.finish(),
    RangeError,
    'Something was written 8 bytes behind "guarded": 0',
  );
  device.gpu.queue.writeBuffer(
    view.buffer,
    view.offset + view.size + 8,
    Uint32Array.of(0x7fc17fc1),
  );
});

Deno.test("token ids: a table gives its last row, and no row has the gradient", async () => {
  const [vocab, width] = [37, 20];
  const ids = hostile(vocab);
  const vector = u32s(ids);
  const table = uploadMatrix(device, randomValues(vocab * width, 1), vocab, width);
  const dOutput = uploadMatrix(device, randomValues(ids.length * width, 2), ids.length, width);
  const [whole, split] = [0, 1].map(() => filled(device, ids.length, width, NaN));
  const dTable = filled(device, vocab, width, 0);
  await runOnce(device, (program) => {
    embed(program, { ids: vector, table: table.matrix, output: whole });
    embedBackward(program, { ids: vector, dOutput: dOutput.matrix, dTable });
    for (const [firstRow, rows] of [[0, 16], [16, 20], [36, 1]]) {
      const part = Float32Array.from(
        table.exact.slice(firstRow * width, (firstRow + rows) * width),
      );
      const slab = { firstRow, vocab };
      const { matrix } = uploadMatrix(device, part, rows, width);
      embed(program, { ids: vector, table: matrix, slab, output: split });
      const dSlab = filled(device, rows, width, 0);
      embedBackward(program, { ids: vector, dOutput: dOutput.matrix, dTable: dSlab, slab });
    }
  });
  const want = ids.flatMap((id) => {
    const row = Math.min(id, vocab - 1);
    return [...table.exact.slice(row * width, (row + 1) * width)];
  });
  assertEquals(await device.readMatrix(whole), Float32Array.from(want));
  assertEquals(await device.readMatrix(split), await device.readMatrix(whole));
  const gradient = new Float64Array(vocab * width);
  for (const [t, id] of ids.entries()) {
    if (id >= vocab) continue;
    for (let c = 0; c < width; c++) gradient[id * width + c] += dOutput.exact[t * width + c];
  }
  assert(relativeError(await device.readMatrix(dTable), gradient) < 1e-6);
});

Deno.test("targets: negative ones are no targets, those beyond the classes are the last", async () => {
  const vocab = 37;
  const targets = Int32Array.from(hostile(vocab));
  const rows = targets.length;
  const exact = randomValues(rows * vocab, 1, 3);
  using state = new StepState(device, { beta1: 0.9, beta2: 0.999 });
  state.begin({ step: 1, learningRate: 1, targetCount: 4 });
  const losses = [];
  for (const target of [targets, targets.map((t) => Math.min(t, vocab - 1))]) {
    const [logits, gradient] = [0, 1].map(() => uploadMatrix(device, exact, rows, vocab).matrix);
    const [first, second] = [0, 1].map(() => device.vector(rows, "f32", "losses"));
    const vector = uploadVector(device, target).vector;
    await runOnce(device, (program) => {
      crossEntropyLoss(program, { logits, targets: vector, rowLoss: first });
      crossEntropy(program, { logits: gradient, targets: vector, rowLoss: second, state });
    });
    assertEquals(await readVector(device, first), await readVector(device, second));
    losses.push([await readVector(device, first), await device.readMatrix(gradient)]);
  }
  assertEquals(losses[0], losses[1]);
  assert(losses[0][0].every((loss, i) => targets[i] < 0 ? loss === 0 : loss > 0));
});

Deno.test("positions: beyond a cache nothing is written, and angles only are computed from them", async () => {
  const [length, headDim, heads] = [9, 8, 2];
  const positions = [...hostile(length), 4];
  const [tokens, wide] = [positions.length, heads * headDim];
  const qkv = matrixOf(tokens, 3 * wide, 3);
  const view = u32s(positions);
  const [keyCache, valueCache] = [0, 1].map(() => filled(device, length, wide, 7));
  const k = columnsOf(qkv, wide, wide);
  const v = columnsOf(qkv, 2 * wide, wide);
  const frequencies = uploadRopeFrequencies(device, Float32Array.of(1, 0.5, 0.25, 0.125));
  const ones = device.vector(headDim, "f32", "weights");
  const output = filled(device, tokens, 3 * wide, NaN);
  const rstd = filled(device, tokens, 2 * heads, NaN);
  await runOnce(device, (program) => {
    appendToCache(program, { k, v, positions: view, keyCache, valueCache });
    const shape = { heads, kvHeads: heads, headDim };
    const rotation = { positions: view, frequencies };
    qkNorm(program, {
      ...{
        ...shape,
        over: "head" as const,
        eps: 1e-5,
        qWeight: ones,
        kWeight: ones,
        rotation,
        output,
        rstd,
      },
      ...{ q: columnsOf(qkv, 0, wide), k, v },
    });
    rope(program, { ...shape, qkv, ...rotation });
  });
  const cached = await device.readMatrix(keyCache);
  const given = randomValues(tokens * 3 * wide, 3);
  for (let row = 0; row < length; row++) {
    const token = positions.lastIndexOf(row);
    const want = token === -1 || positions.indexOf(row) !== token
      ? null
      : given.slice((3 * token + 1) * wide, (3 * token + 2) * wide);
    const got = cached.slice(row * wide, (row + 1) * wide);
    if (want) assertEquals(got, want);
    else assert(positions.includes(row) || got.every((value) => value === 7));
  }
});

Deno.test("cached lengths: those beyond the cache are its own, with a window and without", async () => {
  const [rows, headDim, heads] = [270, 8, 2];
  const wide = heads * headDim;
  const values = randomValues((2 * rows + 1) * wide, 5);
  const part = (first: number, count: number) => values.slice(first * wide, (first + count) * wide);
  const caches = {
    keyCache: uploadMatrix(device, part(0, rows), rows, wide).matrix,
    valueCache: uploadMatrix(device, part(rows, rows), rows, wide).matrix,
  };
  const { matrix } = uploadMatrix(device, part(2 * rows, 1), 1, wide);
  const length = u32s([0]);
  for (const window of [null, 5]) {
    const output = filled(device, 1, wide, NaN);
    using program = new Program(device);
    const shape = { heads, kvHeads: heads, headDim };
    attentionDecode(program, { ...shape, q: columnsOf(matrix), ...caches, length, window, output });
    await program.prepare();
    for (const given of hostile(rows)) {
      device.write(length, Uint32Array.of(given));
      program.run();
      const got = await device.readMatrix(output);
      if (given === 0) continue; // the mean of nothing
      const known = Math.min(given, rows);
      const { out } = attentionTwin.attention(
        Float64Array.from([...new Float64Array((known - 1) * wide), ...part(2 * rows, 1)]),
        Float64Array.from(part(0, known)),
        Float64Array.from(part(rows, known)),
        {
          ...{ numHeads: heads, numKeyValueHeads: heads, headDim },
          documentStart: Array.from(
            { length: known },
            (_, t) => Math.max(0, t + 1 - (window ?? known)),
          ),
        },
      );
      const error = relativeError(got, out.slice((known - 1) * wide));
      assert(error < 2e-6, `length ${given}, window ${window}: error ${error}`);
    }
    await device.finish();
  }
});

Deno.test("scores of rows: whatever they are, the rows that are chosen exist", async () => {
  const [rows, count] = [150, 40];
  const kinds: ((i: number) => number)[] = [
    () => NaN,
    () => Infinity,
    () => -1,
    () => -Infinity,
    () => 0,
  ];
  kinds.push((i) => i % 3 === 0 ? NaN : i % 3 === 1 ? -5 : i);
  for (const kind of kinds) {
    const scores = uploadVector(
      device,
      Float32Array.from({ length: rows }, (_, i) => kind(i)),
    ).vector;
    const selection = { rows: device.vector(count, "u32", "selected"), count };
    await runOnce(device, (program) => selectRows(program, scores, selection));
    const got = new Uint32Array(await device.read(selection.rows));
    assert(got.every((row) => row < rows), `${[...got]}`);
  }
});

Deno.test("codes of NF4: all of them are in the tables, and all values have one", async () => {
  const [rows, cols] = [16, 512];
  const weight = nf4Weight(device, rows, cols, "weight");
  const tables = uploadNf4Tables(device);
  for (const view of Object.values(weight)) {
    if (typeof view !== "object" || !("buffer" in view)) continue;
    device.write(view, Uint8Array.from({ length: view.size }, (_, i) => i * 37));
  }
  const out = device.matrix(rows, cols, "f16", "out");
  await runOnce(device, (program) => dequantizeNf4(program, { weight, out, tables }));
  const values = [NaN, Infinity, -Infinity, 3e38, -0, 1e-45];
  const input = Float32Array.from({ length: rows * cols }, (_, i) => values[i % values.length]);
  const given = uploadMatrix(device, input, rows, cols).matrix;
  await runOnce(device, (program) => {
    quantizeNf4(program, { input: given, weight, tables });
    dequantizeNf4(program, { weight, out, tables });
  });
});

Deno.test("step numbers: the ring of metrics takes any", async () => {
  using state = new StepState(device, { beta1: 0.9, beta2: 0.999 });
  using program = new Program(device);
  recordMetrics(program, state);
  await program.prepare();
  for (const step of hostile(1024)) {
    device.write(state.inputs, Uint32Array.of(step));
    program.run();
    await device.finish();
  }
});
