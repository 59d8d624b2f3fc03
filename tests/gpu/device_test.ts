import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { DeviceError, DeviceLostError } from "../../src/errors.ts";
import { firstOf, rowsOf } from "../../src/gpu/buffers.ts";
import { requestDevice } from "../../src/gpu/device.ts";
import { Kernel } from "../../src/gpu/kernel.ts";
import { Program } from "../../src/gpu/program.ts";

Deno.test("buffers are counted, freed once, and a copy of a view frees nothing twice", async () => {
  using device = await requestDevice();
  assertEquals([device.allocatedBytes, device.peakBytes], [0, 0]);
  const matrix = device.matrix(3, 17, "f32", "matrix");
  assertEquals([matrix.pitch, matrix.size], [32, 384]);
  const vector = device.vector(5, "e4m3", "vector");
  assertEquals(vector.size, 16);
  assertEquals(device.allocatedBytes, 400);
  device.free(matrix, rowsOf(matrix, 0, 1), matrix.buffer, null, undefined);
  device.free(matrix);
  assertEquals([device.allocatedBytes, device.peakBytes], [16, 400]);
  device.allocate(0, "empty");
  assertEquals([device.allocatedBytes, device.peakBytes], [32, 400]);
  device.check();
});

Deno.test("an allocation beyond the limits names the buffer and what makes it smaller", async () => {
  using device = await requestDevice();
  const { maxBufferSize, maxStorageBufferBindingSize } = device.limits;
  assertEquals(device.bindingLimit, Math.min(maxBufferSize, maxStorageBufferBindingSize));
  assertThrows(
    () => device.allocate(device.bindingLimit + 4, "logits"),
    DeviceError,
    `this GPU binds at most ${device.bindingLimit}: reduce batchSize or sequenceLength by a factor of 2`,
  );
  device.bindingLimit = 1024;
  const found = 'Cannot allocate "it" as it takes 2064 bytes and this GPU binds at most 1024: ';
  const remedies = {
    step: "reduce batchSize or sequenceLength by a factor of 3, or take a smaller model",
    text: "shorten prompt and maxNewTokens together by a factor of 3",
    model: "take a smaller model, or a GPU that binds more",
    "f32 model": "take a smaller model, or a GPU that binds more",
    trained: "take a smaller model, or a GPU that binds more",
  } as const;
  for (const [growsWith, remedy] of Object.entries(remedies)) {
    const allocate = () => device.vector(513, "f32", "it", growsWith as keyof typeof remedies);
    assertThrows(allocate, DeviceError, found + remedy);
  }
  const halved = {
    "f32 model": "store the weights in f16 (base f16), or take a smaller model",
    trained: "train an adapter over weights in f16 (lora with base f16), or take a smaller model",
  } as const;
  for (const [growsWith, remedy] of Object.entries(halved)) {
    const allocate = () => device.vector(512, "f32", "it", growsWith as keyof typeof halved);
    assertThrows(allocate, DeviceError, remedy);
  }
  device.allocate(1024, "as much as fits");
  assertEquals(device.allocatedBytes, 1024);
  await device.finish();
});

Deno.test("memory of a program that is too large names what its largest part grows with", async () => {
  using device = await requestDevice();
  device.bindingLimit = 1024;
  using program = new Program(device);
  program.scratch(1, 16, "operand", "f32", "step");
  program.scratch(1, 512, "operand", "f32", "model");
  program.scratch(1, 128, "operand", "f32", "step");
  await assertRejects(
    () => program.prepare(),
    DeviceError,
    'Cannot allocate "operand" as it takes 2048 bytes and this GPU binds at most 1024: take a smaller model, or',
  );
});

Deno.test("bytes go up and come back, at offsets, without the pitch, and none at all", async () => {
  using device = await requestDevice();
  const matrix = device.matrix(2, 3, "f32", "matrix");
  const values = Float32Array.of(1, 2, 3, 4, 5, 6);
  device.writeMatrix(matrix, values);
  assertEquals(await device.readMatrix(matrix), values);
  const raw = new Float32Array(await device.read(matrix));
  assertEquals(raw.subarray(2, 6), Float32Array.of(3, 0, 0, 0));
  device.write(matrix, Float32Array.of(9), 4);
  device.write(matrix, new Float32Array(0));
  const [first, second] = await device.readAll([matrix, { ...matrix, size: 8 }]);
  assertEquals(new Float32Array(first)[1], 9);
  assertEquals(new Float32Array(second), Float32Array.of(1, 9));
  assertEquals(await device.readAll([]), []);
  assertEquals((await device.read({ ...matrix, size: 0 })).byteLength, 0);
  const before = device.allocatedBytes;
  assertThrows(
    () => device.write(matrix, new Float32Array(32), 4),
    RangeError,
    'Cannot write 128 bytes at 4 of "matrix" as it holds 128',
  );
  assertThrows(() => device.writeMatrix(matrix, new Float32Array(5)), RangeError, "Expected 2×3");
  assertEquals(device.allocatedBytes, before); // staging memory is gone
});

