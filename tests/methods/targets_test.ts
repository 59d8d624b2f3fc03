/** The default rank of FALQON: as large as the smallest adapted weight allows. */

import { assertEquals, assertThrows } from "@std/assert";
import { OptionError } from "../../src/errors.ts";
import type { LinearSpec } from "../../src/layers/linear_spec.ts";
import { largestRank, parseTargets } from "../../src/methods/targets.ts";

/** A merged layer whose parts have these rows. */
function spec(inFeatures: number, parts: Record<string, number>): LinearSpec {
  let start = 0;
  return {
    name: "layer",
    inFeatures,
    width: 999,
    parts: Object.entries(parts).map(([kind, rows]) => {
      const part = { module: `model.${kind}`, kind, start, rows };
      start += rows;
      return part;
    }),
  };
}

Deno.test("the default rank is the shorter side of the smallest adapted weight, and no more than usual", () => {
  const linears = [spec(96, { q_proj: 96, k_proj: 33, v_proj: 33 }), spec(40, { o_proj: 96 })];
  const rank = (names?: string[], most = 64) => largestRank(parseTargets(names), linears, most);
  assertEquals(rank(), 33);
  assertEquals(rank(["q_proj"]), 64);
  assertEquals(rank(["o_proj"]), 40); // its columns
  assertEquals(rank(["q_proj", "o_proj"]), 40);
  assertEquals(rank(undefined, 16), 16);
  assertThrows(() => rank(["up_proj"]), OptionError, "up_proj");
  // Rows of the merged weight that no row of the tensor is at give no directions.
  const [first] = linears;
  first.parts[1].order = Uint32Array.from({ length: 30 }, (_, i) => i);
  assertEquals(rank(), 30);
});
