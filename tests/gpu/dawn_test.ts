import {
  assert,
  assertEquals,
  assertMatch,
  assertRejects,
  assertStringIncludes,
} from "@std/assert";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { DeviceError, DeviceLostError, OptionError } from "../../src/errors.ts";
import { EAGER, throttledWait } from "../../src/gpu/throttled_polling.ts";
import { loadDawn } from "../../src/gpu/dawn.ts";
import { Device, type Provider, requestDevice } from "../../src/gpu/device.ts";
import { Kernel } from "../../src/gpu/kernel.ts";
import { Program } from "../../src/gpu/program.ts";
import {
  F16_MATRIX,
  SUBGROUP_MATRIX,
  type SubgroupMatrixConfig,
  subgroupMatrixConfigs,
  supportsMatrix,
} from "../../src/gpu/subgroup_matrix.ts";
import { quantize } from "../../src/kernels/rows/quantize.ts";
import { withFolder } from "../support/io.ts";
import { runCommand } from "../support/terminal.ts";

const PACKAGE = Deno.env.get("FALQON_DAWN");
if (!PACKAGE) console.log("skipped, since FALQON_DAWN names no package: Dawn's null backend");

/** The package's code: `requestAdapter` is this expression. */
function moduleWith(requestAdapter: string): string {
  return `export const create = () => ({ requestAdapter: ${requestAdapter} })`;
}

/** The adapter that all GPUs with tensor cores are like; `native` is the runtime's own. */
const ADAPTER = `{
  features: new Set([...native.features, "chromium-experimental-subgroup-matrix"]),
  limits: native.limits,
  info: {
    device: "Tensor",
    description: "driver 1.0",
    subgroupMatrixConfigs: [
      { componentType: "i8", resultComponentType: "i32", M: 16, N: 16, K: 32 },
      { componentType: "f16", resultComponentType: "f32", M: 16, N: 16, K: 16 },
    ],
  },
}`;
const NATIVE = "const native = await navigator.gpu.requestAdapter()";

/** Stand-ins for the package's code, and what comes of each. */
const BROKEN: Record<string, [code: string, message: RegExp]> = {
  "is something else": [
    "export const make = 1",
    /^Cannot load Dawn from file:.+: create is not a function; name the folder of the npm package webgpu in FALQON_DAWN, or unset it$/,
  ],
  "brings no WebGPU": [
    "export const create = () => ({})",
    /^Cannot load Dawn from file:.+: it brings no WebGPU; name the folder/,
  ],
  "finds no GPU": [
    moduleWith("async () => null"),
    /^Cannot open a GPU by Dawn as it finds no adapter: install your GPU's driver, or take the provider native$/,
  ],
  "has no tensor cores": [
    "export const create = () => navigator.gpu",
    /^Cannot use Dawn as it offers no 16×16×16 matrices of f16 on .+: use an NVIDIA GPU .+, or the provider native$/,
  ],
  "gets no device": [
    moduleWith(`async () => {
      ${NATIVE};
      return { ...${ADAPTER}, async requestDevice() { throw new TypeError("no memory") } };
    }`),
    /^Cannot open Tensor as it refused: no memory; close other programs/,
  ],
};

/** Runs `action` with a folder in Dawn's place that has this code. */
function withCode(code: string, action: () => Promise<void>): Promise<void> {
  return withFolder(async (folder) => {
    await Deno.writeTextFile(join(folder, "package.json"), '{"name": "webgpu", "type": "module"}');
    await Deno.writeTextFile(join(folder, "index.js"), code);
    await withDawn(folder, action);
  });
}

/** Runs `action` with the variable naming another place. */
async function withDawn<T>(place: string, action: () => Promise<T>): Promise<T> {
  Deno.env.set("FALQON_DAWN", place);
  try {
    return await action();
  } finally {
    if (PACKAGE === undefined) Deno.env.delete("FALQON_DAWN");
    else Deno.env.set("FALQON_DAWN", PACKAGE);
  }
}

for (const [problem, [code, message]] of Object.entries(BROKEN)) {
  Deno.test(`dawn that ${problem} is refused by a sentence, and auto goes on without it`, () =>
    withCode(code, async () => {
      const error = await assertRejects(() => requestDevice({ provider: "dawn" }), DeviceError);
      assertMatch(error.message, message);
      const reasons: string[] = [];
      const onFallback = (reason: string) => reasons.push(reason);
      using device = await requestDevice({ provider: "auto", onFallback });
      assertEquals(device.provider, "native");
      assertEquals(reasons, [error.message]);
      using silent = await requestDevice({ provider: "auto" });
      assertEquals(silent.provider, "native");
    }));
}

