/**
 * Numbers as people read them.
 *
 * @module
 */

import { printable } from "../printable.ts";

/** Bytes in the largest unit that leaves at least one whole: `1.5 GiB`. */
export function formatBytes(bytes: number): string {
  const units = ["bytes", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  let value = Math.round(bytes);
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${units[unit]}`;
}

/** A count with separators: `1,234,567`. */
export function formatCount(count: number): string {
  return Math.round(count).toLocaleString("en-US");
}

/** Seconds as `59s`, `4m05s` or `2h03m`. */
export function formatDuration(seconds: number): string {
  const whole = Math.round(seconds);
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60];
  const two = (value: number) => String(value).padStart(2, "0");
  if (hours > 0) return `${hours}h${two(minutes)}m`;
  return minutes > 0 ? `${minutes}m${two(whole % 60)}s` : `${whole}s`;
}

/** A line per row: what it is, and how much. */
export type Rows = readonly (readonly [name: string, value: string])[];

/** Indented lines of names and, right-aligned, numbers. */
export function formatTable(rows: Rows): string {
  const right = Math.max(...rows.map(([, value]) => value.length));
  return formatList(rows.map(([name, value]) => [name, value.padStart(right)]));
}

/** Indented lines of names and texts. */
export function formatList(rows: Rows): string {
  const left = Math.max(...rows.map(([name]) => name.length));
  return rows.map(([name, value]) => printable(`  ${name.padEnd(left)}  ${value}`) + "\n").join("");
}
