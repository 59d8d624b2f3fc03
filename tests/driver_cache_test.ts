import { assert, assertEquals } from "@std/assert";
import { requestDevice } from "../src/gpu/device.ts";
import { fillDriverCache, shareOut, workersFor } from "../src/gpu/driver_cache.ts";
import { Kernel } from "../src/gpu/kernel.ts";

const NVIDIA = "4318";

Deno.test("workersFor: only where a driver keeps kernels, there are many, and processors for them", () => {
  assertEquals(workersFor(1_000_000, NVIDIA, 16), 6);
  assertEquals(workersFor(1_000_000, NVIDIA, 4), 2);
  assertEquals(workersFor(200_000, NVIDIA, 16), 4);
  assertEquals(workersFor(100_000, NVIDIA, 16), 0);
  assertEquals(workersFor(1_000_000, "65541", 16), 0);
  assertEquals(workersFor(1_000_000, NVIDIA, 1), 0);
});

Deno.test("shareOut: deals every item once, in shares of about the same size", () => {
  const items = [50, 50, 50, 12, 11, 6, 5, 4, 2, 1];
  const shares = shareOut(items, 3, (item) => item);
  const ascending = (a: number, b: number) => a - b;
  assertEquals(shares.flat().sort(ascending), items.toSorted(ascending));
  const sums = shares.map((share) => share.reduce((sum, item) => sum + item, 0));
  assert(Math.max(...sums) - Math.min(...sums) <= 6, sums.join());
  assertEquals(shareOut([], 2, () => 1), [[], []]);
});

Deno.test("fillDriverCache: workers compile on devices of their own, and keep a failure to themselves", async () => {
  using device = await requestDevice();
  const good = device.kernel("sum", { THREADS: 64 });
  // Padded, so that it is worth workers.
  const bad = new Kernel(device.gpu, "bad", `fn broken( // ${" ".repeat(400_000)}`);
  await fillDriverCache([good, bad], {}, NVIDIA, 4);
  assert(!good.isRequested);
  await device.compile([good]);
  assert(good.isRequested);
});
