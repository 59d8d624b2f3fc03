import { assert, assertEquals, assertThrows } from "@std/assert";
import { rowsOf } from "../../../src/gpu/buffers.ts";
import { Program } from "../../../src/gpu/program.ts";
import {
  deltaRule,
  deltaRuleBackward,
  stateCols,
  stateRows,
} from "../../../src/kernels/delta_net/rule.ts";
import { channelsOf, type DeltaHeads } from "../../../src/kernels/delta_net/shapes.ts";
import { joinColumns, splitColumns } from "../../oracle/columns.ts";
import { relativeError } from "../../oracle/compare.ts";
import {
  deltaRule as reference,
  deltaRuleBackward as referenceBackward,
  l2Norm,
} from "../../oracle/delta_net.ts";
import { device } from "../../support/device.ts";
import { packLengths } from "../../support/documents.ts";
import { filled, paddingOf, runOnce, uploadMatrix } from "../../support/gpu.ts";
import { randomValues } from "../../support/random.ts";

interface Case extends DeltaHeads {
  /** The lengths of documents. */
  lengths: number[];
  /** What logs of decays are about. Default 0.3. */
  decay?: number;
}

/**
 * One token; sizes that are no multiples of four, and more than a workgroup has columns or threads; several value
 * heads for a key; documents that begin and end at the ends of chunks, inside, and that go over many.
 */
const CASES: Case[] = [
  { keyHeads: 1, keyDim: 1, valueHeads: 1, valueDim: 1, lengths: [1] },
  { keyHeads: 2, keyDim: 8, valueHeads: 4, valueDim: 12, lengths: [7, 1, 32, 60] },
  { keyHeads: 1, keyDim: 19, valueHeads: 3, valueDim: 37, lengths: [32, 31, 1, 3], decay: 0.02 },
  { keyHeads: 2, keyDim: 130, valueHeads: 2, valueDim: 5, lengths: [45] },
  { keyHeads: 1, keyDim: 16, valueHeads: 1, valueDim: 65, lengths: [96, 2], decay: 12 },
  { keyHeads: 1, keyDim: 140, valueHeads: 2, valueDim: 20, lengths: [70, 5], decay: 9 },
];

/** Random operands, on the host and on the GPU. */
function operandsOf(given: Case) {
  const { keyHeads, keyDim, valueHeads, valueDim, lengths, decay = 0.3 } = given;
  const tokens = lengths.reduce((a, b) => a + b);
  const random = (cols: number, seed: number) =>
    Float64Array.from(randomValues(tokens * cols, seed));
  const q = l2Norm(random(keyHeads * keyDim, 1), keyDim, keyDim ** -0.5);
  const k = l2Norm(random(keyHeads * keyDim, 2), keyDim);
  const v = random(valueHeads * valueDim, 3);
  const logDecay = random(valueHeads, 4).map((x) => -decay * Math.abs(x));
  const beta = random(valueHeads, 5).map((x) => 1 / (1 + Math.exp(-2 * x)));
  const upload = (blocks: Float64Array[]) =>
    uploadMatrix(
      device,
      Float32Array.from(joinColumns(blocks, tokens)),
      tokens,
      blocks.reduce((sum, block) => sum + block.length / tokens, 0),
    );
  const [qkv, gates] = [upload([q, k, v]), upload([logDecay, beta])];
  const widths = [keyHeads * keyDim, keyHeads * keyDim, valueHeads * valueDim];
  const [q32, k32, v32] = splitColumns(qkv.exact, widths);
  const [g32, beta32] = splitColumns(gates.exact, [valueHeads, valueHeads]);
  const { starts, documents } = packLengths(device, lengths);
  const values = valueHeads * valueDim;
  return {
    tokens,
    widths,
    documents,
    shape: { keyHeads, keyDim, valueHeads, valueDim, documentStart: starts },
    inputs: { q: q32, k: k32, v: v32, logDecay: g32, beta: beta32 },
    operands: {
      heads: { keyHeads, keyDim, valueHeads, valueDim },
      qkv: qkv.matrix,
      gates: gates.matrix,
    },
    output: device.matrix(tokens, values, "f32", "output"),
    dOutput: uploadMatrix(device, randomValues(tokens * values, 6), tokens, values),
  };
}

