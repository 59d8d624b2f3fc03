/** What a sweep of the update's tiles leaves out. */

import { assertEquals } from "@std/assert";
import { UPDATE_WAYS, updateTiles } from "../../bench/support/update_cases.ts";
import type { Device } from "../../src/gpu/device.ts";
import { openDryGpu, openDryTensorGpu } from "../support/dry_gpus.ts";

const SIZES = { tokens: 64, hidden: 64, ffn: 64, heads: 1, vocab: 64, rank: 64, layers: 1 };

/** The tiles to compare for each rule, in int8, with so much workgroup memory. */
function tilesByRule(gpu: Device, bytes: number, rank = SIZES.rank): Record<string, string[]> {
  const limits = { ...gpu.limits, maxComputeWorkgroupStorageSize: bytes };
  const device: Device = Object.create(gpu, { limits: { value: limits } });
  return Object.fromEntries(
    UPDATE_WAYS.filter(({ type }) => type === "int8").map((way) => [
      way.rule,
      updateTiles(device, { ...SIZES, rank }, way).map((tile) => Object.values(tile).join("/")),
    ]),
  );
}

Deno.test("a sweep of the update leaves out the tiles that workgroup memory has no room for", () => {
  const gpu = openDryTensorGpu();
  const all = [
    ...[
      "4/32/16",
      "4/32/8",
      "4/32/32",
      "4/32/64",
      "4/64/8",
      "2/32/2",
      "2/32/4",
      "2/32/8",
      "2/32/16",
    ],
    ...["2/64/16", "6/32/32", "8/32/16", "8/32/32", "64/128/16/8/8"],
  ];
  const but = (...left: string[]) => all.filter((tile) => !left.includes(tile));
  const few = but("4/64/8", "2/64/16", "6/32/32", "8/32/16", "8/32/32");
  // At rank 128, 8/32/32 takes 45,568 bytes, and with two sets of sums 46,080, of the 49,152 of an H200.
  for (
    const [bytes, rank, ofOne, ofTwo] of [
      [49152, 64, all, all],
      [46080, 128, all, all],
      [46079, 128, all, but("8/32/16", "8/32/32")],
      [45567, 128, but("8/32/16", "8/32/32"), but("8/32/16", "8/32/32")],
      [16384, 64, few, few],
    ] as [number, number, string[], string[]][]
  ) {
    const tiles = tilesByRule(gpu, bytes, rank);
    assertEquals(tiles, { nearest: ofOne, rounded: ofOne, stochastic: ofTwo }, `${bytes}, ${rank}`);
  }
});

Deno.test("a sweep without tensor cores is the same for every rule", () => {
  const { nearest, rounded, stochastic } = tilesByRule(openDryGpu(), 49152);
  assertEquals(nearest.length, 5);
  assertEquals([rounded, stochastic], [nearest, nearest]);
});