Deno.test("FALQON_DAWN names a folder of the package or an npm: specifier, and no other code is run", () =>
  withFolder(async (folder) => {
    const code = "globalThis.ranByVariable = true; export const create = () => ({})";
    const other = join(folder, "other");
    await Deno.mkdir(other);
    await Deno.writeTextFile(join(folder, "index.js"), code);
    await Deno.writeTextFile(join(other, "index.js"), code);
    await Deno.writeTextFile(join(other, "package.json"), '{"name": "other", "type": "module"}');
    const none = join(folder, "none");
    await Deno.mkdir(none);
    await Deno.writeTextFile(join(none, "package.json"), "null");
    const url = pathToFileURL(join(folder, "index.js")).href;
    const refused: [place: string, problem: string][] = [
      [`data:text/javascript,${code}`, "it is neither a folder nor an npm: specifier"],
      [`DATA:text/javascript,${code}`, "it is neither a folder nor an npm: specifier"],
      ["https://127.0.0.1:1/x.js", "it is neither a folder nor an npm: specifier"],
      ["http://127.0.0.1:1/x.js", "it is neither a folder nor an npm: specifier"],
      ["jsr:@x/y", "it is neither a folder nor an npm: specifier"],
      ["node:child_process", "it is neither a folder nor an npm: specifier"],
      ["blob:null/x", "it is neither a folder nor an npm: specifier"],
      [url, "it is neither a folder nor an npm: specifier"],
      [folder, `there is no "${join(folder, "package.json")}"`],
      [join(folder, "index.js"), "Not a directory"],
      [other, `"${join(other, "package.json")}" is of another package`],
      [none, `"${join(none, "package.json")}" is of another package`],
      ["./nowhere", `there is no "${join(Deno.cwd(), "nowhere/package.json")}"`],
    ];
    for (const [place, problem] of refused) {
      await withDawn(place, async () => {
        const { message } = await assertRejects(
          () => requestDevice({ provider: "dawn" }),
          DeviceError,
        );
        assertStringIncludes(message, `Cannot load Dawn from "${place}", which FALQON_DAWN names`);
        assertStringIncludes(message, problem);
        assertStringIncludes(message, ": give the folder of the npm package webgpu, or ");
      });
    }
    assert(!("ranByVariable" in globalThis));
  }));

Deno.test({
  name: "dawn without permission for native code is refused by a sentence",
  permissions: { env: true, ffi: false, read: true, write: true },
  fn: () =>
    withCode("Deno.dlopen('dawn.node', {})", async () => {
      const error = await assertRejects(() => requestDevice({ provider: "dawn" }), DeviceError);
      assertMatch(error.message, /--allow-ffi flag; or take the provider native$/);
    }),
});

Deno.test("dawn with tensor cores is what dawn and auto open", () => {
  const opens = moduleWith(`async () => {
    ${NATIVE};
    return {
      ...${ADAPTER},
      async requestDevice({ requiredFeatures, requiredLimits }) {
        const gpu = await native.requestDevice({
          requiredLimits,
          requiredFeatures: requiredFeatures.filter((name) => native.features.has(name)),
        });
        return Object.defineProperty(gpu, "features", { value: new Set(requiredFeatures) });
      },
    };
  }`);
  return withCode(opens, async () => {
    for (const provider of ["dawn", "auto"] as const) {
      const onFallback = (reason: string) => assert(false, reason);
      using device = await requestDevice({ provider, onFallback });
      assertEquals([device.provider, device.name], ["dawn", "Tensor"]);
    }
    using device = await requestDevice();
    assertEquals([device.provider, device.matrixConfigs], ["native", []]);
    const { out } = await runCommand("devices --provider auto");
    assertMatch(out, /^.+\n {2}provider: native\n[^]+\nTensor\n {2}provider: dawn\n/);
    assertStringIncludes(
      out,
      "  subgroup matrices: 16×16×32 i8 to i32, 16×16×16 f16 to f32\n",
    );
  });
});

