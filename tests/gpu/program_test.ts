import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { DeviceError } from "../../src/errors.ts";
import type { Device } from "../../src/gpu/device.ts";
import { Kernel } from "../../src/gpu/kernel.ts";
import { linearGrid, Program } from "../../src/gpu/program.ts";
import { device } from "../support/device.ts";
import { uploadVector } from "../support/gpu.ts";

/** x[i] = x[i] · factor + offset */
const SCALE_ADD = `
struct Params { factor: f32, offset: i32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> x: array<f32>;
@compute @workgroup_size(1)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  x[id.x] = x[id.x] * params.factor + f32(params.offset);
}`;

function setUp(device: Device) {
  return {
    kernel: new Kernel(device.gpu, "scale_add", SCALE_ADD),
    x: uploadVector(device, Float32Array.of(1, 2, 3, 4)).vector,
  };
}

Deno.test("dispatches, copies and clears of a program run in order, each with its parameters", async () => {
  const { kernel, x } = setUp(device);
  const y = uploadVector(device, Float32Array.of(7, 7, 7, 7)).vector;
  using program = new Program(device);
  program.dispatch(kernel, { x }, { factor: 2, offset: -1 }, [2]);
  program.copy({ ...x, size: 8 }, y);
  program.dispatch(kernel, { x }, { factor: 0.5, offset: 0 }, [4]);
  program.clear({ ...y, offset: 8, size: 4 });
  program.copy({ ...x, size: 0 }, y);
  program.clear({ ...y, size: 0 });
  assertEquals(program.dispatches, 2);
  await program.prepare();
  program.run();
  assertEquals(new Float32Array(await device.read(x)), Float32Array.of(0.5, 1.5, 1.5, 2));
  assertEquals(new Float32Array(await device.read(y)), Float32Array.of(1, 3, 0, 7));
  program.run();
  assertEquals(new Float32Array(await device.read(x)), Float32Array.of(0, 1, 0.75, 1));
});

Deno.test("a program runs while it is compiled, where kernels are compiled one after another", async () => {
  const { kernel, x } = setUp(device);
  /** Tells what x was when it was compiled. */
  class Watched extends Kernel {
    seen: Float32Array | null = null;

    override async compile(): Promise<void> {
      this.seen = new Float32Array(await device.read(x));
      await super.compile();
    }
  }
  const later = new Watched(device.gpu, "scale_add", SCALE_ADD);
  using program = new Program(device);
  program.dispatch(kernel, { x }, { factor: 2, offset: 0 }, [4]);
  program.dispatch(later, { x }, { factor: 1, offset: 1 }, [4]);
  program.clear({ ...x, offset: 12, size: 4 });
  await program.prepareAndRun();
  assertEquals(new Float32Array(await device.read(x)), Float32Array.of(3, 5, 7, 0));
  const before = device.compilesAside ? Float32Array.of(1, 2, 3, 4) : Float32Array.of(2, 4, 6, 8);
  assertEquals(later.seen, before);
  program.run();
  assertEquals(new Float32Array(await device.read(x)), Float32Array.of(7, 11, 15, 0));
});

Deno.test("a program's kernels can be compiled for others, and nothing is allocated", async () => {
  const { kernel, x } = setUp(device);
  using program = new Program(device);
  program.dispatch(kernel, { x }, { factor: 2, offset: 0 }, [4]);
  program.scratch(100, 100, "room");
  const before = device.allocatedBytes;
  assert(!kernel.isCompiled);
  await program.compile();
  assert(kernel.isCompiled);
  assertEquals(device.allocatedBytes, before);
});

Deno.test("hundreds of parameter sets of a program keep apart", async () => {
  const { kernel, x } = setUp(device);
  using program = new Program(device);
  for (let i = 0; i < 300; i++) program.dispatch(kernel, { x }, { factor: 1, offset: i }, [1]);
  (await program.prepare()).run();
  assertEquals(new Float32Array(await device.read(x))[0], 1 + 299 * 300 / 2);
});

