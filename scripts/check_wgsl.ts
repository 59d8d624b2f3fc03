/**
 * Validates the kernels with both WGSL compilers that browsers and runtimes use: naga, through the WebGPU of
 * Deno, and Tint, through the null backend of Dawn, which compiles without a GPU.
 *
 * The variants are not listed anywhere: they are those that a run of the tests asked of its devices, as logged
 * by tests/support/record_kernels.ts. A kernel in `wgsl/` that no test uses, and a shared file that no kernel
 * includes, is an error too.
 *
 * Run, after tests that have logged: `deno run -A --no-lock scripts/check_wgsl.ts LOG`. Without `--no-lock`
 * the lock file would make every user of the package download the compiler.
 *
 * @module
 */

import { Kernel } from "../src/gpu/kernel.ts";
import type { RecordedKernel } from "../tests/support/record_kernels.ts";

const root = new URL("../", import.meta.url);

/** The Dawn build. Its name is kept from static analysis, as nothing else needs the large download. */
const DAWN = "npm:webgpu@0.6.2";

/** A kernel that every compiler must refuse: one that accepts it checks nothing. */
const INVALID: RecordedKernel = {
  name: "invalid",
  constants: {},
  code: "@compute @workgroup_size(1) fn main() { let x: u32 = 1.5; }",
};

/** The different kernels in a log. */
async function readLog(path: string): Promise<RecordedKernel[]> {
  const lines = (await Deno.readTextFile(path)).trim().split("\n");
  const kernels: RecordedKernel[] = lines.map((line) => JSON.parse(line));
  return [...new Map(kernels.map((kernel) => [kernel.code, kernel])).values()];
}

/** Files in `wgsl/` that nothing uses: an entry point needs a test, any other file an include. */
async function unusedFiles(kernels: RecordedKernel[]): Promise<string[]> {
  const used = new Set(kernels.map(({ name }) => `${name}.wgsl`));
  const texts = new Map<string, string>();
  for await (const { name } of Deno.readDir(new URL("wgsl/", root))) {
    texts.set(name, await Deno.readTextFile(new URL(`wgsl/${name}`, root)));
  }
  const included = new Set(
    [...texts.values()].flatMap((text) =>
      [...text.matchAll(/^\/\/! include (\S+)/gm)].map(([, file]) => file)
    ),
  );
  return [...texts].filter(([name, text]) =>
    !(text.includes("@compute") ? used : included).has(name)
  ).map(([name]) => name).sort();
}

/** Opens a device with all that the adapter has. */
async function open(gpu: GPU): Promise<GPUDevice> {
  const adapter = await gpu.requestAdapter();
  if (!adapter) throw new Error("no adapter was found");
  const { maxComputeInvocationsPerWorkgroup, maxComputeWorkgroupSizeX } = adapter.limits;
  const { maxComputeWorkgroupStorageSize, maxStorageBuffersPerShaderStage } = adapter.limits;
  const requiredFeatures: GPUFeatureName[] = adapter.features.has("shader-f16")
    ? ["shader-f16"]
    : [];
  const requiredLimits = {
    maxComputeInvocationsPerWorkgroup,
    maxComputeWorkgroupSizeX,
    maxComputeWorkgroupStorageSize,
    maxStorageBuffersPerShaderStage,
  };
  return await adapter.requestDevice({ requiredFeatures, requiredLimits });
}

/** What one compiler says against each kernel. */
async function complaints(gpu: GPUDevice, kernels: RecordedKernel[]): Promise<string[]> {
  const failures: string[] = [];
  for (const { name, constants, code } of kernels) {
    try {
      await new Kernel(gpu, name, code).compile();
    } catch (error) {
      failures.push(`${name} ${JSON.stringify(constants)}\n  ${(error as Error).message}`);
    }
  }
  return failures;
}

if (import.meta.main) {
  const kernels = await readLog(Deno.args[0]);
  const { create } = await import(DAWN);
  const compilers: [string, GPU][] = [
    ["naga", navigator.gpu],
    ["Tint", create(["backend=null", "enable-dawn-features=allow_unsafe_apis"])],
  ];
  let failed = false;
  for (const file of await unusedFiles(kernels)) {
    console.error(`wgsl/${file} is used by no test and no kernel`);
    failed = true;
  }
  for (const [compiler, gpu] of compilers) {
    const device = await open(gpu);
    const failures = await complaints(device, kernels);
    if ((await complaints(device, [INVALID])).length === 0) {
      failures.push("an invalid kernel was accepted, so nothing was checked");
    }
    device.destroy();
    console.log(`${compiler}: ${kernels.length} variants, ${failures.length} failures`);
    for (const failure of failures) console.error(`${compiler}: ${failure}`);
    failed ||= failures.length > 0;
  }
  Deno.exit(failed ? 1 : 0);
}