Deno.test("a device lists the matrices of its adapter, behind the feature and where subgroups have 32 invocations", () => {
  const i8 = { componentType: "i8", resultComponentType: "i32", M: 16, N: 16, K: 32 };
  let sizes = { subgroupMinSize: 32, subgroupMaxSize: 32 };
  const listed = (features: string[], ...configs: SubgroupMatrixConfig[]) =>
    subgroupMatrixConfigs({
      features: new Set(features) as unknown as GPUSupportedFeatures,
      info: { ...sizes, subgroupMatrixConfigs: configs } as unknown as GPUAdapterInfo,
    });
  const features = [SUBGROUP_MATRIX, "shader-f16"];
  assertEquals(listed(features, i8, F16_MATRIX), [i8, F16_MATRIX]);
  assertEquals(listed(features), []);
  assertEquals(listed(["shader-f16"], i8, F16_MATRIX), []);
  assertEquals(listed([SUBGROUP_MATRIX], i8, F16_MATRIX), [i8]);
  for (const other of [{ subgroupMaxSize: 64 }, { subgroupMinSize: 16 }]) {
    sizes = { subgroupMinSize: 32, subgroupMaxSize: 32, ...other };
    assertEquals(listed(features, i8, F16_MATRIX), []);
  }
});

Deno.test("a kernel finds its matrices only if all of type, result and sizes are those it asks for", () => {
  const others = [{ M: 8 }, { N: 8 }, { K: 8 }, { componentType: "i8" }, {
    resultComponentType: "f16",
  }];
  const matrixConfigs = others.map((other) => ({ ...F16_MATRIX, ...other }));
  assert(!supportsMatrix({ matrixConfigs }, F16_MATRIX));
  assert(supportsMatrix({ matrixConfigs: [...matrixConfigs, F16_MATRIX] }, F16_MATRIX));
});

Deno.test("providers by another name are refused; --provider takes the three", async () => {
  const provider = "metal" as Provider;
  await assertRejects(() => requestDevice({ provider }), OptionError, "give one of native");
  const { code, err } = await runCommand("devices --provider metal");
  assertEquals(code, 2);
  assertStringIncludes(err, '--provider has the value "metal": give one of native, dawn, auto');
  await withDawn("/nowhere", async () => {
    const { code, out, err } = await runCommand("devices --provider dawn");
    assertEquals([code, out], [1, ""]);
    assertStringIncludes(err, "Cannot load Dawn from ");
    assertStringIncludes(
      (await runCommand("devices --provider auto")).out,
      "\ndawn: Cannot load Dawn",
    );
  });
});

Deno.test("waiting for Dawn changes immediates only while it lasts, and loses none", async () => {
  const { setImmediate } = globalThis;
  const first = Promise.withResolvers<number>();
  const second = Promise.withResolvers<number>();
  const waits = [throttledWait(first.promise), throttledWait(second.promise)];
  assert(globalThis.setImmediate !== setImmediate);
  const seen = await new Promise<number[]>((resolve) => {
    const called: number[] = [];
    for (let i = 0; i < 250; i++) { // more than are eager
      globalThis.setImmediate((value: number) => {
        called.push(value);
        if (called.length === 250) resolve(called);
      }, i);
    }
  });
  assertEquals(seen.toSorted((a, b) => a - b), Array.from({ length: 250 }, (_, i) => i));
  first.resolve(1);
  assertEquals(await waits[0], 1);
  assert(globalThis.setImmediate !== setImmediate); // the second still waits
  second.reject(new RangeError("lost"));
  await assertRejects(() => waits[1], RangeError, "lost");
  assert(globalThis.setImmediate === setImmediate);
});

/** A device of Dawn's null backend: it validates and compiles, and runs nothing. */
async function openNull(): Promise<Device> {
  const adapter = (await (await loadDawn("null")).requestAdapter())!;
  const requiredFeatures = [...adapter.features].filter((name) =>
    ["shader-f16", "subgroups", SUBGROUP_MATRIX].includes(name)
  ) as GPUFeatureName[];
  return new Device(await adapter.requestDevice({ requiredFeatures }), adapter.info, "dawn");
}

Deno.test({
  name: "dawn itself records, runs and reads as native does",
  ignore: !PACKAGE,
  async fn() {
    using device = await openNull();
    assertEquals([device.hasF16, device.isFallback], [true, false]);
    const parts = device.vector(64, "f32", "parts");
    const sum = device.vector(1, "f32", "sum");
    device.write(parts, new Float32Array(64).fill(1));
    using program = new Program(device);
    program.clear(sum);
    const kernel = device.kernel("sum", { THREADS: 64 });
    program.dispatch(kernel, { values: parts, out: sum }, { count: 64, index: 0 }, [1]);
    await program.prepare();
    program.run();
    await device.finish();
    assertEquals((await device.read(parts)).byteLength, 256);
    assertEquals((await device.readAll([sum, parts])).map((data) => data.byteLength), [16, 256]);
    device.free(parts, sum);
  },
});