Deno.test("an empty grid records nothing, one over the limit is refused", async () => {
  const { kernel, x } = setUp(device);
  using program = new Program(device);
  const params = { factor: 1, offset: 1 };
  program.dispatch(kernel, { x }, params, [0]);
  program.dispatch(kernel, { x }, params, [3, 0]);
  assertEquals(program.dispatches, 0);
  (await program.prepare()).run();
  await device.finish();
  const limit = device.limits.maxComputeWorkgroupsPerDimension;
  assertThrows(
    () => program.dispatch(kernel, { x }, params, [1, limit + 1]),
    DeviceError,
    `Cannot run kernel scale_add as its grid has 1×${
      limit + 1
    }×1 workgroups and this GPU takes ${limit} in`,
  );
});

Deno.test("bindings and parameters that do not match the kernel are refused", async () => {
  const { kernel, x } = setUp(device);
  const params = { factor: 1, offset: 1 };
  using program = new Program(device);
  assertThrows(
    () => program.dispatch(kernel, { x }, { factor: 1 }, [1]),
    TypeError,
    'parameter "offset" was not given',
  );
  using missing = new Program(device);
  missing.dispatch(kernel, {}, params, [1]);
  await assertRejects(() => missing.prepare(), TypeError, 'scale_add: binding "x" was not given');
  using surplus = new Program(device);
  surplus.dispatch(kernel, { x, y: x }, params, [1]);
  await assertRejects(() => surplus.prepare(), TypeError, 'scale_add has no binding "y"');
});

Deno.test("scratch of one label is as large as its largest use, and freed with the program", async () => {
  const { kernel, x } = setUp(device);
  const before = device.allocatedBytes;
  {
    using program = new Program(device);
    const small = program.scratch(2, 20, "one");
    assertEquals([small.rows, small.cols, small.pitch, small.type], [2, 20, 32, "f32"]);
    assert(program.scratch(9, 20, "one").buffer === small.buffer);
    const other = program.scratch(4, 4, "other", "f16");
    assert(other.buffer !== small.buffer);
    assertEquals(device.allocatedBytes, before);
    const view = { ...small, size: 16 };
    program.copy({ ...x, size: 16 }, view);
    program.dispatch(kernel, { x: view }, { factor: 2, offset: 1 }, [4]);
    program.copy(view, { ...x, size: 16 });
    (await program.prepare()).run();
    assertEquals(device.allocatedBytes, before + 4 * 9 * 32 + 2 * 4 * 16 + 256);
    assertEquals([...new Float32Array(await device.read({ ...x, size: 16 }))], [3, 5, 7, 9]);
  }
  assertEquals(device.allocatedBytes, before);
});

Deno.test("profile times every dispatch by phase, once or as a median", async () => {
  if (!device.hasTimestamps) {
    console.log("skipped: this adapter has no timestamps");
    return;
  }
  const { kernel, x } = setUp(device);
  using program = new Program(device);
  program.phase("first");
  program.dispatch(kernel, { x }, { factor: 1, offset: 1 }, [4]);
  program.clear({ ...x, size: 8 });
  program.phase("second");
  const cost = { flops: 24, bytes: 32, label: "all of x" };
  program.dispatch(kernel, { x }, { factor: 1, offset: 1 }, [4], cost);
  const before = device.allocatedBytes;
  const times = await (await program.prepare()).profile();
  assertEquals(times.map(({ ms: _, ...rest }) => rest), [
    { phase: "first", kernel: "scale_add", flops: 0, bytes: x.size, label: "" },
    { phase: "second", kernel: "scale_add", ...cost },
  ]);
  assert(times.every(({ ms }) => ms >= 0));
  assertEquals(new Float32Array(await device.read(x)), Float32Array.of(1, 1, 5, 6));
  assertEquals(device.allocatedBytes, before + 2 * 256, "only the two parameter sets remain");

  const medians = await program.profile(1500); // more than one set of queries holds
  assertEquals(medians.map(({ phase }) => phase), ["first", "second"]);
  assert(medians.every(({ ms }) => ms >= 0));
  assertEquals(new Float32Array(await device.read(x)), Float32Array.of(1, 1, 3005, 3006));
});

Deno.test("linearGrid covers the items and stays within the limits", () => {
  assertEquals(linearGrid(0, 64), [0, 0]);
  assertEquals(linearGrid(1, 64), [1, 1]);
  assertEquals(linearGrid(64 * 32768, 64), [32768, 1]);
  assertEquals(linearGrid(64 * 32768 + 1, 64), [32768, 2]);
  const [width, height] = linearGrid(2 ** 31, 64);
  assert(width * height * 64 >= 2 ** 31 && Math.max(width, height) <= 65535);
});
