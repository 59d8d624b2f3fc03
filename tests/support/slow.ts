/**
 * Tests that take many seconds and rarely break: `deno task test` leaves them out and says so, `deno task ok` and with it CI
 * run them.
 *
 * @module
 */

const SWITCH = "FALQON_SLOW_TESTS";
/** Whether slow tests run, and others may try more. */
export const runs: boolean = Deno.env.get(SWITCH) === "1";

/** A test that runs where the environment has `FALQON_SLOW_TESTS=1`. */
export function slowTest(name: string, fn: (test: Deno.TestContext) => void | Promise<void>): void {
  if (!runs) {
    console.log(`skipped, since it is slow (${SWITCH}=1 or deno task ok runs it): ${name}`);
  }
  Deno.test({ name, ignore: !runs, fn });
}
