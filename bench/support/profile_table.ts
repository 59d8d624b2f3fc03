/**
 * Where the time of a program goes, as a table.
 *
 * @module
 */

import type { KernelTime } from "../../src/gpu/program.ts";
import { gigabytes, teraflops, totalMs } from "./measure.ts";

/** Dispatches that were added up. */
export interface TimeSum {
  name: string;
  count: number;
  ms: number;
  flops: number;
  bytes: number;
}

/** Adds up the dispatches that `key` gives the same name, those that took longest first. */
export function sumBy(times: readonly KernelTime[], key: (time: KernelTime) => string): TimeSum[] {
  const sums = [...Map.groupBy(times, key)].map(([name, group]) => ({
    name,
    count: group.length,
    ms: totalMs(group),
    flops: group.reduce((sum, { flops }) => sum + flops, 0),
    bytes: group.reduce((sum, { bytes }) => sum + bytes, 0),
  }));
  return sums.sort((a, b) => b.ms - a.ms);
}

/**
 * The dispatches by phase, kernel and label: how many, their time and share, arithmetic and memory
 * rates.
 */
export function profileTable(times: readonly KernelTime[], top = Infinity): string {
  const all = totalMs(times);
  const sums = sumBy(times, ({ phase, kernel, label }) => `${phase}\t${kernel}\t${label}`);
  const rows = sums.slice(0, top).map(({ name, count, ms, flops, bytes }) => [
    ...name.split("\t"),
    `${count}`,
    ms.toFixed(3),
    (100 * ms / all).toFixed(1),
    flops > 0 ? teraflops(flops, ms).toFixed(2) : "",
    gigabytes(bytes, ms).toFixed(0),
  ]);
  const head = ["phase", "kernel", "label", "count", "ms", "%", "TFLOP/s", "GB/s"];
  const widths = head.map((_, i) => Math.max(...[head, ...rows].map((row) => row[i].length)));
  const line = (row: string[]) =>
    row.map((cell, i) => i < 3 ? cell.padEnd(widths[i]) : cell.padStart(widths[i])).join("  ");
  return [head, ...rows].map((row) => `${line(row).trimEnd()}\n`).join("");
}
