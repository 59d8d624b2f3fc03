/**
 * Validates the kernels with both WGSL compilers that browsers and runtimes use: naga, through the
 * WebGPU of Deno, and Tint, through the null backend of Dawn, which compiles without a GPU. Kernels
 * for subgroup matrices are for Tint alone, as naga does not know them.
 *
 * The variants are not listed anywhere: they are those that a run of the tests requested from its
 * devices, as logged by tests/support/record_kernels.ts. A kernel in `wgsl/` that no test uses, and
 * a shared file that no kernel includes, is an error too.
 *
 * Run, after tests that have logged: `deno run -A --no-lock scripts/check_wgsl.ts LOG`. Without
 * `--no-lock` the lock file would make every user of the package download the compiler.
 *
 * While writing a kernel, check one variant of the kernel NAME as it is in `wgsl/`:
 * `deno run -A --no-lock scripts/check_wgsl.ts --kernel NAME '{"THREADS": 64}'`.
 *
 * @module
 */

import { loadDawn } from "../src/gpu/dawn.ts";
import { Kernel } from "../src/gpu/kernel.ts";
import { SUBGROUP_MATRIX } from "../src/gpu/subgroup_matrix.ts";
import { expandTemplate, type KernelConstants } from "../src/gpu/template.ts";
import type { RecordedKernel } from "../tests/support/record_kernels.ts";
import { readKernelFiles } from "./bundle_wgsl.ts";

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
function unusedFiles(kernels: RecordedKernel[]): string[] {
  const used = new Set<string>(kernels.map(({ name }) => name));
  const files = readKernelFiles();
  const named = files.flatMap(({ text }) =>
    [...text.matchAll(/^\s*\/\/! include (\S+)\.wgsl/gm)].map(([, name]) => name)
  );
  // What a constant names: `include $CODES_INCLUDE`.
  const chosen = kernels.flatMap(({ constants }) => Object.values(constants))
    .flatMap((value) => /^(\w+)\.wgsl$/.exec(String(value))?.[1] ?? []);
  const included = new Set([...named, ...chosen]);
  return files.filter(({ name, isKernel }) => !(isKernel ? used : included).has(name))
    .map(({ path }) => path).sort();
}

/** A compiler, and the device that it stands behind. */
interface Compiler {
  name: string;
  gpu: GPUDevice;
  /** Whether it knows what the kernel uses. */
  takes(kernel: RecordedKernel): boolean;
  /** The kernel's text for this compiler: naga refuses `enable subgroups;`, Tint requires it. */
  adapt(code: string): string;
}

/** Opens both compilers, with every feature that they support. */
async function openCompilers(): Promise<Compiler[]> {
  return [
    {
      name: "naga",
      gpu: await open(navigator.gpu),
      takes: ({ code }) => !code.includes("enable chromium_experimental_subgroup_matrix;"),
      adapt: (code) => code.replace("enable subgroups;", ""),
    },
    {
      name: "Tint",
      gpu: await open(await loadDawn("null")),
      takes: () => true,
      adapt: (code) =>
        /\bsubgroup(Max|Add|ShuffleXor)\(/.test(code) && !code.includes("enable subgroups;")
          ? `enable subgroups;\n${code}`
          : code,
    },
  ];
}

async function open(gpu: GPU): Promise<GPUDevice> {
  const adapter = await gpu.requestAdapter();
  if (!adapter) throw new Error("no adapter was found");
  const { maxComputeInvocationsPerWorkgroup, maxComputeWorkgroupSizeX } = adapter.limits;
  const { maxComputeWorkgroupStorageSize, maxStorageBuffersPerShaderStage } = adapter.limits;
  const wanted: GPUFeatureName[] = ["shader-f16", SUBGROUP_MATRIX];
  const requiredLimits = {
    maxComputeInvocationsPerWorkgroup,
    maxComputeWorkgroupSizeX,
    maxComputeWorkgroupStorageSize,
    maxStorageBuffersPerShaderStage,
  };
  return await adapter.requestDevice({
    // Deno's adapters have subgroups without listing them.
    requiredFeatures: ["subgroups", ...wanted.filter((name) => adapter.features.has(name))],
    requiredLimits,
  });
}

/**
 * What GPUs with subgroup matrices have: bytes of workgroup memory, and invocations of a workgroup.
 */
const WORKGROUP_BYTES = 49152;
const INVOCATIONS = 1024;

/**
 * Whether Dawn's null backend only reports its own small limits: it has no more workgroup memory
 * and threads than WebGPU guarantees, and subgroups of 128 threads. It does so only after it has
 * found the WGSL valid.
 */
function isNullLimit(message: string): boolean {
  const [, bytes] = message.match(/workgroup storage \((\d+) bytes\) is larger/) ?? [];
  const [, threads] = message.match(/workgroup_size\((\d+), 1, 1\) that exceeds/) ?? [];
  return Number(bytes) <= WORKGROUP_BYTES || Number(threads) <= INVOCATIONS ||
    message.includes("must be a multiple of the device maxSubgroupSize (128)");
}

/** The errors of one compiler for each kernel. */
async function complaints(
  { gpu, adapt }: Compiler,
  kernels: RecordedKernel[],
): Promise<string[]> {
  const failures: string[] = [];
  for (const { name, constants, code } of kernels) {
    try {
      await new Kernel(gpu, name, adapt(code)).compile();
    } catch (error) {
      const { message } = error as Error;
      if (isNullLimit(message)) continue;
      failures.push(`${name} ${JSON.stringify(constants)}\n  ${message}`);
    }
  }
  return failures;
}

/** One variant, from the files as they are. */
function readKernel(name: string, constants: KernelConstants): RecordedKernel {
  const texts = new Map(readKernelFiles().map((file) => [`${file.name}.wgsl`, file.text]));
  const read = (file: string) => {
    const text = texts.get(file);
    if (text === undefined) throw new Error(`There is no file ${file} in wgsl/`);
    return text;
  };
  const ofDevice = { SUBGROUP_MAX: false, SUBGROUP_SUM: false, ENABLE_SUBGROUPS: false };
  const code = expandTemplate(read(`${name}.wgsl`), { ...ofDevice, ...constants }, read);
  return { name, constants, code };
}

if (import.meta.main) {
  const [first, name, constants = "{}"] = Deno.args;
  const single = first === "--kernel";
  const kernels = single ? [readKernel(name, JSON.parse(constants))] : await readLog(first);
  let failed = false;
  for (const file of single ? [] : unusedFiles(kernels)) {
    console.error(`wgsl/${file} is used by no test and no kernel`);
    failed = true;
  }
  for (const compiler of await openCompilers()) {
    const { name, gpu, takes } = compiler;
    const taken = kernels.filter(takes);
    const failures = await complaints(compiler, taken);
    if ((await complaints(compiler, [INVALID])).length === 0) {
      failures.push("an invalid kernel was accepted, so nothing was checked");
    }
    gpu.destroy();
    console.log(`${name}: ${taken.length} variants, ${failures.length} failures`);
    for (const failure of failures) console.error(`${name}: ${failure}`);
    failed ||= failures.length > 0;
  }
  Deno.exit(failed ? 1 : 0);
}