Deno.test({
  name: "behind navigator.gpu, dawn gets WGSL's directive of subgroups as behind its own name",
  ignore: !PACKAGE,
  async fn() {
    const own = navigator.gpu;
    Object.defineProperty(navigator, "gpu", { value: await loadDawn("null"), configurable: true });
    try {
      using device = await requestDevice();
      assertEquals([device.provider, device.hasSubgroups], ["native", true]);
      const subgroups = { max: true, sum: false, shuffle: false };
      device.tuning = { ...device.tuning, subgroups };
      const input = device.matrix(3, 20, "f32", "rows");
      const scales = device.vector(3, "f32", "scales");
      const codes = device.matrix(3, 20, "e4m3", "codes");
      using program = new Program(device);
      quantize(program, { input, codes, scales, granularity: "row" });
      await program.prepare();
      assertStringIncludes(device.kernels()[0].code, "enable subgroups;");
    } finally {
      Object.defineProperty(navigator, "gpu", { value: own, configurable: true });
    }
  },
});

Deno.test("the runtime's own WebGPU gets the directive only if it takes it", async () => {
  using device = await requestDevice();
  if (!device.hasSubgroups) {
    console.log("skipped: this adapter has no subgroups");
    return;
  }
  const code = `${device.subgroupDirective ? "enable subgroups;" : ""}
    @group(0) @binding(0) var<storage, read_write> out: array<f32>;
    @compute @workgroup_size(32) fn main(@builtin(local_invocation_index) i: u32) {
      out[i] = subgroupMax(f32(i));
    }`;
  await new Kernel(device.gpu, "maximum", code).compile();
});

Deno.test({
  name: "dawn's failures come as the same sentences",
  ignore: !PACKAGE,
  async fn() {
    using device = await openNull();
    const invalid = "@compute @workgroup_size(1) fn main() { let x: i32 = 1.5; }";
    const broken = new Kernel(device.gpu, "broken", invalid);
    await assertRejects(() => broken.compile(), DeviceError, "Cannot compile kernel broken: ");
    await device.finish();
    const view = device.allocate(16, "view");
    const encoder = device.gpu.createCommandEncoder();
    encoder.copyBufferToBuffer(view.buffer, 0, view.buffer, 8, 64); // out of bounds
    device.gpu.queue.submit([encoder.finish()]);
    await assertRejects(
      () => device.read(view),
      DeviceError,
      "Cannot continue as the GPU reported: ",
    );
    await assertRejects(() => device.finish(), DeviceError);

    using gone = await openNull();
    const lost = gone.allocate(16, "view");
    gone.gpu.destroy();
    const words = "Cannot continue as the GPU was lost (";
    await assertRejects(() => gone.read(lost), DeviceLostError, words);
    await assertRejects(() => gone.finish(), DeviceLostError, words);
  },
});

Deno.test({
  name: "dawn's memory that is used up is told as such",
  ignore: !PACKAGE,
  async fn() {
    using device = await openNull(); // it has 512 MiB
    const { bindingLimit } = device;
    for (let bytes = 0; bytes < 2 ** 30; bytes += bindingLimit) {
      device.allocate(bindingLimit, "much");
    }
    const words =
      "Cannot continue as the GPU has no memory left, with 1073741824 bytes in buffers of";
    await assertRejects(() => device.finish(), DeviceError, words);
  },
});

Deno.test("a wait for Dawn polls often at first, then by timers, seldom in a long one", async () => {
  const { setTimeout } = globalThis;
  const { now } = performance;
  const delays: number[] = [];
  const end = Promise.withResolvers<void>();
  let time = 0;
  performance.now = () => time;
  const wait = throttledWait(end.promise);
  const poll = () => new Promise<void>((resolve) => globalThis.setImmediate(() => resolve()));
  try {
    globalThis.setTimeout = ((callback: () => void, ms: number) => {
      delays.push(ms);
      return setTimeout(callback, ms);
    }) as typeof setTimeout;
    for (let i = 0; i < EAGER; i++) await poll();
    assertEquals(delays, []);
    for (time of [1, 20, 150, 250, 700, 900, 60_000]) await poll();
  } finally {
    globalThis.setTimeout = setTimeout;
    performance.now = now;
    end.resolve();
    await wait;
  }
  assertEquals(delays, [1, 1, 1, 2, 7, 8, 8]);
});
