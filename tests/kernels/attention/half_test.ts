/** The kernels of attention in packed half-precision arithmetic, which a GPU without tensor cores gets for f16. */

import { assert, assertEquals } from "@std/assert";
import {
  attentionHalfBackward,
  attentionHalfForward,
  HALF_TILE,
  type HalfTile,
  suitsHalfAttention,
} from "../../../src/kernels/attention/half.ts";
import {
  type AttentionCase,
  type AttentionRecorders,
  runAttention,
} from "../../support/attention.ts";
import { device } from "../../support/device.ts";

/**
 * 64 products are added in f16: 7e-4 of a product's size. P and dS are rounded to f16 besides, and dS is a difference.
 */
const TOLERANCE = 1.5e-1;

function withTile(tile: HalfTile): AttentionRecorders {
  return {
    forward: (program, options) => attentionHalfForward(program, options, tile),
    backward: (program, options) => attentionHalfBackward(program, options, tile),
  };
}

/** Heads with and without dims that fill no run of 32; lengths that leave rows and columns of tiles over. */
const CASES: AttentionCase[] = [
  { headDim: 80, heads: 1, kvHeads: 1, lengths: [2] },
  { headDim: 80, heads: 5, kvHeads: 3, lengths: [65, 1, 9] }, // groups of 2, 2 and 1 heads
  { headDim: 96, heads: 3, kvHeads: 2, lengths: [40, 1, 29, 1, 1, 1, 60] },
  { headDim: 112, heads: 2, kvHeads: 1, lengths: [17, 80] },
  { headDim: 128, heads: 1, kvHeads: 1, lengths: [64, 64] },
  { headDim: 128, heads: 2, kvHeads: 1, lengths: [3, 197] },
];

async function expectRight(
  shape: AttentionCase,
  tile: HalfTile = HALF_TILE,
  tolerance = TOLERANCE,
): Promise<void> {
  const name = JSON.stringify({ ...shape, ...tile });
  const given = { gap: 8, qkvType: "f16", ...shape } as const;
  const { errors, padding, foreignColumn } = await runAttention(device, given, withTile(tile));
  console.log(name, errors);
  for (const [output, error] of Object.entries(errors)) {
    assert(error < tolerance, `${output} of ${name}: error ${error}`);
  }
  assertEquals(padding, 0, name);
  assert(foreignColumn.every(Number.isNaN), `${name} wrote to a column of no head`);
}

Deno.test("attention in packed f16 and its gradients agree with the oracle", async () => {
  for (const shape of CASES) await expectRight({ ...shape, rotated: true });
});

Deno.test("X", async () => {
  for (const apart of [false, true]) {
    for (const productChain of [1, 2, 4] as const) {
      for (const combinationChain of [1, 2] as const) {
        if (apart && combinationChain === 2) continue;
        await expectRight(
          { headDim: 128, heads: 2, kvHeads: 1, lengths: [3, 197], rotated: true },
          { apart, productChain, combinationChain },
        );
      }
    }
  }
});
