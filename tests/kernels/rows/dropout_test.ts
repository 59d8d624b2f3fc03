import { assert, assertEquals } from "@std/assert";
import { Program } from "../../../src/gpu/program.ts";
import { countMicroBatch, dropout, DROPOUT_STATE } from "../../../src/kernels/rows/dropout.ts";
import { relativeError } from "../../oracle/compare.ts";
import { dropoutMask } from "../../oracle/dora.ts";
import { device } from "../../support/device.ts";
import { paddingOf, runOnce, uploadMatrix } from "../../support/gpu.ts";
import { randomValues } from "../../support/random.ts";

const [low, high] = [0xdeadbeef, 0x12345678];

function stateAt(micro: number) {
  const state = device.vector(DROPOUT_STATE, "u32", "state");
  device.write(state, Uint32Array.of(micro, low, high));
  return state;
}

Deno.test("dropout drops what its twin does, in every shape, and adds", async () => {
  for (const [rows, cols] of [[1, 1], [5, 7], [33, 16], [67, 361]]) {
    for (const accumulate of [false, true]) {
      const [rate, tensor, micro] = [0.3, 5, 2];
      const input = uploadMatrix(device, randomValues(rows * cols, 1), rows, cols);
      const out = uploadMatrix(device, randomValues(rows * cols, 2), rows, cols);
      const state = stateAt(micro);
      await runOnce(
        device,
        (program) =>
          dropout(program, {
            input: input.matrix,
            out: out.matrix,
            state,
            tensor,
            rate,
            accumulate,
          }),
      );
      const mask = dropoutMask({ micro, low, high, tensor, rate }, rows * cols);
      const want = input.exact.map((x, i) => mask[i] * x + (accumulate ? out.exact[i] : 0));
      const got = await device.readMatrix(out.matrix);
      assert(relativeError(got, want) < 1e-6 || want.every((x) => x === 0), `${rows}×${cols}`);
      assertEquals(got.map((x, i) => Number(x === 0 && want[i] !== 0)).indexOf(1), -1);
      assertEquals(await paddingOf(device, out.matrix), 0);
    }
  }
});

Deno.test("masks drop the share asked for, and differ by micro-batch and tensor", async () => {
  const count = 1e5;
  const of = (micro: number, tensor: number, rate: number) =>
    dropoutMask({ micro, low, high, tensor, rate }, count);
  for (const rate of [0.05, 0.5, 0.9]) {
    const dropped = of(1, 0, rate).filter((x) => x === 0).length / count;
    assert(Math.abs(dropped - rate) < 5 * Math.sqrt(rate * (1 - rate) / count), `${dropped}`);
  }
  const first = of(1, 0, 0.5);
  for (const other of [of(2, 0, 0.5), of(1, 1, 0.5)]) {
    const same = first.filter((x, i) => x === other[i]).length / count;
    assert(Math.abs(same - 0.5) < 0.01, `${same} of two masks are the same`);
  }
  const state = stateAt(4);
  await runOnce(device, (program) => {
    countMicroBatch(program, state);
    countMicroBatch(program, state);
  });
  assertEquals([...new Uint32Array(await device.read(state))].slice(0, 3), [6, low, high]);
  using program = new Program(device);
  const none = device.matrix(0, 5, "f32", "none");
  dropout(program, { input: none, out: none, state, tensor: 0, rate: 0.1 });
  assertEquals(program.dispatches, 0);
});
