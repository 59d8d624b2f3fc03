import { assertAlmostEquals, assertEquals, assertThrows } from "@std/assert";
import { OptionError } from "../../src/errors.ts";
import { learningRateSchedule, SCHEDULES } from "../../src/train/schedule.ts";

/** Factors of a schedule at steps 0, 1, … */
function factors(options: Parameters<typeof learningRateSchedule>[0], steps: number): number[] {
  return Array.from({ length: steps }, (_, step) => learningRateSchedule(options)(step));
}

Deno.test("schedules follow their closed forms", () => {
  assertEquals(factors({ schedule: "constant", warmupSteps: 4, totalSteps: 6 }, 8), [
    0,
    0.25,
    0.5,
    0.75,
    1,
    1,
    1,
    1,
  ]);
  assertEquals(factors({ schedule: "linear", totalSteps: 4 }, 6), [1, 0.75, 0.5, 0.25, 0, 0]);
  const cosine = factors({ schedule: "cosine", warmupSteps: 1, totalSteps: 7 }, 8);
  const want = [0, 1, 0.5 + Math.sqrt(3) / 4, 0.75, 0.5, 0.25, 0.5 - Math.sqrt(3) / 4, 0];
  cosine.forEach((factor, step) => assertAlmostEquals(factor, want[step], 1e-15));
});

Deno.test("every schedule warms up alike and survives a warm-up as long as the training", () => {
  for (const schedule of SCHEDULES) {
    const end = schedule === "constant" ? 1 : 0;
    assertEquals(factors({ schedule, warmupSteps: 2, totalSteps: 2 }, 3), [0, 0.5, end]);
    assertEquals(factors({ schedule, warmupSteps: 4, totalSteps: 2 }, 3), [0, 0.25, 0.5]);
    assertEquals(factors({ schedule, totalSteps: 10 }, 1), [1]);
  }
});

Deno.test("learningRateSchedule refuses unknown names and broken counts", () => {
  assertThrows(
    () => learningRateSchedule({ schedule: "square" as "linear", totalSteps: 5 }),
    OptionError,
    'Cannot use schedule "square": give one of constant, linear, cosine',
  );
  assertThrows(
    () => learningRateSchedule({ schedule: "linear", warmupSteps: -1, totalSteps: 5 }),
    OptionError,
    "Cannot use warmupSteps -1",
  );
  assertThrows(
    () => learningRateSchedule({ schedule: "linear", totalSteps: 2.5 }),
    OptionError,
    "Cannot use totalSteps 2.5",
  );
});