Deno.test("deltaRule and its gradients agree with the oracle on odd shapes and packed documents", async () => {
  for (const given of CASES) {
    const { tokens, widths, documents, shape, inputs, operands, output, dOutput } = operandsOf(
      given,
    );
    const { valueHeads } = given;
    const dQkv = device.matrix(tokens, operands.qkv.cols, "f32", "gradient");
    const dGates = device.matrix(tokens, 2 * valueHeads, "f32", "gradient of gates");
    await runOnce(device, (program) => {
      deltaRule(program, { ...operands, from: { documents }, output });
      deltaRuleBackward(program, {
        ...operands,
        documents,
        dOutput: dOutput.matrix,
        dQkv,
        dGates,
      });
    });
    const want = reference(inputs, shape);
    const gradient = referenceBackward(dOutput.exact, inputs, want, shape);
    const got = splitColumns(Float64Array.from(await device.readMatrix(dQkv)), widths);
    const [dLog, dBeta] = splitColumns(
      Float64Array.from(await device.readMatrix(dGates)),
      [valueHeads, valueHeads],
    );
    const checks: [string, ArrayLike<number>, Float64Array][] = [
      ["output", await device.readMatrix(output), want.out],
      ["dq", got[0], gradient.q],
      ["dk", got[1], gradient.k],
      ["dv", got[2], gradient.v],
      ["d log decay", dLog, gradient.logDecay],
      ["d beta", dBeta, gradient.beta],
    ];
    for (const [name, values, wanted] of checks) {
      if (wanted.every((value) => value === 0)) {
        assert(Array.from(values).every((value) => Math.abs(value) < 1e-6), name);
        continue;
      }
      const error = relativeError(values, wanted);
      assert(error < 3e-6, `${name} of ${JSON.stringify(given)}: error ${error}`);
    }
    assertEquals([await paddingOf(device, output), await paddingOf(device, dQkv)], [0, 0]);
  }
});

Deno.test("deltaRule that carries states gives the bits of one that sees all tokens", async () => {
  for (const given of CASES) {
    const { operands, documents, output, tokens } = operandsOf({
      ...given,
      lengths: [given.lengths.reduce((a, b) => a + b)],
    });
    const { heads, qkv, gates } = operands;
    const states = device.matrix(stateRows(heads), stateCols(heads), "f32", "states");
    const carried = filled(device, tokens, output.cols, 7);
    const first = Math.floor(tokens / 2);
    await runOnce(device, (program) => {
      deltaRule(program, { ...operands, from: { documents }, output });
      // A matrix begins at 256 bytes, so rows are copied to be the first.
      const [rows, gateRows, out] = [qkv, gates, output].map((like) =>
        device.matrix(1, like.cols, "f32", "one token")
      );
      const begin = { ...operands, qkv: rowsOf(qkv, 0, first), gates: rowsOf(gates, 0, first) };
      deltaRule(program, { ...begin, from: { states }, output: rowsOf(carried, 0, first) });
      for (let t = first; t < tokens; t++) {
        program.copy(rowsOf(qkv, t, 1), rows);
        program.copy(rowsOf(gates, t, 1), gateRows);
        deltaRule(program, { heads, qkv: rows, gates: gateRows, from: { states }, output: out });
        program.copy(out, rowsOf(carried, t, 1));
      }
    });
    assertEquals(await device.readMatrix(carried), await device.readMatrix(output));
  }
});

