import { assertEquals, assertThrows } from "@std/assert";
import { type Matrix, rowsOf } from "../../../src/gpu/buffers.ts";
import { Program } from "../../../src/gpu/program.ts";
import {
  deltaConv,
  deltaConvBackward,
  historyRows,
  moveConvHistory,
} from "../../../src/kernels/delta_net/conv.ts";
import { gatedNorm, gatedNormBackward } from "../../../src/kernels/delta_net/gated_norm.ts";
import {
  deltaGates,
  deltaGatesBackward,
  normQueriesAndKeys,
  normQueriesAndKeysBackward,
} from "../../../src/kernels/delta_net/inputs.ts";
import { channelsOf, keyColumns, valueColumns } from "../../../src/kernels/delta_net/shapes.ts";
import { joinColumns, splitColumns } from "../../oracle/columns.ts";
import * as reference from "../../oracle/delta_net.ts";
import { check, DELTA_NET_CASES, mergedOf } from "../../support/delta_net_cases.ts";
import { device } from "../../support/device.ts";
import { packLengths } from "../../support/documents.ts";
import { paddingOf, readVector, runOnce, uploadMatrix, uploadVector } from "../../support/gpu.ts";
import { randomValues } from "../../support/random.ts";

Deno.test("deltaConv and its gradients agree with the oracle on odd shapes and packed documents", async () => {
  for (const given of DELTA_NET_CASES) {
    const { heads, width } = given;
    const { tokens, places, columns, matrix, exact, dMerged, part, starts, documents } = mergedOf(
      given,
    );
    const channels = channelsOf(heads);
    const weight = uploadVector(device, randomValues(channels * width, 2));
    const before = uploadVector(device, randomValues(channels * width, 3));
    const output =
      uploadMatrix(device, randomValues(tokens * channels, 4), tokens, channels).matrix;
    const d = uploadMatrix(device, randomValues(tokens * channels, 5), tokens, channels);
    const operands = { heads, width, merged: matrix, columns, weight: weight.vector };
    await runOnce(device, (program) => {
      deltaConv(program, { ...operands, before: { documents }, output });
      const dWeight = before.vector;
      deltaConvBackward(program, { ...operands, documents, d: d.matrix, dMerged, dWeight });
    });
    const x = joinColumns(places.slice(0, 3).map((place) => part(exact, place)), tokens);
    const shape = { channels, width, documentStart: starts };
    const { dx, dWeight } = reference.causalConvBackward(d.exact, x, weight.exact, shape);
    const got = await device.readMatrix(dMerged);
    check({
      output: [await device.readMatrix(output), reference.causalConv(x, weight.exact, shape)],
      dx: [joinColumns(places.slice(0, 3).map((place) => part(got, place)), tokens), dx],
      dWeight: [
        await readVector(device, before.vector),
        dWeight.map((w, i) => w + before.exact[i]),
      ],
    }, given);
    assertEquals(await paddingOf(device, output), 0);
  }
});

Deno.test("deltaConv with a history gives the bits of one that sees all tokens", async () => {
  for (const given of DELTA_NET_CASES) {
    const { heads, width } = given;
    const lengths = [given.lengths.reduce((a, b) => a + b)];
    const { tokens, columns, matrix, documents } = mergedOf({ ...given, lengths });
    const channels = channelsOf(heads);
    const weight = uploadVector(device, randomValues(channels * width, 2)).vector;
    const make = (rows: number, cols = channels) => device.matrix(rows, cols, "f32", "matrix");
    const [output, pieces, history] = [make(tokens), make(tokens), make(historyRows(width))];
    const operands = { heads, width, columns, weight };
    await runOnce(device, (program) => {
      deltaConv(program, { ...operands, merged: matrix, before: { documents }, output });
      // Pieces of one token, then of more than the history has.
      for (let first = 0; first < tokens;) {
        const count = Math.min(first === 0 ? 1 : 1 + first % 7, tokens - first);
        const [merged, piece] = [make(count, matrix.cols), make(count)];
        program.copy(rowsOf(matrix, first, count), merged);
        deltaConv(program, { ...operands, merged, before: { history }, output: piece });
        moveConvHistory(program, { ...operands, merged, history });
        program.copy(piece, rowsOf(pieces, first, count));
        first += count;
      }
    });
    assertEquals(await device.readMatrix(pieces), await device.readMatrix(output));
  }
});

