import { assertEquals } from "@std/assert";
import { collectGarbage, GarbageCount } from "../src/garbage.ts";

/** A count with a clock that only its collections move, each by `takes` milliseconds. */
function counted(limit: number, takes: number) {
  const clock = { now: 0, collections: 0 };
  const collect = () => {
    clock.collections++;
    clock.now += takes;
  };
  return { clock, garbage: new GarbageCount(limit, collect, () => clock.now) };
}

function add(garbage: GarbageCount, count: number): void {
  for (let i = 0; i < count; i++) {
    garbage.add();
    garbage.collectIfDue();
  }
}

Deno.test("garbage is collected each time that so much of it is there", () => {
  const { clock, garbage } = counted(10, 0);
  add(garbage, 9);
  assertEquals(clock.collections, 0);
  add(garbage, 1);
  assertEquals(clock.collections, 1);
  add(garbage, 39);
  assertEquals(clock.collections, 4);
});

Deno.test("collections of a large heap take half a percent of the time at most", () => {
  const { clock, garbage } = counted(10, 50);
  add(garbage, 10);
  for (let ms = 0; ms < 100_000; ms++) {
    clock.now++;
    add(garbage, 10);
  }
  assertEquals(clock.collections, 1 + 10); // a pause of 10,000 ms after each
});

Deno.test("the runtime gives its collector, and no gc to the program", async () => {
  const object = new WeakRef({});
  await new Promise((resolve) => setTimeout(resolve, 0)); // a WeakRef holds its object until then
  collectGarbage();
  assertEquals(object.deref(), undefined);
  assertEquals("gc" in globalThis, false);
});
