/**
 * Copy bandwidth, with which memory-bound kernels are compared.
 *
 * @module
 */

import type { Device } from "../../src/gpu/device.ts";
import { Kernel } from "../../src/gpu/kernel.ts";
import { linearGrid, Program } from "../../src/gpu/program.ts";
import { gigabytes, measure, totalMs } from "./measure.ts";

const COPY = `
@group(0) @binding(0) var<storage, read> source: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read_write> copy: array<vec4<u32>>;
@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  let at = (group.y * groups.x + group.x) * 256u + thread;
  if (at < arrayLength(&copy)) { copy[at] = source[at]; }
}`;

/** GB/s, read and written, of a kernel that copies `bytes`; larger than every cache by default. */
export async function copyBandwidth(device: Device, bytes: number = 1 << 29): Promise<number> {
  const source = device.allocate(bytes, "source of a copy");
  const copy = device.allocate(bytes, "copy");
  using program = new Program(device);
  program.dispatch(
    new Kernel(device.gpu, "copy", COPY),
    { source, copy },
    {},
    linearGrid(bytes / 16, 256),
  );
  await program.prepare();
  const rate = gigabytes(2 * bytes, totalMs(await measure(program)));
  device.free(source, copy);
  return rate;
}