Deno.test("queries and keys divided by their norms, and the gradients, agree with the oracle", async () => {
  for (const given of DELTA_NET_CASES) {
    const { heads, lengths } = given;
    const tokens = lengths.reduce((a, b) => a + b);
    const { keyDim, keyHeads } = heads;
    const channels = channelsOf(heads);
    const widths = [keyColumns(heads), keyColumns(heads), valueColumns(heads)];
    const raw = uploadMatrix(device, randomValues(tokens * channels, 1), tokens, channels);
    const d = uploadMatrix(device, randomValues(tokens * channels, 2), tokens, channels);
    const rstd = device.matrix(tokens, 2 * keyHeads, "f32", "rstd");
    const operands = { heads, qkv: raw.matrix, rstd };
    await runOnce(device, (program) => {
      normQueriesAndKeys(program, operands);
      normQueriesAndKeysBackward(program, { ...operands, dQkv: d.matrix });
    });
    const [q, k, v] = splitColumns(raw.exact, widths);
    const [dq, dk, dv] = splitColumns(d.exact, widths);
    const read = async (matrix: Matrix) =>
      splitColumns(Float64Array.from(await device.readMatrix(matrix)), widths);
    const [got, gradient] = [await read(raw.matrix), await read(d.matrix)];
    const scale = keyDim ** -0.5;
    check({
      q: [got[0], reference.l2Norm(q, keyDim, scale)],
      k: [got[1], reference.l2Norm(k, keyDim)],
      v: [got[2], v],
      dv: [gradient[2], dv],
    }, given);
    if (keyDim === 1) continue; // the gradient is what the epsilon leaves
    check({
      dq: [gradient[0], reference.l2NormBackward(dq, q, keyDim, scale)],
      dk: [gradient[1], reference.l2NormBackward(dk, k, keyDim)],
    }, given);
  }
});

Deno.test("deltaGates and their gradients agree with the oracle, large inputs included", async () => {
  for (const given of DELTA_NET_CASES) {
    const { valueHeads: heads } = given.heads;
    const { tokens, places, columns, matrix, exact, dMerged, part } = mergedOf(given);
    const [, , , , b, a] = places;
    const aLog = uploadVector(device, randomValues(heads, 2, 2));
    const dtBias = uploadVector(device, randomValues(heads, 3, 30));
    const gates = device.matrix(tokens, 2 * heads, "f32", "gates");
    const dGates = uploadMatrix(device, randomValues(tokens * 2 * heads, 4), tokens, 2 * heads);
    const before = [5, 6].map((seed) => uploadMatrix(device, randomValues(heads, seed), 1, heads));
    const [dALog, dDtBias] = before.map(({ matrix }) => matrix);
    const operands = {
      ...{ heads, merged: matrix, columns, aLog: aLog.vector, dtBias: dtBias.vector, gates },
    };
    await runOnce(device, (program) => {
      deltaGates(program, operands);
      const parameters = { dALog, dDtBias };
      deltaGatesBackward(program, { ...operands, dGates: dGates.matrix, dMerged, parameters });
    });
    const inputs = [part(exact, a), part(exact, b), aLog.exact, dtBias.exact] as const;
    const { logDecay, beta } = reference.deltaGates(...inputs);
    const [dLog, dBeta] = splitColumns(dGates.exact, [heads, heads]);
    const want = reference.deltaGatesBackward({ logDecay: dLog, beta: dBeta }, ...inputs);
    const got = await device.readMatrix(dMerged);
    const sum = (d: Float64Array, i: number) => d.map((value, h) => value + before[i].exact[h]);
    check({
      gates: [await device.readMatrix(gates), joinColumns([logDecay, beta], tokens)],
      da: [part(got, a), want.da],
      db: [part(got, b), want.db],
      dALog: [await device.readMatrix(dALog), sum(want.dALog, 0)],
      dDtBias: [await device.readMatrix(dDtBias), sum(want.dDtBias, 1)],
    }, given);
  }
});

Deno.test("deltaGates make no numbers of NaN, and none of NaN of numbers", async () => {
  const bits = [0x7fc00000, 0x7fffffff, 0xffffffff, 0x42f00000, 0xc2f00000, 0xff7fffff]; // then ±120, the least
  const heads = bits.length;
  const values = new Float32Array(Uint32Array.from([...bits, ...bits]).buffer);
  const columns = { a: 0, b: heads };
  const { matrix: merged } = uploadMatrix(device, values, 1, 2 * heads);
  const [aLog, dtBias] = [0, 1].map(() => uploadVector(device, new Float32Array(heads)).vector);
  const gates = device.matrix(1, 2 * heads, "f32", "gates");
  await runOnce(
    device,
    (program) => deltaGates(program, { heads, merged, columns, aLog, dtBias, gates }),
  );
  const got = [...await device.readMatrix(gates)].map((value) => Math.round(value));
  assertEquals(got, [NaN, NaN, NaN, -120, -0, -0, NaN, NaN, NaN, 1, 0, 0]);
});

