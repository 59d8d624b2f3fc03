/**
 * Times programs by the GPU's own timestamps, which include neither the host nor the 11 ms steps in
 * which Deno's native WebGPU waits.
 *
 * @module
 */

import { DeviceError } from "../../src/errors.ts";
import type { KernelTime, Program } from "../../src/gpu/program.ts";

/** Options of {@linkcode measure}. */
export interface MeasureOptions {
  /** Runs that are timed. Default 9. */
  repeats?: number;
  /**
   * Milliseconds of work before these: an idle GPU has lowered its clock. Default 300; one run at
   * least.
   */
  warmupMs?: number;
}

/**
 * Runs a prepared program and times every dispatch.
 *
 * @returns every dispatch in order with its median time; {@linkcode totalMs} adds them up.
 * @throws {DeviceError} if the GPU has no timestamps, or work failed.
 */
export async function measure(
  program: Program,
  { repeats = 9, warmupMs = 300 }: MeasureOptions = {},
): Promise<KernelTime[]> {
  if (!program.device.hasTimestamps) {
    throw new DeviceError(
      "Cannot measure kernels as this GPU has no timestamps (feature timestamp-query): use another",
    );
  }
  const { device } = program;
  let runs = 1;
  for (const start = performance.now(); performance.now() - start < warmupMs; runs *= 2) {
    for (let i = 0; i < runs; i++) program.run();
    await device.finish();
  }
  return await program.profile(repeats);
}

/** Milliseconds of all dispatches together. */
export function totalMs(times: readonly KernelTime[]): number {
  return times.reduce((sum, { ms }) => sum + ms, 0);
}

/** The middle one of some numbers, the upper of two. */
export function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1];
}

/** Work per time as TFLOP/s. */
export function teraflops(flops: number, ms: number): number {
  return flops / ms / 1e9;
}

/** Bytes per time as GB/s. */
export function gigabytes(bytes: number, ms: number): number {
  return bytes / ms / 1e6;
}
