/** A process that a supervisor starts, and that does what the file named first says for each time it is started. */

import { join } from "node:path";

/** What one process does. */
export interface FakeAttempt {
  /** Step of the last line of the log, which is written anew. */
  logged?: number;
  /** Steps of checkpoints that are there then. */
  checkpoints?: number[];
  /** How it ends. */
  end: number | Deno.Signal;
}

/** Name of the file with the order that each process got. */
export const ORDERS = "orders.jsonl";

if (import.meta.main) {
  const [file, output] = Deno.args;
  const folder = join(file, "..");
  const buffer = new Uint8Array(1000);
  const order = new TextDecoder().decode(buffer.subarray(0, Deno.stdin.readSync(buffer) ?? 0));
  await Deno.writeTextFile(join(folder, ORDERS), order, { append: true });
  const orders = await Deno.readTextFile(join(folder, ORDERS));
  const attempts: FakeAttempt[] = JSON.parse(await Deno.readTextFile(file));
  const { logged, checkpoints = [], end } = attempts[orders.trim().split("\n").length - 1];
  if (logged !== undefined) {
    const lines = Array.from({ length: logged }, (_, i) => `{"step":${i + 1},"loss":1}\n`);
    await Deno.writeTextFile(join(output, "new.tmp"), lines.join(""));
    await Deno.rename(join(output, "new.tmp"), join(output, "training_log.jsonl"));
  }
  for (const step of checkpoints) await Deno.mkdir(join(output, `checkpoint-${step}`));
  if (typeof end === "number") Deno.exit(end);
  // Rust takes the first SIGSEGV for a stack that has overflown, and lets only the next one be.
  for (;; await new Promise((resolve) => setTimeout(resolve, 10))) Deno.kill(Deno.pid, end);
}
