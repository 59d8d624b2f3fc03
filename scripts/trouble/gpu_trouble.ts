/**
 * Two troubles of a real GPU, each in processes of their own:
 *
 *     deno run -A scripts/trouble/gpu_trouble.ts [--provider native|dawn] [--leave MIB]
 *     deno run -A scripts/trouble/gpu_trouble.ts --endless SECONDS [--provider native|dawn]
 *
 * The first takes the memory of the GPU, but for MIB of it (default 0), and starts commands beside it: each has to end
 * with exit code 1 and one sentence, or to work. The second runs a kernel that never ends and says what the driver made of
 * it: nothing, until the process is killed after SECONDS, or a lost device. Not for a GPU that others use.
 *
 * @module
 */

import { parseArgs } from "@std/cli/parse-args";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type Device, requestDevice } from "../../src/gpu/device.ts";
import { Kernel } from "../../src/gpu/kernel.ts";
import { Program } from "../../src/gpu/program.ts";
import { commandLine, deno, ROOT } from "./run.ts";

const flags = parseArgs(Deno.args, {
  string: ["provider", "leave", "endless", "inside"],
  default: { provider: "native", leave: "0" },
});
const provider = flags.provider as "native" | "dawn";
const MIB = 2 ** 20;
/** Smaller pieces come from the host's memory where a driver offers that, and there is much of it. */
const SMALLEST = 64 * MIB;

/** Takes pieces of memory, smaller ones as larger ones fail, until nothing is left. Closing the device gives them back. */
async function fill(): Promise<Device> {
  const device = await requestDevice({ provider });
  if (device.isFallback) throw new Error("A CPU's driver would take the memory of the machine");
  const { gpu } = device;
  const held: GPUBuffer[] = [];
  let bytes = 0;
  // Not `device.allocate`: a device that failed once refuses all that follows, and this one is to fail.
  for (let size = Math.min(1024 * MIB, device.bindingLimit); size >= SMALLEST;) {
    gpu.pushErrorScope("out-of-memory");
    const buffer = gpu.createBuffer({
      size,
      usage: GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST,
    });
    const error = await gpu.popErrorScope();
    if (error === null) {
      gpu.queue.writeBuffer(buffer, 0, new Uint32Array(4)); // some drivers only promise memory before
      held.push(buffer);
      bytes += size;
    } else {
      console.log(`at ${bytes / MIB} MiB held, ${size / MIB} more: ${error.message.trim()}`);
      size /= 4;
    }
  }
  for (let left = Number(flags.leave) * MIB; left > 0 && held.length > 0;) {
    const buffer = held.shift()!; // the largest are first
    left -= buffer.size;
    bytes -= buffer.size;
    buffer.destroy();
  }
  // What is destroyed is freed when work submitted after it has ended.
  for (let round = 0; round < 3; round++) {
    gpu.queue.submit([]);
    await gpu.queue.onSubmittedWorkDone();
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  console.log(`holds ${bytes / MIB} MiB`);
  return device;
}

async function besideFullMemory(): Promise<boolean> {
  await using _ = await fill();
  const model = join(ROOT, "examples/tiny/model");
  const data = join(ROOT, "examples/tiny/instructions_train.jsonl");
  const shape = ["--batch-size", "64", "--sequence-length", "256"];
  const output = await Deno.makeTempDir();
  const commands = {
    train: [
      "train",
      "--model",
      model,
      "--data",
      data,
      ...shape,
      "--steps",
      "2",
      "--overwrite",
      "--output-dir",
      output,
    ],
    eval: ["eval", "--model", model, "--data", data, ...shape],
    generate: ["generate", "--model", model, "--prompt", "Lily"],
  };
  let allGood = true;
  for (const [name, words] of Object.entries(commands)) {
    const { code, hung, stderr } = await deno(commandLine([...words, "--provider", provider]));
    const errors = stderr.split("\n").filter((line) => /error: |panicked/.test(line));
    const good = !hung &&
      (code === 0 || code === 1 && errors.length === 1 && /^error: Cannot/.test(errors[0]));
    allGood &&= good;
    console.log(
      `${name}: exit code ${code}${hung ? ", hung" : ""}: ${errors.join(" | ") || "works"}`,
    );
  }
  return allGood;
}

/** Waits for what nobody writes. Mesa's driver for CPUs ends loops after 65,535 rounds. */
const ENDLESS = `
@group(0) @binding(0) var<storage, read_write> flag: array<atomic<u32>>;
@compute @workgroup_size(1) fn main() {
  while (atomicLoad(&flag[0]) == 0u) { atomicAdd(&flag[1], 1u); }
}`;

/** Runs the kernel and waits for it. */
async function runEndless(): Promise<void> {
  const device = await requestDevice({ provider });
  const program = new Program(device);
  const kernel = new Kernel(device.gpu, "endless", ENDLESS);
  program.dispatch(kernel, { flag: device.vector(4, "u32", "flag") }, {}, [1]);
  await program.prepare();
  program.run();
  await device.finish();
}

if (flags.inside !== undefined) {
  try {
    await runEndless();
    console.error("error: it ended");
  } catch (error) {
    console.error(`error: ${(error as Error).message}`);
  }
} else if (flags.endless !== undefined) {
  const seconds = Number(flags.endless);
  const self = fileURLToPath(import.meta.url);
  const args = ["run", "-A", "--no-lock", self, "--inside", "1", "--provider", provider];
  const { code, hung, stderr } = await deno(args, { seconds });
  const said = stderr.split("\n").filter((line) => /error: |panicked/.test(line)).join(" | ");
  console.log(hung ? `nothing came in ${seconds} s: killed` : `exit code ${code}: ${said}`);
  const after = await deno(commandLine(["devices", "--provider", provider]));
  console.log(`the GPU afterwards: ${after.code === 0 ? "works" : after.stderr}`);
} else {
  Deno.exit(await besideFullMemory() ? 0 : 1);
}