Deno.test("no view reaches beyond its matrix or vector", async () => {
  using device = await requestDevice();
  const matrix = device.matrix(8, 64, "f32", "matrix");
  assertEquals(rowsOf(matrix, 7, 1).offset, 7 * 256);
  assertThrows(() => rowsOf(matrix, 7, 2), RangeError, "There are no rows 7 to 9 of 8");
  assertThrows(() => rowsOf(matrix, -1, 2), RangeError, "There are no rows -1 to 1 of 8");
  const vector = device.vector(5, "f32", "vector");
  assertEquals(firstOf(vector, 5).size, 32);
  assertThrows(() => firstOf(vector, 6), RangeError, "no 6 elements in a vector of 5");
});

Deno.test("a device compiles a kernel once per variant, and refuses unknown files", async () => {
  using device = await requestDevice();
  const kernel = device.kernel("sum", { THREADS: 64 });
  assert(device.kernel("sum", { THREADS: 64 }) === kernel);
  assert(device.kernel("sum", { THREADS: 32 }) !== kernel);
  assertEquals(device.kernels().map(({ name }) => name), ["sum", "sum"]);
  assertThrows(() => kernel.pipeline, TypeError, "Kernel sum is used before compile()");
  await Promise.all([kernel.compile(), kernel.compile()]);
  assert(kernel.pipeline);
  // @ts-expect-error: names of kernels are a type, so that the compiler finds a misspelt one
  assertThrows(() => device.kernel("missing"), TypeError, 'There is no kernel file "missing.wgsl"');
});

Deno.test("a kernel that does not compile says why and leaves the device usable", async () => {
  using device = await requestDevice();
  for (
    const [code, message] of [
      ["fn main( {", "Cannot compile kernel broken: "],
      ["@compute @workgroup_size(1) fn main() { let x: i32 = 1.5; }", "Cannot compile kernel"],
      ["@compute @workgroup_size(1) fn other() {}", "Cannot compile kernel broken: "],
    ]
  ) {
    const kernel = new Kernel(device.gpu, "broken", code);
    await assertRejects(() => kernel.compile(), DeviceError, message);
  }
  await device.finish();
});

Deno.test("results of a GPU that is gone are refused by a sentence", async () => {
  using device = await requestDevice();
  const view = device.allocate(16, "view");
  device.gpu.destroy();
  const words = "Cannot continue as the GPU was lost (";
  await assertRejects(() => device.read(view), DeviceLostError, words);
  await assertRejects(() => device.finish(), DeviceLostError, words);
  const kernel = device.kernel("sum", { THREADS: 64 });
  await assertRejects(() => kernel.compile(), DeviceLostError, words);
  using program = new Program(device);
  await assertRejects(() => program.prepare(), DeviceLostError, words);
});

Deno.test("a device that its owner destroyed says so", async () => {
  const device = await requestDevice();
  const view = device.allocate(16, "view");
  device.destroy();
  device.destroy();
  const error = await assertRejects(
    () => device.read(view),
    DeviceError,
    "its device was destroyed",
  );
  assert(!(error instanceof DeviceLostError));
  await device[Symbol.asyncDispose]();
});

Deno.test("what the GPU reports is told in its own words, the first failure only", async () => {
  await using device = await requestDevice();
  const view = device.allocate(16, "view");
  const report = (error: object) =>
    device.gpu.dispatchEvent(Object.assign(new Event("uncapturederror"), { error }));
  report(new GPUOutOfMemoryError("not enough memory left"));
  report(new GPUValidationError("a buffer is invalid"));
  await assertRejects(
    () => device.read(view),
    DeviceError,
    "Cannot continue as the GPU has no memory left, with 16 bytes in buffers of this device: reduce",
  );
});

Deno.test("a wait for a promise that never ends is over when the device is lost", async () => {
  await using device = await requestDevice();
  const waiting = assertRejects(() => device.wait(() => new Promise(() => {})), DeviceLostError);
  await new Promise((resolve) => setTimeout(resolve));
  device.gpu.destroy();
  await waiting;
  let asked = false;
  await assertRejects(() => device.wait(() => Promise.resolve(asked = true)), DeviceLostError);
  assert(!asked, "Deno's WebGPU ends the process when it waits for a lost device");
});

Deno.test("GPU work that failed on the side is reported at the next result", async () => {
  using device = await requestDevice();
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
});

Deno.test("device: await using lets work under way end first, even if the GPU is gone or failed", async () => {
  const order: string[] = [];
  {
    await using device = await requestDevice();
    const values = device.vector(1 << 22, "f32", "values");
    const out = device.vector(1, "f32", "out");
    using program = new Program(device);
    for (let index = 0; index < 20; index++) {
      const params = { count: values.length, index: 0 };
      program.dispatch(device.kernel("sum", { THREADS: 64 }), { values, out }, params, [1]);
    }
    (await program.prepare()).run();
    device.gpu.queue.onSubmittedWorkDone().then(() => order.push("work done"));
    device.gpu.lost.then(() => order.push("device destroyed"));
  }
  await new Promise((resolve) => setTimeout(resolve));
  assertEquals(order, ["work done", "device destroyed"]);

  await using gone = await requestDevice();
  gone.gpu.destroy();
  await using failed = await requestDevice();
  failed.gpu.createBuffer({ size: 4, usage: 0 });
});