Deno.test("deltaRule gives a document the same bits alone as among others", async () => {
  const given = { keyHeads: 1, keyDim: 16, valueHeads: 2, valueDim: 16 };
  const { operands, documents, output } = operandsOf({ ...given, lengths: [40, 24, 9] });
  const { heads, qkv, gates } = operands;
  const alone = device.matrix(24, output.cols, "f32", "alone");
  const [own, ownGates] = [qkv, gates].map((like) => device.matrix(24, like.cols, "f32", "own"));
  const single = packLengths(device, [24]).documents;
  await runOnce(device, (program) => {
    deltaRule(program, { ...operands, from: { documents }, output });
    program.copy(rowsOf(qkv, 40, 24), own);
    program.copy(rowsOf(gates, 40, 24), ownGates);
    deltaRule(program, {
      heads,
      qkv: own,
      gates: ownGates,
      from: { documents: single },
      output: alone,
    });
  });
  const all = await device.readMatrix(output);
  assertEquals(await device.readMatrix(alone), all.slice(40 * output.cols, 64 * output.cols));
});

Deno.test("the gradients of heads in several calls, where not all states fit, are the same bits", async () => {
  const given = { keyHeads: 2, keyDim: 130, valueHeads: 4, valueDim: 5, lengths: [45] };
  const { operands, documents, dOutput } = operandsOf(given);
  const { bindingLimit } = device;
  const results: Float32Array[][] = [];
  // The states of a head take 11,520 bytes.
  for (const limit of [bindingLimit, 4 * 11_520 - 1]) {
    const [dQkv, dGates] = [operands.qkv, operands.gates].map(({ rows, cols }) =>
      device.matrix(rows, cols, "f32", "gradient")
    );
    device.bindingLimit = limit;
    try {
      const io = { ...operands, documents, dOutput: dOutput.matrix, dQkv, dGates };
      using program = new Program(device);
      deltaRuleBackward(program, io);
      assertEquals(program.dispatches, results.length === 0 ? 4 : 8);
      await runOnce(device, (program) => deltaRuleBackward(program, io));
    } finally {
      device.bindingLimit = bindingLimit;
    }
    results.push([await device.readMatrix(dQkv), await device.readMatrix(dGates)]);
  }
  assertEquals(results[1], results[0]);
});

Deno.test("deltaRule of no tokens records nothing", () => {
  const heads = { keyHeads: 1, keyDim: 8, valueHeads: 1, valueDim: 8 };
  const matrix = (cols: number) => device.matrix(0, cols, "f32", "empty");
  const { documents } = packLengths(device, []);
  const [qkv, gates, output] = [matrix(channelsOf(heads)), matrix(2), matrix(8)];
  using program = new Program(device);
  deltaRule(program, { heads, qkv, gates, from: { documents }, output });
  deltaRuleBackward(program, {
    ...{ heads, qkv, gates, documents, dOutput: output, dQkv: qkv, dGates: gates },
  });
  assertEquals(program.dispatches, 0);
});

Deno.test("deltaRule refuses operands that do not fit", () => {
  const heads = { keyHeads: 2, keyDim: 8, valueHeads: 4, valueDim: 12 };
  const matrix = (cols: number, rows = 3) => device.matrix(rows, cols, "f32", "operand");
  const { documents } = packLengths(device, [3]);
  const good = {
    heads,
    qkv: matrix(80),
    gates: matrix(8),
    from: { documents },
    output: matrix(48),
  };
  using program = new Program(device);
  const refuses = (bad: Partial<typeof good>, message: string) =>
    assertThrows(() => deltaRule(program, { ...good, ...bad }), RangeError, message);
  refuses({ qkv: matrix(79) }, "deltaRule: qkv is 3×79");
  refuses({ gates: matrix(7) }, "deltaRule: gates is 3×7");
  refuses({ output: matrix(47) }, "deltaRule: output is 3×47");
  refuses(
    { heads: { ...heads, valueHeads: 3 } },
    "valueHeads is 3, not a multiple of keyHeads (2)",
  );
  refuses({ heads: { ...heads, keyDim: 257 } }, "keyDim is 257");
  refuses({ from: { documents: { ...documents, size: 16 } } }, "documents has 16 bytes");
});