Deno.test("gatedNorm and its gradients agree with the oracle on odd shapes", async () => {
  for (const given of DELTA_NET_CASES) {
    const { valueHeads: heads, valueDim } = given.heads;
    const { tokens, places, columns, matrix, exact, dMerged, part } = mergedOf(given);
    const cols = heads * valueDim;
    const upload = (seed: number) =>
      uploadMatrix(device, randomValues(tokens * cols, seed), tokens, cols);
    const [input, dOutput, output, dInput] = [2, 3, 4, 5].map(upload);
    const [weight, before] = [6, 7].map((seed) =>
      uploadVector(device, randomValues(valueDim, seed))
    );
    const eps = 0.05;
    const operands = {
      ...{
        heads,
        input: input.matrix,
        merged: matrix,
        zColumn: columns.z,
        weight: weight.vector,
        eps,
      },
    };
    await runOnce(device, (program) => {
      gatedNorm(program, { ...operands, output: output.matrix });
      gatedNormBackward(program, {
        ...operands,
        dOutput: dOutput.matrix,
        dInput: dInput.matrix,
        dMerged,
        dWeight: before.vector,
      });
    });
    const z = part(exact, places[3]);
    const want = reference.gatedNormBackward(dOutput.exact, input.exact, z, weight.exact, eps);
    check({
      output: [
        await device.readMatrix(output.matrix),
        reference.gatedNorm(input.exact, z, weight.exact, eps),
      ],
      dx: [await device.readMatrix(dInput.matrix), want.dx],
      dz: [part(await device.readMatrix(dMerged), places[3]), want.dz],
      dWeight: [
        await readVector(device, before.vector),
        want.dWeight.map((d, i) => d + before.exact[i]),
      ],
    }, given);
  }
});

Deno.test("the kernels of delta nets record nothing for no tokens", () => {
  const heads = { keyHeads: 1, keyDim: 8, valueHeads: 1, valueDim: 8 };
  const matrix = (cols: number) => device.matrix(0, cols, "f32", "empty");
  const vector = (length: number) => device.vector(length, "f32", "weights");
  const columns = { k: 16, v: 32, z: 48, b: 64, a: 80 };
  const { documents } = packLengths(device, []);
  const [merged, qkv, gates, values] = [matrix(96), matrix(24), matrix(2), matrix(8)];
  const conv = { heads, width: 4, merged, columns, weight: vector(96) };
  const rstd = matrix(2);
  const ofGates = { heads: 1, merged, columns, aLog: vector(1), dtBias: vector(1), gates };
  const norm = { heads: 1, input: values, merged, zColumn: 48, weight: vector(8), eps: 1 };
  using program = new Program(device);
  deltaConv(program, { ...conv, before: { documents }, output: qkv });
  deltaConvBackward(program, { ...conv, documents, d: qkv, dMerged: merged, dWeight: vector(96) });
  normQueriesAndKeys(program, { heads, qkv, rstd });
  normQueriesAndKeysBackward(program, { heads, qkv, rstd, dQkv: qkv });
  deltaGates(program, ofGates);
  deltaGatesBackward(program, { ...ofGates, dGates: gates, dMerged: merged, parameters: null });
  gatedNorm(program, { ...norm, output: values });
  const d = { dOutput: values, dInput: values, dMerged: merged, dWeight: null };
  gatedNormBackward(program, { ...norm, ...d });
  assertEquals(program.dispatches, 0);
});

Deno.test("the kernels of delta nets refuse operands that do not fit", () => {
  const heads = { keyHeads: 1, keyDim: 8, valueHeads: 1, valueDim: 8 };
  const matrix = (cols: number) => device.matrix(2, cols, "f32", "operand");
  const vector = (length: number) => device.vector(length, "f32", "weights");
  const columns = { k: 16, v: 32, z: 48, b: 64, a: 80 };
  const { documents } = packLengths(device, [2]);
  using program = new Program(device);
  const conv = {
    ...{ heads, width: 4, merged: matrix(96), columns, weight: vector(96) },
    ...{ before: { documents }, output: matrix(24) },
  };
  const refuses = (record: () => void, message: string) =>
    assertThrows(record, RangeError, message);
  refuses(() => deltaConv(program, { ...conv, merged: matrix(32) }), "32 columns, not 40 or more");
  refuses(
    () => deltaConv(program, { ...conv, weight: vector(72) }),
    "weight has 72 elements, not 96",
  );
  refuses(
    () => deltaConv(program, { ...conv, before: { history: matrix(24) } }),
    "history is 2×24 (pitch 32), not 3×24",
  );
  const gates = { heads: 1, merged: matrix(96), columns, aLog: vector(1), dtBias: vector(2) };
  refuses(
    () => deltaGates(program, { ...gates, gates: matrix(2) }),
    "dtBias has 2 elements, not 1",
  );
  const norm = { heads: 3, input: matrix(8), merged: matrix(96), zColumn: 48, weight: vector(8) };
  refuses(() => gatedNorm(program, { ...norm, eps: 1, output: matrix(8) }), "no 3 heads");
});
